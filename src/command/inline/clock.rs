//! Times of the local zone, as `--time` says.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

use crate::command::cli::TimeFormat;
use crate::screen::escape;

/// Until the countdown to the next attempt is shown anew.
pub(super) const SECOND: Duration = Duration::from_secs(1);
const MINUTE_MS: u64 = 60_000;

/// Writes times.
pub(in crate::command) struct Clock {
    format: String,
    zone: TimeZone,
}

impl Clock {
    pub(super) fn new(format: &TimeFormat) -> Self {
        Self { format: format.0.clone(), zone: TimeZone::system() }
    }

    /// Whether times are shown at all.
    pub(super) fn is_shown(&self) -> bool {
        !self.format.is_empty()
    }

    /// The time `ms`, in milliseconds since 1970; empty where none is shown.
    pub(super) fn now(&self, ms: u64) -> String {
        let at = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let zoned = at.unwrap_or_default().to_zoned(self.zone.clone());
        let text = strtime::format(&self.format, &zoned).unwrap_or_default();
        escape(&text).into_owned()
    }

    /// The same with a space behind it.
    pub(super) fn before_line(&self, ms: u64) -> String {
        let time = self.now(ms);
        if time.is_empty() { time } else { format!("\x1b[2m{time}\x1b[0m ") }
    }
}

/// How long from `ms` to the next minute.
pub(super) fn until_minute(ms: u64) -> Duration {
    Duration::from_millis(MINUTE_MS - ms % MINUTE_MS)
}
