//! The loop, watched: what it asks of the kernel and what it tells its handler, noted tick by tick.
//!
//! The loop knows nothing of this, and costs what it costs without. Its two seams are where it can
//! be seen: [`Traced`] stands between it and the kernel and notes each system call, [`Told`] stands
//! between it and the handler and notes each call to that, and what the handler asked of the loop
//! meanwhile. Without a trace neither is there.
//!
//! ```text
//!                 ┌───────── Told ◀──────── the loop ────────▶ Traced ─────────┐
//!   the handler ◀─┘            │                                 │             └─▶ the kernel
//!                              └──────────▶ Recorder ◀───────────┘
//!                                              │  a Tick, whenever the loop waits again
//!                                              ▼
//!                                     text, JSON, trace events: `src/trace`
//! ```
//!
//! Which part of the tick a note belongs to follows from what it is: only the flush writes, only
//! the reaping closes. A note holds names and sizes, and never what was read or written.

mod record;
mod recorder;
mod stream;
mod told;
mod traced;

pub use self::record::{Call, Change, Named, Phase, Said, Step, Tell, Tick, What};
pub use self::recorder::Recorder;
pub use self::stream::Stream;
pub use self::told::Told;
pub use self::traced::{Io, Traced};
