//! What all runs have shown: printed as a table for people or as NDJSON for programs, and kept in
//! files.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::super::{Exit, Failure};
use super::drive::Run;
use super::earlier::Earlier;
use super::figures::{Figures, METRICS, Number, as_f64, bottleneck, figures, unfinished};
use super::histogram::HistogramFile;
use super::numbers::{self, columns, counted};
use super::table::{Column, ratio, table};
use super::target::Subject;
use crate::command::cli::RunArgs;
use crate::load::{Early, Faults, Plan, Work};
use crate::screen::wrap;

/// What a note begins with that tells of faults.
const WENT_WRONG: &str = "went wrong: ";

/// Something to be said of a run.
struct Note {
    subject: String,
    round: usize,
    text: String,
}

/// What all runs have shown.
pub(super) struct Report {
    columns: Vec<Column>,
    /// What was measured, where it is at several addresses.
    heads: Vec<String>,
    /// What else is to be said.
    notes: Vec<Note>,
    /// Operations that were done while it was measured.
    done: u64,
    /// What the target does for an operation.
    handled: &'static str,
    /// A run ended before its time.
    is_early: bool,
    /// The head is printed.
    has_begun: bool,
    /// Nothing went wrong, and something was done.
    pub(super) is_clean: bool,
    is_json: bool,
    /// What was asked for.
    settings: Value,
    histograms: Option<HistogramFile>,
    earlier: Option<Earlier>,
}

impl Report {
    /// Of these subjects. Files are opened now, so that what is wrong with them is said before
    /// anything begins.
    pub(super) fn new(
        subjects: &[Subject],
        settings: Value,
        arguments: &RunArgs,
    ) -> Result<Self, Failure> {
        let column = |subject: &Subject| Column::new(subject.name());
        let names: Vec<_> = subjects.iter().map(Subject::name).collect();
        let histogram =
            arguments.histogram.as_ref().map(|path| HistogramFile::create(path, &names));
        Ok(Self {
            columns: subjects.iter().map(column).collect(),
            heads: Vec::new(),
            notes: Vec::new(),
            done: 0,
            handled: "messages",
            is_early: false,
            has_begun: false,
            is_clean: true,
            is_json: arguments.json,
            settings,
            histograms: histogram.transpose()?,
            earlier: arguments.compare.clone().map(Earlier::read).transpose()?,
        })
    }

    /// The first subject runs: for people, the lines of the head, of so many columns.
    pub(super) fn begin(&mut self, head: impl FnOnce(usize) -> Vec<String>) -> Result<(), Failure> {
        let has_begun = std::mem::replace(&mut self.has_begun, true);
        if has_begun || self.is_json { Ok(()) } else { say(head(columns())) }
    }

    /// A run of the subject in this place, and which of its processes is gone.
    pub(super) fn add(
        &mut self,
        place: usize,
        run: &Run,
        plan: &Plan,
        gone: Option<&str>,
    ) -> Result<(), Failure> {
        let Some(column) = self.columns.get_mut(place) else { return Ok(()) };
        let figures = figures(run, plan);
        column.add(&figures, &run.stats);
        self.done += run.stats.finished;
        self.is_early |= run.early.is_some();
        if plan.work == Work::Connect {
            self.handled = "connections";
        }
        let (name, round) = (column.name.clone(), column.rounds.len());
        let notes = |number| notes(run, plan, gone, number);
        let note = |text| Note { subject: name.clone(), round, text };
        self.notes.extend(notes(|it| numbers::figure(it, 0)).into_iter().map(note));
        let notes = notes(|it| format!("{it:.0}"));
        let seconds = run.seconds.iter().map(|second| second.to_json(&name, round));
        let mut whole = self.run_to_json(&name, round, &figures, run, &notes);
        if plan.targets.len() > 1 {
            whole["targets"] = plan.targets.iter().map(ToString::to_string).collect();
        }
        let written = if self.is_json { say(seconds.chain([whole])) } else { Ok(()) };
        if plan.targets.len() > 1 {
            let targets: Vec<_> = plan.targets.iter().map(ToString::to_string).collect();
            let (targets, crossing) = (targets.join(", "), plan.crossing);
            let line = format!("{name} at {targets}: {crossing} % of the pairs cross");
            if round == 1 {
                self.heads.push(line);
            }
        }
        let stats = &run.stats;
        let is_whole = run.early.is_none() && stats.finished > 0 && stats.unfinished() == 0;
        self.is_clean &= is_whole && stats.faults.total() == 0;
        if let Some(file) = &mut self.histograms {
            file.add(&name, run);
        }
        written
    }

    /// Tells all of it.
    pub(super) fn finish(&self) -> Result<(), Failure> {
        if self.is_json {
            say(self.ratios_to_json())?;
        } else {
            self.tell_people()?;
        }
        self.histograms.as_ref().map_or(Ok(()), HistogramFile::write)
    }

    /// The table, what else is to be said, and whether all went well.
    fn tell_people(&self) -> Result<(), Failure> {
        let wide = columns();
        let wrapped = |lines: Vec<String>| lines.into_iter().flat_map(move |it| wrap(&it, wide));
        let few = |column: &Column| Some(format!("{}: {}", column.name, column.few_samples()?));
        let few = self.columns.iter().filter_map(few);
        say([String::new()])?;
        say(wrapped(self.heads.clone()))?;
        say(table(&self.columns, self.handled, wide))?;
        say(wrapped(self.notes_in_words().into_iter().chain(few).collect()))?;
        say(self.then_and_now(wide))?;
        say(wrapped(vec![String::new(), self.verdict()]))
    }

    /// Of several rounds each note says which one it is of. Of a single one the table has what went
    /// wrong.
    fn notes_in_words(&self) -> Vec<String> {
        let is_single = self.columns.iter().all(|column| column.rounds.len() == 1);
        if !is_single {
            let line = |it: &Note| format!("{}, round {}: {}", it.subject, it.round, it.text);
            return self.notes.iter().map(line).collect();
        }
        let is_new = |it: &&Note| !it.text.starts_with(WENT_WRONG);
        self.notes.iter().filter(is_new).map(|it| format!("{}: {}", it.subject, it.text)).collect()
    }

    /// Whether all went well, in one line.
    fn verdict(&self) -> String {
        let errors = self.columns.iter().map(Column::error_count).sum();
        let unfinished: u64 = self.columns.iter().map(|column| column.unfinished).sum();
        let mut said = vec![counted(self.done, "operation") + " done", counted(errors, "error")];
        if unfinished > 0 {
            said.push(format!("{} not finished", counted(unfinished, "operation")));
        }
        if self.is_early {
            said.push("ended early".to_owned());
        }
        format!("{}: {}", if self.is_clean { "ok" } else { "failed" }, said.join(", "))
    }

    fn then_and_now(&self, wide: usize) -> Vec<String> {
        let Some(earlier) = &self.earlier else { return Vec::new() };
        let mut lines = vec![String::new(), format!("{}:", earlier.path.display())];
        for column in &self.columns {
            match earlier.column(&column.name) {
                Some(then) => {
                    lines.extend(table(&[column.clone(), then.clone()], self.handled, wide));
                }
                None => lines.push(format!("nothing of {} there", column.name)),
            }
        }
        let differences = earlier.differences(&self.settings).into_iter();
        lines.extend(differences.map(|it| format!("measured otherwise then: {it}")));
        lines
    }

    fn run_to_json(
        &self,
        name: &str,
        round: usize,
        figures: &Figures,
        run: &Run,
        notes: &[String],
    ) -> Value {
        let stats = &run.stats;
        let faults: Map<_, _> =
            stats.faults.iter().map(|(class, count)| (class, count.into())).collect();
        json!({
            "event": "run", "subject": name, "round": round, "settings": self.settings,
            "seconds": stats.window().as_secs_f64(),
            "offered": stats.offered, "unfinished": stats.unfinished(),
            "unstarted": stats.unstarted,
            "figures": figures_to_json(figures), "faults": faults, "notes": notes,
        })
    }

    /// The medians of what the first is, by each of the others, and of the same then.
    fn ratios_to_json(&self) -> Vec<Value> {
        let Some((first, others)) = self.columns.split_first() else { return Vec::new() };
        let beside = others.iter().map(|other| (first, other));
        let earlier = self
            .columns
            .iter()
            .filter_map(|column| Some((column, self.earlier.as_ref()?.column(&column.name)?)));
        let line = |(column, other): (&Column, &Column)| {
            json!({
                "event": "ratio", "of": column.name, "to": other.name,
                "figures": figures_to_json(&ratio(column, other)),
            })
        };
        beside.chain(earlier).map(line).collect()
    }
}

/// Prints lines to standard output.
fn say(lines: impl IntoIterator<Item = impl Display>) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    let written = lines.into_iter().try_for_each(|line| writeln!(output, "{line}"));
    written.map_err(|error| Failure::new(Exit::Failed, format!("standard output: {error}")))
}

/// By key; what there is none of is null, as JSON has it for what is no number.
fn figures_to_json(figures: &Figures) -> Value {
    let members = METRICS.iter().zip(figures);
    Value::Object(members.map(|(metric, &figure)| (metric.key.to_owned(), figure.into())).collect())
}

/// What else is to be said of a run.
fn notes(run: &Run, plan: &Plan, gone: Option<&str>, number: Number) -> Vec<String> {
    let mut notes: Vec<String> = faults(&run.stats.faults, number).into_iter().collect();
    notes.extend(unfinished(&run.stats, number));
    if let Some(how) = bottleneck(run, plan, number) {
        notes.push(format!("the generator was the bottleneck: {how}"));
    }
    notes.extend(run.early.map(|why| match why {
        Early::Interrupted => "ended early: a signal came".to_owned(),
        Early::NoWorkers => "ended early: no connection was left to work on".to_owned(),
    }));
    notes.extend(gone.map(str::to_owned));
    notes
}

/// What went wrong, in one line.
fn faults(faults: &Faults, number: Number) -> Option<String> {
    let told = faults.iter().map(|(class, count)| format!("{class} ×{}", number(as_f64(count))));
    let told: Vec<_> = told.collect();
    (!told.is_empty()).then(|| format!("{WENT_WRONG}{}", told.join(", ")))
}

/// A file that cannot be used.
pub(super) fn unusable(path: &Path, why: impl Display) -> Failure {
    Failure::new(Exit::Failed, format!("{}: {why}", path.display()))
}
