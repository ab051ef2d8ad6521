//! The table at the end: a line for each figure, a column for each subject, and how they compare.

use std::collections::BTreeMap;

use super::figures::{Figures, METRICS, Metric, SAMPLES};
use super::numbers;
use crate::limits::LOAD_TAIL;
use crate::load::Stats;
use crate::screen::width;

/// All runs of one subject, in the order of the rounds.
#[derive(Clone, Default)]
pub(super) struct Column {
    /// Its name.
    pub(super) name: String,
    /// A round each.
    pub(super) rounds: Vec<Figures>,
    /// What went wrong in all of them, by class.
    pub(super) errors: BTreeMap<String, u64>,
    /// Operations of all of them that did not finish.
    pub(super) unfinished: u64,
}

/// One figure over the rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

/// A column as it is printed: its head, and a cell for each line.
struct Printed {
    head: String,
    cells: Vec<String>,
}

const TITLE: usize = 24;
/// Between two columns.
const GAP: usize = 2;
/// Digits behind the point of a ratio.
const RATIO_DIGITS: usize = 3;
/// What cannot be told.
const NOTHING: &str = "–";
/// Samples are counted by the thousand where a percentile is one of them.
const THOUSAND: u64 = 1000;

impl Column {
    /// One without runs.
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// One more round.
    pub(super) fn add(&mut self, figures: &Figures, stats: &Stats) {
        self.rounds.push(*figures);
        self.unfinished += stats.unfinished();
        for (class, count) in stats.faults.iter() {
            *self.errors.entry(class).or_default() += count;
        }
    }

    /// How often something went wrong, in all rounds.
    pub(super) fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Of a figure, by its place: what each round has shown.
    fn figures(&self, place: usize) -> Vec<Option<f64>> {
        self.rounds.iter().map(|round| round[place]).collect()
    }

    /// The ratios to `other`, round by round, so that what else the machine did is in both numbers.
    fn by(&self, other: &Self, place: usize) -> Vec<Option<f64>> {
        let pairs = self.figures(place).into_iter().zip(other.figures(place));
        let quotient = |(own, other)| Some(own? / other?).filter(|ratio: &f64| ratio.is_finite());
        pairs.map(quotient).collect()
    }

    /// The latencies of the round that has the fewest; none where they were not counted.
    fn samples(&self) -> Option<u64> {
        let place = METRICS.iter().position(|metric| metric.key == SAMPLES)?;
        let least = Spread::of(&self.figures(place))?.least;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // it was a count
        Some(least as u64)
    }

    /// How many samples are slower than this percentile; none where it is none, or unknown.
    fn beyond(&self, metric: &Metric) -> Option<u64> {
        Some(self.samples()?.saturating_mul(metric.slower()?) / THOUSAND)
    }

    /// Says which percentiles rest on few samples.
    pub(super) fn few_samples(&self) -> Option<String> {
        let samples = self.samples().filter(|&samples| samples > 0)?;
        let few: Vec<_> = METRICS
            .iter()
            .filter_map(|metric| Some((metric, self.beyond(metric)?)))
            .filter(|&(_, beyond)| beyond < LOAD_TAIL)
            .map(|(metric, beyond)| {
                let count = if beyond == 0 { "none".to_owned() } else { numbers::count(beyond) };
                let name = metric.title("").replace("latency ", "").replace(", µs", "");
                format!("{count} above {name}")
            })
            .collect();
        let samples = numbers::count(samples);
        (!few.is_empty()).then(|| format!("few samples: of {samples} only {}", few.join(", ")))
    }

    fn cell(&self, place: usize) -> String {
        let metric = &METRICS[place];
        // Slower than it is none: it would only be the maximum.
        if self.beyond(metric) == Some(0) {
            return NOTHING.to_owned();
        }
        cell(&self.figures(place), metric.digits, metric.scale)
    }
}

/// The medians of what `column` is by `other`.
pub(super) fn ratio(column: &Column, other: &Column) -> Figures {
    std::array::from_fn(|place| Some(Spread::of(&column.by(other, place))?.median))
}

/// The lines of the table, of at most so many columns of a terminal where that is possible: what
/// does not fit beside the others stands below them, with the titles again. A ratio is the first
/// subject divided by another. `handled` is what the target does for an operation.
pub(super) fn table(columns: &[Column], handled: &str, wide: usize) -> Vec<String> {
    let Some((first, others)) = columns.split_first() else { return Vec::new() };
    let has_figure = |column: &Column, place| column.figures(place).iter().any(Option::is_some);
    let places: Vec<_> = (0..METRICS.len())
        .filter(|&place| columns.iter().any(|column| has_figure(column, place)))
        .collect();
    let errors = error_lines(columns);
    let mut titles: Vec<_> = places.iter().map(|&place| METRICS[place].title(handled)).collect();
    titles.extend(errors.iter().map(|(title, _)| title.clone()));
    let of_subject = |(index, column): (usize, &Column)| {
        let figures = places.iter().map(|&place| column.cell(place));
        let counts = errors.iter().map(|(_, counts)| numbers::count(counts[index]));
        Printed { head: column.name.clone(), cells: figures.chain(counts).collect() }
    };
    let of_ratio = |other: &Column| {
        let is_told = |place| [first, other].iter().all(|it| it.beyond(&METRICS[place]) != Some(0));
        let ratio = |&place: &usize| {
            let ratios = if is_told(place) { first.by(other, place) } else { Vec::new() };
            cell(&ratios, RATIO_DIGITS, 1.0)
        };
        let mut cells: Vec<_> = places.iter().map(ratio).collect();
        cells.resize(titles.len(), String::new());
        Printed { head: format!("{} ÷ {}", first.name, other.name), cells }
    };
    let subjects = columns.iter().enumerate().map(of_subject);
    let printed: Vec<_> = subjects.chain(others.iter().map(of_ratio)).collect();
    in_blocks(&titles, &printed, wide)
}

/// How often something went wrong, of each subject: in all, and by class.
fn error_lines(columns: &[Column]) -> Vec<(String, Vec<u64>)> {
    let of_all = |count: &dyn Fn(&Column) -> u64| columns.iter().map(count).collect();
    let mut lines = vec![("errors".to_owned(), of_all(&Column::error_count))];
    let mut classes: Vec<_> = columns.iter().flat_map(|column| column.errors.keys()).collect();
    classes.sort();
    classes.dedup();
    for class in classes {
        let count = |column: &Column| column.errors.get(class).copied().unwrap_or(0);
        lines.push((format!("  {class}"), of_all(&count)));
    }
    if columns.iter().any(|column| column.unfinished > 0) {
        lines.push(("not finished, operations".to_owned(), of_all(&|it: &Column| it.unfinished)));
    }
    lines
}

/// As many columns beside each other as fit.
fn in_blocks(titles: &[String], columns: &[Printed], wide: usize) -> Vec<String> {
    let title = titles.iter().map(|title| width(title)).max().unwrap_or(0).max(TITLE);
    let (mut lines, mut rest) = (Vec::new(), columns);
    while !rest.is_empty() {
        let ends = rest.iter().scan(title, |end, column| {
            *end += GAP + column.width();
            Some(*end)
        });
        let (block, others) = rest.split_at(ends.take_while(|&end| end <= wide).count().max(1));
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.push(line("", title, block, |column| &column.head));
        for (place, name) in titles.iter().enumerate() {
            if block.iter().any(|column| !column.cells[place].is_empty()) {
                lines.push(line(name, title, block, |column| &column.cells[place]));
            }
        }
        rest = others;
    }
    lines
}

fn line<'a>(
    name: &str,
    title: usize,
    block: &'a [Printed],
    cell: impl Fn(&'a Printed) -> &'a str,
) -> String {
    let cells = block.iter().map(|column| format!("{:>1$}", cell(column), GAP + column.width()));
    let line = format!("{name:<title$}{}", cells.collect::<String>());
    line.trim_end().to_owned()
}

impl Printed {
    fn width(&self) -> usize {
        self.cells.iter().chain([&self.head]).map(|cell| width(cell)).max().unwrap_or(0)
    }
}

fn cell(figures: &[Option<f64>], digits: usize, scale: f64) -> String {
    let Some(Spread { least, median, most }) = Spread::of(figures) else {
        return NOTHING.to_owned();
    };
    let [least, median, most] =
        [least, median, most].map(|figure| numbers::figure(figure / scale, digits));
    if figures.len() == 1 { median } else { format!("{median} ({least}…{most})") }
}

impl Spread {
    /// Of those that there are.
    fn of(figures: &[Option<f64>]) -> Option<Self> {
        let mut sorted: Vec<f64> = figures.iter().copied().flatten().collect();
        sorted.sort_by(f64::total_cmp);
        let (&least, &most) = (sorted.first()?, sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        } else {
            sorted[middle]
        };
        Some(Self { least, median, most })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: usize = 200;

    fn place(key: &str) -> usize {
        METRICS.iter().position(|metric| metric.key == key).unwrap()
    }

    /// A round that has shown these figures.
    fn round(figures: &[(&str, f64)]) -> Figures {
        let mut round = [None; METRICS.len()];
        for &(key, figure) in figures {
            round[place(key)] = Some(figure);
        }
        round
    }

    fn column(name: &str, figures: &[f64]) -> Column {
        let rounds = figures.iter().map(|&figure| round(&[(METRICS[0].key, figure)])).collect();
        Column { rounds, ..Column::new(name) }
    }

    fn words(line: &str, titles: usize) -> Vec<&str> {
        line.split_whitespace().skip(titles).collect()
    }

    #[test]
    fn medians_stand_beside_each_other_and_ratios_are_those_of_a_round() {
        let columns = [column("relay", &[3.0, 9.0, 4.0]), column("floor", &[1.0, 3.0, 4.0])];
        let lines = table(&columns, "messages", WIDE);
        assert_eq!(words(&lines[0], 0), ["relay", "floor", "relay", "÷", "floor"]);
        let cells = ["4", "(3…9)", "3", "(1…4)", "3.000", "(1.000…3.000)"];
        assert_eq!(words(&lines[1], 2), cells);
        assert_eq!(words(&lines[2], 0), ["errors", "0", "0"]);
        assert_eq!(lines.len(), 3, "what nobody has is no line");
    }

    #[test]
    fn what_is_no_number_is_a_dash() {
        let columns = [column("relay", &[0.0]), column("floor", &[0.0])];
        assert_eq!(words(&table(&columns, "messages", WIDE)[1], 2), ["0", "0", "–"]);
        assert!(table(&[], "messages", WIDE).is_empty());
    }

    #[test]
    fn what_does_not_fit_stands_below_with_its_titles() {
        let figures = [1_234_567.0, 2_345_678.0];
        let columns = ["relay", "floor", "redis"].map(|name| column(name, &figures));
        for wide in [80, 60, 10] {
            let lines = table(&columns, "messages", wide);
            let least = TITLE + GAP + "1,790,122 (1,234,567…2,345,678)".chars().count();
            assert!(lines.iter().all(|line| width(line) <= wide.max(least)), "{lines:#?}");
            let titles = lines.iter().filter(|line| line.starts_with("offered")).count();
            assert_eq!(titles, lines.iter().filter(|line| line.is_empty()).count() + 1);
            assert!(titles > 1 && lines.iter().any(|line| line.contains("relay ÷ redis")));
        }
    }

    #[test]
    fn errors_are_told_by_class_beside_each_other() {
        let errors = |class: &str, count| BTreeMap::from([(class.to_owned(), count)]);
        let relay = Column { errors: errors("message lost", 1234), ..column("relay", &[1.0]) };
        let floor =
            Column { errors: errors("stalled", 1), unfinished: 7, ..column("floor", &[1.0]) };
        let lines = table(&[relay, floor], "messages", WIDE);
        let told: Vec<_> = lines[2..].iter().map(|line| words(line, 0).join(" ")).collect();
        let expected = [
            "errors 1,234 1",
            "message lost 1,234 0",
            "stalled 0 1",
            "not finished, operations 0 7",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_percentile_of_few_samples_is_told_as_such() {
        let latency = |samples| {
            let keys = ["latency_p50_us", "latency_p99_us", "latency_p99_9_us"];
            let figures = keys.map(|key| (key, 1.5));
            let round = round(&[&figures[..], &[(SAMPLES, samples)]].concat());
            Column { rounds: vec![round], ..Column::new("relay") }
        };
        let told = latency(500.0).few_samples();
        let expected = "few samples: of 500 only 5 above p99, none above p99.9";
        assert_eq!(told.as_deref(), Some(expected));
        let lines = table(&[latency(500.0)], "messages", WIDE);
        let last = |title: &str| {
            let line = lines.iter().find(|line| line.contains(title)).unwrap();
            line.split_whitespace().last().unwrap().to_owned()
        };
        assert_eq!((last("p99, "), last("p99.9, ")), ("1.5".to_owned(), NOTHING.to_owned()));
        assert_eq!(latency(10_000.0).few_samples(), None);
        let most = latency(9_999.0).few_samples().unwrap();
        assert!(most.ends_with("of 9,999 only 9 above p99.9"), "{most}");
    }

    #[test]
    fn the_median_of_an_even_count_lies_between() {
        let spread = Spread::of(&[Some(4.0), None, Some(1.0)]);
        assert_eq!(spread, Some(Spread { least: 1.0, median: 2.5, most: 4.0 }));
        assert_eq!(Spread::of(&[None]), None);
    }
}
