//! The relay as it should be: for one answer, or from now on.

use std::time::Duration;

use sealwax::wire::{Body, ErrorCode, Forward, ForwardKind, Reply, Request, WireLimits};

use super::super::super::json::Members;
use super::super::super::opening::ALICE;
use super::super::alice::ME;
use super::super::friend::Friend;
use super::{BOB_AT, MAX_FRAME, Stage};

/// After so many steps of an honest relay all is well again: twice the longest pause of a resend,
/// and something for a new connection and new tokens.
const STEPS: usize = 40;
const STEP: Duration = Duration::from_secs(20);
/// Before this one, peers say nothing new.
const STEP_TO_SPEAK: usize = 5;

impl Stage {
    /// Does what the oldest of her requests ask, as a relay should.
    pub(crate) fn answer_honestly(&mut self, count: usize) {
        for _ in 0..count {
            let Some(line) = &mut self.line else { return };
            let Some(frame) = line.requests.pop_front() else { return };
            let Ok(Request { id, body, .. }) = Request::parse(&frame) else { continue };
            match body {
                Body::Register(_) => self.challenge(0),
                Body::Prove { .. } => {
                    let (fp, limits) = (ALICE.fingerprint(), WireLimits::new(MAX_FRAME));
                    self.tell(&Reply::Registered { name: ME.into(), fp, limits }.encode());
                }
                Body::Lookup { target, .. } => {
                    let friend = self.friends.iter().find(|friend| friend.name == target);
                    let answer = friend.map_or_else(|| unknown(&target), Friend::as_pubkey);
                    self.tell(&answer);
                }
                Body::Forward(forward) => self.pass_on(&frame, &forward, id.as_deref()),
                Body::Ping => self.tell(&Reply::Pong { id }.encode()),
                Body::Prekey(_)
                | Body::Letterbox(_)
                | Body::Letter(_)
                | Body::Take(_)
                | Body::Ack { .. } => {}
            }
        }
    }

    fn pass_on(&mut self, frame: &[u8], forward: &Forward, id: Option<&str>) {
        let Some(friend) = self.friends.iter_mut().find(|it| it.name == forward.to) else { return };
        let members = Members::of(frame);
        let text = |name: &str| members.text(name).unwrap_or_default();
        match forward.kind {
            ForwardKind::SendKey => friend.takes_key(&ALICE, &text("key")),
            ForwardKind::Message => friend.takes_message(&text("content")),
        }
        let (to, prekey) = (friend.name.into(), Some(friend.prekey.id));
        if let Some(id) = id {
            self.tell(&Reply::Relayed { id: id.into(), to, prekey }.encode());
        }
    }

    /// Answers as a relay should until there is nothing to answer.
    fn serve(&mut self) {
        self.settle();
        while self.line.as_ref().is_some_and(|line| !line.requests.is_empty()) {
            self.answer_honestly(usize::MAX);
            self.settle();
        }
    }

    /// From now on the relay does what it should: what was said and what is said now arrives.
    pub(crate) fn finish(mut self) {
        self.cut = usize::MAX;
        self.alice.shows = true;
        self.settle();
        if self.alice.is_over {
            return;
        }
        self.hang_up(0);
        let now_ms = self.now_ms();
        self.friends.iter_mut().for_each(|friend| friend.renew(now_ms));
        for step in 0..STEPS {
            self.serve();
            self.pool.clear();
            if step == STEP_TO_SPEAK {
                self.friend_says(BOB_AT, true, false);
            }
            if step > STEP_TO_SPEAK {
                self.friend_confirms(BOB_AT);
            }
            while let Some(frame) = self.pool.pop_back() {
                self.tell(&frame);
            }
            self.serve();
            if step > STEP_TO_SPEAK && self.unsettled().is_none() {
                break;
            }
            self.kernel.advance(STEP);
        }
        assert!(!self.alice.is_over, "she gave up an honest relay");
        assert_eq!(self.unsettled(), None, "an honest relay does not help");
    }

    /// What Bob said last and was not told, or what was said to him and came to nothing.
    fn unsettled(&self) -> Option<String> {
        let Self { alice, friends, .. } = self;
        let bob = &friends[BOB_AT];
        let last = format!("{} {}", bob.name, bob.said.len() - 1);
        let is_open =
            |(id, to): &(&String, &&str)| **to == bob.name && !alice.settled.contains(*id);
        if !alice.told.contains(&(bob.name.to_owned(), last.clone())) {
            return Some(last);
        }
        alice.said.iter().find(is_open).map(|(id, _)| id.clone())
    }
}

fn unknown(target: &str) -> Vec<u8> {
    Reply::Error {
        code: ErrorCode::UnknownUser.as_str().into(),
        detail: "nobody".into(),
        id: None,
        to: None,
        target: Some(target.into()),
    }
    .encode()
}
