//! The table at the end: a line for each figure, a column for each subject, and how they compare.

use super::figures::{Figures, METRICS};

/// All runs of one subject, in the order of the rounds.
#[derive(Clone)]
pub(super) struct Column {
    /// Its name.
    pub(super) name: String,
    /// A round each.
    pub(super) rounds: Vec<Figures>,
}

/// One figure over the rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

const TITLE: usize = 24;
const CELL: usize = 30;
/// Digits behind the point of a ratio.
const RATIO_DIGITS: usize = 3;

impl Column {
    /// One without runs.
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), rounds: Vec::new() }
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
}

/// The medians of what `column` is by `other`.
pub(super) fn ratio(column: &Column, other: &Column) -> Figures {
    std::array::from_fn(|place| Some(Spread::of(&column.by(other, place))?.median))
}

/// The lines of the table. A ratio is the first column divided by another.
pub(super) fn table(columns: &[Column]) -> Vec<String> {
    let Some((first, others)) = columns.split_first() else { return Vec::new() };
    let titles = others.iter().flat_map(|other| [other.name.as_str(), "ratio"]);
    let titles = std::iter::once(first.name.as_str()).chain(titles);
    let cells: Vec<_> = titles.map(|title| format!("{title:>CELL$}")).collect();
    let mut lines = vec![" ".repeat(TITLE) + &cells.concat()];
    for (place, metric) in METRICS.iter().enumerate() {
        let has_figure = |column: &Column| column.figures(place).iter().any(Option::is_some);
        if !columns.iter().any(has_figure) {
            continue;
        }
        let own = cell(&first.figures(place), metric.digits);
        let mut line = format!("{:<TITLE$}{own}", metric.title);
        for other in others {
            line += &cell(&other.figures(place), metric.digits);
            line += &cell(&first.by(other, place), RATIO_DIGITS);
        }
        lines.push(line);
    }
    lines
}

fn cell(figures: &[Option<f64>], digits: usize) -> String {
    let Some(Spread { least, median, most }) = Spread::of(figures) else {
        return format!("{:>CELL$}", "–");
    };
    let text = if figures.len() == 1 {
        format!("{median:.digits$}")
    } else {
        format!("{median:.digits$} ({least:.digits$}…{most:.digits$})")
    };
    format!("{text:>CELL$}")
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

    fn column(name: &str, figures: &[f64]) -> Column {
        let round = |&figure: &f64| {
            let mut figures = [None; METRICS.len()];
            figures[0] = Some(figure);
            figures
        };
        Column { name: name.to_owned(), rounds: figures.iter().map(round).collect() }
    }

    #[test]
    fn medians_stand_beside_each_other_and_ratios_are_those_of_a_round() {
        let lines = table(&[column("relay", &[3.0, 9.0, 4.0]), column("floor", &[1.0, 3.0, 4.0])]);
        let words: Vec<_> = lines[1].split_whitespace().skip(3).collect();
        assert_eq!(words, ["4", "(3…9)", "3", "(1…4)", "3.000", "(1.000…3.000)"]);
        assert_eq!(lines.len(), 2, "what nobody has is no line");
    }

    #[test]
    fn what_is_no_number_is_a_dash() {
        let lines = table(&[column("relay", &[0.0]), column("floor", &[0.0])]);
        assert_eq!(lines[1].split_whitespace().skip(3).collect::<Vec<_>>(), ["0", "0", "–"]);
        assert!(table(&[]).is_empty());
    }

    #[test]
    fn the_median_of_an_even_count_lies_between() {
        let spread = Spread::of(&[Some(4.0), None, Some(1.0)]);
        assert_eq!(spread, Some(Spread { least: 1.0, median: 2.5, most: 4.0 }));
        assert_eq!(Spread::of(&[None]), None);
    }
}
