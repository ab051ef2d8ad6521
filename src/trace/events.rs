//! Ticks in the trace-event format, which Perfetto and Chromium open.
//!
//! The format: "Trace Event Format" of the Chromium project. An array of objects, whose `ph` says
//! what each is: `X` a span, `C` a counter, `M` a name, `i` an instant. Times are in microseconds.
//! The bracket at the end may be missing, so that the trace of a process that was killed opens too.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::json::{annotation, nanos, source};
use crate::reactor::Time;
use crate::trace::{Call, Phase, Step, Tick, What};

/// One loop's part of the file.
pub(super) struct Events {
    /// The loops of one process are its threads.
    thread: u32,
    name: Option<&'static str>,
    /// Queues that a flush did not empty: their counters are written again until they are zero.
    behind: HashSet<String>,
}

impl Events {
    pub(super) fn new(thread: u32, name: Option<&'static str>) -> Self {
        Self { thread, name, behind: HashSet::new() }
    }

    /// The beginning of the file.
    pub(super) fn begin(&self) -> String {
        let name = self.name.unwrap_or("the loop");
        let process = json!({"ph": "M", "name": "process_name", "pid": 1, "tid": self.thread,
                             "args": {"name": "sealwax"}});
        let thread = json!({"ph": "M", "name": "thread_name", "pid": 1, "tid": self.thread,
                            "args": {"name": name}});
        format!("{process},\n{thread}")
    }

    /// What one tick adds, each object behind a comma.
    pub(super) fn tick(&mut self, tick: &Tick) -> String {
        let mut all = Vec::new();
        let args = json!({"events": tick.events.len(), "calls": tick.calls(),
                          "empty_before": tick.empty_before});
        let lasted = tick.ended.since(tick.began);
        all.push(self.span(&format!("tick {}", tick.number), tick.began, lasted, args));
        let waited = tick.woke.since(tick.began);
        all.push(self.span("wait", tick.began, waited, json!({"events": tick.events.len()})));
        let parts = tick.parts();
        let part = |phase: Phase| parts.iter().find(|(of, _, _)| *of == phase);
        for &(phase, begun, took) in &parts {
            all.push(self.span(phase.as_str(), begun, took, json!({})));
        }
        for step in &tick.steps {
            all.push(self.step(step));
        }
        if let Some(&(_, flush, took)) = part(Phase::Flush) {
            all.push(self.counter("queued bytes", flush, tick.queued));
            all.push(self.counter("queued bytes", flush + took, tick.left));
        }
        self.count_queues(tick, &mut all);
        all.iter().fold(String::new(), |text, object| text + ",\n" + &object.to_string())
    }

    /// A counter for each queue that a flush could not empty, until one could.
    fn count_queues(&mut self, tick: &Tick, all: &mut Vec<Value>) {
        for step in &tick.steps {
            let (What::Kernel(Call::Writev { left, .. }, _), Some(whom)) = (&step.what, &step.whom)
            else {
                continue;
            };
            let name = format!("queue of {whom}");
            let was_behind = self.behind.remove(&name);
            if *left > 0 || was_behind {
                all.push(self.counter(&name, step.at + step.took, *left));
            }
            if *left > 0 {
                self.behind.insert(name);
            }
        }
    }

    fn step(&self, step: &Step) -> Value {
        let mut args = source(step.whom.as_ref());
        let name = match &step.what {
            What::Kernel(call, outcome) => {
                let (bytes, errno) = match outcome {
                    Ok(bytes) => (Some(bytes), None),
                    Err(errno) => (None, Some(format!("{errno:?}"))),
                };
                if matches!(call, Call::Read(_) | Call::Writev { .. }) {
                    args.insert("bytes".to_owned(), json!(bytes));
                }
                errno.map(|errno| args.insert("errno".to_owned(), errno.into()));
                call.name()
            }
            What::Handler(callback) => callback.name(),
        };
        if !step.annotations.is_empty() {
            args.insert("said".to_owned(), step.annotations.iter().map(annotation).collect());
        }
        self.span(name, step.at, step.took, Value::Object(args))
    }

    #[allow(clippy::needless_pass_by_value)] // it is made for the call
    fn span(&self, name: &str, at: Time, took: Duration, args: Value) -> Value {
        json!({"ph": "X", "name": name, "pid": 1, "tid": self.thread, "ts": micros(at),
               "dur": micros(Time::default() + took), "args": args})
    }

    fn counter(&self, name: &str, at: Time, value: usize) -> Value {
        let of = self.name.map(|of| format!(" ({of})")).unwrap_or_default();
        json!({"ph": "C", "name": format!("{name}{of}"), "pid": 1, "tid": self.thread,
               "ts": micros(at), "args": {"bytes": value}})
    }
}

/// In place of `ticks` that were dropped.
pub(super) fn missing(ticks: u64) -> String {
    let object = json!({"ph": "i", "name": format!("{ticks} ticks are missing"), "pid": 1,
                        "tid": 1, "ts": 0, "s": "g"});
    format!(",\n{object}")
}

fn micros(time: Time) -> f64 {
    #[allow(clippy::cast_precision_loss)] // exact for the first 104 days of the clock
    let nanos = nanos(time.since(Time::default())) as f64;
    nanos / 1000.0
}
