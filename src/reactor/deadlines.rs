//! Deadlines: one queue for each kind, each in the order in which its deadlines began.
//!
//! All deadlines of one kind take equally long, so whichever began first ends first: the queue is
//! sorted by itself, the next to pass stands at its front, and beginning, ending and passing take
//! constant time. (A heap or a timer wheel buys arbitrary durations, which nothing here needs;
//! Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", 1987, scheme 1 for equal
//! intervals.)
//!
//! The queues are doubly linked lists through one slab, so that a deadline that ends early leaves
//! from the middle: connections that begin and end one with each frame leave nothing behind.
//!
//! A process that was stopped (`SIGSTOP`), or did not get the processor, finds that instants have
//! passed, while bytes that others sent in time still wait in the kernel. So there is one rule for
//! all deadlines and timers: *they are told when all that was ready at their instant has been
//! dispatched.* The [`Horizon`] keeps the instant up to which that is so. It costs a wait that does
//! not sleep for each instant at which something is due: the loop sleeps until then, and asks once
//! more before it tells.

use std::time::Duration;

use super::limits;
use super::slab::{Slab, Token};
use super::sys::Time;
use super::{Config, Timeout};

/// What a deadline is for: the first three are told to the handler, the last is the reactor's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Handshake,
    Frame,
    Write,
    /// `Closing` and `Lingering` together last so long at most.
    Finish,
}

impl Kind {
    pub(crate) const COUNT: usize = 4;
    pub(crate) const ALL: [Self; Self::COUNT] =
        [Self::Handshake, Self::Frame, Self::Write, Self::Finish];

    /// What the handler is told when it passes; of the reactor's own: nothing.
    pub(crate) const fn timeout(self) -> Option<Timeout> {
        match self {
            Self::Handshake => Some(Timeout::Handshake),
            Self::Frame => Some(Timeout::Frame),
            Self::Write => Some(Timeout::Write),
            Self::Finish => None,
        }
    }

    const fn length(self, config: &Config) -> Duration {
        match self {
            Self::Handshake => config.handshake_timeout,
            Self::Frame => config.frame_timeout,
            Self::Write => config.write_timeout,
            Self::Finish => config.finish_timeout,
        }
    }
}

/// All deadlines that run.
pub(crate) struct Deadlines {
    queues: [Queue; Kind::COUNT],
    entries: Slab<Entry>,
}

/// One deadline of one source; who began it keeps this to end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeadlineId(Token);

struct Queue {
    length: Duration,
    first: Option<Token>,
    last: Option<Token>,
}

struct Entry {
    owner: Token,
    until: Time,
    before: Option<Token>,
    after: Option<Token>,
}

impl Deadlines {
    /// A queue for each kind, with the lengths and for the number of sources that `config` has.
    pub(crate) fn new(config: &Config) -> Self {
        let queue = |kind: Kind| Queue { length: kind.length(config), first: None, last: None };
        // Of a source that is being closed only the last kind runs, of any other the three before.
        let most = config.max_sources.saturating_mul(Kind::COUNT - 1);
        Self { queues: Kind::ALL.map(queue), entries: Slab::with_capacity(most) }
    }

    /// A deadline of `owner` begins. `now` never goes back, which keeps the queue sorted.
    pub(crate) fn begin(&mut self, kind: Kind, owner: Token, now: Time) -> DeadlineId {
        let queue = &mut self.queues[kind as usize];
        let until = now + queue.length;
        let before = queue.last;
        let id = self.entries.insert(Entry { owner, until, before, after: None });
        queue.last = Some(id);
        match before.and_then(|last| self.entries.get_mut(last)) {
            Some(last) => {
                debug_assert!(last.until <= until);
                last.after = Some(id);
            }
            None => queue.first = Some(id),
        }
        DeadlineId(id)
    }

    /// The deadline does not count any more. One that has passed has ended already.
    pub(crate) fn end(&mut self, kind: Kind, DeadlineId(id): DeadlineId) {
        let Some(entry) = self.entries.remove(id) else { return };
        let queue = &mut self.queues[kind as usize];
        match entry.before.and_then(|before| self.entries.get_mut(before)) {
            Some(before) => before.after = entry.after,
            None => queue.first = entry.after,
        }
        match entry.after.and_then(|after| self.entries.get_mut(after)) {
            Some(after) => after.before = entry.before,
            None => queue.last = entry.before,
        }
    }

    /// The deadline of `owner`, which has passed, passes again at `now`, before all others. (Of
    /// those, some may be due a little earlier, and are told with it.)
    pub(crate) fn put_back(&mut self, kind: Kind, owner: Token, now: Time) -> DeadlineId {
        let queue = &mut self.queues[kind as usize];
        let after = queue.first;
        let id = self.entries.insert(Entry { owner, until: now, before: None, after });
        queue.first = Some(id);
        match after.and_then(|first| self.entries.get_mut(first)) {
            Some(first) => first.before = Some(id),
            None => queue.last = Some(id),
        }
        DeadlineId(id)
    }

    /// How many run.
    pub(crate) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// The next instant at which one passes.
    pub(crate) fn next(&self) -> Option<Time> {
        self.fronts().map(|(_, entry)| entry.until).min()
    }

    /// When this one passes, unless it ends before.
    pub(crate) fn due(&self, DeadlineId(id): DeadlineId) -> Option<Time> {
        self.entries.get(id).map(|entry| entry.until)
    }

    /// Takes out one deadline that has passed, and tells its kind and whose it was.
    pub(crate) fn pop_expired(&mut self, now: Time) -> Option<(Kind, Token)> {
        let (kind, owner) = self
            .fronts()
            .find(|(_, entry)| entry.until <= now)
            .map(|(kind, entry)| (kind, entry.owner))?;
        let id = self.queues[kind as usize].first?;
        self.end(kind, DeadlineId(id));
        Some((kind, owner))
    }

    fn fronts(&self) -> impl Iterator<Item = (Kind, &Entry)> {
        Kind::ALL.into_iter().filter_map(|kind| {
            let first = self.queues[kind as usize].first?;
            Some((kind, self.entries.get(first)?))
        })
    }
}

/// The instant up to which the loop has seen everything: what was ready then has been dispatched.
#[derive(Default)]
pub(crate) struct Horizon {
    seen: Time,
    /// While the kernel has more to tell than one wait brings: when that began, and how many
    /// sources may have been ready then and not told yet.
    round: Option<(Time, usize)>,
}

impl Horizon {
    /// Up to this instant everything has been seen.
    pub(crate) const fn seen(&self) -> Time {
        self.seen
    }

    /// The kernel was asked at the instant `asked` or later, and told of `events` of the `sources`
    /// that there are. (A wait that was interrupted has told nothing, and is not reported here.)
    ///
    /// The kernel's list is a queue: a source that was returned and is still ready goes to its end.
    /// So after as many events as there were sources, every source that was ready when the round
    /// began has been returned, however busy the others are.
    pub(crate) fn looked(&mut self, asked: Time, events: usize, sources: usize) {
        let (began, untold) = self.round.take().unwrap_or((asked, sources));
        let untold = untold.saturating_sub(events);
        if events < limits::EVENTS_PER_TICK {
            self.seen = asked;
        } else if untold == 0 {
            self.seen = began;
        } else {
            self.round = Some((began, untold));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    const SHORT: Kind = Kind::Handshake;
    const LONG: Kind = Kind::Frame;

    fn owner(slot: u32) -> Token {
        Token::new(slot, NonZeroU32::MIN)
    }

    fn seconds(seconds: u64) -> Time {
        Time::from_nanos(seconds * 1_000_000_000)
    }

    fn deadlines() -> Deadlines {
        Deadlines::new(&Config {
            handshake_timeout: Duration::from_secs(1),
            frame_timeout: Duration::from_secs(10),
            ..Config::default()
        })
    }

    #[test]
    fn they_pass_in_the_order_of_their_instants() {
        let mut deadlines = deadlines();
        deadlines.begin(LONG, owner(1), seconds(0));
        deadlines.begin(SHORT, owner(2), seconds(1));
        deadlines.begin(SHORT, owner(3), seconds(2));
        assert_eq!(deadlines.next(), Some(seconds(2)));
        assert_eq!(deadlines.pop_expired(seconds(2)), Some((SHORT, owner(2))));
        assert_eq!(deadlines.pop_expired(seconds(2)), None);
        assert_eq!(deadlines.pop_expired(seconds(10)), Some((SHORT, owner(3))));
        assert_eq!(deadlines.pop_expired(seconds(10)), Some((LONG, owner(1))));
        assert_eq!((deadlines.next(), deadlines.len()), (None, 0));
    }

    #[test]
    fn one_can_end_at_the_front_in_the_middle_and_at_the_back() {
        for ended in 0..3 {
            let mut deadlines = deadlines();
            let owners: Vec<_> = (0..3).map(owner).collect();
            let ids: Vec<_> =
                owners.iter().map(|&owner| deadlines.begin(SHORT, owner, seconds(0))).collect();
            deadlines.end(SHORT, ids[ended]);
            deadlines.end(SHORT, ids[ended]); // twice is once
            let left =
                std::iter::from_fn(|| deadlines.pop_expired(seconds(1))).map(|(_, owner)| owner);
            let expected: Vec<_> = (0..3).filter(|&i| i != ended).map(|i| owners[i]).collect();
            assert_eq!(left.collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn the_horizon_moves_with_a_list_that_ends_and_with_a_whole_round() {
        const FULL: usize = limits::EVENTS_PER_TICK;
        let at = Time::from_nanos;
        let mut horizon = Horizon::default();
        // When asked, how many events of how many sources, and what has been seen then.
        let looks = [
            (10, 3, 9, 10),
            (20, FULL, 3 * FULL, 10),
            (30, FULL, 9 * FULL, 10), // newcomers were not ready when the round began
            (40, FULL, 9 * FULL, 20),
            (50, FULL, 2 * FULL, 20),
            (60, FULL - 1, 2 * FULL, 60),
            (70, FULL, FULL, 70),
        ];
        for (asked, events, sources, seen) in looks {
            horizon.looked(at(asked), events, sources);
            assert_eq!(horizon.seen, at(seen), "asked at {asked}");
        }
    }
}
