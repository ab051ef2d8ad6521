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

use std::borrow::Cow;
use std::ops::Range;

use super::Relay;
use super::event::{Event, Level};
use super::limits::ANSWERS_A_BATCH;
use crate::reactor::limits::CHUNK_SIZE;
use crate::reactor::{Context, Token};
use crate::wire::{Body, CommonFrames, ForwardKind, Reply};

/// Where the frames of a batch go.
struct Route<'a> {
    name: &'a str,
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
        let (mut frames, mut last) = (CommonFrames::default(), None::<Route>);
        let (mut consumed, mut answered, mut forwarded) = (0, 0, 0);
        while let Some((end, request)) = frames.scan(&bytes[consumed..], self.config.max_frame) {
            let Body::Forward(forward) = &request.body else { break };
            let Cow::Borrowed(to) = forward.to else { break }; // never: nothing was escaped
            let route = match &mut last {
                // The same pointer where the scanner found that the frame begins as the last one
                // did.
                Some(route) if std::ptr::eq(route.name, to) || route.name == to => route,
                _ => {
                    self.queue_pending(cx, last.as_mut(), bytes);
                    last = self.route(cx, to, version2);
                    let Some(route) = &mut last else { break };
                    route
                }
            };
            if request.version2 != version2 || route.room == 0 {
                break;
            }
            let end = consumed + end;
            let frame = end - forward.bytes.frame_len()..end;
            let len = if forward.bytes.is_from(&json) && bytes.get(end) == Some(&b'\n') {
                consumed = end + 1;
                self.append(cx, route, bytes, frame.start..consumed)
            } else {
                consumed = end;
                self.queue_pending(cx, Some(route), bytes);
                self.queue(cx, route.to, &forward.bytes.parts(&json))
            };
            route.room = route.room.saturating_sub(len);
            forwarded += 1;
            if version2 && forward.kind == ForwardKind::SendKey {
                self.note_written(name.as_str(), route.name);
            }
            if is_told {
                let (action, from, to) = (forward.kind, name.as_str(), route.name);
                self.log.tell(&Event::Forwarded { action, from, to, bytes: len });
            }
            if let Some(id) = &request.id {
                if route.to == from {
                    self.queue_pending(cx, Some(route), bytes); // it goes before its answer
                }
                let (id, to) = (id.as_ref().into(), route.name.into());
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
    fn route<'a>(&self, cx: &Context, name: &'a str, version2: bool) -> Option<Route<'a>> {
        let (to, user) = self.addressee(cx, name)?;
        if user.is_version2() != version2 || self.is_scarce(cx) {
            return None;
        }
        let prekey = user.prekey.as_ref().map(|prekey| prekey.id);
        // A frame may go beyond the limit, and is the last one then.
        let room = (self.soft_limit(cx, to) + 1).saturating_sub(cx.queued(to));
        Some(Route { name, to, prekey, room, pending: 0..0 })
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
