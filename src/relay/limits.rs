//! Every bound of the relay, with its unit and its reason: those that are fixed, and those that an
//! operator may set ([`RelayConfig`]).
//!
//! How long a registration, a frame and a reader may take is the reactor's
//! [`Config`](crate::reactor::Config).

use std::num::NonZeroU16;
use std::time::Duration;

pub use crate::limits::{
    BOX_BYTES, BOX_LETTERS, FULL_OF, FULL_UNTIL, LETTER_KEY_GRACE, MAX_BOUND_NAMES, SENDER_BYTES,
    STRANGER_LETTERS, UPKEEP_LETTERS, WRITTEN_KEPT,
};

use crate::limits::MAX_FRAME;
use crate::reactor::limits::{HANDSHAKE_TIMEOUT, TURNED_AWAY_PER_TICK};

/// The longest frame of a connection that has not registered yet, in bytes: a stranger gets less.
pub const MAX_FRAME_UNREGISTERED: usize = 8 * 1024;
/// Bytes that one read brings of a connection that has not registered, and that are kept of it.
pub const READ_UNREGISTERED: NonZeroU16 = NonZeroU16::new(8 * 1024).unwrap();
/// The most connections that a relay accepts, unless `--max-connections` says otherwise.
pub const MAX_CONNECTIONS: usize = 100_000;
/// Descriptors kept beside those of connections: standard streams, epoll, signals, listeners, the
/// store, the reserve, and newcomers who are turned away.
pub const SPARE_DESCRIPTORS: usize = 24 + TURNED_AWAY_PER_TICK;
/// A relay for which fewer connections than these are left cannot serve: one writes, one reads.
pub const LEAST_CONNECTIONS: usize = 2;
/// What a connection takes of memory, in bytes, and its user with a key, a prekey (1,184 bytes of
/// it are its ML-KEM key) and a name, and the letters that it was delivered and has not
/// acknowledged; frames on their way in and out are counted in [`INBOX_COMMON`] and
/// [`OUTBOX_COMMON`].
///
/// [`INBOX_COMMON`]: crate::reactor::limits::INBOX_COMMON
pub const CONNECTION_BYTES: usize = 4 * 1024;
/// What a connection that speaks TLS takes beside that, in bytes: keys, states, and one buffer of
/// 4 KiB.
pub const TLS_CONNECTION_BYTES: usize = 8 * 1024;
/// Where memory is scarce, connections, [`INBOX_COMMON`] and [`OUTBOX_COMMON`] get one part in so
/// many each. One is left for names, the allocator, and what grows by doubling.
///
/// [`INBOX_COMMON`]: crate::reactor::limits::INBOX_COMMON
pub const MEMORY_PART: usize = 4;
/// The least for either of the two common bounds, in bytes: some whole frames.
pub const LEAST_COMMON: usize = 1024 * 1024;
/// A connection that has not registered ends after this long.
pub const REGISTER_TIMEOUT: Duration = HANDSHAKE_TIMEOUT;
/// Above this many bytes waiting for a user, a frame for it is refused with `queue_full`.
pub const OUTBOX_SOFT: usize = 1024 * 1024;
/// Above this many bytes waiting, even the relay's own answers stop: the connection ends.
pub const OUTBOX_HARD: usize = 8 * 1024 * 1024;
/// Bytes of memory that all outboxes hold together; the soft limit shrinks as they come near.
pub const OUTBOX_COMMON: usize = 256 * 1024 * 1024;
/// One part in so many of [`OUTBOX_COMMON`] is for users who have no backlog: what is queued for
/// them leaves at the end of the tick.
pub const OUTBOX_READERS_PART: usize = 4;
/// An outbox may take one part in so many of what is left of the rest: so it shrinks below
/// [`OUTBOX_SOFT`] when all others together have left less than 16 MiB.
pub const OUTBOX_PART: usize = 16;
/// Bytes of a frame for a user without a backlog while [`OUTBOX_COMMON`] is held; a longer one is
/// refused with `queue_full`.
pub const OUTBOX_OVER_BUDGET: usize = 2 * 1024;
/// Bytes of a connection that has not registered that the relay keeps, on their way in; nothing
/// more is read from it while as many are on their way out.
pub const UNREGISTERED_BYTES: usize = MAX_FRAME_UNREGISTERED;
/// Bytes of answers to one connection in one tick, after which its turn is over: many small
/// requests are not to cost more time than the 64 KiB that are read at once suggest.
pub const ANSWERS_PER_TICK: u64 = 64 * 1024;
/// Bytes of a frame that count as one of work, beside the one that each frame counts: the work that
/// 64 KiB of frames make is about the same, whether they are one or are passed on together.
pub const WORK_BYTES: usize = 512;
/// What a frame of a connection that has not registered counts: it may cost a signature.
pub const CLAIM_WORK: usize = 32;
/// Work (frames that are looked at one by one) of one connection in one tick, after which its turn
/// is over: 0.3 ms.
pub const WORK_A_TURN: usize = 256;
/// Work of all connections of one address in one tick; those beyond wait in line for the next. So
/// an address has one share of the relay, however many connections it has: 1 ms.
pub const WORK_AN_ADDRESS: usize = 4 * WORK_A_TURN;
/// Work of all addresses that wait in line, in one tick: each has an equal part of it.
pub const WORK_PER_TICK: usize = 2 * WORK_AN_ADDRESS;
/// Addresses that are given a part of a tick; more of them are given it in turn.
pub const ADDRESSES_PER_TICK: usize = 128;
/// The least part, and that of everybody who comes when [`WORK_PER_TICK`] is done already.
pub const LEAST_SHARE: usize = WORK_PER_TICK / ADDRESSES_PER_TICK;
/// What the handshake of a connection counts: about 0.2 ms.
pub const TLS_HANDSHAKE_WORK: usize = 128;
/// What a turn of a connection with TLS counts beside its frames: up to [`RECORDS_A_TURN`] records
/// were opened for it, and perhaps none of them ends a frame.
///
/// [`RECORDS_A_TURN`]: crate::tls::limits::RECORDS_A_TURN
pub const TLS_TURN_WORK: usize = 16;
/// Handshakes that are begun in one tick over all addresses, so that a crowd of newcomers holds
/// users up for some 3 ms; the others have the next ticks.
pub const TLS_HANDSHAKES_PER_TICK: usize = 16;
/// Frames that are answered in one batch of frames that are passed on together; then the relay
/// checks whether that was enough for this tick.
pub const ANSWERS_A_BATCH: usize = 32;
/// Connections that one address may open at once (a bucket that fills by [`CONNECTS_PER_SECOND`]):
/// so many users may sit behind one address and come back after a restart.
pub const CONNECTS_BURST: u32 = 512;
/// Connections a second of one address.
pub const CONNECTS_PER_SECOND: u32 = 64;
/// Frames of connections that have not registered, of one address, at once: registrations and
/// proofs, which cost a signature each, and whatever is refused.
pub const CLAIMS_BURST: u32 = 1024;
/// Such frames a second: two for each connection, as version 2 needs them.
pub const CLAIMS_PER_SECOND: u32 = 128;
/// `get_pubkey` of one user at once: after a restart it asks for everybody it writes to.
pub const USER_LOOKUPS_BURST: u32 = 512;
/// `get_pubkey` a second of one user.
pub const USER_LOOKUPS_PER_SECOND: u32 = 32;
/// `get_pubkey` of one address at once. Beyond it they are refused: a connection that is paused
/// could not send, and its receipts would wait.
pub const LOOKUPS_BURST: u32 = 2048;
/// `get_pubkey` a second of one address: each makes an answer ten times as long.
pub const LOOKUPS_PER_SECOND: u32 = 128;
/// How far ahead turns are given when an address has spent its rate. A connection that gets none
/// asks again after this time, unless [`REGISTER_TIMEOUT`] comes first.
pub const RATE_HORIZON: Duration = REGISTER_TIMEOUT;
/// Addresses (of IPv6: prefixes of 64 bits) whose rates are kept, 64 bytes each; those beyond share
/// one rate. An address that has spent nothing lately needs no place.
pub const MAX_ADDRESSES: usize = 65_536;
/// How often the relay looks for such places when none is left.
pub const ADDRESSES_SWEEP: Duration = Duration::from_secs(1);
/// New names that one address (of IPv6: a /64) may bind at once: a class or an office may register
/// on one day.
pub const BINDINGS_BURST: u32 = 64;
/// From then on one in this time. From 250 addresses a directory of [`MAX_BOUND_NAMES`] is full in
/// two weeks.
pub const BINDINGS_PERIOD: Duration = Duration::from_mins(5);
/// The same of an IPv6 /48, which is what a site gets (RFC 6177) and has 65,536 /64s in it.
pub const SITE_BINDINGS_BURST: u32 = 256;
/// From then on one in this time.
pub const SITE_BINDINGS_PERIOD: Duration = Duration::from_mins(1);
/// Bytes of addresses that a relay reserves and does not fill: the tables for that many names, and
/// what the C library sets aside for the store's thread, its stack and 64 MiB (malloc(3), "arena").
/// A limit on addresses counts them.
pub const RESERVED_ADDRESSES: usize = MAX_BOUND_NAMES * 96 + 68 * 1024 * 1024;
/// The shortest time between two rosters: joins within it are gathered.
pub const ROSTER_INTERVAL_MIN: Duration = Duration::from_millis(40);
/// The longest time between two rosters, however many subscribers there are.
pub const ROSTER_INTERVAL_MAX: Duration = Duration::from_secs(30);
/// Rosters may take this many bytes a second of the relay's bandwidth; the interval grows to keep
/// to it.
pub const ROSTER_BYTES_PER_SECOND: u64 = 32 * 1024 * 1024;
/// Changes of the roster that are kept for subscribers of `delta`; who falls behind gets the whole
/// list again.
pub const ROSTER_JOURNAL: usize = 4096;
/// Subscribers who are told of the roster in one tick; the others are told in the next ones.
pub const ROSTERS_PER_TICK: usize = 128;
/// Bytes of rosters in one tick, for the kernel copies them to each subscriber: some 0.5 ms.
pub const ROSTER_BYTES_PER_TICK: usize = 1024 * 1024;
/// Parts of whole lists, a frame each, that are made in one tick: each is for one subscriber alone
/// and takes some 0.2 ms, so a crowd of newcomers holds nobody up.
pub const LIST_PARTS_PER_TICK: usize = 8;
/// Requests that may wait for the storage thread. A new name that finds no room is refused with
/// `directory_full`; all others together are fewer than half.
pub const STORE_QUEUE: usize = 4096;
/// Of these, so many may note that a known user is connected; a note that finds no room is made
/// another time.
pub const STORE_USED: usize = 512;
/// Connections that send no more and wait for answers of the store or of other relays; one more is
/// ended without them. Each is looked at in every tick.
pub const FINISHING: usize = 1024;
/// Bytes from which on a parcel of frames for another relay is handed over and the next one begins.
pub const CLUSTER_PARCEL: usize = 64 * 1024;
/// Bytes that may wait for the engine of the cluster to take them; above, frames for other relays
/// are refused with `queue_full`.
pub const CLUSTER_QUEUE: usize = 1024 * 1024;
/// Frames for other relays that were not answered, some 100 bytes each; one more is refused with
/// `queue_full`. Those without an `id` that follow each other to one addressee count as one.
pub const CLUSTER_FRAMES: usize = 65_536;
/// The same of one connection, so that no sender takes all places.
pub const CLUSTER_FRAMES_A_SENDER: usize = 1024;
/// A frame for another relay of which nothing is heard for this long has found nobody:
/// `unknown_user`.
pub const CLUSTER_ANSWER_TIME: Duration = Duration::from_secs(10);
/// Names for which frames wait until the engine has said where they are; one more is
/// `unknown_user`, and `queue_full` where the copy of who is where leaves users out.
pub const CLUSTER_SOUGHT: usize = 256;
/// Bytes of such frames.
pub const CLUSTER_SOUGHT_BYTES: usize = 1024 * 1024;
/// Questions for the keys of users elsewhere that were not answered, some 300 bytes each; one more
/// is refused with `rate_limited`. Many who are told of a newcomer ask for its key in one tick, and
/// an original asks once. Half of what may wait for the engine ([`STORE_QUEUE`]).
pub const CLUSTER_FINDS: usize = STORE_QUEUE / 2;
/// A question for the key of a user elsewhere waits this long for the engine to be reached.
pub const CLUSTER_FIND_TIME: Duration = Duration::from_secs(10);
/// How long after the relay has fenced itself its lease has ended for certain, with an engine whose
/// clock is slow, and users at other relays are no longer listed.
pub const CLUSTER_LEASE_ENDS: Duration = Duration::from_secs(3);
/// Names that are looked at in one tick where many users of other relays have gone at once: some
/// 4 ms if all of them have.
pub const LET_GO_A_TICK: usize = 1000;
/// Calls about names that are made in one tick: after an engine was lost all users claim theirs
/// again.
pub const AGAIN_A_TICK: usize = 256;
/// A prekey that was published this lately is published again when the engine was lost: one that
/// was set back may have forgotten it. Engines that write to their disk each second lose less.
pub const PUBLISHED_LATELY: Duration = Duration::from_mins(1);
/// Such prekeys that are remembered, 24 bytes each.
pub const PUBLISHED_KEPT: usize = 65_536;
/// A connection to the engine on which nothing is answered for this long is given up.
pub const ENGINE_ANSWER_TIME: Duration = Duration::from_secs(5);
/// The pause before the engine is connected to again; it doubles with each attempt that fails.
pub const ENGINE_PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest such pause.
pub const ENGINE_PAUSE_MAX: Duration = Duration::from_secs(2);
/// A connection to the engine that was ready for this long was no failed attempt.
pub const ENGINE_STEADY: Duration = Duration::from_secs(5);
/// The pause between two parts of the bound names that are restored in the engine: each takes it
/// some 10 ms.
pub const RESTORE_PAUSE: Duration = Duration::from_millis(20);
/// The pause before the first of them, also where the engine has refused one.
pub const RESTORE_AGAIN: Duration = Duration::from_millis(100);
/// Letters, boxes or letter keys that are moved at once from a relay's own file into the engine:
/// each takes it some 30 µs.
pub const MOVED_AT_ONCE: u32 = 64;
/// Bytes of such letters. One letter alone may be longer.
pub const MOVED_BYTES_AT_ONCE: usize = 256 * 1024;
/// What the engine did not take (a box is full, its memory is) is tried again after this long; it
/// doubles with each time that nothing is taken.
pub const MOVE_PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest such pause: boxes are closed again within it (`BOX_CLOSED`).
pub const MOVE_PAUSE_MAX: Duration = Duration::from_secs(16);
/// How often a relay has old letters deleted in the engine.
pub const EXPIRE_PAUSE: Duration = Duration::from_mins(1);
/// Letters that may be on their way to the storage thread. One more is refused with
/// `rate_limited`.
pub const LETTERS_UNDER_WAY: usize = 256;
/// Bytes of such letters.
pub const LETTER_BYTES_UNDER_WAY: usize = 8 * 1024 * 1024;
/// Letters of one connection that may be on their way, so that no sender takes all places.
pub const LETTERS_A_SENDER: usize = 16;
/// Letter keys that may be on their way to the storage thread; one more is refused with
/// `rate_limited`.
pub const LETTER_KEYS_UNDER_WAY: usize = 64;
/// Questions for the keys of users that may wait for the storage thread. One more is refused with
/// `rate_limited`.
pub const FINDS_UNDER_WAY: usize = 256;
/// Deliveries that the storage thread prepares at a time; other boxes wait for their turn. So the
/// loop copies at most 4 MiB of letters in one tick: about 1 ms.
pub const DELIVERIES_UNDER_WAY: usize = 16;
/// The same with those for connections that have ended, which delete what was acknowledged.
pub const LAST_DELIVERIES: usize = 256;
/// Notes of who wrote to whom that may wait for the storage thread; one more is not made.
pub const WRITTEN_UNDER_WAY: usize = 128;
/// Letters that are delivered on one connection and not acknowledged.
pub const DELIVERY_LETTERS: usize = 16;
/// Bytes of such letters. One letter alone may be longer.
pub const DELIVERY_BYTES: usize = 256 * 1024;
/// Deliveries that the storage thread refused (a full disk) or that found no memory are tried
/// again after this long.
pub const DELIVERY_PAUSE: Duration = Duration::from_secs(1);
/// Bytes of letters that one address (of IPv6: a /64) may store in a day.
pub const ADDRESS_BYTES_A_DAY: u32 = 4 * 1024 * 1024;
/// They are counted in parts of this many bytes.
pub const ADDRESS_PART: u32 = 1024;
/// Bytes of all letters together, unless `--letters-bytes` says otherwise: what they take on the
/// disk. 0: no letters are kept.
pub const LETTERS_BYTES: u64 = 1024 * 1024 * 1024;
/// Letters are deleted after this many days, unless `--letters-days` says fewer. Clients refuse
/// letters that are older than 15.
pub const LETTERS_DAYS: u32 = 14;
/// The longest life of a letter key.
pub const LETTER_KEY_LIFETIME: Duration = Duration::from_hours(90 * 24);
/// How often the storage thread looks for letters whose time is over.
pub const UPKEEP_INTERVAL: Duration = Duration::from_mins(10);
/// While there is more to delete or to give back to the disk, the next step follows after this
/// long, or behind the next requests.
pub const UPKEEP_PAUSE: Duration = Duration::from_millis(20);
/// Pages of 4 KiB that one step gives back to the disk.
pub const UPKEEP_PAGES: u32 = 512;
/// Unused pages of 4 KiB that the file keeps, for the next letters.
pub const SPARE_PAGES: u32 = 256;
/// Statements that a connection to the database keeps prepared: all that `boxes.rs` has.
pub const STATEMENTS: usize = 48;
/// The file of what was written last (`-wal`) is cut to this many bytes when it begins anew.
pub const WAL_BYTES: u32 = 4 * 1024 * 1024;
/// How long the storage thread waits for another process that writes to the same database (an
/// operator's command); short, so that a relay that is told to leave is gone within a second.
pub const STORE_BUSY: Duration = Duration::from_millis(250);
/// How long the relay flushes before it leaves.
pub const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);
/// Over how long a drain spreads the ends of all connections, unless `--drain-time` says otherwise:
/// 100,000 clients that connect again within it are 10,000 handshakes a second for the next relay.
pub const DRAIN_TIME: Duration = Duration::from_secs(10);
/// How often a drain ends some of them.
pub const DRAIN_STEP: Duration = Duration::from_millis(100);
/// Lines of the log that others cause, at once.
pub const LOG_LINES_BURST: u32 = 10_000;
/// Lines of the log that others cause, a second: so many fill a disk by some 2 GB a day at most.
pub const LOG_LINES_PER_SECOND: u32 = 200;
/// Events that are kept for who looks at a running relay.
pub const HISTORY_LINES: usize = 1024;
/// Bytes of them: most lines have 300.
pub const HISTORY_BYTES: usize = 1024 * 1024;
/// Events that are kept at once; of more only the count is.
pub const HISTORY_BURST: u32 = 512;
/// Events that are kept in a second: each costs some microseconds.
pub const HISTORY_PER_SECOND: u32 = 256;
/// A store that has answered nothing for so long although it was asked is said to be stuck.
pub const STORE_PATIENCE: Duration = Duration::from_secs(5);
/// Beyond that lines are only counted, for so long; then the count is told.
pub const LOG_SILENCE: Duration = Duration::from_secs(1);
/// A log that could not be written (a full disk) is opened again after this long.
pub const LOG_REOPEN: Duration = Duration::from_secs(1);
/// Bytes of log lines that wait for a standard error that does not take them; more are counted and
/// dropped.
pub const LOG_QUEUE: usize = 256 * 1024;

/// The bounds of one relay; the defaults are the constants above.
#[derive(Clone, Copy, Debug)]
pub struct RelayConfig {
    /// The longest frame of a registered connection, in bytes. An unregistered one gets this or
    /// [`MAX_FRAME_UNREGISTERED`], whichever is less.
    pub max_frame: usize,
    /// Connections at one time; a newcomer beyond them is closed at once.
    pub max_connections: usize,
    /// Bytes waiting for one user above which others' frames are refused, and above which nothing
    /// more is read from that user.
    pub outbox_soft: usize,
    /// Bytes waiting for one connection above which the relay's own answers end it.
    pub outbox_hard: usize,
    /// Bytes of memory that hold what waits for all users together; the soft limit shrinks as they
    /// come near.
    pub outbox_common: usize,
    /// Whether connections of this machine have the rates that those of every other address have.
    pub rates_loopback: bool,
    /// Whether a plain connection is told `tls_required`, and ended.
    pub requires_tls: bool,
    /// Over how long a drain spreads the ends of all connections.
    pub drain_time: Duration,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            max_frame: MAX_FRAME,
            max_connections: MAX_CONNECTIONS,
            outbox_soft: OUTBOX_SOFT,
            outbox_hard: OUTBOX_HARD,
            outbox_common: OUTBOX_COMMON,
            rates_loopback: false,
            requires_tls: false,
            drain_time: DRAIN_TIME,
        }
    }
}

impl RelayConfig {
    /// The longest frame of a connection that has not registered, in bytes.
    pub(super) fn max_frame_unregistered(&self) -> usize {
        self.max_frame.min(MAX_FRAME_UNREGISTERED)
    }

    /// Bytes that may wait for one user before it counts as full, while `held` bytes of memory hold
    /// what waits for all together. The nearer these come to their bound, the less it is.
    ///
    /// Who has a backlog may have a share of what is left, and the last part is for those who read:
    /// they get a frame as long as anything is left, and then a small one. So memory stays bounded,
    /// although nobody is disconnected for it.
    pub(super) fn soft_limit(&self, held: usize, has_backlog: bool) -> usize {
        let for_readers = self.outbox_common / OUTBOX_READERS_PART;
        let left = self.outbox_common.saturating_sub(held + for_readers);
        let share = (left / OUTBOX_PART).min(self.outbox_soft);
        if has_backlog {
            return share;
        }
        let least = if self.is_scarce(held) { OUTBOX_OVER_BUDGET } else { self.max_frame };
        share.max(least.min(self.outbox_soft))
    }

    /// Whether a frame of this many bytes is too long for anybody while `held` bytes of memory hold
    /// what waits for all together.
    pub(super) fn is_too_long(&self, bytes: usize, held: usize) -> bool {
        self.is_scarce(held) && bytes > OUTBOX_OVER_BUDGET
    }

    /// Whether `held` bytes are all that may hold what waits.
    pub(super) fn is_scarce(&self, held: usize) -> bool {
        held >= self.outbox_common
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_shrinks_as_all_outboxes_fill() {
        const MIB: usize = 1024 * 1024;
        let config = RelayConfig::default();
        let full = OUTBOX_COMMON;
        let both = |held| [false, true].map(|backlog| config.soft_limit(held, backlog));
        assert_eq!(both(0), [OUTBOX_SOFT; 2]);
        assert_eq!(both(full / 2), [OUTBOX_SOFT; 2]);
        let for_readers = full / OUTBOX_READERS_PART;
        assert_eq!(both(full - for_readers - 4 * MIB), [256 * 1024; 2]);
        assert_eq!(both(full - for_readers), [MAX_FRAME, 0]);
        assert_eq!(both(full - 1), [MAX_FRAME, 0]);
        assert_eq!(both(full), [OUTBOX_OVER_BUDGET, 0]);
        let small = RelayConfig { outbox_soft: 100, ..config };
        assert_eq!(small.soft_limit(full, false), 100);
    }
}
