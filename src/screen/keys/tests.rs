//! Each sequence, cut at every byte; and bytes that are none.

use proptest::prelude::*;

use super::*;

fn typed(parts: &[&[u8]]) -> Vec<Typed> {
    let (mut keys, mut found) = (Keys::default(), Vec::new());
    for part in parts {
        keys.take(part, &mut |typed| found.push(typed));
    }
    keys.flush(&mut |typed| found.push(typed));
    assert_eq!(keys.wait(), None, "after a flush nothing has begun");
    found
}

fn paste(text: &str) -> Typed {
    Typed::Paste { text: text.to_owned(), is_cut: false }
}

const CTRL: Press = Press { ctrl: true, ..Press::plain(Key::Up) };
const SHIFT: Press = Press { shift: true, ..Press::plain(Key::Up) };

fn with(held: Press, key: Key) -> Press {
    Press { key, ..held }
}

#[test]
fn every_sequence_is_one_key_wherever_it_is_cut() {
    let plain = Press::plain;
    let cases: &[(&[u8], Press)] = &[
        (b"a", plain(Key::Char('a'))),
        ("é".as_bytes(), plain(Key::Char('é'))),
        ("日".as_bytes(), plain(Key::Char('日'))),
        ("👍".as_bytes(), plain(Key::Char('👍'))),
        (b"\r", plain(Key::Enter)),
        (b"\n", Press::ctrl('j')),
        (b"\t", plain(Key::Tab)),
        (b"\x7f", plain(Key::Backspace)),
        (b"\x08", Press::ctrl('h')),
        (b"\x00", Press::ctrl(' ')),
        (b"\x01", Press::ctrl('a')),
        (b"\x1f", Press::ctrl('_')),
        (b"\x1b", plain(Key::Escape)),
        (b"\x1bb", Press::alt(Key::Char('b'))),
        (b"\x1b\r", Press::alt(Key::Enter)),
        (b"\x1b\x7f", Press::alt(Key::Backspace)),
        ("\x1bé".as_bytes(), Press::alt(Key::Char('é'))),
        (b"\x1b[", Press::alt(Key::Char('['))),
        (b"\x1bO", Press::alt(Key::Char('O'))),
        (b"\x1b]", Press::alt(Key::Char(']'))),
        (b"\x1b[A", plain(Key::Up)),
        (b"\x1bOB", plain(Key::Down)),
        (b"\x1b\x1b[C", Press::alt(Key::Right)),
        (b"\x1b[1;3D", Press::alt(Key::Left)),
        (b"\x1b[1;5D", with(CTRL, Key::Left)),
        (b"\x1b[1;2H", with(SHIFT, Key::Home)),
        (b"\x1b[d", with(SHIFT, Key::Left)),
        (b"\x1bOd", with(CTRL, Key::Left)),
        (b"\x1b[H", plain(Key::Home)),
        (b"\x1bOF", plain(Key::End)),
        (b"\x1b[1~", plain(Key::Home)),
        (b"\x1b[8~", plain(Key::End)),
        (b"\x1b[2~", plain(Key::Insert)),
        (b"\x1b[3~", plain(Key::Delete)),
        (b"\x1b[3;5~", with(CTRL, Key::Delete)),
        (b"\x1b[3$", with(SHIFT, Key::Delete)),
        (b"\x1b[3^", with(CTRL, Key::Delete)),
        (b"\x1b[5~", plain(Key::PageUp)),
        (b"\x1b[6;3~", Press::alt(Key::PageDown)),
        (b"\x1bOP", plain(Key::F(1))),
        (b"\x1b[11~", plain(Key::F(1))),
        (b"\x1b[[B", plain(Key::F(2))),
        (b"\x1b[1;5S", with(CTRL, Key::F(4))),
        (b"\x1b[15~", plain(Key::F(5))),
        (b"\x1b[17~", plain(Key::F(6))),
        (b"\x1b[21~", plain(Key::F(10))),
        (b"\x1b[24~", plain(Key::F(12))),
        (b"\x1b[Z", with(SHIFT, Key::Tab)),
        (b"\x1b[27;5;13~", with(CTRL, Key::Enter)),
        (b"\x1b[13;3u", Press::alt(Key::Enter)),
        (b"\x1bOq", plain(Key::Char('1'))),
        (b"\x1bOM", plain(Key::Enter)),
    ];
    for (bytes, expected) in cases {
        let expected = [Typed::Press(*expected)];
        assert_eq!(typed(&[bytes]), expected, "{bytes:x?}");
        for cut in 1..bytes.len() {
            let (first, second) = bytes.split_at(cut);
            assert_eq!(typed(&[first, second]), expected, "{first:x?} {second:x?}");
        }
    }
}

#[test]
fn a_paste_is_one_thing_wherever_it_is_cut_and_whatever_is_in_it() {
    let inner = "two\rlines\r\n\x1b[A\x1b\x1b[20 é日/quit\n";
    let bytes = format!("x\x1b[200~{inner}\x1b[201~y");
    let pasted = paste("two\nlines\n\x1b[A\x1b\x1b[20 é日/quit\n");
    let press = |letter| Typed::Press(Press::plain(Key::Char(letter)));
    let expected = [press('x'), pasted, press('y')];
    for cut in 0..bytes.len() {
        let (first, second) = bytes.as_bytes().split_at(cut);
        assert_eq!(typed(&[first, second]), expected, "cut at {cut}");
    }
}

#[test]
fn a_paste_that_does_not_end_is_told_and_one_that_is_too_long_is_cut() {
    assert_eq!(typed(&[b"\x1b[200~half"]), [paste("half")]);
    let long = "é".repeat(MAX_PASTE);
    let told = typed(&[b"\x1b[200~a", long.as_bytes(), b"\x1b[201~", b"b"]);
    let [Typed::Paste { text, is_cut: true }, Typed::Press(_)] = &told[..] else {
        panic!("{} things", told.len())
    };
    assert_eq!(text.len(), MAX_PASTE - 1, "cut between two characters");
    assert!(text.ends_with('é'));
}

#[test]
fn what_is_no_utf8_loses_only_itself() {
    let press = |letter| Typed::Press(Press::plain(Key::Char(letter)));
    for bytes in [
        &b"a\xffb"[..],
        b"a\x80b",
        b"a\xc3b",
        b"a\xe2\x82b",
        b"a\xf0\x9f\x91b",
        b"a\xed\xa0\x80b",
        b"a\xc0\x80b",
        b"a\xc2\x9bb",
    ] {
        assert_eq!(typed(&[bytes]), [press('a'), press('b')], "{bytes:x?}");
    }
    assert_eq!(typed(&[b"a\xe2"]), [press('a')]);
}

#[test]
fn what_is_no_key_is_passed_over_and_bounded() {
    let press = |letter| Typed::Press(Press::plain(Key::Char(letter)));
    for bytes in [
        &b"\x1b[?1;2cz"[..],
        b"\x1b[Iz",
        b"\x1b[>0;276;0cz",
        b"\x1b]11;rgb:0/0/0\x07z",
        b"\x1b]11;rgb:0/0/0\x1b\\z",
        b"\x1bP1$r0m\x1b\\z",
        b"\x1b[99~z",
        b"\x1b[12\x01z",
    ] {
        let told = typed(&[bytes]);
        assert_eq!(told.last(), Some(&press('z')), "{bytes:x?}");
    }
    // Without an end: a bounded part is kept, and what is typed afterwards is taken.
    let mut keys = Keys::default();
    let mut told = Vec::new();
    keys.take(b"\x1b[", &mut |typed| told.push(typed));
    keys.take(&vec![b'1'; 100_000], &mut |typed| told.push(typed));
    assert!(keys.kept.len() <= MAX_SEQUENCE && told.is_empty());
    keys.take(b"~z", &mut |typed| told.push(typed));
    assert_eq!(told, [press('z')]);
    told.clear();
    keys.take(b"\x1b]", &mut |typed| told.push(typed));
    keys.take(&[b'x'; 10 * MAX_SEQUENCE], &mut |typed| told.push(typed));
    assert!(keys.kept.len() <= MAX_SEQUENCE && !told.is_empty());
}

#[test]
fn escape_is_a_key_only_when_nothing_follows_in_time() {
    let mut keys = Keys::default();
    let mut told = Vec::new();
    keys.take(b"\x1b", &mut |typed| told.push(typed));
    assert_eq!((told.len(), keys.wait()), (0, Some(KEY_WAIT)));
    keys.flush(&mut |typed| told.push(typed));
    assert_eq!(told, [Typed::Press(Press::plain(Key::Escape))]);
    assert_eq!(keys.wait(), None);
    assert_eq!(typed(&[b"\x1b\x1b"]), [Typed::Press(Press::alt(Key::Escape))]);
}

proptest! {
    /// However bytes are cut, they are the same keys; and what is kept has a bound.
    #[test]
    fn cuts_change_nothing(bytes in proptest::collection::vec(
        prop_oneof![Just(0x1b_u8), Just(b'['), Just(b'O'), Just(b';'), Just(b'~'), any::<u8>()],
        0..64,
    ), cut in 0_usize..64) {
        let (first, second) = bytes.split_at(cut.min(bytes.len()));
        prop_assert_eq!(typed(&[&bytes]), typed(&[first, second]));
    }

    #[test]
    fn text_comes_through(text in "\\PC*") {
        let told = typed(&[text.as_bytes()]);
        let mut back = String::new();
        for typed in told {
            let Typed::Press(Press { key: Key::Char(letter), .. }) = typed else { continue };
            back.push(letter);
        }
        prop_assert_eq!(back, text);
    }
}
