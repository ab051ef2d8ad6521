//! An instant of the wall clock as people and programs read it in a log.
//!
//! The clock of log lines is read by others and handed in as a number; [`Day::today`] reads it.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds of a day.
const SECONDS_PER_DAY: u64 = 24 * 60 * 60;
pub(super) const MS_PER_DAY: u64 = SECONDS_PER_DAY * 1000;
/// 400 years of the Gregorian calendar, after which it repeats.
const DAYS_PER_ERA: u64 = 146_097;
/// From 1 March of the year 0, where eras begin, to 1 January 1970.
const DAYS_BEFORE_EPOCH: u64 = 719_468;

/// Milliseconds since 1970-01-01T00:00:00Z; shown as RFC 3339 has it: `2026-02-28T23:59:59.999Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Utc(pub(super) u64);

impl fmt::Display for Utc {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.0 / MS_PER_DAY);
        let ms = self.0 % MS_PER_DAY;
        let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        write!(out, ".{:03}Z", ms % 1000)
    }
}

/// A day, as RFC 3339 writes a date: `2026-02-28`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(
    /// Days since 1970-01-01.
    pub u32,
);

impl Day {
    /// Today, by the machine's clock. A clock from before 1970 counts as the first day.
    pub fn today() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u32::try_from(now.as_secs() / SECONDS_PER_DAY).unwrap_or(u32::MAX))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.0.into());
        write!(out, "{year:04}-{month:02}-{day:02}")
    }
}

impl FromStr for Day {
    type Err = NoDay;

    /// Reads a date from 1970 to 2999.
    fn from_str(text: &str) -> Result<Self, NoDay> {
        // Bisection needs no second algorithm, which could disagree with the first.
        let (mut least, mut most) = (0, 376_200); // 2999-12-31 and a little more
        while least < most {
            let middle = least + (most - least) / 2;
            if *Self(middle).to_string() < *text { least = middle + 1 } else { most = middle }
        }
        Some(Self(least)).filter(|day| day.to_string() == text).ok_or(NoDay)
    }
}

/// A text that is no date of the form `2026-02-28`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoDay;

/// Year, month and day of the day that begins `days` days after 1970-01-01.
///
/// Howard Hinnant's `civil_from_days` (<https://howardhinnant.github.io/date_algorithms.html>). Its
/// years begin in March, so that a leap day is a year's last and months have a regular length.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_BEFORE_EPOCH;
    let (era, day_of_era) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    let leap_days = day_of_era / 1460 + day_of_era / 146_096 - day_of_era / 36_524;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants_are_shown_in_the_form_of_rfc_3339() {
        for (ms, shown) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_234_567_890_123, "2009-02-13T23:31:30.123Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(Utc(ms).to_string(), shown);
        }
        assert!(Utc(u64::MAX).to_string().ends_with('Z'));
    }

    #[test]
    fn a_day_is_read_as_it_is_shown_and_nothing_else_is_one() {
        for day in (0..376_000).step_by(97).chain([0, 11_016, 20_000]) {
            assert_eq!(Day(day).to_string().parse(), Ok(Day(day)));
        }
        assert_eq!("2000-02-29".parse(), Ok(Day(11_016)));
        for text in
            ["", "2026-02-30", "2026-2-3", "2026", "1969-12-31", "2026-02-28T00", "9999-01-01"]
        {
            assert_eq!(text.parse::<Day>(), Err(NoDay), "{text}");
        }
    }

    #[test]
    fn every_day_of_five_centuries_follows_the_one_before() {
        let mut expected = (1970, 1, 1);
        for days in 0..500 * 366 {
            assert_eq!(civil_from_days(days), expected);
            let (year, month, day) = expected;
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 => 28 + u64::from(is_leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            expected = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                _ if day == length => (year, month + 1, 1),
                _ => (year, month, day + 1),
            };
        }
    }
}
