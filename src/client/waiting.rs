//! Frames that wait for their sender's key: the first ones of a peer that we do not know yet.
//!
//! Anybody can send such frames, so they are few, short-lived, and bounded over all senders: over
//! strangers, and apart from them over those whom we wrote to or whose keys we accepted or
//! compared.

use super::Caution;
use super::core::ClientCore;
use crate::limits::{
    WAITING_BYTES, WAITING_FRAMES, WAITING_OVERHEAD, WAITING_STRANGER_BYTES, WAITING_TIME,
};
use crate::reactor::Time;
use crate::wire::ForwardKind;

/// The waiting frames of one peer, in order.
#[derive(Debug, Default)]
pub(super) struct WaitingFrames {
    frames: Vec<(ForwardKind, String)>,
    /// What they cost.
    bytes: usize,
    /// Whether they count among those of strangers.
    is_stranger: bool,
    /// Since when the first one waits.
    since: Time,
}

impl WaitingFrames {
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Keeps a frame, or drops it with a warning.
    pub(super) fn push(
        &mut self,
        core: &mut ClientCore,
        name: &str,
        is_stranger: bool,
        (kind, body): (ForwardKind, &str),
    ) {
        if self.frames.is_empty() {
            self.is_stranger = is_stranger; // and stays so until they are taken out
        }
        let (own, all) = (self.bytes + cost(body), *self.share(core) + cost(body));
        if !self.has_room_for(body) || all > WAITING_BYTES {
            let detail = format!("too much waits for the key of {name}: frames are dropped");
            return core.warn(name, Caution::NoKey, detail);
        }
        if self.frames.is_empty() {
            self.since = core.now;
        }
        *self.share(core) = all;
        self.bytes = own;
        self.frames.push((kind, body.to_owned()));
    }

    /// Takes all out, in order.
    pub(super) fn take(&mut self, core: &mut ClientCore) -> Vec<(ForwardKind, String)> {
        *self.share(core) -= std::mem::take(&mut self.bytes);
        std::mem::take(&mut self.frames)
    }

    /// Whether one peer may have another frame wait.
    pub(super) fn has_room_for(&self, body: &str) -> bool {
        let most = if self.is_stranger { WAITING_STRANGER_BYTES } else { WAITING_BYTES };
        self.frames.len() < WAITING_FRAMES && self.bytes + cost(body) <= most
    }

    /// Whether they are of a stranger.
    pub(super) fn is_of_stranger(&self) -> bool {
        self.is_stranger && !self.is_empty()
    }

    fn share<'a>(&self, core: &'a mut ClientCore) -> &'a mut usize {
        if self.is_stranger { &mut core.waiting.strangers } else { &mut core.waiting.known }
    }

    /// Drops all where the key did not come in time.
    pub(super) fn expire(&mut self, core: &mut ClientCore, name: &str) {
        if self.due().is_some_and(|due| due <= core.now) {
            self.drop_all(core, name);
        }
    }

    /// Drops all: the key will not come.
    pub(super) fn drop_all(&mut self, core: &mut ClientCore, name: &str) {
        let dropped = self.take(core).len();
        if dropped > 0 {
            let detail = format!("no key of {name} came: its frames are dropped ({dropped})");
            core.warn(name, Caution::NoKey, detail);
        }
    }

    pub(super) fn due(&self) -> Option<Time> {
        (!self.is_empty()).then(|| self.since + WAITING_TIME)
    }
}

/// How many bytes a frame counts.
pub(super) fn cost(body: &str) -> usize {
    body.len() + WAITING_OVERHEAD
}
