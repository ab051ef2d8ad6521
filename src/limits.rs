//! Every bound and every budget, with its unit and its reason.
//!
//! Nothing in this program grows without an end: what a peer can send, what the relay keeps for a
//! peer, how much one turn of the loop may do and how long anything may take are all written here
//! and nowhere else. Constants that an operator may change are the defaults of options (`sealwax
//! serve --help`).

use std::num::NonZeroU16;
use std::time::Duration;

// --- Frames: `docs/protocol.md`, section 1 ---

/// The longest frame of a registered connection, in bytes.
pub const MAX_FRAME: usize = 64 * 1024;
/// The most that an operator may set in place of it, in bytes; clients believe no relay that tells
/// more.
pub const MAX_FRAME_OPTION: usize = 16 * 1024 * 1024;
/// The longest frame of a connection that has not registered yet, in bytes: a stranger gets less.
pub const MAX_FRAME_UNREGISTERED: usize = 8 * 1024;
/// The deepest nesting in a frame; the frame's own object counts as 1.
pub const MAX_DEPTH: usize = 8;
/// The most members that one object in a frame may have.
pub const MAX_MEMBERS: usize = 32;
/// The longest number in a frame, in characters. Python's `json` refuses an integer of more digits
/// than the interpreter takes: 4,300 unless it was told otherwise, and at least so many
/// (<https://docs.python.org/3/library/stdtypes.html#int-max-str-digits>). Original clients die of
/// the exception.
pub const MAX_NUMBER: usize = 640;
/// The longest name of a version-2 user, in bytes.
pub const MAX_NAME: usize = 32;
/// The longest name of an original user, in bytes of UTF-8.
pub const MAX_NAME_ORIGINAL: usize = 64;
/// The longest public key text (PEM), in bytes.
pub const MAX_PUBKEY_PEM: usize = 2 * 1024;
/// The longest `id` of a request, in bytes after unescaping.
pub const MAX_ID: usize = 64;

// --- Keys ---

/// The smallest RSA modulus that is accepted, in bits.
pub const MIN_RSA_BITS: usize = 2048;
/// The largest RSA modulus that is accepted, in bits: a verification costs by its square.
pub const MAX_RSA_BITS: usize = 4096;
/// The longest signature, in bytes: as long as the modulus (RFC 8017, section 8.1.1).
pub const MAX_SIGNATURE: usize = MAX_RSA_BITS / 8;
/// The size of the RSA key that is made for a new identity, in bits.
pub const NEW_RSA_BITS: usize = 3072;
/// The longest line in a PEM body that is accepted, in characters.
pub const MAX_PEM_LINE: usize = 76;

/// The binary logarithm of scrypt's N in a new identity file: 128 MiB and some tenths of a second a
/// guess.
pub const SCRYPT_LOG_N: u8 = 17;
/// What scrypt may cost at most when an identity is read, as N·r·p (RFC 7914): twice what a new
/// file takes, so that a forged one cannot hold the start up. At most 256 MiB.
pub const MAX_SCRYPT_COST: u64 = 2 * (1 << SCRYPT_LOG_N) * 8;

// --- The reactor: `src/reactor` ---

/// Bytes read from one source on one event: the kernel's ready list gives the others their turn.
pub const READ_SIZE: usize = 64 * 1024;
/// Bytes of memory that hold unfinished frames, of all sources together. Beyond them a frame that
/// was begun is not read on until others are done, or out of time; one that was not gets
/// [`READ_OVER_BUDGET`].
pub const INBOX_COMMON: usize = 256 * 1024 * 1024;
/// Bytes that one read brings of a connection that has not registered, and that are kept of it.
pub const READ_UNREGISTERED: NonZeroU16 = NonZeroU16::new(8 * 1024).unwrap();
/// Memory that the rest of what was read may hold beyond twice its length, in bytes: below, moving
/// it costs more than it gives back. It is counted in [`INBOX_COMMON`].
pub const INBOX_SLACK: usize = 1024;
/// Bytes read of a source that has begun no frame while [`INBOX_COMMON`] bytes are kept.
pub const READ_OVER_BUDGET: usize = 2 * 1024;
/// A partial frame up to this size (bytes) is presented in the shared read buffer, in front of what
/// was read; a longer one is appended to, so that a frame that trickles in costs time linear in its
/// bytes.
pub const READ_HEADROOM: usize = 4 * 1024;
/// Sources that a loop's tables are allocated for where nobody says how many there will be.
pub const FEW_SOURCES: usize = 64;
/// Events taken from one `epoll_wait`.
pub const EVENTS_PER_TICK: usize = 256;
/// Connections accepted from one listener in one tick, so that a storm of newcomers leaves time for
/// users.
pub const ACCEPTS_PER_TICK: usize = 64;
/// Newcomers whom a handler turns away at once, in one tick over all listeners; then the others
/// wait for the next tick. They are closed at its end, so until then each has a descriptor, which
/// comes out of [`SPARE_DESCRIPTORS`].
pub const TURNED_AWAY_PER_TICK: usize = 8;
/// Slices given to one `writev`; the kernel takes at most 1,024 (`IOV_MAX`, writev(2)).
pub const SLICES_PER_WRITE: usize = 64;
/// The size of a pooled outbox chunk, in bytes: small frames are gathered in it.
pub const CHUNK_SIZE: usize = 4 * 1024;
/// The longest that `--spin` lets the loop ask without sleeping.
pub const MAX_SPIN: Duration = Duration::from_secs(1);
/// Chunks that the pool keeps for reuse; more are given back to the allocator.
pub const POOLED_CHUNKS: usize = 1024;
/// How long a listener is not accepted from when the process is out of descriptors or memory.
pub const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// The backlog asked of `listen`; the kernel caps it at `net.core.somaxconn` (listen(2)).
pub const LISTEN_BACKLOG: i32 = 4096;
/// How long a connection that is being closed may take to accept its last bytes and to say goodbye.
pub const FINISH_TIMEOUT: Duration = Duration::from_secs(2);
/// The most connections that a relay accepts, unless `--max-connections` says otherwise.
pub const MAX_CONNECTIONS: usize = 100_000;
/// A silent connection is probed after this many seconds (`tcp(7)`, `TCP_KEEPIDLE`).
pub const KEEPALIVE_IDLE_SECONDS: u32 = 60;
/// Seconds between two probes (`TCP_KEEPINTVL`).
pub const KEEPALIVE_INTERVAL_SECONDS: u32 = 10;
/// Unanswered probes after which a connection is broken (`TCP_KEEPCNT`).
pub const KEEPALIVE_PROBES: u32 = 3;
/// How long sent bytes, or probes, may stay unacknowledged before a connection is broken, in ms
/// (`TCP_USER_TIMEOUT`, which counts for keepalive too). A name is to be free 90 s after its user
/// has vanished, and the kernel's timers are coarse.
pub const USER_TIMEOUT_MILLISECONDS: u32 = 80_000;
/// Descriptors kept beside those of connections: standard streams, epoll, signals, listeners, the
/// store, the reserve, and newcomers who are turned away.
pub const SPARE_DESCRIPTORS: usize = 24 + TURNED_AWAY_PER_TICK;

/// A relay for which fewer connections than these are left cannot serve: one writes, one reads.
pub const LEAST_CONNECTIONS: usize = 2;
/// What a connection takes of memory, in bytes, and its user with a key, a prekey and a name;
/// frames on their way in and out are counted in [`INBOX_COMMON`] and [`OUTBOX_COMMON`].
pub const CONNECTION_BYTES: usize = 2 * 1024;
/// Where memory is scarce, connections, [`INBOX_COMMON`] and [`OUTBOX_COMMON`] get one part in so
/// many each. One is left for names, the allocator, and what grows by doubling.
pub const MEMORY_PART: usize = 4;
/// The least for either of the two common bounds, in bytes: some whole frames.
pub const LEAST_COMMON: usize = 1024 * 1024;

// --- The relay: `src/relay` ---

/// A connection that has not registered ends after this long.
pub const REGISTER_TIMEOUT: Duration = Duration::from_secs(10);
/// A frame that is not complete this long after its first byte ends its connection.
pub const FRAME_TIMEOUT: Duration = Duration::from_secs(30);
/// A connection that has bytes waiting and takes none for this long is ended.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Above this many bytes waiting for a user, a frame for it is refused with `queue_full`.
pub const OUTBOX_SOFT: usize = 1024 * 1024;
/// Above this many bytes waiting, even the relay's own answers stop: the connection ends.
pub const OUTBOX_HARD: usize = 8 * 1024 * 1024;
/// Bytes in all outboxes together; the soft limit shrinks as they come near.
pub const OUTBOX_COMMON: usize = 256 * 1024 * 1024;
/// An outbox may take one part in so many of what is left of [`OUTBOX_COMMON`]: so it shrinks below
/// [`OUTBOX_SOFT`] when all others together have left less than 16 MiB.
pub const OUTBOX_PART: usize = 16;
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
/// Frames that are answered in one run of frames that are passed on together; then it is looked
/// whether that was enough for this tick.
pub const ANSWERS_A_RUN: usize = 32;
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
/// `get_pubkey` of one address at once; beyond it they are refused, for a connection that were
/// paused for it could neither send nor receive its receipts.
pub const LOOKUPS_BURST: u32 = 2048;
/// `get_pubkey` a second of one address: each makes an answer ten times as long.
pub const LOOKUPS_PER_SECOND: u32 = 128;
/// How far ahead turns are given when an address has spent its rate. Who finds none asks again
/// after this time, unless [`REGISTER_TIMEOUT`] comes first.
pub const RATE_HORIZON: Duration = REGISTER_TIMEOUT;
/// Addresses (of IPv6: prefixes of 64 bits) whose rates are kept, 64 bytes each; those beyond share
/// one rate. Who has spent nothing lately needs no place.
pub const MAX_ADDRESSES: usize = 65_536;
/// How often such places are looked for when there is none left.
pub const ADDRESSES_SWEEP: Duration = Duration::from_secs(1);
/// New names that one address (of IPv6: a /64) may bind at once: a class or an office comes in on
/// one day.
pub const BINDINGS_BURST: u32 = 64;
/// From then on one in this time. From 250 addresses a directory of [`MAX_BOUND_NAMES`] is full in
/// two weeks.
pub const BINDINGS_PERIOD: Duration = Duration::from_mins(5);
/// The same of an IPv6 /48, which is what a site gets (RFC 6177) and has 65,536 /64s in it.
pub const SITE_BINDINGS_BURST: u32 = 256;
/// From then on one in this time.
pub const SITE_BINDINGS_PERIOD: Duration = Duration::from_mins(1);
/// Names that may be bound to keys in one relay.
pub const MAX_BOUND_NAMES: usize = 1_000_000;
/// Names that one fingerprint may bind.
pub const MAX_NAMES_PER_KEY: usize = 8;
/// The shortest time between two rosters: joins within it are gathered.
pub const ROSTER_INTERVAL_MIN: Duration = Duration::from_millis(40);
/// The longest time between two rosters, however many receivers there are.
pub const ROSTER_INTERVAL_MAX: Duration = Duration::from_secs(30);
/// Rosters may take this many bytes a second of the relay's bandwidth; the interval grows to keep
/// to it.
pub const ROSTER_BYTES_PER_SECOND: u64 = 32 * 1024 * 1024;
/// Changes of the roster that are kept for receivers of `delta`; who falls behind gets the whole
/// list again.
pub const ROSTER_JOURNAL: usize = 4096;
/// Receivers who are told of the roster in one tick; the others are told in the next ones.
pub const ROSTERS_PER_TICK: usize = 128;
/// Bytes of rosters in one tick, for the kernel copies them to each receiver: some 0.5 ms.
pub const ROSTER_BYTES_PER_TICK: usize = 1024 * 1024;
/// Parts of whole lists, a frame each, that are made in one tick: each is for one receiver alone
/// and takes some 0.2 ms, so a crowd of newcomers holds nobody up.
pub const LIST_PARTS_PER_TICK: usize = 8;
/// Bindings that may wait for the storage thread; beyond it a proof is refused with
/// `directory_full`.
pub const STORE_QUEUE: usize = 1024;
/// How long the storage thread waits for another process that writes to the same database (an
/// operator's command); short, so that a relay that is told to leave is gone within a second.
pub const STORE_BUSY: Duration = Duration::from_millis(250);
/// How long the relay flushes at SIGTERM before it leaves.
pub const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);
/// Lines of the log that others cause, at once.
pub const LOG_LINES_BURST: u32 = 10_000;
/// Lines of the log that others cause, a second: so many fill a disk by some 2 GB a day at most.
pub const LOG_LINES_PER_SECOND: u32 = 200;
/// Beyond that lines are only counted, for so long; then the count is told.
pub const LOG_SILENCE: Duration = Duration::from_secs(1);
/// A log that could not be written (a full disk) is opened again after this long.
pub const LOG_REOPEN: Duration = Duration::from_secs(1);
/// Bytes of log lines that wait for a standard error that does not take them; more are counted and
/// dropped.
pub const LOG_QUEUE: usize = 256 * 1024;

// --- The trace of the loop: `src/trace` ---

/// Bytes of a trace that wait for whoever reads it; ticks beyond it are counted and dropped.
pub const TRACE_QUEUE: usize = 1024 * 1024;
/// How long the loop stands still for a trace that is not read, before it goes on without it.
pub const TRACE_PATIENCE: Duration = Duration::from_millis(100);
/// Sources that are named after one call of the handler; the others are counted.
pub const TRACE_TARGETS: usize = 8;

// --- The client: `src/client`, `docs/protocol.md` sections 4 to 6 ---

/// How long one address may take to accept a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the look-up of a relay's name may take; then it counts as unreachable. Longer than the
/// C library takes by default (`resolv.conf(5)`: three servers, each asked twice, 28 s): it waits
/// 5 s for a dead server before it asks the next, and an answer that comes then is to be taken.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(30);
/// Look-ups that may run at a time, those included that nobody waits for any more.
pub const LOOKUP_THREADS: usize = 4;
/// How long the relay may take to answer a registration.
pub const REGISTRATION_TIMEOUT: Duration = Duration::from_secs(10);
/// The first pause before connecting again; each further one is twice as long, with jitter.
pub const RECONNECT_MIN: Duration = Duration::from_millis(250);
/// The longest pause before connecting again.
pub const RECONNECT_MAX: Duration = Duration::from_secs(30);
/// How often a client that hears nothing asks the relay for a `pong`.
pub const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long the relay may take to answer a `ping` before the connection is given up.
pub const PONG_TIMEOUT: Duration = Duration::from_secs(10);
/// What a frame of the relay may have beside those of a client, in bytes: it makes `from` longer.
pub const RELAY_FRAME_EXTRA: usize = 1024;
/// Users that are kept of a roster: as many as a relay connects.
pub const MAX_USERS: usize = MAX_CONNECTIONS;
/// A new prekey is made and published after this long.
pub const PREKEY_INTERVAL: Duration = Duration::from_hours(24);
/// A prekey expires this long after it was made.
pub const PREKEY_LIFETIME: Duration = Duration::from_hours(48);
/// The prekey before the current one stays usable for this long.
pub const PREKEY_GRACE: Duration = Duration::from_mins(10);
/// How long a client that leaves waits for its last receipts to leave before it.
pub const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);
/// How far ahead of ours another's clock may be.
pub const CLOCK_SKEW: Duration = Duration::from_mins(10);
/// Messages sealed in one session before the next is opened.
pub const SESSION_MESSAGES: u64 = 1 << 16;
/// The age of a session after which the next is opened.
pub const SESSION_AGE: Duration = Duration::from_hours(24);
/// A replaced session still opens messages for this long.
pub const SESSION_GRACE: Duration = Duration::from_mins(1);
/// Messages that may be skipped in a session; a larger gap is refused.
pub const MAX_SKIP: u64 = 1000;
/// The largest decoded `send_key`, in bytes.
pub const MAX_SEND_KEY: usize = 4 * 1024;
/// The smallest pause between two `get_pubkey` for one peer that unsigned hints cause.
pub const HINT_INTERVAL: Duration = Duration::from_secs(5);
/// Messages unconfirmed in a session before its first receipt.
pub const WINDOW_FIRST: usize = 32;
/// Messages unconfirmed in a session after its first receipt.
pub const WINDOW: usize = 256;
/// Bytes of unconfirmed texts, over all peers, above which input pauses.
pub const UNCONFIRMED_BYTES: usize = 16 * 1024 * 1024;
/// When the oldest unconfirmed text is this old, a new session is opened and it is sent again.
pub const RESEND_MIN: Duration = Duration::from_secs(3);
/// The longest pause between two such attempts.
pub const RESEND_MAX: Duration = Duration::from_mins(5);
/// Frames of a session that are kept until the relay has answered them, while texts of ours are
/// unconfirmed: those of a window of texts, and as many with receipts.
pub const UNANSWERED_FRAMES: usize = 2 * WINDOW;
/// The first pause before it is asked again whether somebody who is absent has come; it doubles up
/// to [`RESEND_MIN`], and to [`ABSENT_MAX`] where `--wait` bounds it.
pub const ABSENT_MIN: Duration = Duration::from_millis(100);
/// How late a `send` that waits for its recipient may notice that it has come. Two questions a
/// second are little for a relay, also from a few thousand who wait.
pub const ABSENT_MAX: Duration = Duration::from_millis(500);
/// When the oldest unconfirmed text is this old, it is asked whether its recipient has started
/// anew; the next time after twice as long.
pub const PROBE_MIN: Duration = Duration::from_millis(250);
/// The first pause after `queue_full`; it doubles.
pub const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(100);
/// Message ids remembered a peer, so that what was shown is not shown again.
pub const SEEN_MESSAGES: usize = 1024;
/// Frames that wait for a sender's public key.
pub const WAITING_FRAMES: usize = 64;
/// How long frames wait for a sender's public key.
pub const WAITING_TIME: Duration = Duration::from_secs(5);
/// Bytes of frames that wait for public keys, over all strangers, and as many over all others.
pub const WAITING_BYTES: usize = 1024 * 1024;
/// Bytes of frames of one stranger that wait for its public key: its offer, and a first window of
/// short messages.
pub const WAITING_STRANGER_BYTES: usize = 32 * 1024;
/// What a waiting frame counts beside its bytes, so that many short ones are bounded too.
pub const WAITING_OVERHEAD: usize = 256;
/// New sessions that one peer may open at once (a bucket that fills by one a second).
pub const SESSION_BURST: u32 = 16;
/// New sessions that are computed a second, over all peers whom we wrote to, or whose keys we
/// accepted or compared.
pub const SESSIONS_PER_SECOND: u32 = 10;
/// New sessions that are computed a second, over all others.
pub const STRANGER_SESSIONS_PER_SECOND: u32 = 5;
/// Keys that are asked for a second because strangers wrote to us, over all of them.
pub const STRANGER_LOOKUPS_PER_SECOND: u32 = 5;
/// Keys that a peer may make us ask for at once (a bucket that fills by one a second).
pub const LOOKUP_BURST: u32 = 16;
/// Peers whose keys and sessions are kept; the one that was idle longest is forgotten first. Each
/// may take some 40 KiB, most of it for the ids of messages that were seen; of one that was
/// forgotten, those of the last [`WINDOW`] stay.
pub const MAX_PEERS: usize = 1024;
/// The longest file of pinned keys, in bytes: 40,000 peers.
pub const MAX_PINS_FILE: usize = 4 * 1024 * 1024;
/// How often a busy client looks whether another process has changed the trust file.
pub const PINS_INTERVAL: Duration = Duration::from_secs(1);
/// How often the lock on a file of pinned keys is tried, which others hold for one small write.
pub const LOCK_TRIES: u32 = 50;
/// The pause between two such tries.
pub const LOCK_PAUSE: Duration = Duration::from_millis(5);
/// Entries in the trust file that others' first contact made, as long as we have not written to
/// them, nor accepted or compared their keys.
pub const MAX_FIRST_CONTACTS: usize = 10_000;
/// So many of them, the oldest, are forgotten at once when there is no room for another: the file
/// is written whole only then, and otherwise grows by a line.
pub const FIRST_CONTACTS_FORGOTTEN: usize = MAX_FIRST_CONTACTS / 8;
/// The same warning about one peer is told to a person once in this time, with a count.
pub const WARNING_INTERVAL: Duration = Duration::from_mins(1);
/// Warnings that are remembered for that; beyond it a flood of invented names is not told.
pub const WARNINGS_KEPT: usize = 1024;
/// The sizes to which messages are padded, in bytes.
pub const BUCKETS: [usize; 4] = [256, 1024, 4096, 16384];
/// The longest text of one message, in bytes of UTF-8: what the largest bucket holds beside length
/// and id.
pub const MAX_TEXT: usize = BUCKETS[BUCKETS.len() - 1] - 4 - 16;
/// The most ids in one receipt.
pub const MAX_RECEIPT: usize = (BUCKETS[BUCKETS.len() - 1] - 4) / 16;
/// The longest line on standard input, in bytes.
pub const MAX_LINE: usize = 64 * 1024;
/// Bytes that wait for standard output before reading from the relay pauses.
pub const OUTPUT_QUEUE: usize = 1024 * 1024;
/// How long the end of input waits for confirmations, unless `--wait` says otherwise.
pub const END_WAIT: Duration = Duration::from_secs(10);

// --- The load generator: `src/load` ---

/// Connections that a run has on their way at a time while its users gather: well below
/// [`LISTEN_BACKLOG`], so that none waits for a second try (tcp(7), `tcp_abort_on_overflow`).
pub const LOAD_CONNECTING: usize = 128;
/// The same for ngircd, which listens with a backlog of ten.
pub const LOAD_CONNECTING_NGIRCD: usize = 8;
/// The longest frame that the generator takes, in bytes: a list of all users.
pub const LOAD_MAX_FRAME: usize = 1024 * 1024;
/// Round trips a second of the pair that is active while others only are there, unless `--rate`
/// says otherwise.
pub const LOAD_HOLD_RATE: f64 = 1000.0;
/// One part in so many of the ports to connect from is used of one address: the search for a free
/// one takes longer the fewer there are, and those of closed connections rest for a minute (tcp(7),
/// `TIME_WAIT`).
pub const LOAD_PORTS_PART: u32 = 4;
/// Addresses of ours from which users connect who come and go, each leaving a port at rest.
pub const LOAD_SOURCES: u32 = 64;
/// Keys that are made between two lines that tell how many there are.
pub const LOAD_KEYS_TOLD: usize = 100;
/// How often each subject is measured where several stand beside each other.
pub const LOAD_ROUNDS_BESIDE: u32 = 5;
/// How often the generator looks for messages that do not come.
pub const LOAD_SWEEP: Duration = Duration::from_millis(250);
/// How long a process may take to accept a connection by which it is known, and to be one that
/// `--pid` may name.
pub const LOAD_OWNER_TIMEOUT: Duration = Duration::from_secs(1);
/// Later than this the generator starts nothing, unless it cannot keep up.
pub const LOAD_LATE: Duration = Duration::from_millis(1);
/// Operations that never started are noted with their age in so many portions: each alone, unless
/// there are more.
pub const LOAD_AGES: u64 = 1_000_000;

// --- The command line ---

/// The relay of whoever has never named one: where `serve` listens unless told otherwise.
pub const DEFAULT_RELAY: &str = "127.0.0.1:12345";
/// The longest name of a host, in bytes (RFC 1035, section 2.3.4, and one for a final dot).
pub const MAX_HOST: usize = 255;
/// The largest identity file, in bytes: a key of 4,096 bits takes 3,300.
pub const MAX_IDENTITY_FILE: usize = 16 * 1024;
/// The longest passphrase, in bytes.
pub const MAX_PASSPHRASE: usize = 1024;
/// How long a passphrase is waited for on a descriptor: a person may type it into another program.
pub const PASSPHRASE_WAIT: Duration = Duration::from_mins(5);
/// A draft of a file that is older than this was left by a crash and goes at the next start:
/// writing one takes milliseconds.
pub const DRAFT_AGE: Duration = Duration::from_hours(1);
/// How often somebody at a terminal may mistype it.
pub const PASSPHRASE_TRIES: u32 = 3;
/// How long the demo waits for the next thing to happen.
pub const DEMO_PATIENCE: Duration = Duration::from_secs(30);
/// The shortest timeout that an option takes.
pub const MIN_TIMEOUT: Duration = Duration::from_millis(10);
/// The longest time that an option takes.
pub const MAX_OPTION_TIME: Duration = Duration::from_hours(24 * 365);
