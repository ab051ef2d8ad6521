//! Any call may fail, and handlers may ask for anything at any time: the contract holds all the
//! same.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;
use sealwax::reactor::limits::FINISH_TIMEOUT;
use sealwax::reactor::{Context, Opened, ProcessFd, Timer, Token, Waker};

use crate::recorder::{Recorder, Sim, Told};
use crate::support::kernel::{Device, Fault, Op, Peer};

/// A little of everything: a newcomer that talks, an outgoing connection to ourselves, standard
/// streams, an end.
fn play(sim: &mut Sim) {
    let mut other = None;
    let mut handler = Recorder::new(|cx, told| match told {
        Told::Opened(_, Opened::Listening(at)) => {
            other = Some((*at, cx.connect(*at)));
        }
        Told::Opened(id, Opened::Connected) => cx.send(*id, &[b"question"]),
        Told::Received(from, bytes) => {
            cx.send(*from, &[bytes]);
            cx.close(*from);
        }
        Told::Ended(from, _) => cx.close(*from),
        _ => {}
    });
    let mut input = sim.kernel.standard(0, Device::Pipe);
    let mut output = sim.kernel.standard(1, Device::File);
    let cx = sim.cx();
    let listener = cx.listen(SocketAddr::from(([127, 0, 0, 1], 0)));
    let sources =
        [ProcessFd::Stdin, ProcessFd::Stdout, ProcessFd::Signals].map(|source| cx.open(source));
    cx.send(sources[1], &[b"a line"]);
    input.send(b"typed");
    input.close();
    sim.settle(&mut handler);
    let at = handler.told.iter().find_map(|told| match told {
        Told::Opened(id, Opened::Listening(at)) if *id == listener => Some(*at),
        _ => None,
    });
    if let Some(at) = at
        && handler.alive().contains(&listener)
    {
        let mut peer = sim.kernel.dial(at);
        peer.send(b"hello");
        sim.settle(&mut handler);
        peer.receive_all();
        peer.close();
        sim.pass(&mut handler, Duration::from_millis(100)); // a listener's rest
        sim.kernel.signal(15);
        sim.settle(&mut handler);
    }
    output.receive_all();
    sim.kernel.inject(|_, _| None);
    for id in handler.alive() {
        sim.cx().close(id);
    }
    sim.pass(&mut handler, FINISH_TIMEOUT);
    assert_eq!(handler.alive(), []);
    sim.assert_clean(&mut handler, 0);
}

#[test]
fn whichever_call_fails_everyone_is_told_and_nothing_is_left_behind() {
    let mut refused = BTreeMap::new();
    for nth in 0.. {
        let called = Rc::new(Cell::new(None));
        for attempt in 0.. {
            let mut sim = Sim::new();
            let (mut left, op_called) = (nth, Rc::clone(&called));
            sim.kernel.inject(move |op, _| {
                let is_it = left == 0 && op != Op::Close;
                left -= i32::from(left >= 0);
                if !is_it {
                    return None;
                }
                op_called.set(Some(op));
                op.errnos().get(attempt).copied().map(Fault::Fail)
            });
            play(&mut sim);
            let Some(op) = called.get() else { break };
            if attempt >= op.errnos().len() {
                break;
            }
            *refused.entry(op).or_insert(0) += 1;
        }
        if called.get().is_none() {
            break;
        }
    }
    let ops: Vec<Op> = refused.keys().copied().collect();
    assert_eq!(ops.len(), 10, "each call was made to fail: {refused:?}");
}

/// Where they meet.
const AT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// What a handler or the other ends may do next.
#[derive(Clone, Copy, Debug)]
enum Whim {
    Send(usize, u8),
    Close(usize),
    Abort(usize),
    Pause(usize),
    Resume(usize),
    Expect(usize, bool),
    Timer(u64),
    Connect,
    Listen,
    Open(u8),
    PeerSends(usize),
    PeerReads(usize),
    PeerShuts(usize),
    PeerCloses(usize),
    PeerResets(usize),
    Dial,
    Nothing,
}

fn whims() -> impl Strategy<Value = Whim> {
    let who = 0_usize..8;
    prop_oneof![
        4 => (who.clone(), any::<u8>()).prop_map(|(who, length)| Whim::Send(who, length)),
        2 => who.clone().prop_map(Whim::Close),
        1 => who.clone().prop_map(Whim::Abort),
        2 => who.clone().prop_map(Whim::Pause),
        3 => who.clone().prop_map(Whim::Resume),
        1 => (who.clone(), any::<bool>()).prop_map(|(who, on)| Whim::Expect(who, on)),
        1 => (0..100_u64).prop_map(Whim::Timer),
        1 => Just(Whim::Connect),
        1 => Just(Whim::Listen),
        1 => (0..4_u8).prop_map(Whim::Open),
        4 => who.clone().prop_map(Whim::PeerSends),
        3 => who.clone().prop_map(Whim::PeerReads),
        1 => who.clone().prop_map(Whim::PeerShuts),
        1 => who.clone().prop_map(Whim::PeerCloses),
        1 => who.prop_map(Whim::PeerResets),
        2 => Just(Whim::Dial),
        8 => Just(Whim::Nothing),
    ]
}

/// Follows its whims, and watches that what it asked for holds.
struct Moody {
    whims: std::vec::IntoIter<Whim>,
    /// All tokens ever seen, also of those that are gone.
    known: Vec<Token>,
    let_go: Rc<RefCell<BTreeSet<Token>>>,
    paused: BTreeSet<Token>,
    /// Those that are behind, and will have to be told as drained.
    behind: BTreeSet<Token>,
}

impl Moody {
    fn answer(&mut self, cx: &mut Context, told: &Told) {
        match told {
            Told::Opened(id, _) | Told::Drained(id) | Told::Expired(id, _) => {
                assert!(!self.let_go.borrow().contains(id), "{told:?} after it was closed");
                self.known.push(*id);
            }
            Told::Received(id, _) | Told::Ended(id, _) => {
                assert!(!self.let_go.borrow().contains(id), "{told:?} after it was closed");
                assert!(!self.paused.contains(id), "{told:?} while it is paused");
            }
            Told::EndOfTick => {
                let caught_up =
                    |id: &&Token| cx.queued(**id) == 0 && !self.let_go.borrow().contains(id);
                assert_eq!(self.behind.iter().find(caught_up), None, "was not told");
                self.behind.extend(self.known.iter().filter(|id| cx.has_backlog(**id)));
            }
            _ => {}
        }
        if let Told::Drained(id) | Told::Closed(id, _) = told {
            self.behind.remove(id);
        }
        for _ in 0..2 {
            let whim = self.whims.next().unwrap_or(Whim::Nothing);
            let fresh = self.ask(cx, whim);
            self.known.extend(fresh);
        }
    }

    fn ask(&mut self, cx: &mut Context, whim: Whim) -> Option<Token> {
        let who = |who: usize| self.known.get(self.known.len().wrapping_sub(1 + who)).copied();
        match whim {
            Whim::Connect => return Some(cx.connect(AT)),
            Whim::Listen => return Some(cx.listen(SocketAddr::from(([127, 0, 0, 1], 0)))),
            Whim::Open(0) => return Waker::new().ok().map(|waker| cx.open(ProcessFd::Wake(waker))),
            Whim::Open(1) => return Some(cx.open(ProcessFd::Stdin)),
            Whim::Open(2) => return Some(cx.open(ProcessFd::Stdout)),
            Whim::Open(_) => return Some(cx.open(ProcessFd::Signals)),
            Whim::Timer(after) => {
                cx.set_timer(Timer(0), Some(cx.now() + Duration::from_millis(after)));
            }
            Whim::Send(id, length) => cx.send(who(id)?, &[&vec![length; usize::from(length)]]),
            Whim::Expect(id, on) => cx.expect_handshake(who(id)?, on),
            Whim::Close(id) => {
                cx.close(who(id)?);
                self.let_go.borrow_mut().extend(who(id));
            }
            Whim::Abort(id) => {
                cx.abort(who(id)?);
                self.let_go.borrow_mut().extend(who(id));
            }
            Whim::Pause(id) => {
                cx.pause(who(id)?);
                self.paused.extend(who(id));
            }
            Whim::Resume(id) => {
                cx.resume(who(id)?);
                self.paused.remove(&who(id)?);
            }
            _ => {}
        }
        None
    }
}

/// Lets the other ends do what `whim` says.
fn act(sim: &Sim, whim: Whim, peers: &mut Vec<Peer>) {
    let count = peers.len().max(1);
    match whim {
        Whim::Dial if sim.kernel.is_listening(AT) => peers.push(sim.kernel.dial(AT)),
        Whim::PeerSends(who) => drop(peers.get_mut(who % count).map(|peer| peer.send(&[1; 70]))),
        Whim::PeerReads(who) => drop(peers.get_mut(who % count).map(Peer::receive_all)),
        Whim::PeerShuts(who) => drop(peers.get_mut(who % count).map(Peer::shut)),
        Whim::PeerCloses(who) if who % count < peers.len() => peers.remove(who % count).close(),
        Whim::PeerResets(who) if who % count < peers.len() => peers.remove(who % count).reset(),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn handlers_and_peers_may_do_anything_at_any_time(
        asked in prop::collection::vec(whims(), 1..120),
        acted in prop::collection::vec(whims(), 1..120),
        faults in prop::collection::vec(prop::option::weighted(0.1, 0..10_usize), 1..50),
    ) {
        let mut sim = Sim::new();
        sim.kernel.set_buffer(100);
        let _ends = [sim.kernel.standard(0, Device::Pipe), sim.kernel.standard(1, Device::File)];
        let let_go = Rc::<RefCell<BTreeSet<Token>>>::default();
        let mut moody = Moody {
            whims: asked.into_iter(),
            known: vec![sim.cx().listen(AT)],
            let_go: Rc::clone(&let_go),
            paused: BTreeSet::new(),
            behind: BTreeSet::new(),
        };
        let mut handler = Recorder::new(|cx, told| moody.answer(cx, told));
        handler.consume = |bytes| bytes.len() / 2;
        let mut chosen = faults.into_iter().cycle();
        sim.kernel.inject(move |op, _| {
            let number = chosen.next().flatten()?;
            op.errnos().get(number).copied().map(Fault::Fail)
        });
        let mut peers = Vec::new();
        for whim in acted {
            act(&sim, whim, &mut peers);
            sim.tick(&mut handler);
            sim.kernel.advance(Duration::from_millis(20));
        }
        sim.kernel.inject(|_, _| None);
        sim.tick(&mut handler);
        sim.settle(&mut handler);
        for _ in 0..200 {
            for id in handler.alive() {
                sim.cx().close(id);
                let_go.borrow_mut().insert(id);
            }
            sim.pass(&mut handler, FINISH_TIMEOUT);
        }
        prop_assert_eq!(handler.alive(), []);
        sim.cx().set_timer(Timer(0), None);
        sim.assert_clean(&mut handler, 0);
    }
}
