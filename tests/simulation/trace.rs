//! What happened, in words: kept only where somebody will read it.
//!
//! A seed replays exactly, so nothing is written down in the first run; where that fails, a second
//! one is, and its last lines are shown.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Write;
use std::rc::Rc;

use sealwax::reactor::Time;

use crate::support::kernel::{Call, Op};

/// The last lines. Clones write to the same.
#[derive(Clone, Default)]
pub(crate) struct Trace(Option<Rc<RefCell<Lines>>>);

struct Lines {
    most: usize,
    kept: VecDeque<String>,
}

impl Trace {
    /// Keeps the last `most` lines.
    pub(crate) fn kept(most: usize) -> Self {
        Self(Some(Rc::new(RefCell::new(Lines { most, kept: VecDeque::new() }))))
    }

    pub(crate) fn note(&self, now: Time, line: impl FnOnce() -> String) {
        let Some(lines) = &self.0 else { return };
        let Lines { most, kept } = &mut *lines.borrow_mut();
        if kept.len() == *most {
            kept.pop_front();
        }
        let micros = now.as_nanos() / 1000;
        kept.push_back(format!("{:4}.{:06} {}", micros / 1_000_000, micros % 1_000_000, line()));
    }

    pub(crate) fn text(&self) -> String {
        let lines = self.0.iter().flat_map(|lines| lines.borrow().kept.clone());
        lines.fold(String::new(), |text, line| text + &line + "\n")
    }
}

/// What a process asked its kernel for in one tick, as a sentence.
pub(crate) fn sentence(calls: &[Call]) -> String {
    let mut sentence = String::new();
    for Call { op, fd, outcome } in calls {
        let comma = if sentence.is_empty() { "" } else { ", " };
        let what = match op {
            Op::Wait => "woke with events:",
            Op::Listen => "listens as",
            Op::Accept => "accepted",
            Op::Connect => "connects as",
            Op::Error => "asked how it went:",
            Op::Open => "opened",
            Op::Watch => "watches",
            Op::Read => "read bytes:",
            Op::Writev => "wrote bytes:",
            Op::Shutdown => "said its last word:",
            Op::Close => "closed",
        };
        let of = fd.map(|fd| format!("of #{fd} ")).unwrap_or_default();
        let came = match outcome {
            Ok(_) if matches!(op, Op::Watch | Op::Error | Op::Shutdown | Op::Close) => "ok".into(),
            Ok(number) if matches!(op, Op::Accept | Op::Connect | Op::Open | Op::Listen) => {
                format!("#{number}")
            }
            Ok(number) => number.to_string(),
            Err(errno) => format!("{errno:?}"),
        };
        let written = write!(sentence, "{comma}{of}{what} {came}");
        debug_assert!(written.is_ok(), "a string takes everything");
    }
    sentence
}
