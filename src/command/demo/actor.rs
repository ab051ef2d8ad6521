//! One user of the demo: a client that speaks its lines of the script when it is its turn.

use std::net::SocketAddr;
use std::sync::mpsc::Sender;

use super::{DemoReport, SCRIPT};
use crate::client::{
    Channel, Client, ClientUser, Ending, Event, MemoryLetters, MemoryPins, Parts, Settings,
};
use crate::command::talk::wall_clock;
use crate::command::view;
use crate::crypto::{Identity, IdentityVault};
use crate::reactor::{Context, Handler, Timer};
use crate::trace::Recorder;
use crate::wire::RosterMode;

const CLIENT_TIMER: Timer = Timer(0);

/// One user.
pub(super) struct Actor {
    name: &'static str,
    client: Client,
    reports: Sender<DemoReport>,
    /// The other user is here.
    together: bool,
    /// How many lines of the script have been said, by either.
    done: usize,
    /// Our lines that the other's client has not confirmed yet.
    unconfirmed: usize,
    /// Notes what the loop does, where that is asked.
    recorder: Option<Recorder>,
}

impl Actor {
    pub(super) fn new(
        name: &'static str,
        key: Identity,
        relay: SocketAddr,
        reports: Sender<DemoReport>,
        recorder: Option<Recorder>,
    ) -> Self {
        let settings = Settings {
            name: name.to_owned(),
            relay: relay.to_string(),
            roster: RosterMode::Delta,
            strict: false,
            waits_for_absent: false,
            letterbox: None,
            keys: "sealwax keys".to_owned(),
            every_warning: true,
            timer: CLIENT_TIMER,
        };
        let parts = Parts {
            vault: Box::new(IdentityVault::new(key)),
            peers: Box::new(MemoryPins::default()),
            relays: Box::new(MemoryPins::default()),
            marks: Box::new(MemoryPins::default()),
            letters: Box::new(MemoryLetters::default()),
            channel: Channel::plain(),
            wall: Box::new(wall_clock),
            resolve: Box::new(move |_: &str| Ok(vec![relay])),
        };
        let unconfirmed = SCRIPT.iter().filter(|(by, _)| *by == name).count();
        let client = Client::new(settings, parts);
        Self { name, client, reports, together: false, done: 0, unconfirmed, recorder }
    }

    pub(super) fn start(&mut self, cx: &mut Context) {
        self.client.start(cx);
    }

    fn take(&mut self, cx: &mut Context, event: Event) {
        if let Some(recorder) = &self.recorder {
            view::annotate(recorder, &event);
        }
        match event {
            Event::Users { users } | Event::Joined { users } => {
                let others = users.iter().any(|user| user != self.name);
                if others && !std::mem::replace(&mut self.together, true) {
                    self.speak();
                }
            }
            Event::Message { text, receipt, .. } => {
                self.client.shown(receipt);
                self.report(DemoReport::Heard { by: self.name, text });
                self.done += 1;
                self.speak();
            }
            Event::Delivered { .. } => {
                self.unconfirmed -= 1;
                self.report(DemoReport::Confirmed);
            }
            Event::Failed { detail, .. } | Event::Warning { detail, .. } => {
                self.report(DemoReport::Failed(format!("{}: {detail}", self.name)));
            }
            Event::Closed { code, detail } => {
                self.report(match code {
                    Ending::Left => DemoReport::Left,
                    _ => DemoReport::Failed(format!("{}: {detail}", self.name)),
                });
                cx.stop();
            }
            _ => {}
        }
        if self.done == SCRIPT.len() && self.unconfirmed == 0 {
            self.client.leave(cx);
        }
    }

    /// Says the next line of the script, if it is ours.
    fn speak(&mut self) {
        let Some((by, text)) = SCRIPT.get(self.done).filter(|(by, _)| *by == self.name) else {
            return;
        };
        let Some((other, _)) = SCRIPT.iter().find(|(by, _)| *by != self.name) else { return };
        self.report(DemoReport::Said { by, text });
        match self.client.say(other, text, None) {
            Ok(_) => self.done += 1,
            Err(refused) => self.report(DemoReport::Failed(format!("{}: {refused}", self.name))),
        }
    }

    fn report(&self, report: DemoReport) {
        let _ = self.reports.send(report); // nobody listens any more when the demo is over
    }
}

impl ClientUser for Actor {
    fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// What an event makes us say leaves in this tick as well.
    fn take_events(&mut self, cx: &mut Context) {
        let mut is_any = false;
        while let Some(event) = self.client.next_event() {
            self.take(cx, event);
            is_any = true;
        }
        if is_any {
            self.client.end_of_tick(cx);
        }
    }
}
