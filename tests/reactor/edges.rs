//! The same loop, told of edges: nothing that was told once and not done is forgotten, and nobody's
//! turn is longer than another's.

use std::time::Duration;

use nix::errno::Errno;
use proptest::prelude::*;
use sealwax::reactor::limits::{CHUNK_SIZE, READ_SIZE, SLICES_PER_WRITE};
use sealwax::reactor::{CloseReason, Config, Token, Trigger};

use crate::recorder::{Recorder, Sim, Told, echo, silent};
use crate::support::kernel::{Call, Fault, Op, Peer};
use crate::traffic::ticks_after_a_flood;

fn edges() -> Sim {
    Sim::with(&Config { trigger: Trigger::Edge, ..Config::default() })
}

fn accepted(sim: &mut Sim, handler: &mut Recorder) -> (Token, Peer) {
    let (_, at) = sim.listen(handler);
    sim.accept(handler, at)
}

fn is_watch(call: &Call) -> bool {
    call.op == Op::Watch
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn an_echo_returns_the_same_bytes_whatever_the_room(
        length in 1_usize..3 * READ_SIZE,
        buffer in 1_usize..2 * READ_SIZE,
        step in 1_usize..READ_SIZE,
    ) {
        let mut sim = edges();
        sim.kernel.set_buffer(buffer);
        let mut handler = echo();
        let (_, mut peer) = accepted(&mut sim, &mut handler);
        sim.kernel.calls();
        let sent: Vec<u8> = (0..length).map(|at| (at * 31).to_le_bytes()[0]).collect();
        let (mut given, mut returned) = (0, Vec::new());
        while returned.len() < length {
            let before = given + returned.len();
            given += peer.send(&sent[given..length.min(given + step)]);
            sim.settle(&mut handler);
            returned.extend(peer.receive_all());
            prop_assert!(given + returned.len() > before, "it came to rest with bytes on their way");
        }
        prop_assert_eq!(returned, sent);
        prop_assert!(!sim.kernel.calls().iter().any(is_watch), "it is watched once and for all");
    }
}

#[test]
fn what_one_read_leaves_has_its_turn_in_the_next_tick_and_nobody_waits_for_it() {
    let ticks = ticks_after_a_flood(edges());
    assert!(ticks <= 1, "a read that finds nothing, and then it sleeps");
}

#[test]
fn the_end_behind_the_last_bytes_is_read_although_no_event_tells_of_it_again() {
    let mut sim = edges();
    let mut handler = echo();
    let (id, mut peer) = accepted(&mut sim, &mut handler);
    peer.send(b"last");
    peer.shut();
    handler.take();
    sim.settle(&mut handler);
    assert_eq!(handler.received_from(id), b"last");
    assert!(handler.told.contains(&Told::Ended(id, Vec::new())), "{:?}", handler.told);
    assert_eq!(peer.receive_all(), b"last");
    assert!(handler.told.contains(&Told::Closed(id, CloseReason::Closed)));
}

#[test]
fn what_came_during_a_pause_is_read_after_it() {
    for while_paused in [&[&b"one"[..]][..], &[b"one", b"two"], &[]] {
        let mut sim = edges();
        let mut handler = silent();
        let (id, mut peer) = accepted(&mut sim, &mut handler);
        sim.cx().pause(id);
        for part in while_paused {
            peer.send(part);
            sim.settle(&mut handler);
        }
        handler.take();
        sim.cx().resume(id);
        sim.cx().pause(id);
        sim.cx().resume(id); // one turn, not two
        sim.settle(&mut handler);
        peer.send(b"three");
        sim.settle(&mut handler);
        assert_eq!(handler.received_from(id), [&while_paused.concat()[..], b"three"].concat());
    }
}

#[test]
fn a_connection_that_is_closed_in_a_pause_still_sees_the_other_end_go() {
    let mut sim = edges();
    let mut handler = silent();
    let (id, mut peer) = accepted(&mut sim, &mut handler);
    sim.cx().pause(id);
    peer.send(b"unread");
    sim.settle(&mut handler);
    sim.cx().send(id, &[b"goodbye"]);
    sim.cx().close(id);
    sim.settle(&mut handler);
    assert_eq!(peer.receive_all(), b"goodbye", "and no reset has destroyed it");
    peer.close();
    sim.settle(&mut handler);
    assert_eq!(handler.told.last(), Some(&Told::Closed(id, CloseReason::Closed)));
    sim.assert_clean(&mut handler, 1);
}

#[test]
fn a_reader_that_is_slow_costs_no_change_of_what_is_watched() {
    let mut sim = edges();
    sim.kernel.set_buffer(10);
    let mut handler = silent();
    let (id, mut peer) = accepted(&mut sim, &mut handler);
    sim.kernel.calls();
    sim.cx().send(id, &[&[7; 95]]);
    let mut received = Vec::new();
    while received.len() < 95 {
        sim.settle(&mut handler);
        received.extend(peer.receive(3).unwrap());
    }
    sim.settle(&mut handler);
    assert_eq!((received, sim.cx().queued(id)), (vec![7; 95], 0));
    assert!(!sim.kernel.calls().iter().any(is_watch));
    sim.pass(&mut handler, Duration::from_mins(1));
    assert!(!handler.told.iter().any(|told| matches!(told, Told::Expired(..))));
}

/// A write that took all it was offered, or was interrupted, has not found the socket full: there
/// will be no edge.
#[test]
fn what_one_write_cannot_offer_leaves_without_an_event() {
    const FRAMES: usize = SLICES_PER_WRITE + 1;
    for interrupted in [false, true] {
        let mut sim = edges();
        sim.kernel.set_buffer(FRAMES * CHUNK_SIZE);
        let mut handler = silent();
        let (id, mut peer) = accepted(&mut sim, &mut handler);
        let mut left = usize::from(interrupted);
        sim.kernel.inject(move |op, _| {
            let fails = op == Op::Writev && left > 0;
            left -= usize::from(fails);
            fails.then_some(Fault::Fail(Errno::EINTR))
        });
        for _ in 0..FRAMES {
            sim.cx().send(id, &[&[7; CHUNK_SIZE]]);
        }
        sim.settle(&mut handler);
        assert_eq!(sim.cx().queued(id), 0);
        assert_eq!(peer.receive_all().len(), FRAMES * CHUNK_SIZE);
    }
}

/// The edge that told of the bytes told of the reset too, and there is no other.
#[test]
fn a_reset_behind_bytes_that_are_read_in_parts_is_found() {
    let mut sim = edges();
    let mut handler = silent();
    let (id, mut peer) = accepted(&mut sim, &mut handler);
    handler.take();
    peer.send(b"first and last");
    peer.reset();
    let mut is_first = true;
    sim.kernel.inject(move |op, _| {
        (op == Op::Read && std::mem::take(&mut is_first)).then_some(Fault::Short(5))
    });
    sim.settle(&mut handler);
    let told = handler.take();
    assert_eq!(told.last(), Some(&Told::Closed(id, CloseReason::Failed(Errno::ECONNRESET))));
}

/// A connection that is broken does not wait until there is room for what it has sent.
#[test]
fn a_reset_is_found_although_too_much_is_kept() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        let mut sim = Sim::with(&Config { trigger, kept_limit: 10, ..Config::default() });
        let mut handler = silent();
        handler.consume = |_| 0;
        let (_, at) = sim.listen(&mut handler);
        let (_, mut other) = sim.accept(&mut handler, at);
        let (id, mut peer) = sim.accept(&mut handler, at);
        for half in [&mut other, &mut peer] {
            half.send(b"half of a frame");
            sim.settle(&mut handler);
        }
        peer.send(b" and more of it");
        sim.settle(&mut handler);
        handler.take();
        peer.reset();
        sim.settle(&mut handler);
        let reset = Told::Closed(id, CloseReason::Failed(Errno::ECONNRESET));
        assert_eq!(handler.take(), [reset], "{trigger:?}");
    }
}
