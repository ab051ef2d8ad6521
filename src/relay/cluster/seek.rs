//! Frames for users whom the copy of who is where does not have: the engine is asked first.
//!
//! The copy is some milliseconds behind the engine, so somebody who has just come to another relay
//! may be missing in it. Frames for a name that is being sought wait for each other, so their order
//! stays.

use std::collections::BTreeMap;

use super::{Asked, Relay};
use crate::cluster::names;
use crate::cluster::resp::Value;
use crate::cluster::script::WrongAnswer;
use crate::reactor::{Context, Token};
use crate::relay::actions::unknown_user;
use crate::relay::fault::Fault;
use crate::relay::limits::{CLUSTER_SOUGHT, CLUSTER_SOUGHT_BYTES};
use crate::relay::tally::Tally;
use crate::wire::{ErrorCode, Refusal};

/// Names that are being sought, with what waits for each.
#[derive(Default)]
pub(super) struct Seeking {
    names: BTreeMap<String, Vec<Waiting>>,
    /// How many of these frames are of each connection.
    senders: Tally,
    bytes: usize,
}

/// A frame that waits until its addressee is found.
struct Waiting {
    from: Token,
    id: Option<Box<str>>,
    version2: bool,
    frame: Vec<u8>,
}

impl Seeking {
    /// Whether frames for this name wait.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// Whether frames of this connection wait.
    pub(super) fn has_of(&self, from: Token) -> bool {
        self.senders.of(from) > 0
    }

    fn take(&mut self, name: &str) -> Vec<Waiting> {
        let waiting = self.names.remove(name).unwrap_or_default();
        for Waiting { from, frame, .. } in &waiting {
            self.bytes -= frame.len();
            self.senders.take(*from);
        }
        waiting
    }
}

impl Relay {
    /// Keeps a frame until the engine has said where `to` is. Too many of them find nobody, or are
    /// refused with `queue_full` where the copy leaves users out.
    pub(super) fn seek(
        &mut self,
        cx: &Context,
        (from, id): (Token, Option<Box<str>>),
        (to, version2): (&str, bool),
        parts: &[&[u8]],
    ) -> Result<(), Fault> {
        let Some(cluster) = &mut self.cluster else { return Err(unknown_user()) };
        let frame = parts.concat();
        let is_new = !cluster.seeking.has(to);
        if is_new && cluster.seeking.names.len() >= CLUSTER_SOUGHT
            || cluster.seeking.bytes + frame.len() > CLUSTER_SOUGHT_BYTES
        {
            // One whom the copy would have is nobody; one who had no room there may be found later.
            let is_nobody = !cluster.members.leaves_out();
            let later = Fault::new(ErrorCode::QueueFull, NOT_REACHED);
            return Err(if is_nobody { unknown_user() } else { later });
        }
        if is_new {
            let call = names::find(cluster.own, to, u64::MAX);
            if !cluster.call(Asked::Where(to.to_owned()), &call, cx.now()) {
                return Err(Fault::new(ErrorCode::QueueFull, NOT_REACHED));
            }
        }
        cluster.seeking.bytes += frame.len();
        cluster.seeking.senders.add(from);
        let waiting = cluster.seeking.names.entry(to.to_owned()).or_default();
        waiting.push(Waiting { from, id, version2, frame });
        Ok(())
    }

    /// The engine has said where a user is.
    pub(super) fn sought(
        &mut self,
        cx: &mut Context,
        name: &str,
        value: &Value,
    ) -> Result<(), WrongAnswer> {
        let place = names::found(value)?.place;
        let Some(cluster) = &mut self.cluster else { return Ok(()) };
        let waiting = cluster.seeking.take(name);
        let place = place.filter(|place| place.incarnation != cluster.own);
        for Waiting { from, id, version2, frame } in waiting {
            let Some(cluster) = &mut self.cluster else { return Ok(()) };
            match place {
                Some(place) if place.version2 == version2 => {
                    let (from, to) = ((from, id), (name, version2));
                    cluster.outgoing.push(place.incarnation, from, to, &[&frame], cx.now());
                }
                Some(_) => self.refuse_sought(cx, from, name, id.as_deref(), ErrorCode::NotV2),
                None => self.refuse_sought(cx, from, name, id.as_deref(), ErrorCode::UnknownUser),
            }
        }
        Ok(())
    }

    /// The engine cannot say it now.
    pub(super) fn not_sought(&mut self, cx: &mut Context, name: &str) {
        let Some(cluster) = &mut self.cluster else { return };
        for Waiting { from, id, .. } in cluster.seeking.take(name) {
            self.refuse_sought(cx, from, name, id.as_deref(), ErrorCode::QueueFull);
        }
    }

    fn refuse_sought(
        &mut self,
        cx: &mut Context,
        from: Token,
        to: &str,
        id: Option<&str>,
        code: ErrorCode,
    ) {
        if self.peers.user(from).is_some() {
            let refusal = Refusal::new(code, super::frames::detail(code));
            self.refuse(cx, from, &refusal.about(id, Some(to), None));
        }
    }
}

const NOT_REACHED: &str = "the relay of the addressee cannot be reached now";
