//! The roster: who came and who went, and what of it each receiver has still to be told.
//!
//! Knows names, numbers and the frames made of them; sends nothing (`announce.rs` does).
//!
//! Every arrival and departure is a *change* with a number, and the latest changes are kept. A receiver is no
//! more than a cursor among them, so a roster costs nothing for whoever is not reading, and nobody's queue has
//! to be searched for something outdated. Changes are *gathered*: receivers are told of them in batches, each
//! batch encoded once and shared, at an interval that grows with what the last batch cost. So a thousand joins
//! into a room of a thousand cost a few dozen rosters and not a million.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use super::peer::Peers;
use super::user_name::UserName;
use crate::limits::{
    ROSTER_BYTES_PER_SECOND, ROSTER_INTERVAL_MAX, ROSTER_INTERVAL_MIN, ROSTER_JOURNAL,
};
use crate::reactor::Time;
use crate::wire::{ROSTER_OVERHEAD, RosterMode, encode_roster, encode_userlist};

/// All changes, and who is to hear of them.
pub(super) struct Roster {
    max_frame: usize,
    /// The latest changes, oldest first.
    changes: VecDeque<Change>,
    /// The number of the first of them.
    first: u64,
    /// Changes below this number are told.
    gathered: u64,
    gathered_at: Time,
    /// Bytes of rosters sent since then.
    spent: u64,
    /// Bytes that the names of all users take in a list.
    listed: usize,
    /// The whole list as it was before the change with this number.
    userlist: Option<(u64, Rc<[u8]>)>,
    /// The batch that was gathered last, which nearly every receiver of changes is waiting for.
    batch: Vec<Batch>,
}

struct Change {
    name: UserName,
    came: bool,
}

/// The changes from one number up to another, as a frame.
struct Batch {
    from: u64,
    to: u64,
    frame: Rc<[u8]>,
}

/// What one connection wants to be told, and how far that has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receiver {
    /// Nothing.
    None,
    /// The whole list on each change.
    Full {
        /// Told of all changes below this number; none, if of nothing yet.
        told: Option<u64>,
        /// Told that the list is too long.
        warned: bool,
    },
    /// The whole list once, then changes.
    Delta {
        /// Told of all changes below this number.
        told: u64,
        /// In the middle of the whole list, as it was then: the slot from which it goes on.
        listing: Option<usize>,
    },
}

/// What a receiver is to be told next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// Nothing for now.
    Nothing,
    /// This frame. It is empty where all changes in it cancel out.
    Frame(Rc<[u8]>),
    /// Once, that the list would not fit into a frame.
    TooLarge,
}

impl Receiver {
    pub(super) fn new(mode: RosterMode) -> Self {
        match mode {
            RosterMode::Full => Self::Full { told: None, warned: false },
            RosterMode::Delta => Self::Delta { told: 0, listing: Some(0) },
            RosterMode::None => Self::None,
        }
    }
}

impl Roster {
    pub(super) fn new(max_frame: usize) -> Self {
        Self {
            max_frame,
            changes: VecDeque::new(),
            first: 0,
            gathered: 0,
            gathered_at: Time::default(),
            spent: 0,
            listed: 0,
            userlist: None,
            batch: Vec::new(),
        }
    }

    /// A user came. Returns the number of the change.
    pub(super) fn came(&mut self, name: &UserName) -> u64 {
        self.listed += listed_len(name);
        self.change(Change { name: name.clone(), came: true })
    }

    /// A user went.
    pub(super) fn went(&mut self, name: UserName) {
        self.listed -= listed_len(&name);
        self.change(Change { name, came: false });
    }

    /// When receivers should next be told; none while there is nothing new.
    pub(super) fn due(&self) -> Option<Time> {
        let nanos = u128::from(self.spent) * 1_000_000_000 / u128::from(ROSTER_BYTES_PER_SECOND);
        let paid_off = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let interval = paid_off.clamp(ROSTER_INTERVAL_MIN, ROSTER_INTERVAL_MAX);
        (self.gathered < self.end()).then(|| self.gathered_at + interval)
    }

    /// From now on all changes so far are due to every receiver.
    pub(super) fn gather(&mut self, now: Time) {
        let mut from = self.gathered.max(self.first);
        (self.gathered, self.gathered_at, self.spent) = (self.end(), now, 0);
        self.batch.clear();
        while from < self.gathered {
            let batch = self.encode_changes(from);
            from = batch.to;
            self.batch.push(batch);
        }
    }

    /// Notes that this many bytes of rosters were sent.
    pub(super) fn spend(&mut self, bytes: usize) {
        self.spent += bytes as u64;
    }

    /// Whether there is something to tell.
    pub(super) fn owes(&self, receiver: Receiver) -> bool {
        match receiver {
            Receiver::None => false,
            Receiver::Full { told, .. } => told.is_none_or(|told| told < self.gathered),
            Receiver::Delta { told, listing } => listing.is_some() || told < self.gathered,
        }
    }

    /// What to tell now; the receiver then counts as told.
    pub(super) fn next_notice(&mut self, receiver: &mut Receiver, peers: &Peers) -> Notice {
        if !self.owes(*receiver) {
            return Notice::Nothing;
        }
        match receiver {
            Receiver::None => Notice::Nothing,
            Receiver::Full { told, warned } => {
                *told = Some(self.end());
                if let Some(list) = self.whole_list(peers) {
                    return Notice::Frame(list);
                }
                if std::mem::replace(warned, true) { Notice::Nothing } else { Notice::TooLarge }
            }
            Receiver::Delta { told, listing } => {
                if *told < self.first {
                    *listing = Some(0); // it fell behind what is kept
                }
                match *listing {
                    Some(slot) => self.part_of_list(told, listing, slot, peers),
                    None => self.batch_from(told),
                }
            }
        }
    }

    /// The original's list, the same bytes for all who get it between two changes. `None`: it would not fit.
    fn whole_list(&mut self, peers: &Peers) -> Option<Rc<[u8]>> {
        if self.listed + ROSTER_OVERHEAD > self.max_frame {
            return None;
        }
        let end = self.end();
        if let Some((at, list)) = &self.userlist
            && *at == end
        {
            return Some(Rc::clone(list));
        }
        let names: Vec<_> = peers.users_from(0).map(|(_, user)| user.name.json()).collect();
        let list: Rc<[u8]> = encode_userlist(names.iter().map(|name| &**name)).into();
        debug_assert!(list.len() <= self.max_frame + 1, "a line end is no part of the frame");
        self.userlist = Some((end, Rc::clone(&list)));
        Some(list)
    }

    /// One frame of the list as it was when its first frame was made: those who came later are told of as
    /// changes, and those who went in the meantime are left out, and told of as changes too.
    fn part_of_list(
        &self,
        told: &mut u64,
        listing: &mut Option<usize>,
        slot: usize,
        peers: &Peers,
    ) -> Notice {
        let is_first = slot == 0;
        if is_first {
            *told = self.end();
        }
        let mut room = Room::new(self.max_frame);
        let mut names = Vec::new();
        *listing = None;
        for (slot, user) in peers.users_from(slot).filter(|(_, user)| user.joined < *told) {
            if !room.take(&user.name) {
                *listing = Some(slot);
                break;
            }
            names.push(user.name.json());
        }
        let joined = names.iter().map(|name| &**name);
        Notice::Frame(encode_roster(joined, std::iter::empty(), is_first).into())
    }

    fn batch_from(&self, told: &mut u64) -> Notice {
        if let Some(batch) = self.batch.iter().find(|batch| batch.from == *told) {
            *told = batch.to;
            return Notice::Frame(Rc::clone(&batch.frame));
        }
        let batch = self.encode_changes(*told); // it came since the last batch, or reads slowly
        *told = batch.to;
        Notice::Frame(batch.frame)
    }

    /// The changes from this number on that were gathered and fit into a frame, each name with what it comes to:
    /// who was there before and is there after has left and joined.
    fn encode_changes(&self, from: u64) -> Batch {
        let mut room = Room::new(self.max_frame);
        let mut to = from;
        let mut net: BTreeMap<&str, (bool, bool, Cow<'_, str>)> = BTreeMap::new();
        let skipped = usize::try_from(from - self.first).unwrap_or(usize::MAX);
        for change in self.changes.iter().skip(skipped) {
            if to == self.gathered || !room.take(&change.name) {
                break;
            }
            to += 1;
            let was_there = !change.came;
            net.entry(change.name.as_str())
                .or_insert_with(|| (was_there, change.came, change.name.json()))
                .1 = change.came;
        }
        let joined = net.values().filter(|(_, is_there, _)| *is_there).map(|(_, _, json)| &**json);
        let left = net.values().filter(|(was_there, _, _)| *was_there).map(|(_, _, json)| &**json);
        let changed = joined.clone().next().or(left.clone().next()).is_some();
        let frame = if changed { encode_roster(joined, left, false) } else { Vec::new() };
        Batch { from, to, frame: frame.into() }
    }

    /// The number of the next change.
    fn end(&self) -> u64 {
        self.first + self.changes.len() as u64
    }

    fn change(&mut self, change: Change) -> u64 {
        if self.changes.len() == ROSTER_JOURNAL {
            self.changes.pop_front();
            self.first += 1;
        }
        self.changes.push_back(change);
        self.end() - 1
    }
}

/// What a roster frame has left for names.
struct Room {
    left: usize,
    is_empty: bool,
}

impl Room {
    fn new(max_frame: usize) -> Self {
        Self { left: max_frame.saturating_sub(ROSTER_OVERHEAD), is_empty: true }
    }

    /// Takes the room of `name`, if there is. There is always room for one: a frame too long is better than a list
    /// that never ends, and no sensible limit is as small as that.
    fn take(&mut self, name: &UserName) -> bool {
        let len = listed_len(name);
        if len > self.left && !self.is_empty {
            return false;
        }
        self.left = self.left.saturating_sub(len);
        self.is_empty = false;
        true
    }
}

/// What a name takes in a list: itself as a JSON string, a comma and a space.
fn listed_len(name: &UserName) -> usize {
    name.json().len() + 2
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::SocketAddr;
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::super::peer::{KeyText, Peer, State, User};
    use super::*;
    use crate::reactor::Token;
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
            Self { peers: Peers::default(), roster: Roster::new(max_frame), now }
        }

        fn token(slot: u32) -> Token {
            Token::new(slot, NonZeroU32::MIN)
        }

        fn join(&mut self, slot: u32, name: &str) {
            let name = UserName::new(name);
            let joined = self.roster.came(&name);
            let key = KeyText::AsWritten("".into());
            let user = User { name, key, prekey: None, receiver: Receiver::None, joined };
            let mut peer = Peer::new(Self::token(slot), SocketAddr::from(([0; 4], 0)));
            peer.state = State::Registered(user);
            self.peers.insert(peer);
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
        receiver: Receiver,
        known: BTreeSet<String>,
        frames: usize,
    }

    impl Reader {
        fn new(mode: RosterMode) -> Self {
            Self { receiver: Receiver::new(mode), known: BTreeSet::new(), frames: 0 }
        }

        /// Reads one frame; returns whether there was one.
        fn read(&mut self, room: &mut Room) -> bool {
            let notice = room.roster.next_notice(&mut self.receiver, &room.peers);
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
        readers.iter_mut().for_each(|reader| reader.read_all(&mut room));
        for slot in 0..100 {
            room.join(slot, &format!("user{slot}"));
        }
        room.leave(7);
        room.gather();
        let frames = readers.each_mut().map(|reader| {
            match room.roster.next_notice(&mut reader.receiver, &room.peers) {
                Notice::Frame(frame) => frame,
                other => panic!("{other:?}"),
            }
        });
        assert!(frames.iter().all(|frame| Rc::ptr_eq(frame, &frames[0])));
        assert!(readers.iter().all(|reader| !room.roster.owes(reader.receiver)));
    }

    #[test]
    fn a_name_that_came_back_left_and_joined() {
        let mut room = Room::new(1000);
        room.join(1, "bob");
        let mut reader = Reader::new(RosterMode::Delta);
        reader.read_all(&mut room);
        room.leave(1);
        room.join(2, "bob");
        room.gather();
        let Notice::Frame(frame) = room.roster.next_notice(&mut reader.receiver, &room.peers)
        else {
            panic!()
        };
        let expected = r#"{"action": "roster", "joined": ["bob"], "left": ["bob"]}"#;
        assert_eq!(std::str::from_utf8(&frame).unwrap().trim_end(), expected);
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
        let mut receiver = Receiver::new(RosterMode::Full);
        let mut next = |room: &mut Room| room.roster.next_notice(&mut receiver, &room.peers);
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
        /// Frames of two or three names, so that lists and batches take several, and readers that stop anywhere.
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
}
