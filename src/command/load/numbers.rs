//! Numbers for people.

use std::io::{self, IsTerminal};
use std::time::Duration;

use crate::limits::LOAD_COLUMNS;
use crate::screen::Terminal;

/// A figure from here on has four digits and more before its point, and a latency is kept to three
/// (`src/load/stats.rs`): what stood behind the point would mean nothing.
const WHOLE_FROM: f64 = 1000.0;
const GROUP: usize = 3;

/// With so many digits behind the point, and thousands in groups: `12,345,678`.
pub(super) fn figure(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let is_whole = text.parse().is_ok_and(|shown: f64| shown.abs() >= WHOLE_FROM);
    grouped(&if is_whole { format!("{value:.0}") } else { text })
}

/// A count, with thousands in groups.
pub(super) fn count(value: u64) -> String {
    grouped(&value.to_string())
}

/// `one` thing, or so many of them.
pub(super) fn counted(value: u64, one: &str) -> String {
    format!("{} {one}{}", count(value), if value == 1 { "" } else { "s" })
}

/// Seconds, as short as they can be written.
pub(super) fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

/// The columns that lines for people may have.
pub(super) fn columns() -> usize {
    let is_terminal = io::stdout().is_terminal();
    if is_terminal { usize::from(Terminal::size().columns) } else { LOAD_COLUMNS }
}

fn grouped(number: &str) -> String {
    let end = number.find('.').unwrap_or(number.len());
    let (whole, rest) = number.split_at(end);
    let (sign, digits) = whole.split_at(whole.len() - whole.trim_start_matches('-').len());
    let mut text = sign.to_owned();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(GROUP) {
            text.push(',');
        }
        text.push(digit);
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_in_groups() {
        let cases = [(0, "0"), (999, "999"), (1000, "1,000"), (12_345_678, "12,345,678")];
        for (value, text) in cases {
            assert_eq!(count(value), text);
        }
        assert_eq!(counted(1, "error"), "1 error");
        assert_eq!(counted(1000, "error"), "1,000 errors");
    }

    #[test]
    fn a_large_figure_has_nothing_behind_the_point() {
        let cases = [
            (999.94, 1, "999.9"),
            (999.96, 1, "1,000"),
            (1234.5, 1, "1,234"),
            (-1234.56, 2, "-1,235"),
            (0.0161, 3, "0.016"),
        ];
        for (value, digits, text) in cases {
            assert_eq!(figure(value, digits), text);
        }
    }
}
