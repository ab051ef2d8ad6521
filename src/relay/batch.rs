//! A batch of common frames, forwarded together.
//!
//! What a busy sender writes comes as many small frames for the same addressee, many to a read. Of
//! each only its own bytes are looked at; what they have in common (the sender, the addressee's
//! connection, the room in its queue) is looked up once for the batch, and frames in which nothing
//! is to be changed are copied together.
//!
//! Only the common case is done here. A frame of another shape, or one that is to be refused, ends
//! the batch and is left to `exchange.rs`, which would do the same with each of these frames, one
//! by one.

use std::ops::Range;

use super::Relay;
use super::event::{Event, Level};
use super::limits::ANSWERS_A_BATCH;
use crate::reactor::limits::CHUNK_SIZE;
use crate::reactor::{Context, Token};
use crate::wire::{CommonFrame, ForwardKind, Reply};

/// Where the frames of a batch go.
struct Route {
    to: Token,
    /// The id of its prekey, if it is of version 2.
    prekey: Option<u32>,
    /// Bytes that may be queued for it before it counts as full.
    room: usize,
    /// Which of the received bytes are to be queued for it as they are.
    pending: Range<usize>,
}

impl Relay {
    /// Forwards the common frames at the front of `bytes`. Returns how many bytes are done with.
    pub(super) fn forward_batch(&mut self, cx: &mut Context, from: Token, bytes: &[u8]) -> usize {
        let Some(sender) = self.peers.user(from) else { return 0 };
        let (name, version2) = (sender.name.clone(), sender.is_version2());
        let (json, is_told) = (name.json_bytes(), self.log.tells(Level::Verbose));
        let max_frame = self.config.max_frame;
        // The last frame, whether its `from` says its sender (then nothing in it is to be changed),
        // where it went, and whether the one before it went there too: so may the next.
        let (mut common, mut is_named) = (CommonFrame::default(), false);
        let (mut last, mut is_run) = (None::<Route>, false);
        let (mut consumed, mut answered, mut forwarded) = (0, 0, 0);
        while consumed < bytes.len() {
            let rest = &bytes[consumed..];
            let repeated = if is_run { common.repeated(rest, max_frame) } else { None };
            let frame = if let Some(length) = repeated {
                consumed..consumed + length
            } else {
                let to_before = common.to();
                let is_read = self.frames.scan(&mut common, rest, max_frame, &json);
                if !is_read || common.version2 != version2 {
                    break;
                }
                is_named = common.is_from(&json);
                is_run = last.is_some() && common.to() == to_before;
                if !is_run {
                    self.queue_pending(cx, last.as_mut(), bytes);
                    last = self.route(cx, common.to(), version2);
                }
                let end = consumed + common.end;
                end - common.frame_len()..end
            };
            let Some(route) = &mut last else { break };
            if route.room == 0 {
                break;
            }
            consumed = frame.end;
            let len = if is_named && bytes.get(frame.end) == Some(&b'\n') {
                consumed += 1;
                self.append(cx, route, bytes, frame.start..consumed)
            } else {
                self.queue_pending(cx, Some(route), bytes);
                if is_named {
                    self.queue(cx, route.to, &[&bytes[frame], b"\n"])
                } else {
                    let changed = common.sender_bytes().of(&bytes[frame]);
                    self.queue(cx, route.to, &changed.parts(&json))
                }
            };
            route.room = route.room.saturating_sub(len);
            forwarded += 1;
            if version2 && common.kind == ForwardKind::SendKey {
                self.note_written(name.as_str(), common.to_text());
            }
            if is_told {
                let (action, from, to) = (common.kind, name.as_str(), common.to_text());
                self.log.tell(&Event::Forwarded { action, from, to, bytes: len });
            }
            if let Some(id) = common.id() {
                if route.to == from {
                    self.queue_pending(cx, Some(route), bytes); // it goes before its answer
                }
                let (id, to) = (id.into(), common.to_text().into());
                self.answer(cx, from, &Reply::Relayed { id, to, prekey: route.prekey }.encode());
                answered += 1;
                if answered == ANSWERS_A_BATCH || self.is_full(cx, from) {
                    break; // `exchange.rs` checks whether its turn is over
                }
            }
        }
        self.queue_pending(cx, last.as_mut(), bytes);
        self.traffic.messages += forwarded;
        consumed
    }

    /// The way to the user `name`, if frames of that version may go there.
    fn route(&self, cx: &Context, name: &[u8], version2: bool) -> Option<Route> {
        let to = self.directory.holder(name, &self.peers)?;
        let (user, outgoing) = (self.peers.user(to)?, cx.outgoing(to)?);
        if user.is_version2() != version2 || self.is_scarce(cx) {
            return None;
        }
        let prekey = user.prekey.as_ref().map(|prekey| prekey.id);
        // A frame may go beyond the limit, and is the last one then.
        let soft = self.config.soft_limit(cx.output_in_all(), outgoing.has_backlog);
        let room = (soft + 1).saturating_sub(outgoing.queued);
        Some(Route { to, prekey, room, pending: 0..0 })
    }

    /// Adds a frame that needs no change to those that are pending, as long as they fit into one
    /// chunk together. Returns its length.
    fn append(
        &mut self,
        cx: &mut Context,
        route: &mut Route,
        bytes: &[u8],
        frame: Range<usize>,
    ) -> usize {
        let len = frame.len();
        if route.pending.end == frame.start && route.pending.len() + len <= CHUNK_SIZE {
            route.pending.end = frame.end;
        } else {
            self.queue_pending(cx, Some(route), bytes);
            route.pending = frame;
        }
        len
    }

    fn queue_pending(&mut self, cx: &mut Context, route: Option<&mut Route>, bytes: &[u8]) {
        if let Some(route) = route.filter(|route| !route.pending.is_empty()) {
            let pending = std::mem::take(&mut route.pending);
            self.queue(cx, route.to, &[&bytes[pending]]);
        }
    }
}
