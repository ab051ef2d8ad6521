//! The latencies in files that others' tools read.
//!
//! - **The log format of HdrHistogram**: an interval for each run, tagged with its subject. Values
//!   are nanoseconds; the maxima that stand beside them are milliseconds.
//! - **Its percentile distribution** (`.hgrm`), which wrk2 prints and HdrHistogram's plotter draws:
//!   a file for each subject, all rounds together. Values are milliseconds.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use super::super::Failure;
use super::drive::Run;
use super::figures::as_f64;
use super::report::unusable;

/// The ending of a name that asks for percentile distributions.
const DISTRIBUTION: &str = "hgrm";
/// What the maxima are divided by.
const NANOSECONDS_A_MILLISECOND: f64 = 1e6;
/// Lines of a distribution for each halving of the distance to 100 %: as many as wrk2 has.
const LINES_A_HALVING: u32 = 5;

/// The files, and what is to stand in them.
pub(super) struct HistogramFile {
    files: Vec<Output>,
    is_log: bool,
    begun: SystemTime,
    intervals: Vec<Interval>,
}

struct Output {
    path: PathBuf,
    file: File,
    /// Only the intervals of this one; none: all.
    subject: Option<String>,
}

struct Interval {
    subject: String,
    /// After the beginning of all.
    start: Duration,
    length: Duration,
    latency: Histogram<u64>,
}

impl HistogramFile {
    /// Empty files for these subjects.
    pub(super) fn create(path: &Path, subjects: &[&str]) -> Result<Self, Failure> {
        let is_log = path.extension().is_none_or(|ending| ending != DISTRIBUTION);
        let open = |path: PathBuf, subject: Option<&&str>| {
            let file = File::create(&path).map_err(|error| unusable(&path, error))?;
            Ok(Output { path, file, subject: subject.map(ToString::to_string) })
        };
        let files = match subjects {
            _ if is_log => vec![open(path.to_owned(), None)?],
            [_] => vec![open(path.to_owned(), None)?],
            several => several
                .iter()
                .map(|subject| open(path_of(path, subject), Some(subject)))
                .collect::<Result<_, _>>()?,
        };
        Ok(Self { files, is_log, begun: SystemTime::now(), intervals: Vec::new() })
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
        for output in &self.files {
            let failed = |error: &dyn std::fmt::Display| unusable(&output.path, error);
            let mut file = BufWriter::new(&output.file);
            if self.is_log {
                self.write_log(&mut file, &failed)?;
            } else {
                let is_told = |it: &&Interval| {
                    output.subject.as_ref().is_none_or(|subject| *subject == it.subject)
                };
                let merged = merge(self.intervals.iter().filter(is_told));
                merged
                    .map_or(Ok(()), |all| write_distribution(&mut file, &all))
                    .map_err(|error| failed(&error))?;
            }
            file.flush().map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    fn write_log(
        &self,
        file: &mut impl Write,
        failed: &dyn Fn(&dyn std::fmt::Display) -> Failure,
    ) -> Result<(), Failure> {
        let mut serializer = V2DeflateSerializer::new();
        let mut log = IntervalLogWriterBuilder::new()
            .with_start_time(self.begun)
            .with_base_time(self.begun)
            .with_max_value_divisor(NANOSECONDS_A_MILLISECOND)
            .begin_log_with(file, &mut serializer)
            .map_err(|error| failed(&error))?;
        for Interval { subject, start, length, latency } in &self.intervals {
            log.write_histogram(latency, *start, *length, Tag::new(subject))
                .map_err(|error| failed(&error))?;
        }
        Ok(())
    }
}

/// `latency.hgrm` of the floor is `latency-floor.hgrm`.
fn path_of(path: &Path, subject: &str) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{subject}.{DISTRIBUTION}"));
    path.with_file_name(name)
}

/// All latencies of these; none where there are no intervals.
fn merge<'a>(mut intervals: impl Iterator<Item = &'a Interval>) -> Option<Histogram<u64>> {
    let mut all = intervals.next()?.latency.clone();
    // All have the same bounds, so each value has its place.
    intervals.for_each(|it| all.add(&it.latency).unwrap_or_default());
    Some(all)
}

/// In the format of `HistogramLogProcessor` of HdrHistogram.
fn write_distribution(file: &mut impl Write, latency: &Histogram<u64>) -> io::Result<()> {
    let millis = |nanoseconds: f64| nanoseconds / NANOSECONDS_A_MILLISECOND;
    writeln!(
        file,
        "{:>12} {:>14} {:>10} {:>14}\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    )?;
    let mut count = 0;
    for step in latency.iter_quantiles(LINES_A_HALVING) {
        count += step.count_since_last_iteration();
        let value = millis(as_f64(step.value_iterated_to()));
        let part = step.quantile_iterated_to();
        write!(file, "{value:12.6} {part:14.12} {count:10}")?;
        let distance = (1.0 - part).recip();
        if distance.is_finite() { writeln!(file, " {distance:14.2}")? } else { writeln!(file)? }
    }
    let (mean, deviation) = (millis(latency.mean()), millis(latency.stdev()));
    let (max, count) = (millis(as_f64(latency.max())), latency.len());
    writeln!(file, "#[Mean    = {mean:12.6}, StdDeviation   = {deviation:12.6}]")?;
    writeln!(file, "#[Max     = {max:12.6}, Total count    = {count:12}]")?;
    // A part is as wide as the digits that are kept allow, and there are as many as bits count.
    let parts = (2 * 10_u64.pow(latency.sigfig().into())).next_power_of_two();
    let buckets = latency.buckets();
    writeln!(file, "#[Buckets = {buckets:12}, SubBuckets     = {parts:12}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_goes_up_to_its_maximum_and_has_all_samples() {
        let mut latency = Histogram::<u64>::new(3).unwrap();
        (1..=1000).for_each(|it| latency.record(it * 1_000_000).unwrap());
        let mut text = Vec::new();
        write_distribution(&mut text, &latency).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<Vec<&str>> =
            text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]);
        assert!(lines[1].is_empty());
        let steps: Vec<_> = lines[2..].iter().take_while(|it| it[0] != "#[Mean").collect();
        let half = steps.iter().find(|it| it[1] == "0.500000000000").unwrap();
        assert_eq!((half[2], half[3]), ("500", "2.00"));
        let last = steps.last().unwrap();
        assert_eq!(last[1..], ["1.000000000000", "1000"]);
        assert!((last[0].parse::<f64>().unwrap() - 1000.0).abs() < 1.0);
        assert!(text.contains("Total count    =         1000]"), "{text}");
    }

    #[test]
    fn each_of_several_subjects_has_a_file() {
        let path = path_of(Path::new("/tmp/x/latency.hgrm"), "floor");
        assert_eq!(path, Path::new("/tmp/x/latency-floor.hgrm"));
    }
}
