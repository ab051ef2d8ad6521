//! What may be shown of a text that came from the network, and how many cells it takes.
//!
//! [`escape`] makes visible what steers a terminal, as
//! [`escape_visible`](crate::wire::escape_visible) does, with one exception: ZERO WIDTH JOINER and
//! NON-JOINER stay where a writing system needs them. Where that is so is written in Unicode
//! Standard Annex #31, section 2.3.1 (contexts A1, A2 and B), and in Annex #29 for the sequences of
//! emoji. They steer nothing there; everywhere else they are invisible, and are escaped. Characters
//! that set the direction of writing are always escaped: text that runs from right to left is
//! isolated by [`isolate`] instead.

use std::borrow::Cow;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::wire::is_invisible;

const ZWNJ: char = '\u{200c}';
const ZWJ: char = '\u{200d}';
/// FIRST STRONG ISOLATE: what follows has a direction of its own, up to [`PDI`] (Annex #9).
const FSI: char = '\u{2068}';
/// POP DIRECTIONAL ISOLATE.
const PDI: char = '\u{2069}';

/// `text` with everything that could steer a terminal or forge a line made visible (`\n`, `\t`,
/// `\u{1b}`); joiners stay where Unicode allows them.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(is_invisible) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for (at, character) in text.char_indices() {
        if is_invisible(character) && !is_allowed_joiner(text, at, character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// `text`, which was escaped, so that letters that run from right to left turn nothing around
/// behind it on the same line.
pub fn isolate(text: &str) -> Cow<'_, str> {
    if text.contains(is_right_to_left) {
        return Cow::Owned(format!("{FSI}{text}{PDI}"));
    }
    Cow::Borrowed(text)
}

/// How many cells `text` takes, which was escaped.
pub fn width(text: &str) -> usize {
    text.width()
}

/// What rows behind the first one of a line begin with, so that none can pass for a line.
const INDENT: &str = "    ";

/// `line` (which was escaped) in rows of so many columns, divided between words; rows behind the
/// first are indented. What stands in backquotes is one word, for a command is to be copied whole.
/// A word that is longer than a row stays whole too, and is the terminal's to wrap.
pub fn wrap(line: &str, columns: usize) -> Vec<String> {
    rows_of(words(line), columns)
}

/// As [`wrap`]; but what is longer than a row is divided, within backquotes between words.
pub fn wrap_all(line: &str, columns: usize) -> Vec<String> {
    let long = |row: String| if width(&row) > columns { divided(&row, columns) } else { vec![row] };
    wrap(line, columns).into_iter().flat_map(long).collect()
}

fn rows_of<'a>(words: impl Iterator<Item = &'a str>, columns: usize) -> Vec<String> {
    let (mut rows, mut row, mut used) = (Vec::new(), String::new(), 0);
    for word in words {
        let cells = width(word.trim_end_matches(' '));
        if used + cells > columns && !row.trim_start_matches(' ').is_empty() {
            rows.push(row.trim_end_matches(' ').to_owned());
            indent(columns).clone_into(&mut row);
            used = row.len();
        }
        row.push_str(word);
        used += width(word);
    }
    rows.push(row.trim_end_matches(' ').to_owned());
    rows
}

/// A row between its words, and a word that is longer than a row between its characters.
fn divided(row: &str, columns: usize) -> Vec<String> {
    let indent = indent(columns);
    let mut parts = rows(row, columns, columns - indent.len());
    parts.iter_mut().skip(1).for_each(|part| part.insert_str(0, indent));
    parts
}

/// `text` (which was escaped) in rows, of which the first has `first` cells and the others `rest`.
/// They end between words where that is possible, and a word that is longer than a row goes on in
/// the next one.
pub fn rows(text: &str, first: usize, rest: usize) -> Vec<String> {
    let (mut rows, mut row, mut used) = (Vec::new(), String::new(), 0);
    let mut room = first.max(1);
    for word in text.split_inclusive(' ') {
        let is_begun = !row.trim_start_matches(' ').is_empty();
        if is_begun && used + width(word.trim_end()) > room {
            rows.push(std::mem::take(&mut row));
            (used, room) = (0, rest.max(1));
        }
        for part in word.graphemes(true) {
            if used > 0 && used + width(part) > room {
                if part == " " {
                    continue; // the row ends here
                }
                rows.push(std::mem::take(&mut row));
                (used, room) = (0, rest.max(1));
            }
            row.push_str(part);
            used += width(part);
        }
    }
    rows.push(row);
    rows.iter().map(|row| row.trim_end().to_owned()).collect()
}

fn indent(columns: usize) -> &'static str {
    if columns > 2 * INDENT.len() { INDENT } else { "" }
}

/// `text` (which was escaped, and may hold sequences that steer the terminal) for a terminal that
/// knows no UTF-8: each character takes as many cells as before, as a sign like it or as `?`.
/// Nothing but ASCII may go there: to such a terminal the second byte of `Û` is the begin of a
/// sequence.
pub fn ascii(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for grapheme in text.graphemes(true) {
        let first = grapheme.chars().next().unwrap_or_default();
        match SIGNS.iter().find(|(sign, _)| *sign == first) {
            _ if grapheme.is_ascii() => shown.push_str(grapheme),
            Some((_, like)) => shown.push(*like),
            None if first.is_ascii() => shown.push(first), // marks on it are left out
            None => shown.extend(std::iter::repeat_n('?', width(grapheme))),
        }
    }
    Cow::Owned(shown)
}

/// The signs that are drawn, and what stands for them in [`ascii`]: the end of a line as `cat -E`
/// writes it.
const SIGNS: [(char, char); 25] = [
    ('✓', '+'),
    ('✗', 'x'),
    ('·', '.'),
    ('→', '>'),
    ('…', '~'),
    ('│', '|'),
    ('⏎', '$'),
    ('─', '-'),
    ('┌', '+'),
    ('┐', '+'),
    ('└', '+'),
    ('┘', '+'),
    ('▁', '_'),
    ('▂', '_'),
    ('▃', '.'),
    ('▄', ':'),
    ('▅', ':'),
    ('▆', '='),
    ('▇', '='),
    ('█', '#'),
    ('▏', '|'),
    ('↑', '^'),
    ('↓', 'v'),
    ('“', '"'),
    ('”', '"'),
];

/// The words of a line, each with the spaces behind it; those at the begin are a word.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let (mut rest, mut is_quoted) = (line, false);
    std::iter::from_fn(move || {
        let mut was_space = false;
        let end = rest.char_indices().find(|&(at, letter)| {
            let is_end = was_space && letter != ' ' && !is_quoted;
            is_quoted ^= letter == '`' && !is_end;
            was_space = letter == ' ' && (at > 0 || !is_quoted);
            is_end
        });
        let (word, behind) = rest.split_at(end.map_or(rest.len(), |(at, _)| at));
        rest = behind;
        (!word.is_empty()).then_some(word)
    })
}

/// How many rows below its first one `text` (which was escaped) ends on a terminal that wraps it
/// at so many columns. A character that is too wide for the rest of a row stands in the next one.
pub(super) fn wraps(text: &str, columns: usize) -> usize {
    let (mut rows, mut used) = (0, 0);
    for grapheme in text.graphemes(true) {
        let cells = width(grapheme);
        used += cells;
        if used > columns {
            (rows, used) = (rows + 1, cells);
        }
    }
    rows
}

/// The beginning of `text` (which was escaped) that fits into `columns`; where something is left
/// out, `…` stands at the end.
pub fn cut(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let mut used = 1; // of the `…`
    let fits = |part: &&str| {
        used += width(part);
        used <= columns
    };
    let mut kept: String = text.graphemes(true).take_while(fits).collect();
    if columns > 0 {
        kept.push('…');
    }
    Cow::Owned(kept)
}

/// Whether the joiner `character` at `at` stands where Unicode allows it.
fn is_allowed_joiner(text: &str, at: usize, character: char) -> bool {
    let (before, after) = (&text[..at], &text[at + character.len_utf8()..]);
    match character {
        ZWNJ => {
            breaks_arabic(before, after)
                || follows_virama(before)
                    && after.trim_start_matches(is_mark).starts_with(is_letter)
        }
        // Annex #31 asks further that no vowel sign follows.
        ZWJ => joins_emoji(before, after) || follows_virama(before) && !after.starts_with(is_mark),
        _ => false,
    }
}

/// Context A1: between a letter that joins to the next one and one that joins to the letter before
/// it.
fn breaks_arabic(before: &str, after: &str) -> bool {
    let joins_on = before.trim_end_matches(is_mark).ends_with(joins_both_sides);
    let joins_back = |letter| joins_both_sides(letter) || joins_before(letter);
    joins_on && after.trim_start_matches(is_mark).starts_with(joins_back)
}

/// Contexts A2 and B: a letter, marks, a virama, marks.
fn follows_virama(before: &str) -> bool {
    let mut marks = 0;
    for character in before.chars().rev() {
        if !is_mark(character) {
            return marks > 0 && is_letter(character);
        }
        marks = if is_virama(character) || marks > 0 { marks + 1 } else { 0 };
        if marks > MAX_MARKS {
            return false;
        }
    }
    false
}

/// The most marks on one letter that are looked through: Annex #15, section 13, allows 30.
const MAX_MARKS: usize = 30;

/// Whether the characters on both sides of a ZERO WIDTH JOINER make one emoji with it.
fn joins_emoji(before: &str, after: &str) -> bool {
    let Some(next) = after.chars().next() else { return false };
    // The last grapheme is found from a bounded part: emoji are short.
    let start = before.char_indices().rev().take(MAX_EMOJI).last().map_or(0, |(at, _)| at);
    let joined = format!("{}{ZWJ}{next}", &before[start..]);
    let extends = format!("a{next}").graphemes(true).count() == 1; // a mark, and no emoji
    let in_one = joined.graphemes(true).next_back().is_some_and(|last| last.contains(ZWJ));
    in_one && !extends
}

/// The longest emoji that is looked at, in characters before a joiner.
const MAX_EMOJI: usize = 32;

fn is_letter(character: char) -> bool {
    character.is_alphabetic() && !is_mark(character)
}

/// A character that takes no cell of its own, or that a virama is.
fn is_mark(character: char) -> bool {
    let is_joiner = character == ZWJ || character == ZWNJ;
    !is_joiner && (character.width() == Some(0) || is_virama(character))
}

/// Letters of the Arabic script that join on both sides (`Joining_Type=D`), from
/// `ArabicShaping.txt` of Unicode 16.0.
fn joins_both_sides(letter: char) -> bool {
    let in_blocks = matches!(letter,
        '\u{620}'..='\u{64a}' | '\u{66e}'..='\u{66f}' | '\u{671}'..='\u{6d3}'
        | '\u{6fa}'..='\u{6fc}' | '\u{6ff}' | '\u{750}'..='\u{77f}' | '\u{886}'
        | '\u{889}'..='\u{88d}' | '\u{8a0}'..='\u{8c8}');
    let joins_nothing = matches!(letter, '\u{621}' | '\u{674}' | '\u{8ad}');
    in_blocks && !joins_nothing && !joins_before(letter)
}

/// Letters of the Arabic script that join only to the one before (`Joining_Type=R`).
fn joins_before(letter: char) -> bool {
    matches!(letter,
        '\u{622}'..='\u{625}' | '\u{627}' | '\u{629}' | '\u{62f}'..='\u{632}' | '\u{648}'
        | '\u{671}'..='\u{673}' | '\u{675}'..='\u{677}' | '\u{688}'..='\u{699}' | '\u{6c0}'
        | '\u{6c3}'..='\u{6cb}' | '\u{6cd}' | '\u{6cf}' | '\u{6d2}'..='\u{6d3}' | '\u{6d5}'
        | '\u{6ee}'..='\u{6ef}' | '\u{759}'..='\u{75b}' | '\u{76b}'..='\u{76c}' | '\u{771}'
        | '\u{773}'..='\u{774}' | '\u{778}'..='\u{779}' | '\u{870}'..='\u{882}' | '\u{88e}'
        | '\u{8aa}'..='\u{8ac}' | '\u{8ae}' | '\u{8b1}'..='\u{8b2}' | '\u{8b9}')
}

/// Whether a character is a virama (`Canonical_Combining_Class=9`) of a script in use today, from
/// `UnicodeData.txt` of Unicode 16.0.
fn is_virama(character: char) -> bool {
    matches!(character,
        '\u{94d}' | '\u{9cd}' | '\u{a4d}' | '\u{acd}' | '\u{b4d}' | '\u{bcd}' | '\u{c4d}'
        | '\u{ccd}' | '\u{d3b}'..='\u{d3c}' | '\u{d4d}' | '\u{dca}' | '\u{e3a}' | '\u{eba}'
        | '\u{f84}' | '\u{1039}'..='\u{103a}' | '\u{1714}'..='\u{1715}' | '\u{1734}' | '\u{17d2}'
        | '\u{1a60}' | '\u{1b44}' | '\u{1baa}'..='\u{1bab}' | '\u{1bf2}'..='\u{1bf3}'
        | '\u{a806}' | '\u{a8c4}' | '\u{a953}' | '\u{a9c0}' | '\u{aaf6}' | '\u{abed}')
}

/// Letters that run from right to left (`Bidi_Class` R and AL): by their blocks, which Unicode
/// keeps for such letters (`DerivedBidiClass.txt`).
fn is_right_to_left(character: char) -> bool {
    matches!(character,
        '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}'
        | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::escape_visible;

    #[test]
    fn lines_end_between_words_and_where_there_is_none_within_one() {
        let lines = |text: &str| rows(text, 10, 6);
        assert_eq!(lines(""), [""]);
        assert_eq!(lines("ten cells."), ["ten cells."]);
        assert_eq!(lines("eleven cells"), ["eleven", "cells"]);
        assert_eq!(lines("a word-of-many-cells"), ["a", "word-o", "f-many", "-cells"]);
        assert_eq!(lines("漢字漢字漢字漢字"), ["漢字漢字漢", "字漢字"]);
        assert_eq!(rows("ab", 0, 0), ["a", "b"]);
    }

    #[test]
    fn joiners_stay_where_a_writing_system_needs_them() {
        let family = "👨\u{200d}👩\u{200d}👧\u{200d}👦";
        let flag = "🏳\u{fe0f}\u{200d}🌈";
        let waving = "🙋🏽\u{200d}♀\u{fe0f}";
        let persian = ["می\u{200c}خواهم", "کتاب\u{200c}ها"];
        let indic = ["क्\u{200d}ष", "क्\u{200c}ष", "ශ්\u{200d}රී"];
        for text in persian.into_iter().chain(indic).chain([family, flag, waving]) {
            assert_eq!(escape(text), text);
        }
    }

    #[test]
    fn joiners_that_are_only_invisible_are_escaped() {
        for (text, shown) in [
            ("a\u{200d}b", "a\\u{200d}b"),
            ("pay\u{200c}pal", "pay\\u{200c}pal"),
            ("\u{200d}", "\\u{200d}"),
            ("👨\u{200d}", "👨\\u{200d}"),
            ("👨\u{200d}\u{200d}👩", "👨\\u{200d}\\u{200d}👩"),
            ("a\u{200d}\u{301}", "a\\u{200d}\u{301}"),
            ("می\u{200c}\u{200c}خ", "می\\u{200c}\\u{200c}خ"),
            ("دا\u{200c}ن", "دا\\u{200c}ن"), // alef joins nothing behind it
            ("\u{94d}\u{200d}", "\u{94d}\\u{200d}"),
        ] {
            assert_eq!(escape(text), shown);
        }
    }

    #[test]
    fn right_to_left_text_is_isolated_and_its_controls_are_escaped() {
        assert_eq!(isolate("shalom"), "shalom");
        assert_eq!(isolate("שלום"), "\u{2068}שלום\u{2069}");
        assert_eq!(escape("x\u{202e}y\u{2067}\u{61c}"), "x\\u{202e}y\\u{2067}\\u{61c}");
    }

    #[test]
    fn a_line_is_divided_between_words_and_a_command_stays_whole() {
        for (line, rows) in [
            ("one two three", &["one two three"][..]),
            ("one two three four", &["one two three", "    four"]),
            ("F1     a table of", &["F1     a table", "    of"]),
            ("  indented and long", &["  indented and", "    long"]),
            ("it is `a b c d` e", &["it is `a b c d`", "    e"]),
            ("it is so `a b c d` e", &["it is so", "    `a b c d` e"]),
            ("abcdefghijklmnopqrst uv", &["abcdefghijklmnopqrst", "    uv"]),
            ("日本 語日本 語日", &["日本 語日本", "    語日"]),
            ("", &[""]),
        ] {
            assert_eq!(wrap(line, 15), rows, "{line}");
        }
        let rows = ["abcdefghijklmno", "    pqrst", "    uv"];
        assert_eq!(wrap_all("abcdefghijklmnopqrst uv", 15), rows);
        assert_eq!(wrap_all("bob: 日本語です", 9), ["bob:", "    日本", "    語で", "    す"]);
        assert_eq!(wrap_all("日本", 1), ["日", "本"]);
        let rows = ["it is", "    `keys", "    verify bob`", "    or so"];
        assert_eq!(wrap_all("it is `keys verify bob` or so", 15), rows);
    }

    #[test]
    fn a_terminal_without_utf8_gets_ascii_of_the_same_width() {
        for (text, shown) in [
            ("14:32 ✓ → bob: a⏎b…", "14:32 + > bob: a$b~"),
            ("\x1b[7m · │ ✗\x1b[0m\n", "\x1b[7m . | x\x1b[0m\n"),
            ("Û2J é", "?2J ?"),
            ("日本", "????"),
            ("e\u{301}x", "ex"),
            ("👨\u{200d}👩 \u{2068}שלום\u{2069}", "?? ????"),
        ] {
            assert_eq!(ascii(text), shown, "{text}");
        }
    }

    #[test]
    fn a_text_is_cut_between_graphemes_and_by_cells() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("e\u{301}e\u{301}e\u{301}", 2), "e\u{301}…");
        assert_eq!(cut("日本", 1), "…");
        assert_eq!(cut("日本", 0), "");
    }

    proptest! {
        #[test]
        fn nothing_but_joiners_is_treated_otherwise_than_on_a_line(text in "\\PC*|\\p{Any}*") {
            let shown = escape(&text);
            let without = |text: &str| text.replace([ZWJ, ZWNJ], "");
            let plain = escape_visible(&text).replace("\\u{200d}", "").replace("\\u{200c}", "");
            let joined = without(&shown).replace("\\u{200d}", "").replace("\\u{200c}", "");
            prop_assert_eq!(joined, plain);
        }

        #[test]
        fn a_wrapped_line_says_the_same_and_fits(text in "[a-c` 日é]*", columns in 2_usize..30) {
            let without_spaces = |text: &str| text.replace(' ', "");
            for rows in [wrap(&text, columns), wrap_all(&text, columns)] {
                prop_assert_eq!(without_spaces(&rows.concat()), without_spaces(&text));
            }
            prop_assert!(wrap_all(&text, columns).iter().all(|row| width(row) <= columns));
        }

        #[test]
        fn ascii_is_as_wide_as_what_it_stands_for(text in "\\PC*") {
            let shown = escape(&text);
            let (here, there) = (ascii(&shown), width(&shown));
            prop_assert!(here.is_ascii());
            prop_assert!(width(&here) <= there, "{here:?}");
        }

        #[test]
        fn what_is_cut_fits(text in "\\PC*", columns in 0_usize..20) {
            prop_assert!(width(&cut(&escape(&text), columns)) <= columns);
        }
    }
}
