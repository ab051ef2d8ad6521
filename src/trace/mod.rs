//! A trace of the loop: each tick in words, as JSON, or for a viewer of traces.
//!
//! The loop knows nothing of this, and runs at the same cost when nothing is traced. It is watched
//! at its two interfaces: [`TracedSys`] stands between it and the kernel and notes each system
//! call, [`TracedHandler`] stands between it and the handler and notes each call to that, and what
//! the handler asked of the loop meanwhile. Without a trace neither is there.
//!
//! ```text
//!                 ┌───── TracedHandler ◀──── the loop ────▶ TracedSys ─────┐
//!   the handler ◀─┘            │                                │          └─▶ the kernel
//!                              └─────────▶ Recorder ◀───────────┘
//!                                             │  a Tick, whenever the loop waits again
//!                                             ▼
//!                                  text, JSON, trace events
//! ```
//!
//! Which part of the tick a note belongs to follows from what it is: only the flush writes, only
//! the reaping closes. A note holds names and sizes, and never what was read or written.
//!
//! `record.rs` is a tick as data, `text.rs`, `json.rs` and `events.rs` are how it reads, and
//! `output.rs` is where the bytes go. It is a tool for studying the loop, so it may slow the loop
//! down: the loop's own thread writes a tick when it is over, before the next wait. It never stops
//! the loop for good. If standard error is full, the loop waits for it,
//! [`TRACE_PATIENCE`](crate::limits::TRACE_PATIENCE) a tick at most, and not again until it has
//! taken something; ticks that do not fit into the queue meanwhile are counted, and the count is
//! written in their place. If the trace cannot be written at all it ends with one line, and the
//! loop goes on.

mod events;
mod json;
mod output;
mod player;
mod record;
mod recorder;
mod stream;
mod text;
mod traced_handler;
mod traced_sys;

use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;

use self::events::Events;
use self::output::Output;
use crate::reactor::Time;

pub use self::output::Taker;
pub use self::record::{Annotation, Call, Callback, Effect, Named, Phase, Step, Tick, What};
pub use self::recorder::Recorder;
pub use self::stream::Stream;
pub use self::traced_handler::TracedHandler;
pub use self::traced_sys::TracedSys;

/// How ticks are told on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// In words.
    Text,
    /// One object a line.
    Json,
}

/// Where the traces of one process go. Clones share it, for loops on several threads.
#[derive(Clone)]
pub struct Trace(Arc<Mutex<Outputs>>);

struct Outputs {
    told: Option<(Form, Output)>,
    /// In the trace-event format.
    file: Option<Output>,
    /// As a page that plays it.
    player: Option<Output>,
    complain: Complain,
    loops: u32,
}

type Complain = Box<dyn FnMut(&str) + Send>;

impl Trace {
    /// Tells ticks to `told`, and writes them to `file` in the trace-event format, either or both;
    /// `complain` is given the line that says why one of them has ended.
    pub fn new(
        told: Option<(Form, Box<dyn Taker + Send>)>,
        file: Option<Box<dyn Taker + Send>>,
        complain: impl FnMut(&str) + Send + 'static,
    ) -> Self {
        let told = told.map(|(form, taker)| {
            let missing = match form {
                Form::Text => text::missing,
                Form::Json => json::missing,
            };
            (form, Output::new(taker, missing))
        });
        let file = file.map(|taker| Output::new(taker, events::missing));
        let complain = Box::new(complain);
        Self(Arc::new(Mutex::new(Outputs { told, file, player: None, complain, loops: 0 })))
    }

    /// Writes the ticks to `page` too, as a page that plays them.
    pub fn with_player(self, page: Box<dyn Taker + Send>) -> Self {
        let mut outputs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        outputs.player = Some(Output::new(page, json::missing));
        outputs.write_player(&player::begin());
        drop(outputs);
        self
    }

    /// Notes the ticks of one loop, which is called `name` where there are several; `clock` is that
    /// of the loop.
    pub fn recorder(
        &self,
        name: Option<&'static str>,
        clock: impl FnMut() -> Time + 'static,
    ) -> Recorder {
        let outputs = Arc::clone(&self.0);
        let mut events = {
            let mut outputs = outputs.lock().unwrap_or_else(PoisonError::into_inner);
            outputs.loops += 1;
            let events = Events::new(outputs.loops, name);
            let begin = if outputs.loops == 1 { "[\n" } else { ",\n" };
            outputs.write_file(&format!("{begin}{}", events.begin()));
            events
        };
        Recorder::new(clock, move |tick| {
            outputs.lock().unwrap_or_else(PoisonError::into_inner).tick(name, tick, &mut events);
        })
    }

    /// All loops have finished: the file is closed in order. A tick that a loop notes later is
    /// not written there.
    pub fn finish(&self) {
        let mut outputs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        outputs.write_file("\n]\n");
        outputs.file = None;
        outputs.write_player(player::END);
        outputs.player = None;
    }
}

impl Outputs {
    fn tick(&mut self, name: Option<&str>, tick: &Tick, events: &mut Events) {
        if let Some((form, output)) = &mut self.told {
            let lines = match form {
                Form::Text => text::tick(name, tick),
                Form::Json => json::tick(name, tick),
            };
            if let Err(errno) = output.write(lines.as_bytes()) {
                self.told = None;
                self.end("on standard error", errno);
            }
        }
        if self.file.is_some() {
            self.write_file(&events.tick(tick));
        }
        if self.player.is_some() {
            self.write_player(&player::tick(name, tick));
        }
    }

    fn write_player(&mut self, text: &str) {
        if let Some(output) = &mut self.player
            && let Err(errno) = output.write(text.as_bytes())
        {
            self.player = None;
            self.end("in the page", errno);
        }
    }

    fn write_file(&mut self, bytes: &str) {
        if let Some(output) = &mut self.file
            && let Err(errno) = output.write(bytes.as_bytes())
        {
            self.file = None;
            self.end("in the file", errno);
        }
    }

    fn end(&mut self, which: &str, errno: Errno) {
        (self.complain)(&format!("the trace {which} ends here: {errno}"));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Keeps what it takes.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Taker for Kept {
        fn take(&mut self, bytes: &[u8], _: Duration) -> (usize, nix::Result<()>) {
            self.0.lock().unwrap().extend_from_slice(bytes);
            (bytes.len(), Ok(()))
        }
    }

    #[test]
    fn nothing_is_written_behind_the_end_of_the_file() {
        let kept = Kept::default();
        let trace = Trace::new(None, Some(Box::new(kept.clone())), |_| ());
        trace.recorder(Some("relay"), Time::default);
        trace.finish();
        trace.recorder(Some("late"), Time::default);
        let file = kept.0.lock().unwrap().clone();
        let events: serde_json::Value = serde_json::from_slice(&file).unwrap();
        assert!(events.is_array());
    }
}
