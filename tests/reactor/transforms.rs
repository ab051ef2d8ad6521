//! What stands between a socket and its handler: nothing is lost within it, nobody sleeps on it,
//! and it has its first and its last word.

use std::num::NonZeroU16;

use nix::errno::Errno;
use proptest::prelude::*;
use sealwax::reactor::limits::{FINISH_TIMEOUT, FRAME_TIMEOUT, READ_SIZE};
use sealwax::reactor::{CloseReason, Config, Context, Timeout, Token, Trigger};

use crate::real::{PATIENCE, Real};
use crate::recorder::{Recorder, Sim, Told, lines, silent};
use crate::support::kernel::{Call, Fault, Op, Peer};
use crate::support::transform::{Fake, NO_RECORD, RECORD, Tunnel};

/// What a source that wants a transform begins with.
const HELLO: u8 = 0x16;

/// A handler that gives a transform to whoever begins with its first byte, and then does what
/// `answer` does. The transform takes `records` in one call.
fn with<'a>(
    records: Option<usize>,
    mut answer: impl FnMut(&mut Context, &Told) + 'a,
) -> Recorder<'a> {
    let mut recorder = Recorder::new(move |cx, told| {
        if let Told::Received(from, bytes) = told
            && bytes.is_empty()
            && !cx.is_transformed(*from)
        {
            cx.transform(*from, Box::new(Fake::taking(records)));
        }
        answer(cx, told);
    });
    recorder.consume = |bytes| if bytes[0] == HELLO { 0 } else { bytes.len() };
    recorder
}

fn echo(records: Option<usize>) -> Recorder<'static> {
    with(records, |cx, told| match told {
        Told::Received(from, bytes) => cx.send(*from, &[bytes]),
        Told::Ended(from, _) => cx.close(*from),
        _ => {}
    })
}

/// A connection that has a transform at both ends, and both have greeted.
fn greeted(sim: &mut Sim, handler: &mut Recorder) -> (Token, Peer, Tunnel) {
    let (_, at) = sim.listen(handler);
    let (id, mut peer) = sim.accept(handler, at);
    let mut tunnel = Tunnel::fake();
    peer.send(&tunnel.seal(b"").0);
    sim.settle(handler);
    tunnel.open(&peer.receive_all()).unwrap();
    assert!(sim.cx().is_transformed(id));
    assert_eq!(sim.cx().binding(id), Some([0x5a; 32]));
    handler.take();
    (id, peer, tunnel)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251).to_le_bytes()[0] | 0x80).collect()
}

fn count(calls: &[Call], op: Op) -> usize {
    calls.iter().filter(|call| call.op == op).count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn an_echo_returns_the_same_bytes_wherever_they_are_cut(
        length in 1_usize..60_000,
        buffer in 1_usize..5_000,
        is_edge in any::<bool>(),
        limit in prop::option::of(1_u16..9_000),
        records in prop::option::of(1_usize..4),
        cuts in prop::collection::vec(prop::option::of(1_usize..3_000), 1..40),
    ) {
        let trigger = if is_edge { Trigger::Edge } else { Trigger::Level };
        let mut sim = Sim::with(&Config { trigger, ..Config::default() });
        sim.kernel.set_buffer(buffer);
        let mut handler = echo(records);
        let (_, at) = sim.listen(&mut handler);
        let (id, mut peer) = sim.accept(&mut handler, at);
        sim.cx().set_read_limit(id, limit.and_then(NonZeroU16::new));
        let mut faults = cuts.into_iter().chain([None; 2]).cycle();
        sim.kernel.inject(move |op, _| match (op, faults.next().flatten()) {
            // What was told as an edge and is then taken for empty or full is not told again.
            (Op::Read | Op::Writev, Some(_)) if is_edge => Some(Fault::Fail(Errno::EINTR)),
            (Op::Read | Op::Writev, Some(most)) if most % 5 > 0 => Some(Fault::Short(most)),
            (Op::Read | Op::Writev, Some(most)) if most % 2 > 0 => Some(Fault::Fail(Errno::EAGAIN)),
            (Op::Read | Op::Writev, Some(_)) => Some(Fault::Fail(Errno::EINTR)),
            _ => None,
        });
        let sent = pattern(length);
        let mut tunnel = Tunnel::fake();
        let (mut given, mut wire) = (0, Vec::new());
        for _ in 0..40 * (length + 100) {
            if wire.is_empty() {
                let (sealed, taken) = tunnel.seal(&sent[given..length.min(given + RECORD)]);
                given += taken;
                wire = sealed;
            }
            let written = peer.send(&wire);
            wire.drain(..written);
            sim.tick(&mut handler);
            tunnel.open(&peer.receive_all()).unwrap();
            if tunnel.plain.len() == length {
                break;
            }
        }
        prop_assert_eq!(tunnel.plain.len(), length);
        prop_assert!(tunnel.plain == sent);
        sim.settle(&mut handler);
        prop_assert_eq!(sim.cx().queued_in_all(), 0);
        prop_assert_eq!(sim.cx().kept_in_all(), 0);
    }
}

/// The socket is empty by then, so no event tells of the rest: it has its turn all the same, and
/// nothing of it is shown while the source is paused.
#[test]
fn what_stays_within_is_shown_although_no_event_tells_of_it() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        for is_paused in [false, true] {
            let mut sim = Sim::with(&Config { trigger, ..Config::default() });
            let mut handler = with(None, |_, _| {});
            let (id, mut peer, mut tunnel) = greeted(&mut sim, &mut handler);
            sim.cx().set_read_limit(id, NonZeroU16::new(2000));
            let sent = pattern(10_000);
            let wire = tunnel.seal(&sent).0;
            peer.send(&wire[..9_000]);
            sim.settle(&mut handler);
            sim.cx().set_read_limit(id, NonZeroU16::new(1100));
            peer.send(&wire[9_000..]);
            sim.tick(&mut handler); // the record is whole now, and a part of it is shown
            let shown = handler.received_from(id).len();
            assert!((1100..=2200).contains(&shown), "{shown}");
            if is_paused {
                sim.cx().pause(id);
                sim.settle(&mut handler); // it does not spin
                assert_eq!(handler.received_from(id).len(), shown);
                sim.cx().resume(id);
            }
            sim.kernel.calls();
            sim.settle(&mut handler);
            assert!(handler.received_from(id) == sent, "{trigger:?}, {is_paused}");
            let calls = sim.kernel.calls();
            assert!(count(&calls, Op::Read) <= 1, "the socket has nothing more to tell");
        }
    }
}

/// The same on a socket of the kernel that the tests run on.
#[test]
fn what_stays_within_is_shown_on_a_real_socket() {
    use std::io::{Read, Write};
    let mut real = Real::new();
    let mut handler = with(Some(1), |_, _| {});
    let (_, at) = real.listen(&mut handler);
    let mut peer = std::net::TcpStream::connect(at).unwrap();
    let mut tunnel = Tunnel::fake();
    peer.write_all(&tunnel.seal(b"").0).unwrap();
    real.until(&mut handler, |told| matches!(told, Told::Received(..)));
    real.assert_rest(&mut handler);
    let mut hello = [0; 9];
    peer.read_exact(&mut hello).unwrap();
    tunnel.open(&hello).unwrap();
    let sent = pattern(RECORD);
    let wire = tunnel.seal(&sent).0;
    peer.write_all(&wire[..RECORD]).unwrap();
    real.assert_rest(&mut handler); // nearly all of the record is within
    let id = handler.alive()[1];
    real.cx().set_read_limit(id, NonZeroU16::new(500));
    peer.write_all(&wire[RECORD..]).unwrap();
    let mut shown = 0;
    while shown < sent.len() {
        real.reactor.tick(&mut handler, Some(PATIENCE)).unwrap();
        let before = std::mem::replace(&mut shown, handler.received_from(id).len());
        assert!(shown > before, "it slept on {shown} of {} bytes", sent.len());
    }
    assert!(handler.received_from(id) == sent);
    real.assert_rest(&mut handler);
    drop(peer);
    real.until(&mut handler, |told| matches!(told, Told::Ended(..)));
}

/// `open` may take less than it is offered: the rest is offered again, in order, and nobody else
/// waits for it.
#[test]
fn records_that_are_not_taken_at_once_have_their_turns() {
    let mut sim = Sim::new();
    let mut handler = with(Some(1), |_, _| {});
    let (id, mut peer, mut tunnel) = greeted(&mut sim, &mut handler);
    let mut wire = Vec::new();
    for part in [&b"\x80one"[..], b"\x80two", b"\x80six"] {
        wire.extend(tunnel.seal(part).0);
    }
    peer.send(&wire);
    sim.kernel.calls();
    sim.settle(&mut handler);
    let parts = [b"\x80one", b"\x80two", b"\x80six"];
    let told = parts.map(|part| Told::Received(id, part.to_vec()));
    assert_eq!(handler.take(), told, "one record a turn");
    assert_eq!(count(&sim.kernel.calls(), Op::Read), 1);
    assert_eq!(sim.cx().kept_in_all(), 0);
}

#[test]
fn what_a_tick_gathers_is_one_record() {
    let mut sim = Sim::new();
    let mut handler = with(None, |cx, told| {
        if let Told::Received(from, bytes) = told
            && !bytes.is_empty()
        {
            for part in [b"one", b"two", b"six"] {
                cx.send(*from, &[part]);
            }
        }
    });
    let (_, mut peer, mut tunnel) = greeted(&mut sim, &mut handler);
    peer.send(&tunnel.seal(b"\x80").0);
    sim.kernel.calls();
    sim.settle(&mut handler);
    assert_eq!(count(&sim.kernel.calls(), Op::Writev), 1);
    let wire = peer.receive_all();
    assert_eq!(wire.len(), 5 + 9);
    tunnel.open(&wire).unwrap();
    assert_eq!(tunnel.plain, b"onetwosix");
}

#[test]
fn what_is_queued_before_the_greeting_leaves_behind_it() {
    let mut sim = Sim::new();
    let mut other = silent();
    let (_, at) = sim.listen(&mut other);
    let mut handler = Recorder::new(|cx, told| {
        if let Told::Opened(id, _) = told {
            cx.transform(*id, Box::new(Fake::new(true)));
            cx.send(*id, &[b"first words"]);
        }
    });
    let kernel = sim.kernel.process();
    let mut client =
        Sim { reactor: sealwax::reactor::Reactor::new(kernel.clone(), &Config::default()), kernel };
    let id = client.cx().connect(at);
    client.settle(&mut handler); // and does not spin while it waits for the answer
    sim.settle(&mut other);
    let server = other.alive()[1];
    assert_eq!(other.received_from(server).len(), 9, "a hello and nothing else");
    assert_eq!(client.cx().queued(id), b"first words".len());
    assert_eq!(client.cx().binding(id), None);
    let mut tunnel = Tunnel::new(Box::new(Fake::new(false)));
    tunnel.open(&other.received_from(server)).unwrap();
    other.take();
    let hello = tunnel.seal(b"").0;
    sim.cx().send(server, &[&hello]);
    sim.settle(&mut other);
    client.settle(&mut handler);
    sim.settle(&mut other);
    tunnel.open(&other.received_from(server)).unwrap();
    assert_eq!(tunnel.plain, b"first words");
    assert!(handler.told.contains(&Told::Drained(id)));
    assert_eq!(client.cx().queued(id), 0);
}

/// The last bytes, the goodbye, the end: in this order, whatever the kernel takes at a time.
#[test]
fn the_goodbye_leaves_behind_the_last_byte_and_before_the_end() {
    for buffer in [1, 7, 100_000] {
        let mut sim = Sim::new();
        let mut handler = with(None, |cx, told| {
            if let Told::Received(from, bytes) = told
                && !bytes.is_empty()
            {
                cx.send(*from, &[&[7; 40]]);
                cx.close(*from);
            }
        });
        sim.kernel.set_buffer(buffer);
        let (_, at) = sim.listen(&mut handler);
        let (id, mut peer) = sim.accept(&mut handler, at);
        let mut tunnel = Tunnel::fake();
        let (mut wire, mut came) = (tunnel.seal(b"").0, Vec::new());
        let mut has_asked = false;
        for _ in 0..1000 {
            let sent = peer.send(&wire);
            wire.drain(..sent);
            sim.settle(&mut handler);
            let more = peer.receive_all();
            came.extend_from_slice(&more);
            tunnel.open(&more).unwrap();
            if wire.is_empty() && !std::mem::replace(&mut has_asked, true) {
                sim.settle(&mut handler);
                tunnel.open(&peer.receive_all()).unwrap();
                wire = tunnel.seal(b"\x80").0;
                has_asked = !wire.is_empty();
            }
            if peer.has_ended() {
                break;
            }
        }
        assert_eq!((&tunnel.plain[..], tunnel.is_over), (&[7; 40][..], true), "{buffer}");
        peer.close();
        sim.settle(&mut handler);
        assert_eq!(handler.told.last(), Some(&Told::Closed(id, CloseReason::Closed)));
        assert_eq!(sim.cx().queued_in_all(), 0);
    }
}

/// A goodbye is an end like that of the socket, though the socket may be open for long; what comes
/// behind it is nobody's.
#[test]
fn a_goodbye_is_told_as_the_end_and_answered() {
    let mut sim = Sim::new();
    let mut handler = echo(None);
    let (id, mut peer, mut tunnel) = greeted(&mut sim, &mut handler);
    let mut wire = tunnel.seal(b"\x80last").0;
    wire.extend(tunnel.finish());
    wire.extend(b"nonsense");
    peer.send(&wire);
    sim.settle(&mut handler);
    assert_eq!(handler.received_from(id), b"\x80last");
    assert!(handler.told.contains(&Told::Ended(id, Vec::new())));
    tunnel.open(&peer.receive_all()).unwrap();
    assert_eq!((&tunnel.plain[..], tunnel.is_over), (&b"\x80last"[..], true));
    peer.send(b"more of it");
    sim.settle(&mut handler);
    peer.close();
    sim.settle(&mut handler);
    assert_eq!(handler.told.last(), Some(&Told::Closed(id, CloseReason::Closed)));
    sim.assert_clean(&mut handler, 1);
}

/// What came before the goodbye is shown first, also where the handler is paused meanwhile.
#[test]
fn a_goodbye_to_a_paused_source_is_told_once_it_is_resumed() {
    let mut sim = Sim::new();
    let mut handler = with(None, |cx, told| match told {
        Told::Received(from, bytes) if !bytes.is_empty() => cx.pause(*from),
        _ => {}
    });
    handler.consume = |bytes| if bytes[0] == HELLO { 0 } else { bytes.len().min(4) };
    let (id, mut peer, mut tunnel) = greeted(&mut sim, &mut handler);
    let wire = [tunnel.seal(b"\x80one\x80two").0, tunnel.finish()].concat();
    peer.send(&wire);
    sim.settle(&mut handler);
    assert_eq!(handler.take(), [Told::Received(id, b"\x80one".to_vec())]);
    sim.cx().resume(id);
    sim.settle(&mut handler);
    assert_eq!(handler.take(), [Told::Received(id, b"\x80two".to_vec())]);
    sim.cx().resume(id);
    sim.settle(&mut handler);
    assert_eq!(handler.take(), [Told::Ended(id, Vec::new())]);
    assert_eq!(sim.cx().kept_in_all(), 0);
}

/// The end of the socket without a goodbye is an end too.
#[test]
fn an_end_without_a_goodbye_is_told_after_what_came_before_it() {
    let mut sim = Sim::new();
    let mut handler = echo(Some(1));
    let (id, mut peer, mut tunnel) = greeted(&mut sim, &mut handler);
    let mut wire = tunnel.seal(b"\x80one").0;
    wire.extend(tunnel.seal(b"\x80two").0);
    wire.extend(&tunnel.seal(b"\x80cut").0[..7]);
    peer.send(&wire);
    peer.shut();
    sim.settle(&mut handler);
    assert_eq!(handler.received_from(id), b"\x80one\x80two");
    assert!(handler.told.contains(&Told::Ended(id, Vec::new())));
    tunnel.open(&peer.receive_all()).unwrap();
    assert_eq!(tunnel.plain, b"\x80one\x80two");
    sim.assert_clean(&mut handler, 1);
}

#[test]
fn what_cannot_be_opened_is_told_once_and_ends_the_source() {
    let mut sim = Sim::new();
    let mut handler = with(None, |cx, told| {
        if let Told::Garbled(from, _) = told {
            cx.send(*from, &[b"it is being closed: this goes nowhere"]);
        }
    });
    let (id, mut peer, mut tunnel) = greeted(&mut sim, &mut handler);
    let mut wire = tunnel.seal(b"\x80good").0;
    wire.extend(b"{\"action\": \"ping\"}");
    peer.send(&wire[..9]);
    sim.settle(&mut handler);
    sim.cx().send(id, &[b"what is queued then is dropped"]);
    peer.send(&wire[9..]);
    sim.tick(&mut handler);
    sim.settle(&mut handler);
    assert!(handler.told.contains(&Told::Garbled(id, NO_RECORD)), "{:?}", handler.told);
    peer.send(b"and whatever comes then");
    sim.settle(&mut handler);
    assert_eq!(sim.cx().queued_in_all(), 0);
    tunnel.open(&peer.receive_all()).unwrap();
    assert!(tunnel.is_over, "it says so before it ends");
    peer.close();
    sim.settle(&mut handler);
    assert_eq!(handler.told.last(), Some(&Told::Closed(id, CloseReason::Closed)));
    sim.assert_clean(&mut handler, 1);
}

/// Nothing can be told to who has not greeted: what was queued is dropped, and nobody waits for it.
#[test]
fn a_source_that_is_closed_before_the_greeting_ends() {
    let mut sim = Sim::new();
    let mut handler = silent();
    let (_, at) = sim.listen(&mut handler);
    let (id, mut peer) = sim.accept(&mut handler, at);
    sim.cx().transform(id, Box::new(Fake::new(false)));
    sim.cx().send(id, &[b"goodbye"]);
    sim.settle(&mut handler);
    sim.cx().close(id);
    sim.settle(&mut handler);
    assert_eq!(peer.receive_all().len(), 5, "the transform's last word");
    assert!(peer.has_ended());
    sim.pass(&mut handler, FINISH_TIMEOUT);
    assert_eq!(handler.told.last(), Some(&Told::Closed(id, CloseReason::Closed)));
    sim.assert_clean(&mut handler, 1);
}

/// A record that does not end is a frame that does not end.
#[test]
fn a_record_that_was_begun_has_to_end() {
    let mut sim = Sim::new();
    let mut handler = with(None, |_, _| {});
    let (id, mut peer, mut tunnel) = greeted(&mut sim, &mut handler);
    assert_eq!(sim.cx().running_deadlines(), 0);
    let wire = tunnel.seal(&pattern(5000)).0;
    peer.send(&wire[..4000]);
    sim.settle(&mut handler);
    assert_eq!(sim.cx().running_deadlines(), 1);
    assert_eq!(sim.cx().kept_in_all(), 4000);
    peer.send(&wire[4000..]);
    sim.settle(&mut handler);
    assert_eq!((sim.cx().running_deadlines(), sim.cx().kept_in_all()), (0, 0));
    let wire = tunnel.seal(&pattern(5000)).0;
    for byte in 0..2 {
        sim.pass(&mut handler, FRAME_TIMEOUT / 3);
        peer.send(&wire[byte..=byte]);
        sim.settle(&mut handler);
    }
    assert!(!handler.told.contains(&Told::Expired(id, Timeout::Frame)));
    sim.pass(&mut handler, FRAME_TIMEOUT);
    assert!(handler.told.contains(&Told::Expired(id, Timeout::Frame)), "{:?}", handler.told);
}

/// A frame in many records has the deadline of its first byte; a record behind it begins anew.
#[test]
fn a_frame_that_trickles_in_whole_records_has_one_deadline() {
    let mut sim = Sim::new();
    let mut handler = with(None, |_, _| {});
    let (id, mut peer, mut tunnel) = greeted(&mut sim, &mut handler);
    handler.consume = lines;
    for _ in 0..4 {
        peer.send(&tunnel.seal(b"x").0);
        sim.pass(&mut handler, FRAME_TIMEOUT / 3);
    }
    assert!(handler.told.contains(&Told::Expired(id, Timeout::Frame)));
}

/// What was sealed and not taken counts for its source as what was not sealed, and there is about
/// one write of it.
#[test]
fn a_slow_reader_owns_one_write_of_sealed_bytes_and_all_of_it_counts() {
    const LENGTH: usize = 1_000_000;
    let mut sim = Sim::new();
    let mut handler = with(None, |_, _| {});
    let (id, mut peer, mut tunnel) = greeted(&mut sim, &mut handler);
    sim.cx().send(id, &[&pattern(LENGTH)]);
    sim.settle(&mut handler);
    let queued = sim.cx().queued(id);
    assert!(queued > LENGTH - 2 * READ_SIZE, "{queued}");
    assert_eq!(queued, sim.cx().queued_in_all());
    assert!(sim.cx().has_backlog(id));
    while tunnel.plain.len() < LENGTH {
        tunnel.open(&peer.receive(3001).unwrap()).unwrap();
        sim.settle(&mut handler);
        assert_eq!(sim.cx().queued(id), sim.cx().queued_in_all());
    }
    assert!(tunnel.plain == pattern(LENGTH));
    assert!(handler.told.contains(&Told::Drained(id)));
    assert_eq!(sim.cx().queued_in_all(), 0);
}

/// What is within transforms counts with what is in inboxes: above the bound, who has begun a
/// record is not read on before there is room.
#[test]
fn what_is_within_counts_in_the_bound_of_all() {
    let mut sim = Sim::with(&Config { kept_limit: 3000, ..Config::default() });
    let mut handler = with(None, |_, _| {});
    let (greedy, mut first, mut one) = greeted(&mut sim, &mut handler);
    let (id, mut second, mut two) = greeted(&mut sim, &mut handler);
    let (wire, other) = (one.seal(&pattern(4000)).0, two.seal(&pattern(4000)).0);
    first.send(&wire[..3500]);
    sim.settle(&mut handler);
    second.send(&other[..10]); // who has begun nothing gets a little
    sim.settle(&mut handler);
    second.send(&other[10..]);
    sim.settle(&mut handler);
    assert_eq!(sim.cx().kept_in_all(), 3510);
    sim.cx().abort(greedy);
    sim.settle(&mut handler);
    assert!(handler.received_from(id) == pattern(4000));
    assert_eq!(sim.cx().kept_in_all(), 0);
}

/// Opening what is within gives memory back, so the bound does not hold it up.
#[test]
fn what_is_within_is_opened_above_the_bound_of_all() {
    let mut sim = Sim::with(&Config { kept_limit: 1000, ..Config::default() });
    let mut handler = with(Some(1), |_, _| {});
    let (id, mut peer, mut tunnel) = greeted(&mut sim, &mut handler);
    let records: Vec<u8> = (0..400).flat_map(|_| tunnel.seal(b"\x80word").0).collect();
    peer.send(&records);
    sim.tick(&mut handler);
    assert!(sim.cx().kept_in_all() > 1000);
    sim.settle(&mut handler);
    assert_eq!(handler.received_from(id).len(), 400 * 5);
    assert_eq!(sim.cx().kept_in_all(), 0);
}

#[test]
fn a_source_that_is_aborted_or_reset_leaves_nothing_behind() {
    for is_reset in [false, true] {
        let mut sim = Sim::new();
        let mut handler = with(Some(1), |_, _| {});
        let (id, mut peer, mut tunnel) = greeted(&mut sim, &mut handler);
        sim.cx().send(id, &[&pattern(300_000)]);
        let mut wire = tunnel.seal(b"\x80one").0;
        wire.extend(tunnel.seal(&pattern(5000)).0);
        peer.send(&wire[..3000]);
        sim.tick(&mut handler);
        if is_reset {
            peer.reset();
        } else {
            sim.cx().abort(id);
        }
        sim.settle(&mut handler);
        assert!(matches!(handler.told.last(), Some(Told::Closed(..))));
        assert_eq!((sim.cx().queued_in_all(), sim.cx().kept_in_all()), (0, 0));
        sim.assert_clean(&mut handler, 1);
    }
}
