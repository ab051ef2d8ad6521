//! Frames that wait for their sender's key: the first ones of a peer that we do not know yet.
//!
//! Anybody can send such frames, so they are few, short-lived, and bounded over all senders.

use super::Caution;
use super::desk::Desk;
use crate::limits::{WAITING_BYTES, WAITING_FRAMES, WAITING_OVERHEAD, WAITING_TIME};
use crate::reactor::Time;
use crate::wire::ForwardKind;

/// The waiting frames of one peer, in order.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    frames: Vec<(ForwardKind, String)>,
    /// Since when the first one waits.
    since: Time,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Keeps a frame, or drops it with a warning.
    pub(super) fn push(&mut self, desk: &mut Desk, name: &str, kind: ForwardKind, body: &str) {
        let bytes = desk.waiting_bytes + cost(body);
        if self.frames.len() >= WAITING_FRAMES || bytes > WAITING_BYTES {
            let detail = format!("too much waits for the key of {name}: frames are dropped");
            return desk.warn(name, Caution::NoKey, detail);
        }
        if self.frames.is_empty() {
            self.since = desk.now;
        }
        desk.waiting_bytes = bytes;
        self.frames.push((kind, body.to_owned()));
    }

    /// Takes all out, in order.
    pub(super) fn take(&mut self, desk: &mut Desk) -> Vec<(ForwardKind, String)> {
        let frames = std::mem::take(&mut self.frames);
        desk.waiting_bytes -= frames.iter().map(|(_, body)| cost(body)).sum::<usize>();
        frames
    }

    /// Drops all where the key did not come in time.
    pub(super) fn expire(&mut self, desk: &mut Desk, name: &str) {
        if self.due().is_some_and(|due| due <= desk.now) {
            self.drop_all(desk, name);
        }
    }

    /// Drops all: there will be no key.
    pub(super) fn drop_all(&mut self, desk: &mut Desk, name: &str) {
        let dropped = self.take(desk).len();
        if dropped > 0 {
            let detail = format!("no key of {name} came: its frames are dropped ({dropped})");
            desk.warn(name, Caution::NoKey, detail);
        }
    }

    pub(super) fn due(&self) -> Option<Time> {
        (!self.is_empty()).then(|| self.since + WAITING_TIME)
    }
}

fn cost(body: &str) -> usize {
    body.len() + WAITING_OVERHEAD
}
