//! Every bound of the loop, with its unit and its reason: what one tick may do, what is kept of a
//! connection, how long anything may take.
//!
//! Those that a [`Config`](super::Config) has are its defaults.

use std::time::Duration;

/// Bytes read from one source on one event: the kernel's ready list gives the others their turn.
pub const READ_SIZE: usize = 64 * 1024;
/// Bytes read at once from a source that has a transform: what they become, and the largest record
/// of TLS (RFC 8446, section 5.1) that was within, are shown together.
pub const READ_WIRE: usize = READ_SIZE - 16 * 1024;
/// Bytes of memory that hold unfinished frames, of all sources together. Beyond them a frame that
/// was begun is not read on until others are done, or out of time; one that was not gets
/// [`READ_OVER_BUDGET`].
pub const INBOX_COMMON: usize = 256 * 1024 * 1024;
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
/// Deadlines that are told in one tick; those that have passed beside them are told in the next
/// ones. Each may cost a frame and three system calls, and an attacker can let all of its
/// connections run out of time at once.
pub const TIMEOUTS_PER_TICK: usize = 256;
/// Sources that are read again in one tick because unfinished input has given room.
pub const RESUMED_PER_TICK: usize = 256;
/// Newcomers whom a handler turns away at once, in one tick over all listeners; then the others
/// wait for the next tick. They are closed at its end, so until then each has a descriptor, which
/// has to be kept free for them.
pub const TURNED_AWAY_PER_TICK: usize = 8;
/// The longest that ticks leave their flush to the next one. One of them may take longer.
pub const GATHERED_TIME: Duration = Duration::from_millis(1);
/// Bytes that are queued for all sources together, above which a tick flushes.
pub const GATHERED_BYTES: usize = 1024 * 1024;
/// Bytes above which a read has brought much: where three of four have, a tick leaves its flush to
/// the next one.
pub const GATHERED_READ: usize = 1024;
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
/// What the kernel is asked to keep of one connection in each direction, in bytes (`SO_SNDBUF`,
/// `SO_RCVBUF`); it doubles that, and counts its own overhead in it (`socket(7)`). Left alone it
/// keeps megabytes of whoever does not read, in memory that no bound of ours counts.
pub const SOCKET_BUFFER: usize = 64 * 1024;
/// How long a connection that is being closed may take to accept its last bytes and to say goodbye.
pub const FINISH_TIMEOUT: Duration = Duration::from_secs(2);
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
/// A frame that is not complete this long after its first byte ends its connection.
pub const FRAME_TIMEOUT: Duration = Duration::from_secs(30);
/// A connection that has bytes waiting and takes none for this long is ended.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection of which the handler expects a handshake
/// ([`expect_handshake`](super::Context::expect_handshake)) ends after this long without one.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
