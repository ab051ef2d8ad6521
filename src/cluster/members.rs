//! The copy of who is where: names at all relays, ours too.
//!
//! It begins with a snapshot. Of that the lease's answer told the number of the last change before;
//! then the table `where` is read in parts, and then all changes from that number on. What changed
//! while the table was read comes again as a change, so in the end the copy is right whatever the
//! parts had in them. A gap between two changes, or another epoch, means that something was missed:
//! then there is a new snapshot. Until that is whole the old copy stays, so that nobody leaves the
//! roster who is there.
//!
//! Names beyond [`MAX_MEMBERS`] are not in the copy ([`Members::leaves_out`]): the engine is asked
//! for each of them. There is a new snapshot once enough others have left.
//!
//! Users who went all at once (their relay has ended, or a snapshot does not have them) are not
//! found any more from then on, and leave the copy in parts ([`Members::let_go_some`]): 100,000 of
//! them would take a relay half a second. Who comes to another relay meanwhile has not left.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};

use super::frames::{Change, Page};
use super::limits::{MAX_MEMBERS, ROOM_AGAIN};
use super::place::{Incarnation, Place};

/// Who is where.
#[derive(Debug)]
pub struct Members {
    /// How many names there are at most, beside our own.
    most: usize,
    /// The round in which a name had no room last.
    left_out: Option<u32>,
    // A tree and not a hash table: it is never copied to grow, and has one order.
    names: BTreeMap<Box<str>, Entry>,
    epoch: String,
    /// The number of the last change that the copy has.
    number: u64,
    stage: Stage,
    /// Tells what the snapshot under way has seen from what an older one had.
    round: u32,
    /// That of the last snapshot that is whole: who was seen earlier alone is gone.
    whole: u32,
    /// Relays whose users are gone.
    ended: BTreeSet<Incarnation>,
    /// The users of all relays but this one who were seen up to this round are gone.
    alone: Option<(Incarnation, u32)>,
    /// While some who are gone are to leave: the name up to which that is done.
    passed: Option<Box<str>>,
    news: VecDeque<News>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    place: Place,
    round: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// A snapshot has to begin.
    #[default]
    Outdated,
    /// The part with this cursor is missing.
    Scanning(u64),
    /// Changes are awaited.
    Following,
}

/// What changed in the copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A user came.
    Came(Box<str>),
    /// A user went.
    Left(Box<str>),
}

/// What the copy needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A lease's answer, for [`Members::begin`].
    Beginning,
    /// The part of the table with this cursor, for [`Members::scanned`].
    Part(u64),
    /// The changes behind this number, for [`Members::changed`].
    Changes(u64),
}

impl Default for Members {
    fn default() -> Self {
        Self::with_room(MAX_MEMBERS)
    }
}

impl Members {
    /// A copy of at most so many names, which has to begin.
    pub const fn with_room(most: usize) -> Self {
        Self {
            most,
            left_out: None,
            names: BTreeMap::new(),
            epoch: String::new(),
            number: 0,
            stage: Stage::Outdated,
            round: 0,
            whole: 0,
            ended: BTreeSet::new(),
            alone: None,
            passed: None,
            news: VecDeque::new(),
        }
    }

    /// What is to be asked of the engine next.
    pub const fn wanted(&self) -> Wanted {
        match self.stage {
            Stage::Outdated => Wanted::Beginning,
            Stage::Scanning(cursor) => Wanted::Part(cursor),
            Stage::Following => Wanted::Changes(self.number),
        }
    }

    /// Begins a snapshot. `change` was the last change in this epoch, as the engine has just said.
    pub fn begin(&mut self, epoch: &str, change: u64) {
        epoch.clone_into(&mut self.epoch);
        self.number = change;
        self.round += 1;
        self.stage = Stage::Scanning(0);
    }

    /// The connection was lost, or another engine may have taken the place of the old one: what the
    /// copy has may be wrong, and stays until the next snapshot is whole.
    pub const fn outdate(&mut self) {
        self.stage = Stage::Outdated;
    }

    /// Compares with what the engine says of its changes at a renewal of the lease: it may have
    /// been emptied, or have lost the last ones. `known` is what [`number`](Self::number) was when
    /// the renewal was sent; changes that came since may be in the copy and not in the answer.
    pub fn check(&mut self, epoch: &str, change: u64, known: u64) {
        if self.epoch != epoch || change < known {
            self.outdate();
        }
    }

    /// The number of the last change that the copy has.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Takes a part of the table. One that was not asked for is passed over.
    pub fn scanned(&mut self, page: Page) {
        if !matches!(self.stage, Stage::Scanning(_)) {
            return;
        }
        for (name, place) in page.names {
            self.put(name, place);
        }
        self.stage = Stage::Scanning(page.next);
        if page.next == 0 {
            self.whole = self.round;
            self.passed = Some(Box::default());
            self.stage = Stage::Following;
        }
    }

    /// Takes changes, in order. Where one is missing there is a new snapshot.
    pub fn changed(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            if self.stage != Stage::Following || change.number <= self.number {
                continue;
            }
            if change.epoch != self.epoch || change.number != self.number + 1 {
                return self.outdate();
            }
            self.number = change.number;
            match change.place {
                Some(place) => self.put(change.name, place),
                None => {
                    if let Some((name, _)) = self.names.remove_entry(&*change.name) {
                        self.news.push_back(News::Left(name));
                    }
                }
            }
        }
        // Enough have left for those who had no room.
        if self.stage == Stage::Following
            && self.leaves_out()
            && self.names.len() < self.most - self.most / ROOM_AGAIN
        {
            self.outdate();
        }
    }

    /// Whether names are missing in the copy that had no room.
    pub fn leaves_out(&self) -> bool {
        self.left_out.is_some_and(|round| round >= self.whole)
    }

    /// Where a name is.
    pub fn find(&self, name: &str) -> Option<Place> {
        self.names.get(name).filter(|entry| !self.is_gone(entry)).map(|entry| entry.place)
    }

    /// How many names there are, with those that are to leave.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether nobody is.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// All names in order, and where they are or were.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Place)> {
        self.names.iter().map(|(name, entry)| (&**name, entry.place))
    }

    /// Lets the users of a relay go whose lease has ended.
    pub fn drop_relay(&mut self, dead: Incarnation) {
        if self.ended.insert(dead) {
            self.passed = Some(Box::default());
        }
    }

    /// One of our own connections holds a name: the engine has just said so, and its change comes
    /// later.
    pub fn hold(&mut self, name: &str, place: Place) {
        self.put_within(name.to_owned(), place, usize::MAX);
    }

    /// One of our own connections that held a name is gone.
    pub fn let_go(&mut self, name: &str, place: Place) {
        if self.find(name).is_some_and(|known| known.is_same(place))
            && let Some((name, _)) = self.names.remove_entry(name)
        {
            self.news.push_back(News::Left(name));
        }
    }

    /// Lets the users of all other relays go: our own lease has ended, and nothing can be said of
    /// them. Where it is renewed after all, there is a new snapshot.
    pub fn drop_others(&mut self, own: Incarnation) {
        self.outdate();
        self.alone = Some((own, self.round));
        self.passed = Some(Box::default());
    }

    /// Looks at so many names, and lets those leave that are gone. Returns whether more are to be
    /// looked at.
    pub fn let_go_some(&mut self, most: usize) -> bool {
        let Some(passed) = self.passed.take() else { return false };
        let (mut looked_at, mut last, mut gone) = (0, None, Vec::new());
        for (name, entry) in self.names.range::<str, _>((Excluded(&*passed), Unbounded)).take(most)
        {
            (looked_at, last) = (looked_at + 1, Some(name));
            if self.is_gone(entry) {
                gone.push(name.clone());
            }
        }
        self.passed = last.filter(|_| looked_at == most).cloned();
        for name in gone {
            self.names.remove(&name);
            self.news.push_back(News::Left(name));
        }
        if self.passed.is_none() {
            (self.ended, self.alone) = (BTreeSet::new(), None);
        }
        self.passed.is_some()
    }

    /// Whether a user is gone who is still in the copy.
    fn is_gone(&self, entry: &Entry) -> bool {
        let is_others = |(own, round)| entry.place.incarnation != own && entry.round <= round;
        entry.round < self.whole
            || self.ended.contains(&entry.place.incarnation)
            || self.alone.is_some_and(is_others)
    }

    /// The next change of the copy. A user who moved to another place is none.
    pub fn next_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    fn put(&mut self, name: String, place: Place) {
        self.put_within(name, place, self.most);
    }

    fn put_within(&mut self, name: String, place: Place, most: usize) {
        let entry = Entry { place, round: self.round };
        if let Some(known) = self.names.get_mut(&*name) {
            *known = entry;
        } else if self.names.len() >= most {
            self.left_out = Some(self.round);
        } else {
            let name: Box<str> = name.into();
            self.news.push_back(News::Came(name.clone()));
            self.names.insert(name, entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Incarnation = Incarnation([1; 16]);
    const THEIRS: Incarnation = Incarnation([2; 16]);

    fn at(incarnation: Incarnation, session: u64) -> Place {
        Place { incarnation, session, version2: true }
    }

    fn page(next: u64, names: &[(&str, Place)]) -> Page {
        let names = names.iter().map(|(name, place)| ((*name).to_owned(), *place)).collect();
        Page { next, names }
    }

    fn change(number: u64, name: &str, place: Option<Place>) -> Change {
        Change { number, epoch: "e".to_owned(), name: name.to_owned(), place }
    }

    fn news(members: &mut Members) -> Vec<String> {
        let text = |news| match news {
            News::Came(name) => format!("+{name}"),
            News::Left(name) => format!("-{name}"),
        };
        std::iter::from_fn(|| members.next_news().map(text)).collect()
    }

    /// A copy that has alice and bob, up to change 10.
    fn copy() -> Members {
        let mut members = Members::default();
        assert_eq!(members.wanted(), Wanted::Beginning);
        members.begin("e", 10);
        assert_eq!(members.wanted(), Wanted::Part(0));
        members.scanned(page(7, &[("alice", at(OURS, 1))]));
        assert_eq!(members.wanted(), Wanted::Part(7));
        members.scanned(page(0, &[("bob", at(THEIRS, 1)), ("alice", at(OURS, 1))]));
        assert_eq!(members.wanted(), Wanted::Changes(10));
        assert_eq!(news(&mut members), ["+alice", "+bob"]);
        members
    }

    #[test]
    fn it_follows_changes() {
        let mut members = copy();
        members.changed([
            change(10, "alice", None), // it has that already
            change(11, "carol", Some(at(THEIRS, 2))),
            change(12, "bob", None),
            change(13, "alice", Some(at(THEIRS, 3))),
            change(14, "dave", None),
        ]);
        assert_eq!(news(&mut members), ["+carol", "-bob"]);
        assert_eq!(members.find("alice"), Some(at(THEIRS, 3)));
        assert_eq!((members.find("bob"), members.len()), (None, 2));
        assert_eq!(members.wanted(), Wanted::Changes(14));
    }

    #[test]
    fn a_gap_or_another_epoch_is_a_new_snapshot() {
        let other = Change { epoch: "f".to_owned(), ..change(11, "bob", None) };
        for missed in [change(12, "bob", None), other] {
            let mut members = copy();
            members.changed([missed, change(11, "alice", None)]);
            assert_eq!(members.wanted(), Wanted::Beginning);
            assert_eq!(members.len(), 2, "the old copy stays");
        }
        for (epoch, change, is_fine) in
            [("e", 10, true), ("e", 12, true), ("e", 9, false), ("f", 10, false)]
        {
            let mut members = copy();
            members.check(epoch, change, members.number());
            assert_eq!(members.wanted() == Wanted::Changes(10), is_fine);
        }
    }

    #[test]
    fn a_change_that_overtook_the_answer_to_a_renewal_is_no_fault() {
        let mut members = copy();
        let known = members.number();
        members.changed([change(11, "carol", Some(at(THEIRS, 2)))]);
        members.check("e", 10, known);
        assert_eq!(members.wanted(), Wanted::Changes(11));
    }

    #[test]
    fn a_new_snapshot_tells_only_what_differs() {
        let mut members = copy();
        members.outdate();
        members.begin("f", 3);
        members.scanned(page(0, &[("bob", at(OURS, 9)), ("carol", at(OURS, 2))]));
        assert_eq!(members.find("alice"), None, "it is not found, and leaves soon");
        assert!(!members.let_go_some(10));
        assert_eq!(news(&mut members), ["+carol", "-alice"]);
        assert_eq!(members.find("bob"), Some(at(OURS, 9)));
        assert_eq!(members.wanted(), Wanted::Changes(3));
    }

    #[test]
    fn names_that_have_no_room_are_told_and_come_once_there_is_some() {
        let mut members = Members::with_room(1);
        members.begin("e", 10);
        members.scanned(page(0, &[("alice", at(THEIRS, 1)), ("bob", at(THEIRS, 2))]));
        members.hold("carol", at(OURS, 1));
        assert_eq!(news(&mut members), ["+alice", "+carol"], "our own have room");
        assert!(members.leaves_out() && members.find("bob").is_none());
        members.changed([change(11, "carol", None)]);
        assert_eq!(members.wanted(), Wanted::Changes(11), "alice takes the only place");
        members.changed([change(12, "alice", None)]);
        assert_eq!(members.wanted(), Wanted::Beginning);
        members.begin("e", 12);
        members.scanned(page(0, &[("bob", at(THEIRS, 2))]));
        assert!(!members.leaves_out());
        assert_eq!(news(&mut members), ["-carol", "-alice", "+bob"]);
    }

    #[test]
    fn a_copy_that_has_let_the_others_go_is_made_anew() {
        let mut members = copy();
        members.drop_others(OURS);
        assert_eq!(members.wanted(), Wanted::Beginning);
        members.begin("e", 10);
        members.scanned(page(1, &[("carol", at(THEIRS, 2))]));
        assert_eq!((members.find("bob"), members.find("carol")), (None, Some(at(THEIRS, 2))));
        assert!(!members.let_go_some(10));
        assert_eq!(news(&mut members), ["+carol", "-bob"]);
        members.scanned(page(0, &[("alice", at(OURS, 1)), ("bob", at(THEIRS, 1))]));
        assert!(!members.let_go_some(10));
        assert_eq!(news(&mut members), ["+bob"]);
    }

    #[test]
    fn the_users_of_a_relay_that_ended_leave_once() {
        let mut members = copy();
        members.drop_relay(THEIRS);
        assert_eq!(members.find("bob"), None);
        assert!(!members.let_go_some(10));
        assert_eq!(news(&mut members), ["-bob"]);
        members.changed([change(11, "bob", None)]);
        assert!(news(&mut members).is_empty());
    }

    #[test]
    fn users_of_a_relay_that_ended_leave_in_parts_but_for_those_who_come_elsewhere() {
        let mut members = copy();
        let names = ["carol", "dave", "eve", "frank"];
        let changes =
            (11..).zip(names).map(|(number, name)| change(number, name, Some(at(THEIRS, number))));
        members.changed(changes);
        news(&mut members);
        members.drop_relay(THEIRS);
        let another = Incarnation([3; 16]);
        assert!(members.let_go_some(3));
        assert_eq!(news(&mut members), ["-bob", "-carol"]);
        assert!(names.iter().all(|name| members.find(name).is_none()));
        // One who has left comes again, one who is to leave comes elsewhere, one of them here.
        let come = [(15, "bob"), (16, "eve")];
        members.changed(come.map(|(number, name)| change(number, name, Some(at(another, number)))));
        members.hold("frank", at(OURS, 2));
        assert_eq!(news(&mut members), ["+bob"]);
        assert!(members.let_go_some(1));
        assert_eq!(news(&mut members), ["-dave"]);
        // What the engine says of their old places comes too late.
        members.changed([change(17, "dave", None)]);
        while members.let_go_some(3) {}
        assert!(news(&mut members).is_empty());
        assert_eq!(members.find("eve"), Some(at(another, 16)));
        assert_eq!(members.find("frank"), Some(at(OURS, 2)));
        assert_eq!(members.len(), 4);
    }
}
