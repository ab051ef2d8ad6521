//! Alice: the client as a view drives it, and what she was told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use sealwax::client::{
    Channel, Client, ClientUser, Event, Mark, MemoryLetters, MemoryPins, Parts, PeerPin, PinBook,
    Receipt, RelayFingerprint, RelayPin, Settings, Trust,
};
use sealwax::reactor::{Context, Sys, Timer};
use sealwax::tls::ClientTls;
use sealwax::wire::RosterMode;

use super::super::kernel::Kernel;
use super::super::opening::ALICE;
use super::super::vault::FakeVault;
use super::friend::Friend;

pub(crate) const ME: &str = "alice";
/// The relay's key that is pinned.
pub(crate) const PINNED: [u8; 32] = [5; 32];
/// The wall clock when the machine starts, in milliseconds since 1970.
pub(crate) const START_MS: u64 = 1_800_000_000_000;
const TIMER: Timer = Timer(0);

/// Alice.
pub(crate) struct Alice {
    pub(crate) client: Client,
    /// Texts that were told and not looked at, and all that were.
    pub(crate) messages: Vec<(String, String, Trust)>,
    pub(crate) told: BTreeSet<(String, String)>,
    /// Whether standard output takes what is written.
    pub(crate) shows: bool,
    unshown: Vec<Receipt>,
    /// Her own texts, and to whom.
    pub(crate) said: BTreeMap<String, &'static str>,
    /// Those that were told to be delivered and not looked at, and all that are settled.
    pub(crate) confirmed: Vec<(String, String)>,
    pub(crate) settled: BTreeSet<String>,
    pub(crate) is_over: bool,
}

impl Alice {
    /// In a process of this machine; she knows the relay at `at`, and `friend`.
    pub(crate) fn new(kernel: &Kernel, at: SocketAddr, friend: &Friend, is_tls: bool) -> Self {
        let settings = Settings {
            name: ME.to_owned(),
            relay: at.to_string(),
            roster: RosterMode::Delta,
            strict: false,
            waits_for_absent: false,
            letterbox: None,
            every_warning: false,
            keys: "sealwax keys".to_owned(),
            timer: TIMER,
        };
        let (peers, relays) = (MemoryPins::default(), MemoryPins::default());
        let mut book = PinBook::<PeerPin>::new(Box::new(peers.clone()));
        let fp = friend.key().fingerprint();
        let pinned = book.change(|file| {
            file.accept(friend.name, fp, START_MS);
            file.mark_verified(friend.name, fp)
        });
        assert_eq!(pinned, Ok(true));
        let mut book = PinBook::<RelayPin>::new(Box::new(relays.clone()));
        let relay = RelayPin { address: at.to_string(), key: RelayFingerprint(PINNED) };
        assert_eq!(book.change(|file| file.set(relay)), Ok(()));
        // What a machine on the way does to TLS is no reason to give up.
        let marks = MemoryPins::default();
        if is_tls {
            let mut book = PinBook::<Mark>::new(Box::new(marks.clone()));
            assert_eq!(book.change(|file| file.set(Mark::tls(at.to_string()))), Ok(()));
        }
        let mut clock = kernel.clone();
        let parts = Parts {
            vault: Box::new(FakeVault::new(ALICE.clone())),
            peers: Box::new(peers),
            relays: Box::new(relays),
            channel: if is_tls { tls() } else { Channel::plain() },
            marks: Box::new(marks),
            letters: Box::new(MemoryLetters::default()),
            wall: Box::new(move || START_MS + clock.now().as_nanos() / 1_000_000),
            resolve: Box::new(move |_: &str| Ok(vec![at])),
        };
        Self {
            client: Client::new(settings, parts),
            messages: Vec::new(),
            told: BTreeSet::new(),
            shows: true,
            unshown: Vec::new(),
            said: BTreeMap::new(),
            confirmed: Vec::new(),
            settled: BTreeSet::new(),
            is_over: false,
        }
    }
}

fn tls() -> Channel {
    let Ok(tls) = ClientTls::bound() else { panic!("no settings") };
    Channel::bound(Box::new(move || tls.engine()))
}

impl ClientUser for Alice {
    fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    fn take_events(&mut self, _cx: &mut Context) {
        while let Some(event) = self.client.next_event() {
            assert!(!self.is_over, "told after the end: {event:?}");
            match event {
                Event::Message { from, text, trust, receipt, .. } => {
                    self.messages.push((from, text, trust));
                    self.unshown.push(receipt);
                }
                Event::Delivered { id, to, .. } => self.confirmed.push((id, to)),
                Event::Failed { id, .. } => {
                    assert!(self.settled.insert(id), "settled twice");
                }
                Event::Closed { .. } => self.is_over = true,
                _ => {}
            }
        }
        if self.shows {
            self.unshown.drain(..).for_each(|receipt| self.client.shown(receipt));
        }
    }
}
