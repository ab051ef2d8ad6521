//! What all runs have shown: printed as a table for people or as NDJSON for programs, and kept in
//! files.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::super::{Exit, Failure};
use super::drive::Run;
use super::earlier::Earlier;
use super::figures::{Figures, METRICS, bottleneck, figures, unfinished};
use super::histogram::HistogramFile;
use super::table::{Column, ratio, table};
use super::target::Subject;
use crate::command::cli::RunArgs;
use crate::load::{Early, Faults, Plan};

/// What all runs have shown.
pub(super) struct Report {
    columns: Vec<Column>,
    /// What was measured, where it is at several addresses.
    heads: Vec<String>,
    /// What else is to be said.
    notes: Vec<String>,
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
        Ok(Self {
            columns: subjects.iter().map(column).collect(),
            heads: Vec::new(),
            notes: Vec::new(),
            is_clean: true,
            is_json: arguments.json,
            settings,
            histograms: arguments.histogram.clone().map(HistogramFile::create).transpose()?,
            earlier: arguments.compare.clone().map(Earlier::read).transpose()?,
        })
    }

    /// A run of the subject in this place.
    pub(super) fn add(&mut self, place: usize, run: &Run, plan: &Plan) -> Result<(), Failure> {
        let Some(column) = self.columns.get_mut(place) else { return Ok(()) };
        let figures = figures(run, plan);
        column.rounds.push(figures);
        let (name, round) = (column.name.clone(), column.rounds.len());
        let mut notes: Vec<String> = faults(&run.stats.faults).into_iter().collect();
        notes.extend(unfinished(&run.stats));
        if let Some(how) = bottleneck(run, plan) {
            notes.push(format!("the generator was the bottleneck: {how}"));
        }
        notes.extend(run.early.map(|why| match why {
            Early::Interrupted => "ended early: a signal came".to_owned(),
            Early::NoWorkers => "ended early: no connection was left to work on".to_owned(),
        }));
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
        self.notes.extend(notes.iter().map(|note| format!("{name}, round {round}: {note}")));
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
            say(self.heads.iter().chain(&table(&self.columns)).chain(&self.notes))?;
            say(self.then_and_now())?;
        }
        self.histograms.as_ref().map_or(Ok(()), HistogramFile::write)
    }

    fn then_and_now(&self) -> Vec<String> {
        let Some(earlier) = &self.earlier else { return Vec::new() };
        let mut lines = vec![String::new(), format!("{}:", earlier.path.display())];
        for column in &self.columns {
            match earlier.column(&column.name) {
                Some(then) => lines.extend(table(&[column.clone(), then.clone()])),
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

/// What went wrong, in one line.
fn faults(faults: &Faults) -> Option<String> {
    let told: Vec<_> = faults.iter().map(|(class, count)| format!("{class} ×{count}")).collect();
    (!told.is_empty()).then(|| format!("went wrong: {}", told.join(", ")))
}

/// A file that cannot be used.
pub(super) fn unusable(path: &Path, why: impl Display) -> Failure {
    Failure::new(Exit::Failed, format!("{}: {why}", path.display()))
}
