//! The roster: who came and who left, and which of these changes each subscriber has not been told
//! yet.
//!
//! Knows names, numbers and the frames made of them; sends nothing (`announce.rs` does).
//!
//! Every arrival and departure is a *change* with a number, and the latest changes are kept. A
//! subscriber is no more than a cursor among them, so a roster costs nothing for whoever is not
//! reading, and nobody's queue has to be searched for something outdated. Changes are *gathered*:
//! subscribers are told of them in batches, each batch encoded once and shared, at an interval that
//! grows with what the last batch cost. So a thousand joins into a room of a thousand cost a few
//! dozen rosters and not a million.

use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use super::changes::{Batch, Changes, Space, listed_len};
use super::limits::{ROSTER_BYTES_PER_SECOND, ROSTER_INTERVAL_MAX, ROSTER_INTERVAL_MIN};
use super::user_name::UserName;
use crate::reactor::Time;
use crate::wire::{ROSTER_OVERHEAD, RosterMode, encode_roster, encode_userlist};

/// Who came and who left, and which of these changes are to be told.
pub(super) struct Roster {
    max_frame: usize,
    changes: Changes,
    /// Changes below this number are to be told.
    gathered: u64,
    gathered_at: Time,
    /// Bytes of rosters sent since then.
    spent: u64,
    /// Bytes that the names of all users take in a list.
    listed: usize,
    /// The whole list as it was before the change with this number.
    userlist: Option<(u64, Rc<[u8]>)>,
    /// Parts of the whole list that was sent last. Subscribers whose list began at the same change
    /// are sent the same frames.
    list: List,
    /// What was gathered last, which nearly every subscriber of changes is waiting for.
    latest: Vec<Batch>,
}

/// The parts so far of the whole list for `delta`, as it was before the change `told`.
#[derive(Default)]
struct List {
    told: u64,
    parts: Vec<ListPart>,
}

/// One frame of it: the users from slot `from` to before `next`.
struct ListPart {
    from: ListPosition,
    next: Option<ListPosition>,
    frame: Rc<[u8]>,
}

/// Which rosters one connection wants, and what it has been told so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subscriber {
    /// Nothing.
    None,
    /// The whole list on each change.
    Full {
        /// Told of all changes below this number.
        told: u64,
        /// Not told of anything yet.
        is_new: bool,
        /// Told that the list is too long.
        warned: bool,
    },
    /// The whole list once, then changes.
    Delta {
        /// Told of all changes below this number.
        told: u64,
        /// In the middle of the whole list, as it was then: the slot from which it goes on.
        listing: Option<ListPosition>,
    },
}

/// Every user has one.
const _: () = assert!(size_of::<Subscriber>() == 16);

/// Those whom the roster lists.
pub(super) trait Listed {
    /// Users from a place on, each with its place and the number of its arrival among all changes:
    /// an order that stays while they stay.
    fn listed_from(&self, place: usize) -> impl Iterator<Item = (usize, &UserName, u64)>;
}

/// A place in the table of connections, kept as its number plus one, so that `Option<ListPosition>`
/// takes no more room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ListPosition(NonZeroU32);

/// What a subscriber is to be told next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// Nothing for now.
    Nothing,
    /// This frame. It is empty where all changes in it cancel out.
    Frame(Rc<[u8]>),
    /// Once, that the list would not fit into a frame.
    TooLarge,
}

impl ListPosition {
    fn new(number: usize) -> Self {
        let above = u32::try_from(number).unwrap_or(u32::MAX).saturating_add(1);
        Self(NonZeroU32::new(above).unwrap_or(NonZeroU32::MAX))
    }

    fn number(self) -> usize {
        self.0.get() as usize - 1
    }
}

impl Subscriber {
    pub(super) fn new(mode: RosterMode) -> Self {
        match mode {
            RosterMode::Full => Self::Full { told: 0, is_new: true, warned: false },
            RosterMode::Delta => Self::Delta { told: 0, listing: Some(ListPosition::new(0)) },
            RosterMode::None => Self::None,
        }
    }
}

impl Roster {
    pub(super) fn new(max_frame: usize) -> Self {
        Self {
            max_frame,
            changes: Changes::default(),
            gathered: 0,
            gathered_at: Time::default(),
            spent: 0,
            listed: 0,
            userlist: None,
            list: List::default(),
            latest: Vec::new(),
        }
    }

    /// A user came. Returns the number of the change.
    pub(super) fn came(&mut self, name: &UserName) -> u64 {
        self.listed += listed_len(name);
        self.changes.push(name.clone(), true)
    }

    /// A user went.
    pub(super) fn went(&mut self, name: UserName) {
        self.listed -= listed_len(&name);
        self.changes.push(name, false);
    }

    /// When subscribers should next be told; none while there is nothing new.
    pub(super) fn due(&self) -> Option<Time> {
        let nanos = u128::from(self.spent) * 1_000_000_000 / u128::from(ROSTER_BYTES_PER_SECOND);
        let paid_off = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let interval = paid_off.clamp(ROSTER_INTERVAL_MIN, ROSTER_INTERVAL_MAX);
        (self.gathered < self.changes.end()).then(|| self.gathered_at + interval)
    }

    /// From now on all changes so far are to be told.
    pub(super) fn gather(&mut self, now: Time) {
        let mut from = self.gathered.max(self.changes.first());
        (self.gathered, self.gathered_at, self.spent) = (self.changes.end(), now, 0);
        self.latest.clear();
        while from < self.gathered {
            let batch = self.changes.encode(from, self.gathered, self.max_frame);
            from = batch.to;
            self.latest.push(batch);
        }
    }

    /// Notes that this many bytes of rosters were sent.
    pub(super) fn spend(&mut self, bytes: usize) {
        self.spent += bytes as u64;
    }

    /// Whether there is something to tell.
    pub(super) fn owes(&self, subscriber: Subscriber) -> bool {
        match subscriber {
            Subscriber::None => false,
            Subscriber::Full { told, is_new, .. } => is_new || told < self.gathered,
            Subscriber::Delta { told, listing } => listing.is_some() || told < self.gathered,
        }
    }

    /// Whether what it is told next is a part of the whole list.
    pub(super) fn lists(&self, subscriber: Subscriber) -> bool {
        let Subscriber::Delta { told, listing } = subscriber else { return false };
        listing.is_some() || told < self.changes.first()
    }

    /// What to tell now; the subscriber then counts as told.
    pub(super) fn next_notice(
        &mut self,
        subscriber: &mut Subscriber,
        users: &impl Listed,
    ) -> Notice {
        if !self.owes(*subscriber) {
            return Notice::Nothing;
        }
        match subscriber {
            Subscriber::None => Notice::Nothing,
            Subscriber::Full { told, is_new, warned } => {
                (*told, *is_new) = (self.changes.end(), false);
                if let Some(list) = self.whole_list(users) {
                    return Notice::Frame(list);
                }
                if std::mem::replace(warned, true) { Notice::Nothing } else { Notice::TooLarge }
            }
            Subscriber::Delta { told, listing } => {
                if *told < self.changes.first() {
                    *listing = Some(ListPosition::new(0)); // it fell behind what is kept
                }
                Notice::Frame(match *listing {
                    Some(slot) => self.part_of_list(told, listing, slot, users),
                    None => self.batch_from(told),
                })
            }
        }
    }

    /// The original's list, the same bytes for all who get it between two changes. `None`: it would
    /// not fit.
    fn whole_list(&mut self, users: &impl Listed) -> Option<Rc<[u8]>> {
        if self.listed + ROSTER_OVERHEAD > self.max_frame {
            return None;
        }
        let end = self.changes.end();
        if let Some((at, list)) = &self.userlist
            && *at == end
        {
            return Some(Rc::clone(list));
        }
        let names: Vec<_> = users.listed_from(0).map(|(_, name, _)| name.json()).collect();
        let list: Rc<[u8]> = encode_userlist(names.iter().map(|name| &**name)).into();
        debug_assert!(list.len() <= self.max_frame + 1, "a line end is no part of the frame");
        self.userlist = Some((end, Rc::clone(&list)));
        Some(list)
    }

    /// One frame of the list as it was when its first frame was made: those who came later are told
    /// of as changes, and so are those who went in the meantime, whether they are in it or not.
    fn part_of_list(
        &mut self,
        told: &mut u64,
        listing: &mut Option<ListPosition>,
        from: ListPosition,
        users: &impl Listed,
    ) -> Rc<[u8]> {
        let is_first = from == ListPosition::new(0);
        if is_first {
            *told = self.changes.end();
        }
        if self.list.told != *told {
            self.list = List { told: *told, parts: Vec::new() };
        }
        let made = self.list.parts.iter().position(|part| part.from == from);
        let place = made.unwrap_or_else(|| {
            let part = self.make_part(*told, from, users);
            self.list.parts.push(part);
            self.list.parts.len() - 1
        });
        let part = &self.list.parts[place];
        *listing = part.next;
        Rc::clone(&part.frame)
    }

    fn make_part(&self, told: u64, from: ListPosition, users: &impl Listed) -> ListPart {
        let mut space = Space::new(self.max_frame);
        let mut names = Vec::new();
        let mut next = None;
        let listed = users.listed_from(from.number()).filter(|(.., joined)| *joined < told);
        for (slot, name, _) in listed {
            if !space.take(name) {
                next = Some(ListPosition::new(slot));
                break;
            }
            names.push(name.json());
        }
        let joined = names.iter().map(|name| &**name);
        let frame = encode_roster(joined, std::iter::empty(), from == ListPosition::new(0)).into();
        ListPart { from, next, frame }
    }

    /// The next changes after `told`.
    fn batch_from(&self, told: &mut u64) -> Rc<[u8]> {
        if let Some(batch) = self.latest.iter().find(|batch| batch.from == *told) {
            *told = batch.to;
            return Rc::clone(&batch.frame);
        }
        // This subscriber came after the last gathering but one, or reads slowly.
        let batch = self.changes.encode(*told, self.gathered, self.max_frame);
        *told = batch.to;
        batch.frame
    }
}

#[cfg(test)]
mod tests;
