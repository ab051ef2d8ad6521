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
        // An earlier version did not tell some of them.
        let told = now.iter().filter(|(key, _)| self.settings.get(key.as_str()).is_some());
        let differs = told.filter(|(key, value)| self.settings[key.as_str()] != **value);
        differs.map(|(key, value)| format!("{key} {}, now {value}", self.settings[key])).collect()
    }

    fn add(&mut self, run: &Value) {
        let Some(subject) = run["subject"].as_str() else { return };
        let name = then(subject);
        let figures = METRICS.map(|metric| run["figures"][metric.key].as_f64());
        self.settings = run["settings"].clone();
        let known = self.columns.iter().position(|column| column.name == name);
        let place = known.unwrap_or_else(|| {
            self.columns.push(Column::new(&name));
            self.columns.len() - 1
        });
        let column = &mut self.columns[place];
        column.rounds.push(figures);
        column.unfinished += run["unfinished"].as_u64().unwrap_or(0);
        for (class, count) in run["faults"].as_object().into_iter().flatten() {
            *column.errors.entry(class.clone()).or_default() += count.as_u64().unwrap_or(0);
        }
    }
}

fn then(subject: &str) -> String {
    format!("{subject} then")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_setting_that_an_earlier_version_did_not_tell_is_no_difference() {
        let mut earlier =
            Earlier { path: PathBuf::new(), columns: Vec::new(), settings: Value::Null };
        earlier.add(&json!({
            "subject": "relay", "settings": {"size": 131, "tls": false},
            "figures": {"done_per_second": 2.0}, "unfinished": 3, "faults": {"stalled": 4},
        }));
        let now = json!({"size": 200, "tls": false, "count": 5});
        assert_eq!(earlier.differences(&now), ["size 131, now 200"]);
        let column = earlier.column("relay").unwrap();
        assert_eq!((column.rounds.len(), column.error_count(), column.unfinished), (1, 4, 3));
    }
}
