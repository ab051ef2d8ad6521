//! Every bound and every budget, with its unit and its reason.
//!
//! Nothing in this program grows without an end: what a peer can send, what is kept for a peer, how
//! much one turn of the loop may do and how long anything may take are named constants. Those of
//! the loop are in `src/reactor/limits.rs`, those of the relay in `src/relay/limits.rs`, those of
//! a cluster in `src/cluster/limits.rs`, those of TLS in `src/tls/limits.rs`, and all others here.
//! Constants that a user may change are the defaults of options (`sealwax serve --help`).

use std::time::Duration;

// --- Frames: `docs/protocol.md`, section 1 ---

/// The longest frame of a registered connection, in bytes.
pub const MAX_FRAME: usize = 64 * 1024;
/// The most that an operator may set in place of it, in bytes; clients believe no relay that tells
/// more.
pub const MAX_FRAME_OPTION: usize = 16 * 1024 * 1024;
/// The deepest nesting in a frame; the frame's own object counts as 1.
pub const MAX_DEPTH: usize = 8;
/// The most members that one object in a frame may have.
pub const MAX_MEMBERS: usize = 32;
/// The longest number in a frame, in characters. Python's `json` refuses an integer of more digits
/// than the interpreter takes: 4,300 unless it was told otherwise, and at least so many
/// (<https://docs.python.org/3/library/stdtypes.html#int-max-str-digits>). Original clients end
/// with the exception.
pub const MAX_NUMBER: usize = 640;
/// The longest name of a version-2 user, in bytes.
pub const MAX_NAME: usize = 32;
/// The longest name of an original user, in bytes of UTF-8.
pub const MAX_NAME_ORIGINAL: usize = 64;
/// Names that one fingerprint may bind.
pub const MAX_NAMES_PER_KEY: usize = 8;
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
/// The length of an ML-KEM-768 encapsulation key, in bytes (FIPS 203, table 3).
pub const MLKEM_KEY: usize = 1184;
/// The length of an ML-KEM-768 ciphertext, in bytes (FIPS 203, table 3).
pub const MLKEM_CIPHERTEXT: usize = 1088;
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

// --- Names and letterboxes, of a relay alone and of a cluster: `docs/protocol.md`, section 10 ---

/// Names that may be bound to keys.
pub const MAX_BOUND_NAMES: usize = 1_000_000;
/// Letters that wait in one box at most. Half of them may be of senders to whom the owner of the
/// box wrote ([`WRITTEN_KEPT`]), a quarter of all other senders, and a quarter receipts of the
/// former.
pub const BOX_LETTERS: u32 = 128;
/// Bytes that wait in one box at most, shared out in the same way: a client takes them within some
/// seconds.
pub const BOX_BYTES: u32 = 1024 * 1024;
/// Letters of one sender in a box whose owner did not write to it.
pub const STRANGER_LETTERS: u32 = 8;
/// Users of whom a box remembers that its owner wrote to them; the one it wrote to longest ago is
/// forgotten first.
pub const WRITTEN_KEPT: u32 = 256;
/// A share of a box that was full takes letters again when this many parts of [`FULL_OF`] are left
/// in it: so its owner does not have to compete with senders for each place.
pub const FULL_UNTIL: u32 = 3;
/// See [`FULL_UNTIL`].
pub const FULL_OF: u32 = 4;
/// Bytes of one sender's letters in all boxes together.
pub const SENDER_BYTES: u32 = 1024 * 1024;
/// Letters under the letter key before the newest one are taken for this long after the newest
/// came: their senders asked for the key just before. Its owner keeps it for at least as long.
pub const LETTER_KEY_GRACE: Duration = Duration::from_mins(10);
/// Letters that one step deletes because their time is over.
pub const UPKEEP_LETTERS: u32 = 256;

// --- The relay as a service: `src/command` ---

/// The longest file that `serve --config` reads, in bytes.
pub const MAX_CONFIG_FILE: usize = 64 * 1024;
/// Sockets that whoever starts the relay may give it (`LISTEN_FDS`).
pub const MAX_INHERITED_LISTENERS: i32 = 64;
/// How often a relay tells systemd its status, at least.
pub const STATUS_INTERVAL: Duration = Duration::from_secs(10);

// --- The trace of the loop: `src/trace` ---

/// Bytes of a trace that wait for whoever reads it; ticks beyond it are counted and dropped.
pub const TRACE_QUEUE: usize = 1024 * 1024;
/// How long the loop waits for a trace that is not read, before it goes on without it.
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
/// Who leaves after so long without an answer to a registration is told of it.
pub const MIN_SILENCE: Duration = Duration::from_secs(1);
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
/// Users that are kept of a roster: as many as a relay connects unless its operator says otherwise.
pub const MAX_USERS: usize = 100_000;
/// A new prekey is made and published after this long.
pub const PREKEY_INTERVAL: Duration = Duration::from_hours(24);
/// A prekey is not valid any more this long after it was made.
pub const PREKEY_LIFETIME: Duration = Duration::from_hours(48);
/// The prekey before the current one stays usable for this long.
pub const PREKEY_GRACE: Duration = Duration::from_mins(10);
/// A letter key is not valid any more this long after it was made.
pub const LETTER_KEY_LIFETIME: Duration = Duration::from_hours(90 * 24);
/// The time at which a letter key was made is told in steps of this.
pub const LETTER_KEY_ROUNDING: Duration = Duration::from_hours(24);
/// How long a client that leaves waits for its last receipts to leave before it: those for letters
/// are letters themselves, which the relay keeps on its disk one after the other.
pub const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);
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
/// The first pause before the relay is asked again whether an absent peer has come; it doubles up
/// to [`RESEND_MIN`], and to [`ABSENT_MAX`] where `--wait` bounds it.
pub const ABSENT_MIN: Duration = Duration::from_millis(100);
/// How late a `send` that waits for its recipient may notice that it has come. Two questions a
/// second are little work for a relay, even from a few thousand clients that wait.
pub const ABSENT_MAX: Duration = Duration::from_millis(500);
/// When the oldest unconfirmed text is this old, the relay is asked for its recipient's prekey, to
/// learn whether the recipient has started anew; the next time after twice as long.
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
pub const WAITING_STRANGER_BYTES: usize = 36 * 1024;
/// What a waiting frame counts beside its bytes, so that many short ones are bounded too.
pub const WAITING_OVERHEAD: usize = 256;
/// New sessions that one peer may open at once (a bucket that fills by one a second): fewer than
/// what it shares with others, so that no peer alone uses that up.
pub const SESSION_BURST: u32 = 4;
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
/// The largest decoded `content` of a letter, in bytes: its head, three parts with their lengths
/// (the secret that RSA wraps, an ML-KEM ciphertext, a signature), and the largest bucket with its
/// tag.
pub const MAX_LETTER: usize = 129
    + (2 + MAX_SIGNATURE)
    + (2 + MLKEM_CIPHERTEXT)
    + (2 + MAX_SIGNATURE)
    + BUCKETS[BUCKETS.len() - 1]
    + 16;
/// The longest `content` of a letter, in characters of base64.
pub const MAX_LETTER_TEXT: usize = (MAX_LETTER * 4).div_ceil(3);
/// The most ids in one receipt.
pub const MAX_RECEIPT: usize = (BUCKETS[BUCKETS.len() - 1] - 4) / 16;
/// The longest line on standard input, in bytes.
pub const MAX_LINE: usize = 64 * 1024;
/// Bytes that wait for standard output before reading from the relay pauses.
pub const OUTPUT_QUEUE: usize = 1024 * 1024;
/// How long the end of input waits for confirmations, unless `--wait` says otherwise.
pub const END_WAIT: Duration = Duration::from_secs(10);
/// How long a client gathers letters that came or were delivered, to tell them in one line a peer.
pub const GATHER_INTERVAL: Duration = Duration::from_secs(1);

// --- Letters, at the client: `docs/protocol.md` section 10 ---

/// A new letter key is made when the newest is this old.
pub const LETTER_KEY_INTERVAL: Duration = Duration::from_hours(24);
/// How old a letter may be. A relay keeps none for longer than 14 days.
pub const LETTER_AGE: Duration = Duration::from_hours(15 * 24);
/// Letters that were delivered and are neither opened nor parked yet: as many as a relay delivers
/// before some are acknowledged.
pub const LETTERS_DELIVERED: usize = 16;
/// How long texts for a peer that is connected wait for what lies in its letterbox to be confirmed,
/// before they become letters too.
pub const LETTER_HOLD: Duration = Duration::from_secs(3);
/// Ids of shown letters that are kept of each sender.
pub const SEEN_LETTERS: usize = 1024;
/// Ids of texts shown in sessions that are kept of each sender over the end of a client: those that
/// it may send again as letters ([`WINDOW`]).
pub const SEEN_SESSION_TEXTS: usize = WINDOW;
/// How often it is written down that a relay is visited; then what is over by the clock is erased,
/// of all relays.
pub const VISIT_INTERVAL: Duration = Duration::from_hours(24);
/// Relays of which letter keys, and what else a client keeps of letters, are kept.
pub const LETTER_RELAYS: usize = 16;
/// Peers of whom such ids, and the time of the newest letter key, are kept, over all relays.
pub const LETTER_PEERS: usize = 4096;
/// How often at most ids of texts shown in sessions are written down.
pub const SEEN_INTERVAL: Duration = Duration::from_secs(1);
/// Letters of one sender that are kept until its key is accepted.
pub const PARKED_A_SENDER: usize = 16;
/// Letters of a relay that are kept until keys are accepted, over all senders.
pub const PARKED_LETTERS: usize = 64;
/// Receipts for letters of a relay that are kept until it takes them.
pub const OWED_RECEIPTS: usize = 4096;
/// Letters of ours at a relay that are kept as not confirmed: it holds at most 1 MiB of one
/// sender's.
pub const WAITING_LETTERS: usize = 4096;
/// Addressees of unconfirmed letters whom a client asks the relay for after it has registered.
pub const LETTER_CHECKS: usize = 16;
/// Letters that one peer that we know may make us open at once: a full letterbox.
pub const LETTER_BURST: u32 = 128;
/// Letters a second that we open of one peer that we know, after the first ones.
pub const LETTERS_PER_SECOND: u32 = 16;
/// Letters a second that we open of all peers that we know.
pub const KNOWN_LETTERS_PER_SECOND: u32 = 32;
/// Letters that all strangers together may make us open at once.
pub const STRANGER_LETTER_BURST: u32 = 8;
/// Letters a second that we open of all strangers, after the first ones.
pub const STRANGER_LETTERS_PER_SECOND: u32 = 5;
/// How often a letter that comes again is confirmed again.
pub const CONFIRM_AGAIN: Duration = Duration::from_mins(1);
/// How long a commit waits for another process (`sealwax letters`) that writes to the file.
pub const LETTERS_BUSY: Duration = Duration::from_secs(1);
/// The first pause before changes are written again that could not be; it doubles up to
/// [`RESEND_MAX`].
pub const WRITE_AGAIN: Duration = Duration::from_secs(1);

// --- The load generator: `src/load` ---

/// Connections that a run has on their way at a time while its users gather: well below
/// [`LISTEN_BACKLOG`](crate::reactor::limits::LISTEN_BACKLOG), so that none waits for a second try
/// (tcp(7), `tcp_abort_on_overflow`).
pub const LOAD_CONNECTING: usize = 128;
/// The same for ngircd, which listens with a backlog of ten.
pub const LOAD_CONNECTING_NGIRCD: usize = 8;
/// The longest frame that the generator takes, in bytes: a list of all users.
pub const LOAD_MAX_FRAME: usize = 1024 * 1024;
/// Round trips a second of the pair that is active while others only are there, unless `--rate`
/// says otherwise.
pub const LOAD_HOLD_RATE: f64 = 1000.0;
/// One part in so many of the ports to connect from is used of one address: the search for a free
/// one takes longer the fewer there are, and the ports of closed connections cannot be used for a
/// minute (tcp(7), `TIME_WAIT`).
pub const LOAD_PORTS_PART: u32 = 4;
/// Our addresses from which users connect that come and go; each connection leaves a port in
/// `TIME_WAIT`.
pub const LOAD_SOURCES: u32 = 64;
/// Keys that are made between two lines that tell how many there are.
pub const LOAD_KEYS_TOLD: usize = 100;
/// How often each subject is measured where several stand beside each other.
pub const LOAD_ROUNDS_BESIDE: u32 = 5;
/// Of how many pairs in a hundred the two are at different relays, where `load` measures several.
pub const LOAD_CROSSING: u32 = 50;
/// How long several relays that `load` measures get to tell each other who is there, before anybody
/// writes.
pub const LOAD_LEARN: Duration = Duration::from_millis(500);
/// How often the generator looks for messages that do not come.
pub const LOAD_SWEEP: Duration = Duration::from_millis(250);
/// How long a process may take to accept a connection by which it is known, and to be one that
/// `--pid` may name.
pub const LOAD_OWNER_TIMEOUT: Duration = Duration::from_secs(1);
/// A percentile that fewer slower operations than this stand behind is told to rest on few samples.
pub const LOAD_TAIL: u64 = 10;
/// How long a process whose connections have all ended gets to be gone, before it is taken to live.
pub const LOAD_GONE: Duration = Duration::from_secs(2);
/// Columns of the table where standard output is no terminal.
pub const LOAD_COLUMNS: usize = 80;
/// Later than this the generator starts nothing, unless it cannot keep up.
pub const LOAD_LATE: Duration = Duration::from_millis(1);
/// Operations that never started are noted with their age in so many portions: each alone, unless
/// there are more.
pub const LOAD_AGES: u64 = 1_000_000;

// --- The command line ---

/// The relay that is used if none was ever given; `serve` listens there by default.
pub const DEFAULT_RELAY: &str = "127.0.0.1:12345";
/// The longest name of a host, in bytes (RFC 1035, section 2.3.4, and one for a final dot).
pub const MAX_HOST: usize = 255;
/// The largest identity file, in bytes: a key of 4,096 bits takes 3,300.
pub const MAX_IDENTITY_FILE: usize = 16 * 1024;
/// The longest file of a certificate, with those that signed it, or of its key, in bytes.
pub const MAX_TLS_FILE: usize = 256 * 1024;
/// The longest file of certificates of authorities, in bytes: those of a distribution take 230 KiB.
pub const MAX_ROOTS_FILE: usize = 4 * 1024 * 1024;
/// The most entries of a directory of certificates of authorities: those of a distribution have
/// 450.
pub const MAX_ROOTS_FILES: usize = 4096;
/// The longest file of lines that were written, in bytes: all that an editor remembers, each of the
/// longest.
pub const MAX_HISTORY_FILE: usize = 8 * 1024 * 1024 + 1024 * 1024;
/// The longest passphrase, in bytes.
pub const MAX_PASSPHRASE: usize = 1024;
/// How long a passphrase is waited for on a descriptor: a person may type it into another program.
pub const PASSPHRASE_WAIT: Duration = Duration::from_mins(5);
/// A draft of a file that is older than this was left by a crash and goes at the next start:
/// writing one takes milliseconds.
pub const DRAFT_AGE: Duration = Duration::from_hours(1);
/// How often a person at a terminal may mistype a passphrase.
pub const PASSPHRASE_TRIES: u32 = 3;
/// How long the demo waits for the next thing to happen.
pub const DEMO_PATIENCE: Duration = Duration::from_secs(30);
/// How long the demo gives a person to read a text.
pub const DEMO_TEXT_PAUSE: Duration = Duration::from_millis(600);
/// How long the demo gives a person to look at a frame.
pub const DEMO_FRAME_PAUSE: Duration = Duration::from_millis(120);
/// The shortest timeout that an option takes.
pub const MIN_TIMEOUT: Duration = Duration::from_millis(10);
/// The longest time that an option takes.
pub const MAX_OPTION_TIME: Duration = Duration::from_hours(24 * 365);

// --- `sealwax top` ---

/// How often a relay is asked how it stands.
pub const TOP_INTERVAL: Duration = Duration::from_secs(1);
/// A relay that owes an answer for so long is left; then it is connected to again.
pub const ADMIN_WAIT: Duration = Duration::from_secs(5);
/// The longest answer of an admin socket, in bytes: a page of 128 users with long names has less.
pub const ADMIN_ANSWER: usize = 512 * 1024;
/// Lines of the log that are kept to be scrolled through.
pub const TOP_LINES: usize = 2000;
/// Lines of the log that a relay is asked for at the start.
pub const TOP_LAST_LINES: usize = 200;
/// Users that are shown and sorted: 16 pages a second.
pub const TOP_USERS: usize = 2048;
/// Seconds that a chart shows, if it is wide enough.
pub const TOP_SERIES: usize = 300;
/// The longest filter, in bytes.
pub const TOP_FILTER: usize = 64;
