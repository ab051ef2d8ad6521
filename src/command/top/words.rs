//! Texts and figures as they are drawn: escaped, and of a width that is known.

use crate::screen::{cut, escape, isolate, rows, width};

/// Text of the relay's: escaped, from right to left isolated, and cut to so many cells.
pub(super) fn shown(text: &str, columns: usize) -> String {
    let escaped = escape(text);
    isolate(&cut(&escaped, columns)).into_owned()
}

/// The same, with spaces behind it up to so many cells.
pub(super) fn padded(text: &str, columns: usize) -> String {
    let escaped = escape(text);
    let text = cut(&escaped, columns);
    let spaces = " ".repeat(columns.saturating_sub(width(&text)));
    format!("{}{spaces}", isolate(&text))
}

/// Our own text, cut to so many cells.
pub(super) fn fit(text: &str, columns: u16) -> String {
    cut(text, usize::from(columns)).into_owned()
}

/// Text, which was escaped, as lines: the first has `first` cells, the others `rest`.
pub(super) fn wrapped(text: &str, first: usize, rest: usize) -> Vec<String> {
    let rows = rows(text, first, rest);
    rows.iter().map(|row| isolate(row).into_owned()).collect()
}

/// The time of the day, UTC, of milliseconds since 1970.
pub(super) fn clock(millis: u64) -> String {
    let seconds = millis / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Seconds, in the two largest units.
pub(super) fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// Seconds, in at most five cells for 27 years.
pub(super) fn short_duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

pub(super) fn count(value: f64) -> String {
    if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// Bytes with three digits.
pub(super) fn bytes(value: f64) -> String {
    let (value, unit) = in_unit(value);
    let digits = usize::from(unit > 0 && value < 100.0);
    format!("{value:.digits$} {}", ["B", "KiB", "MiB", "GiB", "TiB"][unit])
}

/// Bytes, in at most five cells below a pebibyte.
pub(super) fn short_bytes(value: f64) -> String {
    let (value, unit) = in_unit(value);
    let digits = usize::from(unit > 0 && value < 9.95);
    format!("{value:.digits$}{}", ["B", "K", "M", "G", "T"][unit])
}

/// Bytes in the largest unit in which they are one at least.
fn in_unit(bytes: f64) -> (f64, usize) {
    let (mut value, mut unit) = (bytes, 0);
    while value >= 1023.5 && unit < 4 {
        value /= 1024.0;
        unit += 1;
    }
    (value, unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_the_width_that_they_are_given() {
        for (value, long, short) in [
            (0.0, "0 B", "0B"),
            (1023.0, "1023 B", "1023B"),
            (1024.0, "1.0 KiB", "1.0K"),
            (1_048_575.0, "1.0 MiB", "1.0M"),
            (1_000_000.0, "977 KiB", "977K"),
            (1e15, "909 TiB", "909T"),
        ] {
            assert_eq!((bytes(value).as_str(), short_bytes(value).as_str()), (long, short));
        }
        for (seconds, long, short) in
            [(59, "59 s", "59s"), (3600, "1 h 0 min", "1h"), (863_999_999, "9999 d 23 h", "9999d")]
        {
            assert_eq!((duration(seconds).as_str(), &*short_duration(seconds)), (long, short));
        }
    }
}
