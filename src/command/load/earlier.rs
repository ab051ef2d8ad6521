//! The figures of an earlier run, read from the NDJSON that it printed.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::super::Failure;
use super::figures::METRICS;
use super::report::unusable;
use super::table::Column;

/// An earlier run.
pub(super) struct Earlier {
    pub(super) path: PathBuf,
    columns: Vec<Column>,
    /// Its settings.
    settings: Value,
}

impl Earlier {
    /// Reads what `--json` has written. Lines that are none of a run are passed over.
    pub(super) fn read(path: PathBuf) -> Result<Self, Failure> {
        let text = fs::read_to_string(&path).map_err(|error| unusable(&path, error))?;
        let mut earlier = Self { path, columns: Vec::new(), settings: Value::Null };
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let value: Value = serde_json::from_str(line)
                .map_err(|error| unusable(&earlier.path, format!("not of `--json`: {error}")))?;
            if value["event"] == "run" {
                earlier.add(&value);
            }
        }
        if earlier.columns.is_empty() {
            return Err(unusable(&earlier.path, "no run of `sealwax load --json` is in it"));
        }
        Ok(earlier)
    }

    /// The figures of `subject`.
    pub(super) fn column(&self, subject: &str) -> Option<&Column> {
        let name = then(subject);
        self.columns.iter().find(|column| column.name == name)
    }

    /// The settings that differ.
    pub(super) fn differences(&self, now: &Value) -> Vec<String> {
        let Value::Object(now) = now else { return Vec::new() };
        let differs = now.iter().filter(|(key, value)| self.settings[key.as_str()] != **value);
        differs.map(|(key, value)| format!("{key} {}, now {value}", self.settings[key])).collect()
    }

    fn add(&mut self, run: &Value) {
        let Some(subject) = run["subject"].as_str() else { return };
        let name = then(subject);
        let figures = METRICS.map(|metric| run["figures"][metric.key].as_f64());
        self.settings = run["settings"].clone();
        match self.columns.iter_mut().find(|column| column.name == name) {
            Some(column) => column.rounds.push(figures),
            None => self.columns.push(Column { name, rounds: vec![figures] }),
        }
    }
}

fn then(subject: &str) -> String {
    format!("{subject} then")
}
