//! The latencies in a file that others' tools read: the log format of HdrHistogram, an interval for
//! each run, tagged with its subject. Values are nanoseconds; the maxima that stand beside them are
//! milliseconds.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use super::super::Failure;
use super::drive::Run;
use super::report::unusable;

/// What the maxima are divided by.
const NANOSECONDS_A_MILLISECOND: f64 = 1e6;

/// The file, and what is to stand in it.
pub(super) struct HistogramFile {
    path: PathBuf,
    file: File,
    begun: SystemTime,
    intervals: Vec<Interval>,
}

struct Interval {
    subject: String,
    /// After the beginning of all.
    start: Duration,
    length: Duration,
    latency: Histogram<u64>,
}

impl HistogramFile {
    /// An empty file.
    pub(super) fn create(path: PathBuf) -> Result<Self, Failure> {
        let file = File::create(&path).map_err(|error| unusable(&path, error))?;
        Ok(Self { path, file, begun: SystemTime::now(), intervals: Vec::new() })
    }

    /// A run that has just ended.
    pub(super) fn add(&mut self, subject: &str, run: &Run) {
        let length = run.stats.window();
        let since = self.begun.elapsed().unwrap_or_default();
        let (subject, latency) = (subject.to_owned(), run.stats.latency.clone());
        let start = since.saturating_sub(length);
        self.intervals.push(Interval { subject, start, length, latency });
    }

    /// Writes all of it.
    pub(super) fn write(&self) -> Result<(), Failure> {
        let failed = |error: &dyn std::fmt::Display| unusable(&self.path, error);
        let mut file = BufWriter::new(&self.file);
        let mut serializer = V2DeflateSerializer::new();
        let mut log = IntervalLogWriterBuilder::new()
            .with_start_time(self.begun)
            .with_base_time(self.begun)
            .with_max_value_divisor(NANOSECONDS_A_MILLISECOND)
            .begin_log_with(&mut file, &mut serializer)
            .map_err(|error| failed(&error))?;
        for Interval { subject, start, length, latency } in &self.intervals {
            log.write_histogram(latency, *start, *length, Tag::new(subject))
                .map_err(|error| failed(&error))?;
        }
        file.flush().map_err(|error| failed(&error))
    }
}
