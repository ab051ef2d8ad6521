//! Keys and what they leave of a line; `|` stands for the cursor.

use proptest::prelude::*;

use super::*;
use crate::screen::keys::{Keys, Typed};

fn editor(line: &str) -> Editor {
    let mut editor = Editor::new(1000);
    let cursor = line.find('|').unwrap_or(line.len());
    editor.line = Line { text: line.replace('|', ""), cursor, pasted: None };
    editor
}

/// Types `bytes` as a terminal sends them.
fn type_in(editor: &mut Editor, bytes: &str) -> Edit {
    let (mut keys, mut last) = (Keys::default(), Edit::Unknown);
    let mut told = Vec::new();
    keys.take(bytes.as_bytes(), &mut |typed| told.push(typed));
    keys.flush(&mut |typed| told.push(typed));
    for typed in told {
        last = match typed {
            Typed::Press(press) => editor.press(press),
            Typed::Paste { text, .. } => editor.paste(&text),
        };
    }
    last
}

fn shown(editor: &Editor) -> String {
    let (before, after) = editor.line.text.split_at(editor.line.cursor);
    format!("{before}|{after}")
}

#[test]
fn the_keys_of_readline() {
    for (before, keys, after) in [
        ("ab|cd", "\x01", "|abcd"),
        ("ab|cd", "\x05", "abcd|"),
        ("ab|cd", "\x02", "a|bcd"),
        ("ab|cd", "\x06", "abc|d"),
        ("ab|cd", "\x1b[D", "a|bcd"),
        ("ab|cd", "\x1b[C", "abc|d"),
        ("ab|cd", "\x1b[H", "|abcd"),
        ("ab|cd", "\x1b[F", "abcd|"),
        ("ab|cd", "x", "abx|cd"),
        ("ab|cd", "\x7f", "a|cd"),
        ("ab|cd", "\x08", "a|cd"),
        ("ab|cd", "\x04", "ab|d"),
        ("ab|cd", "\x1b[3~", "ab|d"),
        ("ab|cd", "\x0b", "ab|"),
        ("ab|cd", "\x15", "|cd"),
        ("ab|cd", "\x0b\x19\x19", "abcdcd|"),
        ("one two-three| four", "\x17", "one | four"),
        ("one two-three| four", "\x1b\x7f", "one two-| four"),
        ("one two-three| four", "\x1bb", "one two-|three four"),
        ("one| two-three four", "\x1bf", "one two|-three four"),
        ("one| two-three", "\x1bd", "one|-three"),
        ("one |two", "\x1b[1;5D", "|one two"),
        ("ab|cd", "\x14", "acb|d"),
        ("abcd|", "\x14", "abdc|"),
        ("|ab", "\x14", "|ab"),
        ("|", "\x7f\x0b\x15\x17\x1bd\x14\x04", "|"),
    ] {
        let mut editor = editor(before);
        type_in(&mut editor, keys);
        assert_eq!(shown(&editor), after, "{before} and {keys:?}");
    }
}

#[test]
fn the_cursor_moves_by_what_a_reader_takes_for_a_character() {
    let mut editor = editor("e\u{301}👨\u{200d}👩\u{200d}👧日|");
    for left in ["e\u{301}👨\u{200d}👩\u{200d}👧|日", "e\u{301}|👨\u{200d}👩\u{200d}👧日"]
    {
        type_in(&mut editor, "\x02");
        assert_eq!(shown(&editor), left);
    }
    type_in(&mut editor, "\x7f");
    assert_eq!(shown(&editor), "|👨\u{200d}👩\u{200d}👧日");
    type_in(&mut editor, "\x04");
    assert_eq!(shown(&editor), "|日");
}

#[test]
fn a_line_is_entered_and_remembered() {
    let mut editor = editor("");
    let entered = |text: &str| Edit::Entered { text: text.to_owned(), is_literal: false };
    assert_eq!(type_in(&mut editor, "one\r"), entered("one"));
    assert_eq!(type_in(&mut editor, "two\n"), entered("two"));
    assert_eq!(type_in(&mut editor, "two\n"), entered("two"));
    type_in(&mut editor, "half\x1b[A");
    assert_eq!(shown(&editor), "two|");
    type_in(&mut editor, "\x1b[A\x1b[A");
    assert_eq!(shown(&editor), "one|");
    type_in(&mut editor, "\x1b[B");
    assert_eq!(shown(&editor), "two|");
    type_in(&mut editor, "\x1b[B\x1b[B");
    assert_eq!(shown(&editor), "half|");
    assert_eq!(editor.history().collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(type_in(&mut editor, "\x15\x04"), Edit::End);
}

#[test]
fn the_history_is_searched() {
    let mut editor = editor("");
    editor.remember(["make tea", "make coffee", "drink"].map(str::to_owned));
    type_in(&mut editor, "\x12mak");
    assert_eq!(shown(&editor), "make coffee|");
    assert_eq!(editor.search(), Some(("mak", true)));
    type_in(&mut editor, "\x12");
    assert_eq!(shown(&editor), "make tea|");
    type_in(&mut editor, "\x12");
    assert_eq!(shown(&editor), "make tea|", "there is no older one");
    type_in(&mut editor, "\x1b[D!");
    assert_eq!((shown(&editor).as_str(), editor.search()), ("make te!|a", None));
    type_in(&mut editor, "\x15\x0b\x12zzz");
    assert_eq!(editor.search(), Some(("zzz", false)));
    type_in(&mut editor, "\x07");
    assert_eq!((shown(&editor).as_str(), editor.search()), ("|", None));
}

#[test]
fn a_paste_is_held_and_is_no_command() {
    let mut editor = editor("");
    assert_eq!(type_in(&mut editor, "\x1b[200~/quit\nrm\n\n\x1b[201~"), Edit::Changed);
    assert_eq!((editor.text(), editor.lines(), editor.is_literal()), ("/quit\nrm", 2, true));
    assert_eq!(editor.view(20).before, "/quit⏎rm");
    let entered = Edit::Entered { text: "/quit\nrm".to_owned(), is_literal: true };
    assert_eq!(type_in(&mut editor, "\r"), entered);
    type_in(&mut editor, "\x1b[200~/quit\x1b[201~\x15");
    assert!(!editor.is_literal(), "what was pasted is gone");
    type_in(&mut editor, "/to \x1b[200~bob\x1b[201~");
    assert!(!editor.is_literal(), "only a part of a command was pasted");
}

/// Whatever brings a pasted command back into the line, Enter sends it as a text.
#[test]
fn a_paste_that_comes_back_is_no_command() {
    const PASTED: &str = "\x1b[200~/quit\x1b[201~";
    for (keys, how) in [
        ("P\r\x1b[A", "recalled"),
        ("P\rhello\r\x1b[A\x1b[A", "recalled behind another line"),
        ("P\rhello\r\x1b[A\x1b[A\x1b[B\x1b[A", "and once more"),
        ("P\r\x12qui", "found by a search"),
        ("P\r\x12qui\x1b[C", "found, and gone on with"),
        ("P\x15\x19", "deleted and put back"),
        ("P\x01\x0b\x19", "deleted from the begin and put back"),
        ("P\x17\x19", "deleted as a word and put back"),
        ("P\x01\x1b[C\x0b\x01\x19\x05\x15\x19", "cut apart and put together"),
        ("xP\x01\x1b[3~", "what was typed before it is deleted"),
        ("x P\x01\x1bd\x1b[3~", "the word before it is deleted"),
        ("Px\x7f", "something was typed behind it"),
        ("/P\x01\x1b[3~", "the slash before it is deleted"),
        ("P\x14", "exchanged"),
        ("/\x1b[200~quit\x1b[201~", "only its slash was typed"),
        ("/qu\x1b[200~it\x1b[201~", "only its begin was typed"),
    ] {
        let mut editor = editor("");
        type_in(&mut editor, &keys.replace('P', PASTED));
        let shown = editor.text().to_owned();
        assert!(editor.is_literal(), "{how}: {shown}");
        let Edit::Entered { is_literal, .. } = type_in(&mut editor, "\r") else {
            panic!("{how}: not entered")
        };
        assert!(is_literal, "{how}: {shown}");
        editor.take_back();
        assert!(editor.is_literal(), "{how}, and put back: {shown}");
        type_in(&mut editor, "\r");
        assert!(!editor.history().any(|line| line == shown), "{how}: kept for the next start");
    }
}

#[test]
fn a_command_that_was_typed_is_one_with_a_pasted_name_too() {
    for keys in [
        "/trust bob \x1b[200~ED25519:x\x1b[201~",
        "\x1b[200~bob\x1b[201~\x01/to ",
        "/to \x1b[200~bob\x1b[201~\r\x1b[A",
        "\x1b[200~/quit\x1b[201~\x15/quit",
        "\x1b[200~bob\x1b[201~\x15/to \x19",
    ] {
        let mut editor = editor("");
        type_in(&mut editor, keys);
        assert!(!editor.is_literal(), "{keys:?}: {}", editor.text());
        let text = editor.text().to_owned();
        type_in(&mut editor, "\r");
        assert_eq!(editor.history().last(), Some(text.as_str()));
    }
}

#[test]
fn a_line_has_an_end() {
    let mut editor = Editor::new(4);
    assert_eq!(type_in(&mut editor, "abcd"), Edit::Changed);
    assert_eq!(type_in(&mut editor, "e"), Edit::Full(4));
    assert_eq!(editor.paste("xyz"), Edit::Full(4));
    assert_eq!(editor.text(), "abcd");
}

#[test]
fn a_word_is_completed_as_far_as_the_candidates_agree() {
    let names = |word: &str, _: bool| -> Vec<String> {
        let all = ["alice", "alina", "bob"];
        all.into_iter().filter(|name| name.starts_with(word)).map(str::to_owned).collect()
    };
    let mut editor = editor("/to al|");
    assert_eq!(editor.complete(names), ["alice", "alina"]);
    assert_eq!(shown(&editor), "/to ali|");
    type_in(&mut editor, "c");
    assert!(editor.complete(names).is_empty());
    assert_eq!(shown(&editor), "/to alice |");
    assert!(editor.complete(|_, _| Vec::new()).is_empty());
}

#[test]
fn a_long_line_is_shown_around_its_cursor() {
    let mut editor = editor("0123456789|");
    assert_eq!(editor.view(6), View { before: "56789".into(), after: String::new() });
    type_in(&mut editor, "\x01");
    assert_eq!(editor.view(6), View { before: String::new(), after: "01234".into() });
    editor = self::editor("日本語|");
    assert_eq!(editor.view(6).before, "本語");
    editor = self::editor("a\x1bb|");
    assert_eq!(editor.view(20).before, "a\\u{1b}b");
}

proptest! {
    /// Whatever is typed, the cursor stands between two graphemes, and the line fits.
    #[test]
    fn no_key_breaks_the_line(
        keys in proptest::collection::vec(prop_oneof![
            "[\u{1}-\u{7}\u{b}\u{c}\u{e}-\u{1a}\u{7f}]",
            Just("\u{1b}b".to_owned()), Just("\u{1b}f".to_owned()), Just("\u{1b}d".to_owned()),
            Just("\u{1b}[A".to_owned()), Just("\u{1b}[B".to_owned()), Just("\r".to_owned()),
            "[a-c é日👍\u{301}\u{200d}]{1,4}",
        ], 0..60),
        columns in 1_usize..30,
    ) {
        let mut editor = Editor::new(40);
        for key in keys {
            type_in(&mut editor, &key);
            prop_assert!(editor.text().len() <= 40);
            prop_assert!(editor.text().is_char_boundary(editor.line.cursor));
            let view = editor.view(columns);
            prop_assert!(text::width(&view.before) + text::width(&view.after) < columns.max(1) + 1);
        }
    }
}
