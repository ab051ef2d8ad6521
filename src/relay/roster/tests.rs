//! Subscribers who read and believe what they are told, against who is really there.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroU32;

use proptest::prelude::*;

use super::super::peer::Peers;
use super::super::peer::{Peer, State, User, UserKey};
use super::super::rates::Origin;
use super::*;
use crate::reactor::{Time, Token};
use crate::relay::limits::ROSTER_JOURNAL;
use crate::tokens::Bucket;
use crate::wire::Incoming;

/// A relay's users and their roster, without connections.
struct Room {
    peers: Peers,
    roster: Roster,
    now: Time,
}

impl Room {
    fn new(max_frame: usize) -> Self {
        let now = Time::from_nanos(1_000_000_000);
        Self { peers: Peers::with_capacity(8), roster: Roster::new(max_frame), now }
    }

    fn token(slot: u32) -> Token {
        Token::new(slot, NonZeroU32::MIN)
    }

    fn join(&mut self, slot: u32, name: &str) {
        let name = UserName::new(name);
        let joined = self.roster.came(&name);
        let (key, lookups) = (UserKey::Common, Bucket::default());
        let user = User { name, key, prekey: None, subscriber: Subscriber::None, lookups, joined };
        let address = SocketAddr::from(([0; 4], 0));
        let mut peer = Peer::new(Self::token(slot), address, Origin::EXEMPT);
        peer.state = State::Registered(user);
        self.peers.insert(peer, Time::default());
    }

    fn leave(&mut self, slot: u32) {
        let peer = self.peers.remove(Self::token(slot)).unwrap();
        self.roster.went(peer.user().unwrap().name.clone());
    }

    fn gather(&mut self) {
        self.now = self.now + ROSTER_INTERVAL_MAX;
        self.roster.gather(self.now);
    }

    fn names(&self) -> BTreeSet<String> {
        self.peers.users_from(0).map(|(_, user)| user.name.as_str().to_owned()).collect()
    }
}

/// A client that believes what it is told.
struct Reader {
    subscriber: Subscriber,
    known: BTreeSet<String>,
    frames: usize,
}

impl Reader {
    fn new(mode: RosterMode) -> Self {
        Self { subscriber: Subscriber::new(mode), known: BTreeSet::new(), frames: 0 }
    }

    /// Reads one frame; returns whether there was one.
    fn read(&mut self, room: &mut Room) -> bool {
        let notice = room.roster.next_notice(&mut self.subscriber, &room.peers);
        let Notice::Frame(frame) = notice else { return notice != Notice::Nothing };
        let Some(object) = frame.strip_suffix(b"\n") else { return true };
        assert!(object.len() <= room.roster.max_frame);
        self.frames += 1;
        match Incoming::parse(object).unwrap() {
            Incoming::Userlist { users } => {
                self.known = users.into_iter().map(Into::into).collect();
            }
            Incoming::Roster { joined, left, whole } => {
                if whole {
                    self.known.clear();
                }
                for name in left {
                    self.known.remove(&*name); // it may have gone before it was listed
                }
                for name in joined {
                    assert!(self.known.insert(name.to_string()), "{name} joined twice");
                }
            }
            other => panic!("{other:?}"),
        }
        true
    }

    fn read_all(&mut self, room: &mut Room) {
        while self.read(room) {}
    }
}

#[test]
fn a_newcomer_finds_itself_in_its_first_list_at_once() {
    for mode in [RosterMode::Full, RosterMode::Delta] {
        let mut room = Room::new(1000);
        room.join(3, "alice");
        let mut reader = Reader::new(mode);
        reader.read_all(&mut room);
        assert_eq!((&reader.known, reader.frames), (&room.names(), 1));
        // What it knows already is not told again.
        room.gather();
        reader.read_all(&mut room);
        assert_eq!(reader.frames, 1);
    }
}

#[test]
fn many_changes_are_one_frame_that_all_share() {
    let mut room = Room::new(10_000);
    let mut readers = [(); 3].map(|()| Reader::new(RosterMode::Delta));
    for reader in &mut readers {
        reader.read_all(&mut room);
    }
    for slot in 0..100 {
        room.join(slot, &format!("user{slot}"));
    }
    room.leave(7);
    room.gather();
    let frames = readers.each_mut().map(|reader| {
        match room.roster.next_notice(&mut reader.subscriber, &room.peers) {
            Notice::Frame(frame) => frame,
            other => panic!("{other:?}"),
        }
    });
    assert!(frames.iter().all(|frame| Rc::ptr_eq(frame, &frames[0])));
    assert!(readers.iter().all(|reader| !room.roster.owes(reader.subscriber)));
}

#[test]
fn who_falls_behind_what_is_kept_starts_again() {
    let mut room = Room::new(1000);
    room.join(0, "alice");
    let mut reader = Reader::new(RosterMode::Delta);
    reader.read_all(&mut room);
    for _ in 0..ROSTER_JOURNAL {
        room.join(1, "bob");
        room.leave(1);
    }
    room.join(1, "carol");
    room.gather();
    reader.read_all(&mut room);
    assert_eq!(reader.known, room.names());
    assert_eq!(reader.frames, 2);
}

#[test]
fn a_list_that_does_not_fit_is_told_once() {
    let mut room = Room::new(200);
    room.join(0, "alice");
    let mut subscriber = Subscriber::new(RosterMode::Full);
    let mut next = |room: &mut Room| room.roster.next_notice(&mut subscriber, &room.peers);
    assert!(matches!(next(&mut room), Notice::Frame(_)));
    for slot in 1..100 {
        room.join(slot, "another user");
    }
    room.gather();
    assert_eq!([next(&mut room), next(&mut room)], [Notice::TooLarge, Notice::Nothing]);
    room.join(100, "another user");
    room.gather();
    assert_eq!(next(&mut room), Notice::Nothing);
    (1..101).for_each(|slot| room.leave(slot));
    room.gather();
    assert!(matches!(next(&mut room), Notice::Frame(_)));
}

#[test]
fn the_interval_grows_with_what_rosters_cost() {
    let mut room = Room::new(1000);
    assert_eq!(room.roster.due(), None);
    room.join(0, "alice");
    assert!(room.roster.due().unwrap() < room.now); // a lone change is told at once
    room.gather();
    room.join(1, "bob");
    assert_eq!(room.roster.due(), Some(room.now + ROSTER_INTERVAL_MIN));
    room.roster.spend(usize::try_from(3 * ROSTER_BYTES_PER_SECOND).unwrap());
    assert_eq!(room.roster.due(), Some(room.now + Duration::from_secs(3)));
    room.roster.spend(usize::MAX >> 1);
    assert_eq!(room.roster.due(), Some(room.now + ROSTER_INTERVAL_MAX));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Frames of two or three names, so that lists and batches take several, and readers that stop
    /// anywhere.
    #[test]
    fn every_reader_ends_up_knowing_who_is_there(
        steps in prop::collection::vec((0_u32..12, 0_usize..6), 1..200)
    ) {
        let mut room = Room::new(100);
        let mut readers: Vec<Reader> = Vec::new();
        for (slot, what) in steps {
            let is_there = room.peers.user(Room::token(slot)).is_some();
            match what {
                0 if is_there => room.leave(slot),
                0 | 1 if !is_there => room.join(slot, &format!("user{}", slot % 7 * 1000 + slot)),
                2 => room.gather(),
                3 if readers.len() < 8 => {
                    readers.push(Reader::new(RosterMode::Delta));
                }
                _ if !readers.is_empty() => {
                    let reader = slot as usize % readers.len();
                    readers[reader].read(&mut room);
                }
                _ => {}
            }
        }
        room.gather();
        for mut reader in readers {
            reader.read_all(&mut room);
            prop_assert_eq!(reader.known, room.names());
        }
    }
}

#[test]
fn newcomers_between_two_changes_are_shown_the_same_frames() {
    let mut room = Room::new(100);
    (0..20).for_each(|slot| room.join(slot, &format!("user-{slot}")));
    let mut parts = [(); 2].map(|()| {
        let mut subscriber = Subscriber::new(RosterMode::Delta);
        let mut frames = Vec::new();
        while room.roster.lists(subscriber) {
            let notice = room.roster.next_notice(&mut subscriber, &room.peers);
            let Notice::Frame(frame) = notice else { panic!("a part of the list") };
            frames.push(frame);
        }
        frames
    });
    let [one, other] = &mut parts;
    assert!(one.len() > 2 && one.len() == other.len());
    assert!(one.iter().zip(other).all(|(one, other)| Rc::ptr_eq(one, other)));
}
