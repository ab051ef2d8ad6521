//! Every bound of the admin socket and of the metrics, with its unit and its reason: whoever looks
//! at a relay must not slow it down.

use std::num::NonZeroU16;
use std::time::Duration;

/// Connections to the admin socket at one time.
pub const ADMIN_CONNECTIONS: usize = 8;
/// Connections for metrics at one time.
pub const METRICS_CONNECTIONS: usize = 8;
/// The longest request, in bytes, of either kind.
pub const REQUEST_BYTES: NonZeroU16 = NonZeroU16::new(4096).unwrap();
/// Characters of a wrong value that is shown, of a request or of a file of options.
pub const SHOWN_VALUE: usize = 40;
/// Requests to the admin socket at once, of all connections together; those beyond wait.
pub const REQUESTS_BURST: u32 = 64;
/// Requests to the admin socket a second: each costs up to 100 µs.
pub const REQUESTS_PER_SECOND: u32 = 64;
/// While more bytes than these wait for an admin connection, nothing is read from it and no line of
/// the log is queued for it.
pub const ADMIN_OUTBOX: usize = 64 * 1024;
/// Lines of the log that one connection is sent in one tick.
pub const LINES_PER_TICK: usize = 64;
/// Lines of the log that were there before that are sent unless the request says otherwise.
pub const LAST_LINES: usize = 100;
/// Users in one answer.
pub const USERS_PER_PAGE: usize = 128;
/// Places in the table of connections that are looked at for one answer; most may be empty.
pub const SLOTS_PER_PAGE: usize = 4096;
/// How long a released name may take to be released, until the command counts as failed.
pub const RELEASE_WAIT: Duration = Duration::from_secs(5);
/// A page of metrics that is not older than this is served again: however many ask, no more than
/// ten pages are made in a second.
pub const PAGE_AGE: Duration = Duration::from_millis(100);
