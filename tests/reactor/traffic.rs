//! Bytes come and go: whole, in order, and for as few system calls as it takes.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::rc::Rc;

use nix::errno::Errno;
use proptest::prelude::*;
use sealwax::reactor::limits::{READ_SIZE, SLICES_PER_WRITE};
use sealwax::reactor::{Opened, Sys, Token};

use crate::recorder::{Recorder, Sim, Told, echo, silent};
use crate::support::kernel::{Call, Fault, Op};

fn count(calls: &[Call], op: Op) -> usize {
    calls.iter().filter(|call| call.op == op).count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn an_echo_returns_the_same_bytes_wherever_they_are_cut(
        length in 1_usize..20_000,
        buffer in 1_usize..5_000,
        cuts in prop::collection::vec(prop::option::of(1_usize..3_000), 1..40),
    ) {
        let mut sim = Sim::new();
        sim.kernel.set_buffer(buffer);
        let mut handler = echo();
        let (_, at) = sim.listen(&mut handler);
        let (_, mut peer) = sim.accept(&mut handler, at);
        let mut faults = cuts.into_iter().chain([None; 2]).cycle();
        sim.kernel.inject(move |op, _| match (op, faults.next().flatten()) {
            (Op::Read | Op::Writev, Some(most)) if most % 5 > 0 => Some(Fault::Short(most)),
            (Op::Read | Op::Writev, Some(most)) if most % 2 > 0 => Some(Fault::Fail(Errno::EAGAIN)),
            (Op::Read | Op::Writev, Some(_)) => Some(Fault::Fail(Errno::EINTR)),
            (Op::Wait, Some(most)) if most % 7 == 0 => Some(Fault::Fail(Errno::EINTR)),
            _ => None,
        });

        let sent: Vec<u8> = (0..length).map(|at| (at * 31).to_le_bytes()[0]).collect();
        let (mut given, mut returned) = (0, Vec::new());
        for _ in 0..40 * (length + 10) {
            given += peer.send(&sent[given..]);
            sim.tick(&mut handler);
            returned.extend(peer.receive_all());
            if returned.len() == length {
                break;
            }
        }
        prop_assert_eq!(returned, sent);
        prop_assert_eq!(sim.cx().queued_in_all(), 0);
    }
}

#[test]
fn what_is_sent_within_a_tick_leaves_in_one_write() {
    let mut sim = Sim::new();
    let shared: Rc<[u8]> = Rc::from(&b" and all"[..]);
    let mut handler = Recorder::new(|cx, told| {
        if let Told::Received(from, _) = told {
            for part in [b"one", b"two", b"six"] {
                cx.send(*from, &[part, b","]);
            }
            cx.share(*from, &shared);
        }
    });
    let (_, at) = sim.listen(&mut handler);
    let (_, mut peer) = sim.accept(&mut handler, at);
    peer.send(b"go");
    sim.kernel.calls();
    sim.settle(&mut handler);
    let calls = sim.kernel.calls();
    assert_eq!(peer.receive_all(), b"one,two,six, and all");
    assert_eq!((count(&calls, Op::Writev), count(&calls, Op::Watch)), (1, 0));
}

#[test]
fn in_steady_state_a_message_costs_one_read_and_one_write_and_a_share_of_a_wait() {
    const PAIRS: usize = 50;
    const ROUNDS: usize = 20;
    let mut sim = Sim::new();
    let mut partner: BTreeMap<Token, Token> = BTreeMap::new();
    let mut last = None;
    let mut handler = Recorder::new(move |cx, told| match told {
        Told::Opened(id, Opened::Accepted { .. }) => {
            if let Some(other) = last.take() {
                partner.extend([(*id, other), (other, *id)]);
            } else {
                last = Some(*id);
            }
        }
        Told::Received(from, bytes) => cx.send(partner[from], &[bytes]),
        _ => {}
    });
    let (_, at) = sim.listen(&mut handler);
    let mut peers: Vec<_> = (0..2 * PAIRS).map(|_| sim.accept(&mut handler, at).1).collect();
    sim.kernel.calls();
    for round in 0..ROUNDS {
        for pair in 0..PAIRS {
            peers[2 * pair + round % 2].send(b"ball");
        }
        sim.tick(&mut handler);
        for pair in 0..PAIRS {
            assert_eq!(peers[2 * pair + (round + 1) % 2].receive_all(), b"ball");
        }
    }
    let calls = sim.kernel.calls();
    assert_eq!(count(&calls, Op::Read), PAIRS * ROUNDS);
    assert_eq!(count(&calls, Op::Writev), PAIRS * ROUNDS);
    assert_eq!(count(&calls, Op::Wait), ROUNDS);
    assert_eq!(calls.len(), ROUNDS * (2 * PAIRS + 1), "and nothing else");
}

#[test]
fn room_is_asked_for_after_a_short_write_and_until_all_has_left() {
    let mut sim = Sim::new();
    sim.kernel.set_buffer(10);
    let mut handler = silent();
    let (_, at) = sim.listen(&mut handler);
    let (id, mut peer) = sim.accept(&mut handler, at);
    sim.kernel.calls();
    let asked = |sim: &Sim| {
        let calls = sim.kernel.calls();
        (count(&calls, Op::Writev), count(&calls, Op::Watch))
    };

    sim.cx().send(id, &[&[7; 25]]);
    assert_eq!((sim.cx().queued(id), sim.cx().queued_in_all()), (25, 25));
    sim.settle(&mut handler);
    assert_eq!((sim.cx().queued(id), sim.cx().queued_in_all()), (15, 15));
    assert_eq!(asked(&sim), (1, 1), "a short write, and the question for room");
    sim.cx().send(id, &[&[8; 5]]);
    sim.settle(&mut handler);
    assert_eq!(asked(&sim), (0, 0), "there is no room: nothing is tried");

    assert_eq!(peer.receive(4).unwrap().len(), 4);
    sim.settle(&mut handler);
    assert_eq!((sim.cx().queued(id), asked(&sim)), (16, (1, 0)));
    handler.take();
    let mut received = Vec::new();
    while sim.cx().queued(id) > 0 {
        received.extend(peer.receive_all());
        sim.settle(&mut handler);
    }
    received.extend(peer.receive_all());
    assert_eq!(received, [&[7; 21][..], &[8; 5]].concat());
    assert_eq!(asked(&sim), (2, 1), "the rest, and no more questions");
    assert_eq!(handler.take(), [Told::Drained(id)]);
    sim.settle(&mut handler);
    assert_eq!(asked(&sim), (0, 0));
}

#[test]
fn a_reader_that_takes_nothing_slows_nobody() {
    let mut sim = Sim::new();
    sim.kernel.set_buffer(100);
    let mut handler = silent();
    let (_, at) = sim.listen(&mut handler);
    let (slow, _held) = sim.accept(&mut handler, at);
    let (quick, mut peer) = sim.accept(&mut handler, at);
    for _ in 0..10 {
        sim.cx().send(slow, &[&[1; 90]]);
        sim.cx().send(quick, &[&[2; 90]]);
        sim.tick(&mut handler);
        assert_eq!(peer.receive_all(), [2; 90]);
    }
    assert_eq!((sim.cx().queued(slow), sim.cx().queued_in_all()), (800, 800));
    sim.cx().abort(slow);
    sim.settle(&mut handler);
    assert_eq!(sim.cx().queued_in_all(), 0);
}

#[test]
fn a_sender_without_pause_gets_one_read_a_tick_and_nobody_waits_for_it() {
    assert_eq!(ticks_after_a_flood(Sim::new()), 0);
}

/// One sends without pause and another a little: each has one read a tick. Returns after how many
/// more ticks the loop sleeps.
pub(crate) fn ticks_after_a_flood(mut sim: Sim) -> usize {
    sim.kernel.set_buffer(10 * READ_SIZE);
    let mut handler = silent();
    let (_, at) = sim.listen(&mut handler);
    let (loud, mut flood) = sim.accept(&mut handler, at);
    let (soft, mut quiet) = sim.accept(&mut handler, at);
    flood.send(&vec![1; 5 * READ_SIZE]);
    for _ in 0..5 {
        handler.take();
        quiet.send(b"x");
        sim.tick(&mut handler);
        assert_eq!(handler.received_from(loud).len(), READ_SIZE);
        assert_eq!(handler.received_from(soft), b"x");
    }
    sim.settle(&mut handler)
}

#[test]
fn more_slices_than_one_write_takes_leave_in_order() {
    let mut sim = Sim::new();
    let mut handler = silent();
    let (_, at) = sim.listen(&mut handler);
    let (id, mut peer) = sim.accept(&mut handler, at);
    let shared: Vec<Rc<[u8]>> =
        (0..3 * SLICES_PER_WRITE).map(|n| Rc::from(n.to_be_bytes())).collect();
    for bytes in &shared {
        sim.cx().share(id, bytes);
    }
    assert!(sim.settle(&mut handler) <= 4, "three writes, and their end");
    assert_eq!(peer.receive_all(), shared.concat());
}

#[test]
fn a_loop_that_is_stopped_ends_after_its_tick_and_closes_its_descriptors() {
    let mut sim = Sim::new();
    let mut handler = Recorder::new(|cx, told| {
        if let Told::Received(from, _) = told {
            cx.stop();
            cx.send(*from, &[b"goodbye"]);
        }
    });
    let (_, at) = sim.listen(&mut handler);
    let (_, mut peer) = sim.accept(&mut handler, at);
    peer.send(b"stop");
    sim.reactor.run(&mut handler).unwrap();
    let Sim { reactor, kernel } = sim;
    assert_eq!(kernel.descriptors(), 2);
    drop(reactor);
    assert_eq!(kernel.descriptors(), 0);
    assert_eq!(peer.receive(100), Ok(b"goodbye".to_vec()));
    assert_eq!(peer.receive(100), Ok(Vec::new()));
}

#[test]
fn a_loop_that_cannot_wait_says_so() {
    let mut sim = Sim::new();
    sim.kernel.inject(|op, _| (op == Op::Wait).then_some(Fault::Fail(Errno::EBADF)));
    assert_eq!(sim.reactor.run(&mut silent()), Err(Errno::EBADF));
}

#[test]
fn what_is_sent_when_all_has_left_leaves_too() {
    let mut sim = Sim::new();
    sim.kernel.set_buffer(10);
    let mut left = 3;
    let mut handler = Recorder::new(move |cx, told| {
        if let Told::Drained(id) = told
            && left > 0
        {
            left -= 1;
            cx.send(*id, &[&[left; 15]]);
        }
    });
    let (_, at) = sim.listen(&mut handler);
    let (id, mut peer) = sim.accept(&mut handler, at);
    sim.cx().send(id, &[&[9; 15]]);
    let mut received = Vec::new();
    for _ in 0..10 {
        sim.settle(&mut handler);
        received.extend(peer.receive_all());
    }
    assert_eq!(received, [[9; 15], [2; 15], [1; 15], [0; 15]].concat());
}

#[test]
fn a_connection_to_a_listener_of_another_process_carries_bytes_both_ways() {
    let mut sim = Sim::new();
    let mut handler = echo();
    let mut other = sim.kernel.process();
    let (listener, at) = other.listen(([127, 0, 0, 1], 0).into()).unwrap();
    let id = sim.cx().connect(at);
    sim.settle(&mut handler);
    assert_eq!(handler.take(), [Told::Opened(id, Opened::Connected)]);
    let (io, _) = other.accept(listener).unwrap();
    other.writev(io, &[IoSlice::new(b"ball")]).unwrap();
    sim.settle(&mut handler);
    let mut bytes = [0; 4];
    assert_eq!((other.read(io, &mut bytes), &bytes), (Ok(4), b"ball"));
}
