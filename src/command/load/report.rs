//! What all runs have shown, as it is printed.

use super::drive::Run;
use super::figures::{bottleneck, figures};
use super::table::{Column, table};
use super::target::Subject;
use crate::load::{Faults, Plan};

/// What all runs have shown.
pub(super) struct Report {
    columns: Vec<Column>,
    /// What else is to be said.
    notes: Vec<String>,
    /// Nothing went wrong, and something was done.
    pub(super) is_clean: bool,
}

impl Report {
    pub(super) fn new(subjects: &[Subject]) -> Self {
        let column = |subject: &Subject| Column { name: subject.name(), rounds: Vec::new() };
        let columns = subjects.iter().map(column).collect();
        Self { columns, notes: Vec::new(), is_clean: true }
    }

    /// A run of the subject in this place.
    pub(super) fn add(&mut self, place: usize, run: &Run, plan: &Plan) {
        let Some(column) = self.columns.get_mut(place) else { return };
        column.rounds.push(figures(run, plan));
        let name = column.name;
        self.notes.extend(faults(&run.tally.faults).map(|faults| format!("{name}: {faults}")));
        if let Some(how) = bottleneck(run, plan) {
            self.notes.push(format!("{name}: the generator was the bottleneck: {how}"));
        }
        if run.was_interrupted {
            self.notes.push(format!("{name}: ended early"));
        }
        self.is_clean &= run.tally.faults.total() == 0 && run.tally.finished > 0;
    }

    pub(super) fn print(&self) {
        table(&self.columns).iter().chain(&self.notes).for_each(|line| println!("{line}"));
    }
}

/// What went wrong, in one line.
fn faults(faults: &Faults) -> Option<String> {
    let told: Vec<_> = faults.iter().map(|(class, count)| format!("{class} ×{count}")).collect();
    (!told.is_empty()).then(|| format!("went wrong: {}", told.join(", ")))
}
