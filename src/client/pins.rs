//! Files of pinned keys: a line each, shared with other processes.
//!
//! [`PinFile`] is the text, [`Pins`] where it is kept: a file in the [`Home`], or memory. This is
//! the only file of the client that knows the disk.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;

use crate::home::Home;

/// One pinned key: a line.
pub trait Pin: Sized {
    /// Whose key it is; one pin a key.
    fn key(&self) -> &str;
    /// Reads a line; `None`: damaged.
    fn parse(line: &str) -> Option<Self>;
    /// The line, without its end.
    fn render(&self) -> String;
}

/// The text of a file of pins. Damaged lines are kept as they are, and not obeyed.
pub struct PinFile<P>(PhantomData<P>);

impl<P: Pin> PinFile<P> {
    /// Reads the text of a file.
    pub fn parse(_text: &str) -> Self {
        todo!()
    }

    /// The text.
    pub fn render(&self) -> String {
        todo!()
    }

    /// The numbers of the damaged lines, from 1.
    pub fn damaged(&self) -> impl Iterator<Item = usize> {
        std::iter::empty()
    }

    /// The pin of `key`.
    pub fn find(&self, _key: &str) -> Option<&P> {
        todo!()
    }

    /// All pins, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &P> {
        std::iter::empty()
    }

    /// Sets the pin of its key.
    pub fn set(&mut self, _pin: P) {
        todo!()
    }

    /// Removes the pin of `key`.
    pub fn remove(&mut self, _key: &str) -> Option<P> {
        todo!()
    }
}

/// Where the text of a [`PinFile`] is kept. Others may change it at any time.
pub trait Pins {
    /// The text, where it is another than the one that was told last; the first time always.
    fn news(&mut self) -> Result<Option<String>, String>;

    /// Puts what `edit` makes of the present text in its place, while nobody else can. The next
    /// [`news`](Self::news) tells the new text.
    fn change(&mut self, edit: &mut dyn FnMut(&str) -> String) -> Result<(), String>;
}

/// A text in memory; its clones share it.
#[derive(Clone, Default)]
pub struct MemoryPins {
    text: Rc<RefCell<String>>,
    told: Option<String>,
}

impl Pins for MemoryPins {
    fn news(&mut self) -> Result<Option<String>, String> {
        todo!()
    }

    fn change(&mut self, _edit: &mut dyn FnMut(&str) -> String) -> Result<(), String> {
        todo!()
    }
}

/// A file in the home.
pub struct FilePins {
    home: Rc<Home>,
    name: &'static str,
}

impl FilePins {
    /// The file `name` (`known_peers`, `known_relays`) of `home`; it need not be there yet.
    pub fn new(home: Rc<Home>, name: &'static str) -> Self {
        Self { home, name }
    }
}

impl Pins for FilePins {
    fn news(&mut self) -> Result<Option<String>, String> {
        todo!()
    }

    fn change(&mut self, _edit: &mut dyn FnMut(&str) -> String) -> Result<(), String> {
        todo!()
    }
}
