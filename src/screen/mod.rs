//! What a person types at a terminal and sees on it: keys, a line that is edited, text by its
//! cells, and the rows that are drawn.
//!
//! Knows the kernel's terminal and bytes; nothing of clients and relays. It has no loop and no
//! thread: bytes come from a source of the reactor and leave through one, and what takes time
//! ([`Keys::wait`], [`Pace`]) is told to whoever sets the loop's timers.
//!
//! ```text
//!   standard input ─▶ Keys ─▶ Editor ─▶ a line
//!   lines ──────────▶ Inline ──────────▶ standard output    (the last rows of the terminal)
//!   ratatui ────────▶ ByteBackend ─────▶ standard output    (the whole screen)
//! ```

mod backend;
mod editor;
mod inline;
mod keys;
pub mod limits;
mod pace;
mod terminal;
mod text;

pub use self::backend::ByteBackend;
pub use self::editor::{Edit, Editor, View};
pub use self::inline::{Inline, Live, PLAIN, Prompt, Row};
pub use self::keys::{Key, Keys, Press, Typed};
pub use self::pace::Pace;
pub use self::terminal::{Size, Terminal};
pub use self::text::{ascii, cut, escape, isolate, rows, width, wrap, wrap_all};
