//! How connections end: by either side, in good order or not, and never with a spin, a loss or a
//! word too many.

use std::time::Duration;

use nix::errno::Errno;
use sealwax::reactor::limits::FINISH_TIMEOUT;
use sealwax::reactor::{CloseReason, Context, Event, Opened, Timeout};

use crate::recorder::{Recorder, Sim, Told, lines, silent};
use crate::support::kernel::{Fault, Op};

const MOMENT: Duration = Duration::from_millis(1);

#[test]
fn a_half_closed_connection_delivers_what_came_before_and_can_still_be_answered() {
    let mut sim = Sim::new();
    let mut handler = silent();
    handler.consume = lines;
    let (_, at) = sim.listen(&mut handler);
    let (id, mut peer) = sim.accept(&mut handler, at);
    handler.take();
    peer.send(b"a line\nand half a one");
    peer.shut();
    sim.settle(&mut handler);
    let line = Told::Received(id, b"a line\n".to_vec());
    assert_eq!(handler.take(), [line, Told::Ended(id, b"and half a one".to_vec())]);
    sim.cx().send(id, &[b"answer"]);
    sim.settle(&mut handler);
    assert_eq!(peer.receive_all(), b"answer");
    sim.cx().close(id);
    sim.settle(&mut handler);
    assert_eq!(handler.take(), [Told::Closed(id, CloseReason::Closed)]);
    sim.assert_clean(&mut handler, 1);
}

#[test]
fn the_last_frame_arrives_although_the_other_end_has_not_stopped_sending() {
    let mut sim = Sim::new();
    let mut handler = Recorder::new(|cx, told| {
        if let Told::Received(from, _) = told {
            cx.send(*from, &[b"goodbye"]);
            cx.close(*from);
        }
    });
    let (_, at) = sim.listen(&mut handler);
    let (id, mut peer) = sim.accept(&mut handler, at);
    handler.take();
    peer.send(b"something wrong");
    for _ in 0..3 {
        sim.settle(&mut handler);
        peer.send(b"more, which nobody will look at");
    }
    sim.settle(&mut handler);
    assert_eq!(peer.receive(100), Ok(b"goodbye".to_vec()));
    assert_eq!(peer.receive(100), Ok(Vec::new()), "an end, and no reset");
    assert_eq!(handler.take(), [Told::Received(id, b"something wrong".to_vec())]);
    peer.close();
    sim.settle(&mut handler);
    assert_eq!(handler.take(), [Told::Closed(id, CloseReason::Closed)]);
    sim.assert_clean(&mut handler, 1);
}

#[test]
fn who_does_not_say_goodbye_in_time_is_left() {
    let mut sim = Sim::new();
    let mut handler = silent();
    let (_, at) = sim.listen(&mut handler);
    let (id, _peer) = sim.accept(&mut handler, at);
    handler.take();
    sim.cx().send(id, &[b"goodbye"]);
    sim.cx().close(id);
    sim.settle(&mut handler);
    sim.pass(&mut handler, FINISH_TIMEOUT.saturating_sub(MOMENT));
    assert_eq!(handler.take(), []);
    sim.pass(&mut handler, MOMENT);
    assert_eq!(handler.take(), [Told::Closed(id, CloseReason::Closed)]);
    sim.assert_clean(&mut handler, 1);
}

#[test]
fn who_does_not_take_its_last_bytes_in_time_loses_them() {
    let mut sim = Sim::new();
    sim.kernel.set_buffer(10);
    let mut handler = silent();
    let (_, at) = sim.listen(&mut handler);
    let (id, mut peer) = sim.accept(&mut handler, at);
    handler.take();
    sim.cx().send(id, &[&[1; 30]]);
    sim.cx().close(id);
    sim.settle(&mut handler);
    peer.receive_all();
    sim.settle(&mut handler);
    sim.pass(&mut handler, FINISH_TIMEOUT);
    let reason = CloseReason::Aborted { unsent: 10 };
    assert_eq!(handler.take(), [Told::Closed(id, reason)]);
    sim.assert_clean(&mut handler, 1);
}

#[test]
fn a_reset_is_told_once_and_does_not_spin_whatever_the_connection_was_doing() {
    let (reset, pipe) = (Errno::ECONNRESET, Errno::EPIPE);
    for (state, possible) in [
        ("open", reset),
        ("paused", reset),
        ("ended", pipe),
        ("blocked", reset),
        ("closing", reset),
        ("lingering", reset),
    ] {
        let mut sim = Sim::new();
        sim.kernel.set_buffer(10);
        let mut handler = silent();
        let (_, at) = sim.listen(&mut handler);
        let (id, mut peer) = sim.accept(&mut handler, at);
        match state {
            "paused" => sim.cx().pause(id),
            "ended" => peer.shut(),
            "blocked" => sim.cx().send(id, &[&[0; 30]]),
            "closing" => {
                sim.cx().send(id, &[&[0; 30]]);
                sim.cx().close(id);
            }
            "lingering" => sim.cx().close(id),
            _ => {}
        }
        sim.settle(&mut handler);
        handler.take();
        peer.reset();
        assert!(sim.settle(&mut handler) < 5, "{state}");
        let told = handler.take();
        let Some(Told::Closed(_, CloseReason::Failed(errno))) = told.last() else {
            panic!("{state}: {told:?}")
        };
        assert!(*errno == possible || *errno == reset, "{state}: {errno}");
        sim.assert_clean(&mut handler, 1);
        let _ = id;
    }
}

#[test]
fn an_event_for_a_source_that_is_gone_does_not_reach_who_has_its_slot_now() {
    let mut sim = Sim::new();
    let mut handler = silent();
    let (_, at) = sim.listen(&mut handler);
    let (old, peer) = sim.accept(&mut handler, at);
    peer.close();
    sim.cx().abort(old);
    sim.settle(&mut handler);
    let (new, mut peer) = sim.accept(&mut handler, at);
    assert_eq!(new.slot(), old.slot());
    handler.take();
    sim.kernel.calls();
    let stale = Event { token: old, readable: true, writable: true, rdhup: false, hangup: true };
    let mut faults = vec![Fault::Stale(stale)];
    sim.kernel.inject(move |_, _| faults.pop());
    sim.settle(&mut handler);
    assert_eq!(handler.take(), []);
    assert_eq!(sim.kernel.calls().len(), 2, "two waits");
    peer.send(b"still there");
    sim.settle(&mut handler);
    assert_eq!(handler.received_from(new), b"still there");
}

#[test]
fn nothing_is_told_of_a_source_after_it_was_closed_but_its_end() {
    for abort in [false, true] {
        let mut sim = Sim::new();
        sim.kernel.set_buffer(10);
        let mut handler = Recorder::new(move |cx, told| {
            if let Told::Received(from, _) = told {
                cx.expect_handshake(*from, true);
                cx.send(*from, &[&[0; 30]]);
                let let_go = if abort { Context::abort } else { Context::close };
                let_go(cx, *from);
                cx.expect_handshake(*from, true);
                cx.resume(*from);
                cx.send(*from, &[b"too late"]);
            }
        });
        handler.consume = |_| 0;
        let (_, at) = sim.listen(&mut handler);
        let (id, mut peer) = sim.accept(&mut handler, at);
        peer.send(b"go");
        handler.take();
        sim.tick(&mut handler);
        sim.kernel.advance(Duration::from_mins(1));
        for _ in 0..4 {
            sim.tick(&mut handler);
            peer.receive_all();
            peer.send(b"more");
        }
        let told = handler.take();
        let end = |told: &Told| matches!(told, Told::Received(..) | Told::Closed(..));
        assert!(told.iter().all(end), "{told:?}");
        assert!(told.contains(&Told::Received(id, Vec::new())));
        sim.assert_clean(&mut handler, 1);
    }
}

#[test]
fn a_connection_closed_while_bytes_wait_hears_no_more_of_them() {
    let mut sim = Sim::new();
    sim.kernel.set_buffer(10);
    let mut handler = silent();
    let (_, at) = sim.listen(&mut handler);
    let (id, mut peer) = sim.accept(&mut handler, at);
    handler.take();
    sim.cx().send(id, &[&[0; 30]]);
    sim.cx().close(id);
    for _ in 0..4 {
        sim.settle(&mut handler);
        peer.receive_all();
    }
    assert_eq!(handler.take(), [], "neither that they stalled nor that they left");
    peer.close();
    sim.settle(&mut handler);
    assert_eq!(handler.take(), [Told::Closed(id, CloseReason::Closed)]);
}

#[test]
fn a_deadline_is_not_told_of_a_source_that_was_aborted_in_the_same_tick() {
    let mut sim = Sim::new();
    let mut handler = Recorder::new(|cx, told| {
        if let Told::Received(from, _) = told {
            cx.abort(*from);
        }
    });
    let (_, at) = sim.listen(&mut handler);
    let (id, mut peer) = sim.accept(&mut handler, at);
    sim.cx().expect_handshake(id, true);
    peer.send(b"go");
    handler.take();
    sim.pass(&mut handler, Duration::from_mins(1));
    let told = handler.take();
    assert!(!told.contains(&Told::Expired(id, Timeout::Handshake)), "{told:?}");
}

#[test]
fn what_was_asked_for_and_closed_before_it_was_opened_is_not_opened() {
    let mut sim = Sim::new();
    let mut handler = silent();
    let (_, at) = sim.listen(&mut handler);
    handler.take();
    let listener = sim.cx().listen(([127, 0, 0, 1], 7).into());
    let connection = sim.cx().connect(at);
    let aborted = sim.cx().connect(at);
    sim.cx().close(listener);
    sim.cx().close(connection);
    sim.cx().abort(aborted);
    sim.kernel.calls();
    sim.settle(&mut handler);
    let none = CloseReason::Aborted { unsent: 0 };
    let told = handler.take();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told.contains(&Told::Closed(listener, CloseReason::Closed)), "{told:?}");
    assert!(told.contains(&Told::Closed(connection, none)), "{told:?}");
    assert!(told.contains(&Told::Closed(aborted, none)), "{told:?}");
    sim.assert_clean(&mut handler, 1);
}

#[test]
fn what_is_asked_for_and_closed_late_in_a_tick_is_not_opened() {
    let mut sim = Sim::new();
    let mut asked = None;
    let mut handler = Recorder::new(|cx, told| {
        if *told == Told::EndOfTick && asked.is_none() {
            let id = cx.listen(([127, 0, 0, 1], 7).into());
            cx.close(id);
            asked = Some(id);
        }
    });
    sim.tick(&mut handler);
    sim.settle(&mut handler);
    let told = handler.take();
    drop(handler);
    assert_eq!(told, [Told::Closed(asked.unwrap(), CloseReason::Closed)]);
}

#[test]
fn a_listener_that_was_closed_or_paused_takes_nobody_in() {
    for close in [false, true] {
        let mut sim = Sim::new();
        let mut handler = Recorder::new(move |cx, told| {
            if let Told::Opened(_, Opened::Accepted { listener, .. }) = told {
                if close { cx.close(*listener) } else { cx.pause(*listener) }
            }
        });
        let (_, at) = sim.listen(&mut handler);
        let _peers = [sim.kernel.dial(at), sim.kernel.dial(at)];
        sim.settle(&mut handler);
        let opened = |told: &&Told| matches!(told, Told::Opened(_, Opened::Accepted { .. }));
        assert_eq!(handler.told.iter().filter(opened).count(), 1);
    }
}

#[test]
fn a_newcomer_that_cannot_be_watched_is_told_from_its_beginning_to_its_end() {
    let mut sim = Sim::new();
    let mut handler = Recorder::new(|cx, told| {
        if let Told::Opened(id, _) = told {
            cx.send(*id, &[b"welcome"]);
        }
    });
    let (_, at) = sim.listen(&mut handler);
    handler.take();
    let mut peer = sim.kernel.dial(at);
    sim.kernel.inject(|op, _| (op == Op::Watch).then_some(Fault::Fail(Errno::ENOSPC)));
    sim.settle(&mut handler);
    let told = handler.take();
    let Told::Opened(id, Opened::Accepted { .. }) = told[0] else { panic!("{told:?}") };
    assert_eq!(told[1..], [Told::Closed(id, CloseReason::Failed(Errno::ENOSPC))]);
    assert_eq!(peer.receive(100), Ok(Vec::new()));
    sim.assert_clean(&mut handler, 1);
}

#[test]
fn a_connection_can_be_refused() {
    let mut sim = Sim::new();
    let mut handler = silent();
    let id = sim.cx().connect(([127, 0, 0, 1], 9).into());
    sim.settle(&mut handler);
    assert_eq!(handler.take(), [Told::Closed(id, CloseReason::Failed(Errno::ECONNREFUSED))]);
    sim.assert_clean(&mut handler, 0);
}

#[test]
fn a_paused_connection_is_shown_nothing_although_it_breaks() {
    let mut sim = Sim::new();
    let mut handler = silent();
    let (_, at) = sim.listen(&mut handler);
    let (id, mut peer) = sim.accept(&mut handler, at);
    handler.take();
    sim.cx().pause(id);
    sim.settle(&mut handler);
    peer.send(b"never seen");
    peer.reset();
    sim.settle(&mut handler);
    let failed = CloseReason::Failed(Errno::ECONNRESET);
    assert_eq!(handler.take(), [Told::Closed(id, failed)]);
    sim.assert_clean(&mut handler, 1);
}
