//! Deadlines, timers, pauses and rests: what happens when nothing happens.

use std::time::Duration;

use nix::errno::Errno;
use sealwax::reactor::limits::{
    ACCEPT_BACKOFF, EVENTS_PER_TICK, FINISH_TIMEOUT, FRAME_TIMEOUT, READ_SIZE, WRITE_TIMEOUT,
};
use sealwax::reactor::{CloseReason, Config, Opened, Timeout, Timer, Trigger};
use sealwax::relay::limits::REGISTER_TIMEOUT;
use serde_json::{Value, json};

use crate::recorder::{Recorder, Sim, Told, lines, silent};
use crate::support::kernel::{Call, Fault, Op, fd_of};

const MOMENT: Duration = Duration::from_millis(1);

/// Asserts that `timeout` of the one connection is told when `length` has passed since now, not
/// before and not twice.
fn assert_told_after(sim: &mut Sim, handler: &mut Recorder, timeout: Timeout, length: Duration) {
    handler.take();
    sim.pass(handler, length.saturating_sub(MOMENT));
    assert_eq!(handler.take(), []);
    sim.pass(handler, MOMENT);
    let told = handler.take();
    assert!(matches!(told[..], [Told::Expired(_, of)] if of == timeout), "{told:?}");
    sim.pass(handler, 10 * length);
    assert_eq!(handler.take(), []);
}

#[test]
fn what_is_expected_is_missed_in_time_and_begins_anew_when_it_is_expected_again() {
    let mut sim = Sim::new();
    let mut handler = silent();
    let (_, at) = sim.listen(&mut handler);
    let (id, _peer) = sim.accept(&mut handler, at);
    sim.settle(&mut handler);
    sim.cx().expect_handshake(id, true);
    sim.pass(&mut handler, REGISTER_TIMEOUT / 2);
    sim.cx().expect_handshake(id, true);
    assert_told_after(&mut sim, &mut handler, Timeout::Handshake, REGISTER_TIMEOUT);
    sim.cx().expect_handshake(id, false); // ends what has ended
    sim.cx().expect_handshake(id, true);
    sim.cx().expect_handshake(id, false);
    sim.pass(&mut handler, REGISTER_TIMEOUT);
    assert_eq!(handler.take(), []);
    sim.cx().abort(id);
    sim.assert_clean(&mut handler, 1);
}

#[test]
fn half_a_frame_is_given_its_time_from_its_first_byte_and_no_more_for_trickling() {
    let mut sim = Sim::new();
    let mut handler = silent();
    handler.consume = lines;
    let (_, at) = sim.listen(&mut handler);
    let (id, mut peer) = sim.accept(&mut handler, at);
    peer.send(b"a whole line\nha");
    sim.settle(&mut handler);
    sim.pass(&mut handler, FRAME_TIMEOUT / 2);
    peer.send(b"lf\nhal");
    sim.settle(&mut handler); // a new one began
    for _ in 0..4 {
        peer.send(b"f");
        sim.pass(&mut handler, FRAME_TIMEOUT / 8);
    }
    let rest = FRAME_TIMEOUT / 2;
    assert_told_after(&mut sim, &mut handler, Timeout::Frame, rest);
    peer.send(b"\n");
    sim.settle(&mut handler);
    assert_eq!(handler.take(), [Told::Received(id, b"halffff\n".to_vec())]);
    sim.pass(&mut handler, FRAME_TIMEOUT);
    assert_eq!(handler.take(), []);
}

#[test]
fn a_reader_stalls_when_it_takes_nothing_and_not_when_it_is_slow() {
    let mut sim = Sim::new();
    sim.kernel.set_buffer(10);
    let mut handler = silent();
    let (_, at) = sim.listen(&mut handler);
    let (id, mut peer) = sim.accept(&mut handler, at);
    sim.cx().send(id, &[&[0; 50]]);
    sim.settle(&mut handler);
    for _ in 0..3 {
        handler.take();
        sim.pass(&mut handler, WRITE_TIMEOUT.saturating_sub(MOMENT));
        assert_eq!(peer.receive(1).unwrap().len(), 1);
        sim.settle(&mut handler);
        assert_eq!(handler.take(), []);
    }
    sim.cx().send(id, &[b"more does not prolong it"]);
    assert_told_after(&mut sim, &mut handler, Timeout::Write, WRITE_TIMEOUT);
    while sim.cx().queued(id) > 0 {
        peer.receive_all();
        sim.settle(&mut handler);
    }
    assert_eq!(handler.take(), [Told::Drained(id)]);
}

#[test]
fn that_all_has_left_is_told_also_after_the_stall_was() {
    let mut sim = Sim::new();
    sim.kernel.set_buffer(10);
    let mut handler = silent();
    let (_, at) = sim.listen(&mut handler);
    let (id, mut peer) = sim.accept(&mut handler, at);
    sim.cx().send(id, &[&[0; 20]]);
    sim.settle(&mut handler);
    assert_told_after(&mut sim, &mut handler, Timeout::Write, WRITE_TIMEOUT);
    peer.receive_all();
    sim.settle(&mut handler);
    assert_eq!(handler.take(), [Told::Drained(id)]);
}

#[test]
fn timers_are_told_once_at_their_time_and_can_be_moved_and_set_again() {
    let mut sim = Sim::new();
    let mut again = true;
    let mut handler = Recorder::new(move |cx, told| {
        if *told == Told::Timer(Timer(0)) && std::mem::take(&mut again) {
            cx.set_timer(Timer(0), Some(cx.now() + 2 * MOMENT));
        }
    });
    let now = sim.cx().now();
    sim.cx().set_timer(Timer(0), Some(now + 5 * MOMENT));
    sim.cx().set_timer(Timer(1), Some(now + 3 * MOMENT));
    sim.cx().set_timer(Timer(2), Some(now + 4 * MOMENT));
    sim.cx().set_timer(Timer(2), None);
    let mut rung = Vec::new();
    for _ in 0..3 {
        sim.reactor.tick(&mut handler, None).unwrap(); // sleeps until then
        assert_eq!(handler.take(), []);
        sim.reactor.tick(&mut handler, None).unwrap(); // asks what came by then
        rung.push((sim.cx().now().since(now), handler.take()));
    }
    let bell = |at, number| (at * MOMENT, vec![Told::Timer(Timer(number))]);
    assert_eq!(rung, [bell(3, 1), bell(5, 0), bell(7, 0)]);
    sim.assert_clean(&mut handler, 0);
}

#[test]
fn a_paused_source_is_not_read_and_a_resumed_one_is_shown_first_what_it_had_kept() {
    let mut sim = Sim::new();
    let mut handler = Recorder::new(|cx, told| {
        if let Told::Received(from, _) = told {
            cx.pause(*from);
        }
    });
    handler.consume = |bytes| bytes.iter().position(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let (_, at) = sim.listen(&mut handler);
    let (id, mut peer) = sim.accept(&mut handler, at);
    handler.take();
    peer.send(b"one\ntwo\n");
    sim.settle(&mut handler);
    peer.send(b"six\n");
    sim.settle(&mut handler);
    for line in [b"one\n", b"two\n", b"six\n"] {
        assert_eq!(handler.take(), [Told::Received(id, line.to_vec())]);
        sim.pass(&mut handler, 2 * FRAME_TIMEOUT);
        assert_eq!(handler.take(), [], "a pause is no one's fault");
        sim.cx().resume(id);
        sim.settle(&mut handler);
    }
    assert_eq!(handler.take(), []);
}

#[test]
fn a_source_that_is_resumed_and_paused_again_is_shown_nothing() {
    let mut sim = Sim::new();
    let mut handler = Recorder::new(|cx, told| {
        if let Told::Received(from, _) = told {
            cx.pause(*from);
        }
    });
    handler.consume = |_| 1;
    let (_, at) = sim.listen(&mut handler);
    let (id, mut peer) = sim.accept(&mut handler, at);
    peer.send(b"abc");
    sim.settle(&mut handler);
    handler.take();
    sim.cx().resume(id);
    sim.cx().pause(id);
    sim.settle(&mut handler);
    assert_eq!(handler.take(), []);
    sim.cx().resume(id);
    sim.cx().pause(id);
    sim.cx().resume(id);
    sim.settle(&mut handler);
    assert_eq!(handler.take(), [Told::Received(id, b"b".to_vec())], "once, for it pauses again");
}

#[test]
fn a_pause_ends_the_time_of_half_a_frame_and_the_resume_begins_it() {
    let mut sim = Sim::new();
    let mut handler = silent();
    handler.consume = lines;
    let (_, at) = sim.listen(&mut handler);
    let (id, mut peer) = sim.accept(&mut handler, at);
    peer.send(b"half");
    sim.settle(&mut handler);
    sim.cx().pause(id);
    handler.take();
    sim.pass(&mut handler, 2 * FRAME_TIMEOUT);
    assert_eq!(handler.take(), []);
    sim.cx().resume(id);
    sim.settle(&mut handler);
    assert_told_after(&mut sim, &mut handler, Timeout::Frame, FRAME_TIMEOUT);
}

#[test]
fn a_source_that_is_resumed_within_a_tick_is_shown_what_it_had_kept_without_more_to_come() {
    let mut sim = Sim::new();
    let mut paused = None;
    let mut handler = Recorder::new(|cx, told| match told {
        Told::Received(from, _) => {
            cx.pause(*from);
            cx.set_timer(Timer(0), Some(cx.now() + MOMENT));
            paused = Some(*from);
        }
        Told::Timer(_) => paused.iter().for_each(|&id| cx.resume(id)),
        _ => {}
    });
    handler.consume = |_| 1;
    let (_, at) = sim.listen(&mut handler);
    let (id, mut peer) = sim.accept(&mut handler, at);
    handler.take();
    peer.send(b"abc");
    for byte in [b"a", b"b", b"c"] {
        sim.settle(&mut handler);
        assert_eq!(handler.take(), [Told::Received(id, byte.to_vec())]);
        sim.kernel.advance(MOMENT);
        sim.tick(&mut handler);
        sim.tick(&mut handler);
        assert_eq!(handler.take(), [Told::Timer(Timer(0))]);
    }
}

#[test]
fn kept_bytes_are_shown_once_when_fresh_ones_come_in_the_tick_of_the_resume() {
    let mut sim = Sim::new();
    let mut handler = silent();
    handler.consume = |bytes| if bytes.len() > 2 { bytes.len() } else { 0 };
    let (_, at) = sim.listen(&mut handler);
    let (id, mut peer) = sim.accept(&mut handler, at);
    peer.send(b"ab");
    sim.settle(&mut handler);
    handler.take();
    sim.cx().pause(id);
    sim.cx().resume(id); // asked for before the tick in which more has come
    peer.send(b"cd");
    sim.settle(&mut handler);
    let shown = [Told::Received(id, Vec::new()), Told::Received(id, b"abcd".to_vec())];
    assert_eq!(handler.take(), shown);
}

#[test]
fn a_listener_without_descriptors_rests_while_others_go_on_and_serves_when_there_are_some() {
    let mut sim = Sim::new();
    let mut handler = silent();
    let (listener, at) = sim.listen(&mut handler);
    let (old, mut peer) = sim.accept(&mut handler, at);
    handler.take();
    sim.kernel.set_limit(2);
    let mut first = sim.kernel.dial(at);
    let mut waiting = sim.kernel.dial(at);
    sim.kernel.calls();
    assert!(sim.settle(&mut handler) < 5);
    assert_eq!(handler.take(), [Told::Exhausted(listener, Errno::EMFILE)]);
    assert_eq!(first.receive(1), Ok(Vec::new()), "was turned away");
    assert_eq!(waiting.receive(1), Err(Errno::EAGAIN), "still waits");
    peer.send(b"hello");
    sim.pass(&mut handler, ACCEPT_BACKOFF / 2);
    assert_eq!(handler.take(), [Told::Received(old, b"hello".to_vec())]);
    let accepts = sim.kernel.calls().iter().filter(|call| call.op == Op::Accept).count();
    assert_eq!(accepts, 1, "it rests");

    sim.kernel.set_limit(100);
    sim.pass(&mut handler, ACCEPT_BACKOFF / 2);
    let told = handler.take();
    assert!(matches!(told[..], [Told::Opened(_, Opened::Accepted { .. })]), "{told:?}");
    peer.close();
    waiting.close();
    sim.settle(&mut handler);
    for id in handler.alive() {
        sim.cx().close(id);
    }
    sim.assert_clean(&mut handler, 0);
}

#[test]
fn a_rest_and_a_pause_of_a_listener_end_each_by_itself() {
    let mut sim = Sim::new();
    let mut handler = silent();
    let (listener, at) = sim.listen(&mut handler);
    sim.kernel.set_limit(1);
    let _turned_away = sim.kernel.dial(at);
    let _waits = sim.kernel.dial(at);
    sim.settle(&mut handler);
    handler.take();
    sim.cx().pause(listener);
    sim.settle(&mut handler);
    sim.cx().resume(listener);
    sim.settle(&mut handler);
    assert_eq!(handler.take(), [], "to resume does not end the rest");
    sim.cx().pause(listener);
    sim.kernel.set_limit(100);
    sim.pass(&mut handler, ACCEPT_BACKOFF);
    assert_eq!(handler.take(), [], "and the rest's end does not resume");
    sim.cx().resume(listener);
    sim.settle(&mut handler);
    let told = handler.take();
    assert!(matches!(told[..], [Told::Opened(_, Opened::Accepted { .. })]), "{told:?}");
}

#[test]
fn a_listener_that_is_closed_while_it_rests_leaves_nothing_behind() {
    let mut sim = Sim::new();
    let mut handler = silent();
    let (listener, at) = sim.listen(&mut handler);
    sim.kernel.set_limit(1);
    let _turned_away = sim.kernel.dial(at);
    sim.settle(&mut handler);
    sim.cx().close(listener);
    handler.take();
    sim.settle(&mut handler);
    assert_eq!(handler.take(), [Told::Closed(listener, CloseReason::Closed)]);
    sim.assert_clean(&mut handler, 0);
}

#[test]
fn what_a_pause_left_is_shown_at_once_although_nothing_else_happens() {
    let (mut shown, mut was_paused) = (Vec::new(), false);
    let mut paused = None;
    let mut handler = Recorder::new(|cx, told| match told {
        Told::Received(from, _) => {
            shown.push(cx.now());
            if !std::mem::replace(&mut was_paused, true) {
                cx.pause(*from);
                paused = Some(*from);
            }
        }
        // Within the tick, behind the events and before the flush.
        Told::EndOfTick => paused.take().into_iter().for_each(|id| cx.resume(id)),
        _ => {}
    });
    handler.consume = lines;
    let mut sim = Sim::new();
    let (_, at) = sim.listen(&mut handler);
    let (_, mut peer) = sim.accept(&mut handler, at);
    peer.send(b"half a line");
    sim.settle(&mut handler);
    drop(handler);
    assert_eq!(shown.len(), 2);
    assert_eq!(shown[0], shown[1]);
}

/// Time passes for a process that is stopped (SIGSTOP). The signal that lets it go on interrupts
/// the wait (`epoll_wait(2)`, `EINTR`), and only the next one tells what came meanwhile.
fn stop_and_continue(sim: &mut Sim, handler: &mut Recorder, time: Duration) {
    let mut interrupts = 1;
    sim.kernel.inject(move |op, _| {
        let is_first = op == Op::Wait && std::mem::take(&mut interrupts) == 1;
        is_first.then_some(Fault::Fail(Errno::EINTR))
    });
    sim.kernel.advance(time);
    sim.tick(handler);
    sim.settle(handler);
}

/// What `docs/loop/pictures/run` draws for chapter 9 of the tour: alice and bob have sent half a
/// frame, the process is stopped for 40 s, and alice sends the rest in time, within the stop.
#[test]
fn the_stop_of_the_picture_is_a_real_one() {
    let [stops, sends, goes_on] = [10, 20, 50].map(Duration::from_secs);
    let mut sim = Sim::new();
    let mut handler = Recorder::new(|cx, told| {
        if let Told::Expired(id, _) = told {
            cx.abort(*id);
        }
    });
    handler.consume = lines;
    let (_, at) = sim.listen(&mut handler);
    let ((a, mut alice), (b, mut bob)) =
        (sim.accept(&mut handler, at), sim.accept(&mut handler, at));
    let name = |id| if id == a { "alice" } else { "bob" };
    let fds = [a, b].map(|id| fd_of(sim.cx().io(id).unwrap()));
    let caller = |call: &Call| if call.fd == Some(fds[0]) { "alice" } else { "bob" };
    let begun = sim.cx().now();
    let mut ticks = Vec::new();
    let mut tick = |sim: &mut Sim, is_interrupted: bool| {
        handler.take();
        sim.kernel.calls();
        let asked = sim.cx().now();
        let mut interrupts = is_interrupted;
        sim.kernel.inject(move |op, _| {
            let fails = op == Op::Wait && std::mem::take(&mut interrupts);
            fails.then_some(Fault::Fail(Errno::EINTR))
        });
        sim.tick(&mut handler);
        let calls = sim.kernel.calls();
        let wait = calls.iter().find(|call| call.op == Op::Wait).map(|call| call.outcome.unwrap());
        let reads = calls.iter().filter(|call| call.op == Op::Read);
        let reads: Vec<_> = reads.map(|it| json!([caller(it), it.outcome.unwrap()])).collect();
        let told = handler.take().into_iter().filter_map(|told| match told {
            Told::Expired(id, Timeout::Frame) => Some(name(id)),
            _ => None,
        });
        let told: Vec<_> = told.collect();
        let open = [a, b].into_iter().filter(|&id| sim.cx().is_open(id)).map(name);
        let open: Vec<_> = open.collect();
        let [asked, clock] = [asked, sim.cx().now()].map(|at| at.since(begun).as_secs());
        let due = sim.reactor.due().map(|at| at.since(begun).as_secs());
        ticks.push(json!({
            "asked": asked, "events": wait, "clock": clock,
            "reads": reads, "timed_out": told, "open": open, "due": due,
        }));
    };
    for peer in [&mut alice, &mut bob] {
        peer.send(b"half a fra");
    }
    tick(&mut sim, false);
    sim.kernel.advance(stops);
    // Stopped: from here on the loop makes no call.
    sim.kernel.advance(sends.saturating_sub(stops));
    alice.send(b"me\n");
    sim.kernel.advance(goes_on.saturating_sub(sends));
    tick(&mut sim, true);
    tick(&mut sim, false);
    let run = json!({
        "length": FRAME_TIMEOUT.as_secs(),
        "stopped": [stops.as_secs(), goes_on.as_secs()],
        "sent": [["alice", 0], ["bob", 0], ["alice", sends.as_secs()]],
        "ticks": ticks,
    });
    let file = include_str!("../../docs/loop/pictures/horizon.json");
    let file: Value = serde_json::from_str(file).unwrap_or_default();
    assert_eq!(run, file, "horizon.json is to be:\n{run}");
}

/// Each kind of deadline, and both triggers: whoever did in time what was
/// waited for is not told of as late.
#[test]
fn no_deadline_is_told_before_the_kernel_was_asked_what_came_in_time() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        let mut sim = Sim::with(&Config { trigger, ..Config::default() });
        let mut handler = Recorder::new(|cx, told| match told {
            Told::Received(id, bytes) => {
                cx.expect_handshake(*id, false);
                cx.set_timer(Timer(0), None);
                if bytes.ends_with(b"bye\n") {
                    cx.send(*id, &[&[0; 30]]);
                    cx.close(*id);
                }
            }
            Told::Ended(id, _) => cx.close(*id),
            _ => {}
        });
        handler.consume = lines;
        let (_, at) = sim.listen(&mut handler);
        sim.kernel.set_buffer(20);
        let (id, mut peer) = sim.accept(&mut handler, at);
        sim.cx().expect_handshake(id, true);
        let rings = sim.cx().now() + REGISTER_TIMEOUT;
        sim.cx().set_timer(Timer(0), Some(rings));
        peer.send(b"ha");
        sim.cx().send(id, &[&[0; 50]]); // more than there is room for
        sim.settle(&mut handler);
        handler.take();
        // Stopped: the line is ended, what waited is taken.
        peer.send(b"lf\n");
        assert_eq!(peer.receive_all().len(), 20);
        stop_and_continue(&mut sim, &mut handler, 2 * FRAME_TIMEOUT);
        let told = handler.take();
        assert_eq!(told, [Told::Received(id, b"half\n".to_vec())], "{trigger:?}");
        while sim.cx().queued(id) > 0 {
            peer.receive_all();
            sim.settle(&mut handler);
        }
        // Stopped while it is being closed: it makes room for the last bytes.
        peer.receive_all();
        peer.send(b"bye\n");
        sim.settle(&mut handler);
        handler.take();
        assert_eq!(peer.receive_all().len(), 20);
        stop_and_continue(&mut sim, &mut handler, 2 * FINISH_TIMEOUT);
        assert_eq!(peer.receive_all().len(), 10);
        assert_eq!(handler.take(), [Told::Closed(id, CloseReason::Closed)], "{trigger:?}");
        sim.assert_clean(&mut handler, 1);
    }
}

/// What was there when the time had passed may have to be read in several parts.
#[test]
fn a_frame_that_is_longer_than_a_read_and_was_there_in_time_is_read_to_its_end() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        let mut sim = Sim::with(&Config { trigger, ..Config::default() });
        sim.kernel.set_buffer(4 * READ_SIZE);
        let mut handler = silent();
        handler.consume = lines;
        let (_, at) = sim.listen(&mut handler);
        let (id, mut peer) = sim.accept(&mut handler, at);
        peer.send(b"ha");
        sim.settle(&mut handler);
        handler.take();
        let rest = [vec![b'l'; 3 * READ_SIZE], b"f\n".to_vec()].concat();
        assert_eq!(peer.send(&rest), rest.len());
        stop_and_continue(&mut sim, &mut handler, 2 * FRAME_TIMEOUT);
        assert_eq!(handler.received_from(id).len(), 2 + rest.len(), "{trigger:?}");
        let told = handler.take();
        assert!(!told.contains(&Told::Expired(id, Timeout::Frame)), "{trigger:?}");
        // Two reads' worth and no end: it is told once that is read.
        peer.send(&vec![b'x'; 2 * READ_SIZE]);
        sim.settle(&mut handler);
        peer.send(&vec![b'x'; 2 * READ_SIZE]);
        handler.take();
        stop_and_continue(&mut sim, &mut handler, 2 * FRAME_TIMEOUT);
        let told = handler.take();
        assert_eq!(told.last(), Some(&Told::Expired(id, Timeout::Frame)), "{trigger:?}");
        assert_eq!(told.len(), 3, "{trigger:?}: two reads came before it");
        sim.cx().abort(id);
        sim.assert_clean(&mut handler, 1);
    }
}

/// Stopped between the wait and the look at the clock, as a signal does it that comes within the
/// call: the list is from before, and the time from after.
#[test]
fn a_list_from_before_the_stop_decides_nothing_that_ended_within_it() {
    let mut sim = Sim::new();
    let mut handler = silent();
    handler.consume = lines;
    let (_, at) = sim.listen(&mut handler);
    let (id, mut peer) = sim.accept(&mut handler, at);
    peer.send(b"ha");
    sim.settle(&mut handler);
    handler.take();
    sim.kernel.set_latency(|| MOMENT);
    peer.send(b"lf\n");
    let mut stops = 1;
    sim.kernel.inject(move |op, _| {
        let is_first = op == Op::Wait && std::mem::take(&mut stops) == 1;
        is_first.then_some(Fault::Late(2 * FRAME_TIMEOUT))
    });
    sim.tick(&mut handler);
    sim.settle(&mut handler);
    assert_eq!(handler.take(), [Told::Received(id, b"half\n".to_vec())]);
}

/// More is ready than one wait tells of, at all times: whoever is behind in the kernel's list is
/// looked at before a deadline is told, and deadlines are told all the same.
#[test]
fn deadlines_are_told_after_one_round_of_the_ready_list_however_long_it_is() {
    let mut sim = Sim::new();
    let mut handler = silent();
    handler.consume = lines;
    let (_, at) = sim.listen(&mut handler);
    let mut peers: Vec<_> =
        (0..3 * EVENTS_PER_TICK).map(|_| sim.accept(&mut handler, at)).collect();
    let (late, mut silent_one) = sim.accept(&mut handler, at);
    let (early, mut in_time) = sim.accept(&mut handler, at);
    silent_one.send(b"ha");
    in_time.send(b"ha");
    sim.settle(&mut handler);
    handler.take();
    let mut told = Vec::new();
    for round in 0..20 {
        for (_, peer) in &mut peers {
            peer.send(b"a line\n");
        }
        if round == 10 {
            in_time.send(b"lf\n");
            sim.kernel.advance(2 * FRAME_TIMEOUT);
        }
        sim.tick(&mut handler);
        told.extend(handler.take().into_iter().filter(|told| match told {
            Told::Received(id, _) => *id == early,
            _ => true,
        }));
    }
    let half = Told::Received(early, b"half\n".to_vec());
    assert_eq!(told, [half, Told::Expired(late, Timeout::Frame)]);
}
