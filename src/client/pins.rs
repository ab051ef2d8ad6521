//! Files of pinned keys, `known_peers` and `known_relays`: a line each.
//!
//! Three parts, from the inside out: [`PinFile`] is the text and its lines, [`Pins`] is where the
//! text is kept (a file, or memory in tests), and [`PinBook`] holds the two together. People edit
//! these files and other processes (`sealwax keys trust`) change them while we run, so the text is
//! read again before each change, and a line that is not understood is kept as it is.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// One pinned key: a line.
pub trait Pin: Sized {
    /// Whose key it is; there is one pin for each.
    fn owner(&self) -> &str;
    /// Reads a line; `None`: it is damaged.
    fn parse(line: &str) -> Option<Self>;
    /// The line, without its end.
    fn render(&self) -> String;
}

/// Where the text of a [`PinFile`] is kept. Others may change it at any time. Errors are for
/// people.
pub trait Pins {
    /// The text, if it has changed since the last call; always at the first call.
    fn news(&mut self) -> Result<Option<Vec<u8>>, String>;

    /// Replaces the text by what `edit` makes of it, while no other process can write.
    fn change(&mut self, edit: &mut dyn FnMut(&[u8]) -> Vec<u8>) -> Result<(), String>;
}

/// The pins that are kept in one place, as they were when they were last read.
pub struct PinBook<P> {
    store: Box<dyn Pins>,
    file: PinFile<P>,
}

impl<P: Pin> PinBook<P> {
    /// The book kept in `store`, not opened yet: [`refresh`](Self::refresh) reads it.
    pub fn new(store: Box<dyn Pins>) -> Self {
        Self { store, file: PinFile::parse(b"") }
    }

    /// What was read last.
    pub fn file(&self) -> &PinFile<P> {
        &self.file
    }

    /// Reads again. Returns whether anything changed.
    pub fn refresh(&mut self) -> Result<bool, String> {
        let Some(text) = self.store.news()? else { return Ok(false) };
        self.file = PinFile::parse(&text);
        Ok(true)
    }

    /// Reads again, changes, and writes. If that fails, nothing is changed here.
    pub fn change<T>(&mut self, edit: impl FnOnce(&mut PinFile<P>) -> T) -> Result<T, String> {
        let mut edit = Some(edit);
        let mut done = None;
        self.store.change(&mut |text| {
            let mut file = PinFile::parse(text);
            let result = edit.take().map(|edit| edit(&mut file));
            let text = file.render();
            done = result.map(|result| (result, file));
            text
        })?;
        let (result, file) = done.ok_or("nothing was changed")?;
        self.file = file;
        Ok(result)
    }
}

/// The text of a file of pins.
#[derive(Debug)]
pub struct PinFile<P> {
    lines: Vec<PinLine<P>>,
    /// The index in `lines` of each owner's pin.
    places: BTreeMap<String, usize>,
}

#[derive(Debug)]
enum PinLine<P> {
    Pin(P),
    /// Empty, or a comment behind `#`.
    Note(Vec<u8>),
    /// Not a pin: it is ignored, and kept in the file.
    Damaged(Vec<u8>),
    /// A second pin of the same owner: it is ignored, and removed together with the first.
    Repeated {
        owner: String,
        bytes: Vec<u8>,
        /// Whether it says the same as the first.
        is_same: bool,
    },
}

impl<P: Pin> PinFile<P> {
    /// Reads a text.
    pub fn parse(text: &[u8]) -> Self {
        let mut file = Self { lines: Vec::new(), places: BTreeMap::new() };
        if text.is_empty() {
            return file;
        }
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        for bytes in text.split(|&byte| byte == b'\n') {
            let said = bytes.trim_ascii_start();
            if said.is_empty() || said.starts_with(b"#") {
                file.lines.push(PinLine::Note(bytes.to_vec()));
                continue;
            }
            let Some(pin) = str::from_utf8(bytes).ok().and_then(P::parse) else {
                file.lines.push(PinLine::Damaged(bytes.to_vec()));
                continue;
            };
            let Some(first) = file.find(pin.owner()) else {
                file.set(pin);
                continue;
            };
            let (owner, is_same) = (pin.owner().to_owned(), first.render() == pin.render());
            file.lines.push(PinLine::Repeated { owner, bytes: bytes.to_vec(), is_same });
        }
        file
    }

    /// The text.
    pub fn render(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for line in &self.lines {
            match line {
                PinLine::Pin(pin) => text.extend(pin.render().into_bytes()),
                PinLine::Note(bytes)
                | PinLine::Damaged(bytes)
                | PinLine::Repeated { bytes, .. } => {
                    text.extend(bytes);
                }
            }
            text.push(b'\n');
        }
        text
    }

    /// The numbers, from 1, of lines that are ignored: damaged ones, and those that contradict an
    /// earlier one.
    pub fn damaged(&self) -> impl Iterator<Item = usize> {
        let damaged = |line: &PinLine<P>| {
            matches!(line, PinLine::Damaged(_) | PinLine::Repeated { is_same: false, .. })
        };
        self.lines.iter().zip(1..).filter(move |(line, _)| damaged(line)).map(|(_, number)| number)
    }

    /// The pin of `owner`.
    pub fn find(&self, owner: &str) -> Option<&P> {
        match self.lines.get(*self.places.get(owner)?) {
            Some(PinLine::Pin(pin)) => Some(pin),
            _ => None,
        }
    }

    /// All pins, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &P> {
        self.lines.iter().filter_map(|line| match line {
            PinLine::Pin(pin) => Some(pin),
            _ => None,
        })
    }

    /// Puts a pin in the place of its owner's, or at the end.
    pub fn set(&mut self, pin: P) {
        if let Some(&place) = self.places.get(pin.owner()) {
            self.lines[place] = PinLine::Pin(pin);
            return;
        }
        self.places.insert(pin.owner().to_owned(), self.lines.len());
        self.lines.push(PinLine::Pin(pin));
    }

    /// Removes the pin of `owner`. Returns whether there was one.
    pub fn remove(&mut self, owner: &str) -> bool {
        self.remove_where(1, |pin| pin.owner() == owner) > 0
    }

    /// Removes the first `count` pins that `is_it` holds for, with the lines that repeat them.
    /// Returns how many there were.
    pub fn remove_where(&mut self, count: usize, is_it: impl Fn(&P) -> bool) -> usize {
        let mut removed = BTreeSet::new();
        self.lines.retain(|line| match line {
            PinLine::Pin(pin) if removed.len() < count && is_it(pin) => {
                removed.insert(pin.owner().to_owned());
                false
            }
            _ => true,
        });
        // Otherwise these would count as the pins when the file is read again.
        self.lines.retain(|line| match line {
            PinLine::Repeated { owner, .. } => !removed.contains(owner),
            _ => true,
        });
        let places = self.lines.iter().enumerate().filter_map(|(place, line)| match line {
            PinLine::Pin(pin) => Some((pin.owner().to_owned(), place)),
            PinLine::Note(_) | PinLine::Damaged(_) | PinLine::Repeated { .. } => None,
        });
        self.places = places.collect();
        removed.len()
    }
}

/// A text in memory; its clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryPins {
    text: Rc<RefCell<Vec<u8>>>,
    told: Option<Vec<u8>>,
}

impl Pins for MemoryPins {
    fn news(&mut self) -> Result<Option<Vec<u8>>, String> {
        let text = self.text.borrow().clone();
        let is_news = self.told.as_ref() != Some(&text);
        self.told = Some(text.clone());
        Ok(is_news.then_some(text))
    }

    fn change(&mut self, edit: &mut dyn FnMut(&[u8]) -> Vec<u8>) -> Result<(), String> {
        let text = edit(&self.text.borrow());
        *self.text.borrow_mut() = text;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `OWNER=VALUE`
    #[derive(Clone, Debug, PartialEq)]
    struct Plain(String, String);

    impl Pin for Plain {
        fn owner(&self) -> &str {
            &self.0
        }

        fn parse(line: &str) -> Option<Self> {
            let (owner, value) = line.split_once('=')?;
            Some(Self(owner.to_owned(), value.to_owned()))
        }

        fn render(&self) -> String {
            format!("{}={}", self.0, self.1)
        }
    }

    fn pin(owner: &str, value: &str) -> Plain {
        Plain(owner.to_owned(), value.to_owned())
    }

    /// If it were read as a pin, it would be written without its indent and become a comment.
    #[test]
    fn an_indented_comment_is_a_comment() {
        let text = b"  # key=1\n";
        let file = PinFile::<Plain>::parse(text);
        assert_eq!((file.iter().count(), file.damaged().count()), (0, 0));
        assert_eq!(file.render(), text);
    }

    #[test]
    fn damaged_lines_are_numbered_kept_and_not_obeyed() {
        let text = b"# keys\na=1\n\nnonsense\na=2\n\xff=3\nb=4\n";
        let mut file = PinFile::<Plain>::parse(text);
        assert_eq!(file.damaged().collect::<Vec<_>>(), [4, 5, 6]);
        assert_eq!(file.iter().cloned().collect::<Vec<_>>(), [pin("a", "1"), pin("b", "4")]);
        assert_eq!(file.render(), text);
        assert!(file.remove("a") && !file.remove("a"));
        file.set(pin("b", "5"));
        file.set(pin("c", "6"));
        assert_eq!(file.render(), b"# keys\n\nnonsense\n\xff=3\nb=5\nc=6\n");
    }

    #[test]
    fn a_pin_that_was_removed_does_not_come_back_from_a_line_that_repeats_it() {
        let mut file = PinFile::<Plain>::parse(b"a=1\na=2\na=1\nb=4\n");
        assert_eq!(file.damaged().collect::<Vec<_>>(), [2], "the third says what the first says");
        assert!(file.remove("a"));
        assert_eq!(file.find("b"), Some(&pin("b", "4")));
        let again = PinFile::<Plain>::parse(&file.render());
        assert!(again.iter().eq([&pin("b", "4")]));
    }

    #[test]
    fn what_another_process_writes_is_read_before_each_change() {
        let store = MemoryPins::default();
        let mut ours = PinBook::<Plain>::new(Box::new(store.clone()));
        let mut theirs = PinBook::<Plain>::new(Box::new(store.clone()));
        theirs.change(|file| file.set(pin("a", "1"))).unwrap();
        assert!(ours.file().find("a").is_none());
        ours.change(|file| file.set(pin("b", "2"))).unwrap();
        assert_eq!(ours.file().find("a"), Some(&pin("a", "1")));
        assert_eq!(theirs.refresh(), Ok(true));
        assert_eq!(theirs.file().find("b"), Some(&pin("b", "2")));
        assert_eq!(theirs.refresh(), Ok(false));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_text_is_read_and_written_back_as_it_was(text in "([ab=#\\PC]{0,4}\n){0,8}") {
            let file = PinFile::<Plain>::parse(text.as_bytes());
            prop_assert_eq!(file.render(), text.as_bytes());
            prop_assert!(file.iter().all(|pin| file.find(pin.owner()) == Some(pin)));
        }
    }
}
