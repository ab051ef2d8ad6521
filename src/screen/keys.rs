//! What a terminal sends when somebody types: bytes in, key presses and pastes out.
//!
//! A key that is not a character comes as a sequence that begins with ESC: `CSI` (`ESC [`), `SS3`
//! (`ESC O`), as `console_codes(4)` and xterm's `ctlseqs` write them down. The parser takes the
//! bytes one by one, however they are cut, and keeps a bounded part of them. ESC alone is a key as
//! well, and only time tells it from a sequence: [`Keys::wait`] says how long to wait for more
//! bytes, and [`Keys::flush`] ends that.
//!
//! What is pasted comes between two marks (bracketed paste, `CSI ? 2004 h`) and is told as a whole:
//! no byte of it is a key.

use std::time::Duration;

use super::limits::{KEY_WAIT, MAX_PASTE, MAX_SEQUENCE, PASTE_WAIT};

/// A key, without what was held down with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A character; with Ctrl, a small letter or a sign.
    Char(char),
    /// Return.
    Enter,
    /// Tab; Shift-Tab has `shift`.
    Tab,
    /// The key that deletes to the left.
    Backspace,
    /// ESC alone.
    Escape,
    /// An arrow.
    Up,
    /// An arrow.
    Down,
    /// An arrow.
    Left,
    /// An arrow.
    Right,
    /// Home.
    Home,
    /// End.
    End,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// Insert.
    Insert,
    /// The key that deletes to the right.
    Delete,
    /// F1 to F12.
    F(u8),
}

/// A key that was pressed, and what was held down with it, as far as the terminal tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Press {
    /// Which.
    pub key: Key,
    /// Ctrl.
    pub ctrl: bool,
    /// Alt, or ESC before it.
    pub alt: bool,
    /// Shift; never for a character, which is another one then.
    pub shift: bool,
}

/// One thing that was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// A key.
    Press(Press),
    /// A paste, its line ends as `\n`.
    Paste {
        /// The text; what was not UTF-8 in it is U+FFFD.
        text: String,
        /// It was longer than [`MAX_PASTE`] and is cut.
        is_cut: bool,
    },
}

/// The parser.
#[derive(Debug, Default)]
pub struct Keys {
    state: State,
    /// ESC stood before the sequence or character.
    alt: bool,
    /// The bytes of what is unfinished, without its introducer: at most [`MAX_SEQUENCE`] of a
    /// sequence, [`MAX_PASTE`] of a paste.
    kept: Vec<u8>,
    /// What is unfinished was longer than what is kept of it.
    is_cut: bool,
    /// How much of [`PASTE_END`] has come.
    matched: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    /// Bytes of one character that has `length` of them.
    Utf8 {
        length: usize,
    },
    Escape,
    Csi,
    /// `CSI [`: F1 to F5 of the console.
    Console,
    Ss3,
    /// A string of the terminal (OSC, DCS, …), which begins with this byte behind ESC: passed over
    /// up to its end.
    Text(u8),
    Paste,
}

const ESC: u8 = 0x1b;
const BEL: u8 = 0x07;
const PASTE_END: &[u8] = b"\x1b[201~";

impl Press {
    /// A key alone.
    pub const fn plain(key: Key) -> Self {
        Self { key, ctrl: false, alt: false, shift: false }
    }

    /// A character with Ctrl.
    pub const fn ctrl(letter: char) -> Self {
        Self { ctrl: true, ..Self::plain(Key::Char(letter)) }
    }

    /// A key with Alt.
    pub const fn alt(key: Key) -> Self {
        Self { alt: true, ..Self::plain(key) }
    }

    /// With what xterm tells behind the key: 1 and a bit for each of Shift, Alt, Ctrl and Meta.
    fn modified(self, number: u16) -> Self {
        let bits = number.saturating_sub(1);
        Self {
            shift: self.shift || bits & 1 != 0,
            alt: self.alt || bits & (2 | 8) != 0,
            ctrl: self.ctrl || bits & 4 != 0,
            ..self
        }
    }
}

impl Keys {
    /// Takes what the terminal has sent; `tell` is called for each thing that was typed.
    pub fn take(&mut self, bytes: &[u8], tell: &mut impl FnMut(Typed)) {
        for &byte in bytes {
            self.take_byte(byte, tell);
        }
    }

    /// How long to wait for the rest of what has begun, before [`flush`](Self::flush) ends it;
    /// counted from the last byte. None: nothing has begun.
    pub fn wait(&self) -> Option<Duration> {
        match self.state {
            State::Ground => None,
            State::Paste => Some(PASTE_WAIT),
            _ => Some(KEY_WAIT),
        }
    }

    /// No more bytes have come: ESC alone is a key, the beginning of a paste is all of it, and
    /// other beginnings are nothing.
    pub fn flush(&mut self, tell: &mut impl FnMut(Typed)) {
        let is_bare = self.kept.is_empty() && !self.is_cut;
        match self.state {
            State::Paste => return self.end_paste(tell),
            State::Escape => self.press(Press::plain(Key::Escape), tell),
            State::Csi if is_bare => self.press(Press::alt(Key::Char('[')), tell),
            State::Ss3 if is_bare => self.press(Press::alt(Key::Char('O')), tell),
            State::Text(first) if is_bare => {
                self.press(Press::alt(Key::Char(char::from(first))), tell);
            }
            _ => {}
        }
        self.reset();
    }

    fn reset(&mut self) {
        let mut kept = std::mem::take(&mut self.kept);
        kept.clear();
        kept.shrink_to(MAX_SEQUENCE);
        *self = Self { kept, ..Self::default() };
    }

    fn begin(&mut self, state: State) {
        self.state = state;
        self.kept.clear();
        self.is_cut = false;
        self.matched = 0;
    }

    /// Tells a key, with Alt where ESC stood before it.
    fn press(&mut self, press: Press, tell: &mut impl FnMut(Typed)) {
        let alt = press.alt || self.alt;
        self.reset();
        tell(Typed::Press(Press { alt, ..press }));
    }

    fn take_byte(&mut self, byte: u8, tell: &mut impl FnMut(Typed)) {
        match self.state {
            State::Ground => self.ground(byte, tell),
            State::Utf8 { length } => self.utf8(length, byte, tell),
            State::Escape => self.escape(byte, tell),
            State::Csi => self.csi(byte, tell),
            State::Console => match byte {
                b'A'..=b'E' => self.press(Press::plain(Key::F(byte - b'A' + 1)), tell),
                _ => self.again(byte, tell),
            },
            State::Ss3 => self.ss3(byte, tell),
            State::Text(_) => self.text(byte, tell),
            State::Paste => self.paste(byte, tell),
        }
    }

    /// What had begun is nothing; `byte` begins something else.
    fn again(&mut self, byte: u8, tell: &mut impl FnMut(Typed)) {
        self.reset();
        self.ground(byte, tell);
    }

    fn keep(&mut self, byte: u8, most: usize) {
        if self.kept.len() < most {
            self.kept.push(byte);
        } else {
            self.is_cut = true;
        }
    }

    fn ground(&mut self, byte: u8, tell: &mut impl FnMut(Typed)) {
        let press = match byte {
            ESC => return self.begin(State::Escape),
            b'\r' => Press::plain(Key::Enter),
            b'\t' => Press::plain(Key::Tab),
            0x7f => Press::plain(Key::Backspace),
            0 => Press::ctrl(' '),
            0x01..=0x1a => Press::ctrl(char::from(byte | 0x60)),
            0x1c..=0x1f => Press::ctrl(char::from(byte | 0x40)),
            b' '..=b'~' => Press::plain(Key::Char(char::from(byte))),
            0xc2..=0xdf => return self.begin_utf8(byte, 2),
            0xe0..=0xef => return self.begin_utf8(byte, 3),
            0xf0..=0xf4 => return self.begin_utf8(byte, 4),
            0x80..=0xff => return self.reset(), // no UTF-8: it is lost, and nothing else
        };
        self.press(press, tell);
    }

    fn begin_utf8(&mut self, byte: u8, length: usize) {
        self.begin(State::Utf8 { length });
        self.keep(byte, MAX_SEQUENCE);
    }

    fn utf8(&mut self, length: usize, byte: u8, tell: &mut impl FnMut(Typed)) {
        if !(0x80..=0xbf).contains(&byte) {
            return self.again(byte, tell);
        }
        self.keep(byte, MAX_SEQUENCE);
        if self.kept.len() < length {
            return;
        }
        let character = str::from_utf8(&self.kept).ok().and_then(|text| text.chars().next());
        match character.filter(|character| !character.is_control()) {
            Some(character) => self.press(Press::plain(Key::Char(character)), tell),
            None => self.reset(), // a surrogate, an overlong form, C1
        }
    }

    fn escape(&mut self, byte: u8, tell: &mut impl FnMut(Typed)) {
        match byte {
            ESC => {
                if self.alt {
                    tell(Typed::Press(Press::plain(Key::Escape)));
                }
                self.alt = true; // `ESC ESC [ A` is Alt-Up to some terminals
            }
            b'[' => self.begin(State::Csi),
            b'O' => self.begin(State::Ss3),
            b']' | b'P' | b'X' | b'^' | b'_' => self.begin(State::Text(byte)),
            _ => {
                self.alt = true;
                self.ground(byte, tell);
            }
        }
    }

    fn csi(&mut self, byte: u8, tell: &mut impl FnMut(Typed)) {
        match byte {
            b'[' if self.kept.is_empty() => self.begin(State::Console),
            b'$' if self.kept.first().is_some_and(u8::is_ascii_digit) => self.end_csi(byte, tell),
            b' '..=b'?' => self.keep(byte, MAX_SEQUENCE),
            b'@'..=b'~' => self.end_csi(byte, tell),
            _ => self.again(byte, tell),
        }
    }

    fn end_csi(&mut self, last: u8, tell: &mut impl FnMut(Typed)) {
        if self.is_cut {
            return self.reset();
        }
        let numbers = numbers(&self.kept);
        if last == b'~' && numbers[0] == 200 {
            return self.begin(State::Paste);
        }
        match csi_key(last, numbers, &self.kept) {
            Some(press) => self.press(press, tell),
            None => self.reset(), // a key that we do not know, the focus, an answer
        }
    }

    fn ss3(&mut self, byte: u8, tell: &mut impl FnMut(Typed)) {
        let key = match byte {
            b'0'..=b'9' | b';' => return self.keep(byte, MAX_SEQUENCE),
            b'A' | b'a' => Key::Up,
            b'B' | b'b' => Key::Down,
            b'C' | b'c' => Key::Right,
            b'D' | b'd' => Key::Left,
            b'H' => Key::Home,
            b'F' => Key::End,
            b'I' => Key::Tab,
            b'M' => Key::Enter,
            b'P'..=b'S' => Key::F(byte - b'P' + 1),
            b'j'..=b'y' => Key::Char(char::from(byte - 0x40)), // the number pad
            b'X' => Key::Char('='),
            _ => return self.again(byte, tell),
        };
        let numbers = numbers(&self.kept);
        let modifiers = if numbers[1] > 0 { numbers[1] } else { numbers[0] };
        let ctrl = byte.is_ascii_lowercase() && byte <= b'd';
        self.press(Press { ctrl, ..Press::plain(key) }.modified(modifiers), tell);
    }

    /// A string ends with BEL or `ESC \`. It is passed over, and not kept but for its length.
    fn text(&mut self, byte: u8, tell: &mut impl FnMut(Typed)) {
        match byte {
            BEL => self.reset(),
            ESC => self.matched = 1,
            b'\\' if self.matched == 1 => self.reset(),
            // An ESC that ends no string begins something else.
            _ if self.matched == 1 => {
                self.begin(State::Escape);
                self.alt = false;
                self.escape(byte, tell);
            }
            _ => {
                self.keep(byte, MAX_SEQUENCE);
                if self.is_cut {
                    self.reset(); // no terminal sends so much unasked
                }
            }
        }
    }

    fn paste(&mut self, byte: u8, tell: &mut impl FnMut(Typed)) {
        if byte == PASTE_END[self.matched] {
            self.matched += 1;
            if self.matched == PASTE_END.len() {
                self.end_paste(tell);
            }
            return;
        }
        for &skipped in &PASTE_END[..std::mem::take(&mut self.matched)] {
            self.keep(skipped, MAX_PASTE);
        }
        // Only the first byte of the mark is ESC: another mark can begin with this byte alone.
        if byte == ESC {
            self.matched = 1;
        } else {
            self.keep(byte, MAX_PASTE);
        }
    }

    fn end_paste(&mut self, tell: &mut impl FnMut(Typed)) {
        let (kept, is_cut) = (std::mem::take(&mut self.kept), self.is_cut);
        self.reset();
        let whole = if is_cut { whole_characters(&kept) } else { &kept };
        let text = String::from_utf8_lossy(whole).replace("\r\n", "\n").replace('\r', "\n");
        tell(Typed::Paste { text, is_cut });
    }
}

/// `bytes` without the beginning of a character at their end.
fn whole_characters(bytes: &[u8]) -> &[u8] {
    match bytes.utf8_chunks().last() {
        Some(last) => &bytes[..bytes.len() - last.invalid().len()],
        None => bytes,
    }
}

/// The first three numbers of a sequence, 0 where there is none.
fn numbers(parameters: &[u8]) -> [u16; 3] {
    let mut found = [0_u16; 3];
    for (place, part) in found.iter_mut().zip(parameters.split(|&byte| byte == b';')) {
        let digits = part.iter().take_while(|byte| byte.is_ascii_digit());
        *place = digits.fold(0_u16, |sum, &digit| {
            sum.saturating_mul(10).saturating_add(u16::from(digit - b'0'))
        });
    }
    found
}

/// The key of a `CSI` sequence that ends with `last`.
fn csi_key(last: u8, numbers: [u16; 3], parameters: &[u8]) -> Option<Press> {
    if parameters.first().is_some_and(|first| b"<=>?".contains(first)) {
        return None; // an answer of the terminal, no key
    }
    let plain = |key| Some(Press::plain(key).modified(numbers[1]));
    let shifted = |key| Some(Press { shift: true, ..Press::plain(key) });
    match last {
        b'A' => plain(Key::Up),
        b'B' => plain(Key::Down),
        b'C' => plain(Key::Right),
        b'D' => plain(Key::Left),
        b'H' => plain(Key::Home),
        b'F' => plain(Key::End),
        b'P'..=b'S' => plain(Key::F(last - b'P' + 1)),
        b'Z' => shifted(Key::Tab),
        b'a' => shifted(Key::Up),
        b'b' => shifted(Key::Down),
        b'c' => shifted(Key::Right),
        b'd' => shifted(Key::Left),
        b'~' if numbers[0] == 27 => Some(coded(numbers[2])?.modified(numbers[1])),
        b'u' => Some(coded(numbers[0])?.modified(numbers[1])),
        b'~' => plain(numbered(numbers[0])?),
        b'$' => shifted(numbered(numbers[0])?), // rxvt
        b'^' => Some(Press { ctrl: true, ..Press::plain(numbered(numbers[0])?) }),
        b'@' => {
            let held = Press::plain(numbered(numbers[0])?);
            Some(Press { ctrl: true, shift: true, ..held })
        }
        _ => None,
    }
}

/// The key that stands as a number before `~`.
fn numbered(number: u16) -> Option<Key> {
    Some(match number {
        1 | 7 => Key::Home,
        2 => Key::Insert,
        3 => Key::Delete,
        4 | 8 => Key::End,
        5 => Key::PageUp,
        6 => Key::PageDown,
        11..=15 => Key::F(u8::try_from(number - 10).ok()?),
        17..=21 => Key::F(u8::try_from(number - 11).ok()?),
        23 | 24 => Key::F(u8::try_from(number - 12).ok()?),
        _ => return None,
    })
}

/// The key that stands as the number of its character (xterm's `modifyOtherKeys`, `CSI u`).
fn coded(number: u16) -> Option<Press> {
    let key = match number {
        9 => Key::Tab,
        13 => Key::Enter,
        27 => Key::Escape,
        8 | 127 => Key::Backspace,
        _ => {
            let character = char::from_u32(number.into()).filter(|it| !it.is_control())?;
            Key::Char(character)
        }
    };
    Some(Press::plain(key))
}

#[cfg(test)]
#[path = "keys/tests.rs"]
mod tests;
