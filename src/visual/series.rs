//! The lines of a chart, and what is done to their points before they are drawn.

use super::axis::AxisStyle;

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Line {
    /// Unbroken.
    #[default]
    Solid,
    /// In dashes.
    Dashed,
    /// In dots.
    Dotted,
    /// Thin and pale, behind the others: raw values of which another line is the mean.
    Faint,
}

/// Which value of a series is its best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Best {
    /// The lowest, as of a loss.
    Lowest,
    /// The highest, as of an accuracy.
    Highest,
}

/// A line of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its name in the chart.
    pub name: String,
    /// Points `(x, y)`; `x` must not fall. A point that has no place is a gap.
    pub points: Vec<(f64, f64)>,
    /// How it is drawn.
    pub line: Line,
    /// Which colour and marker it has; series of one thing share them.
    pub colour: usize,
    /// Which value to point out, if any.
    pub best: Option<Best>,
    /// Whether its last value stands beside its name.
    pub last: bool,
}

impl Series {
    /// A solid line in colour 0.
    pub fn new(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), points, line: Line::Solid, colour: 0, best: None, last: true }
    }

    /// The series of `values` at x = 1, 2, 3, ..., such as epochs.
    pub fn counted(name: impl Into<String>, values: &[f64]) -> Self {
        Self::new(name, values.iter().enumerate().map(|(i, v)| ((i + 1) as f64, *v)).collect())
    }

    /// The same series, drawn so.
    #[must_use]
    pub fn line(mut self, line: Line) -> Self {
        self.line = line;
        self
    }

    /// The same series in another colour of the palette.
    #[must_use]
    pub fn colour(mut self, colour: usize) -> Self {
        self.colour = colour;
        self
    }

    /// The same series with its best value pointed out.
    #[must_use]
    pub fn best(mut self, best: Best) -> Self {
        self.best = Some(best);
        self
    }

    /// The same series without its last value beside its name, where that says nothing, as of a distribution.
    #[must_use]
    pub fn without_last(mut self) -> Self {
        self.last = false;
        self
    }

    /// The means of `window` points around some hundred places along this series.
    ///
    /// The mean at point `i` is over `i - h ..= i + h`, with `h = (window - 1) / 2`
    /// made smaller near the beginning, where a curve is steep and a lopsided
    /// window would be off, and cut at the end, where it is flat and noisy.
    /// Values that are not finite are left out; a place without any is a gap.
    ///
    /// ```
    /// use striate::visual::Series;
    /// let raw = Series::counted("loss", &[4.0, 2.0, 3.0, 1.0, 5.0]);
    /// let means: Vec<f64> = raw.smoothed("mean of 3", 3).points.iter().map(|p| p.1).collect();
    /// assert_eq!(means, [4.0, 3.0, 2.0, 3.0, 3.0]);
    /// ```
    #[must_use]
    pub fn smoothed(&self, name: impl Into<String>, window: usize) -> Self {
        const PLACES: usize = 800;
        let count = self.points.len();
        let stride = count.div_ceil(PLACES).max(1);
        let last = count.saturating_sub(1);
        let places = (0..count).filter(|i| i % stride == 0 || *i == last);
        let points = places.map(|i| (self.points[i].0, self.mean(i, window.saturating_sub(1) / 2))).collect();
        Self { name: name.into(), points, line: Line::Solid, colour: self.colour, best: self.best, last: self.last }
    }

    fn mean(&self, i: usize, half: usize) -> f64 {
        let half = half.min(i);
        let end = (i + half + 1).min(self.points.len());
        let finite = self.points[i - half..end].iter().map(|p| p.1).filter(|v| v.abs() <= 1e300);
        let (sum, count) = finite.fold((0.0, 0), |(sum, count), v| (sum + v, count + 1));
        if count == 0 { f64::NAN } else { sum / f64::from(count) }
    }

    /// The stretches between gaps, the gaps' points left out.
    pub(super) fn runs(&self, x: &AxisStyle, y: &AxisStyle) -> Vec<&[(f64, f64)]> {
        let shown = |p: &(f64, f64)| x.shows(p.0) && y.shows(p.1);
        self.points.split(|p| !shown(p)).filter(|run| !run.is_empty()).collect()
    }

    /// The best of the points that have a place.
    pub(super) fn best_point(&self, x: &AxisStyle, y: &AxisStyle) -> Option<(f64, f64)> {
        let points = self.runs(x, y).into_iter().flatten().copied();
        match self.best? {
            Best::Lowest => points.min_by(|a, b| a.1.total_cmp(&b.1)),
            // The first of equals is the one that counts, and `max_by` would give the last.
            Best::Highest => points.min_by(|a, b| b.1.total_cmp(&a.1)),
        }
    }
}

/// At most four points for each unit of x: the first, the lowest, the highest and the last.
///
/// What is left looks the same at one pixel to the unit, spikes and all.
pub(super) fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    points.chunk_by(|a, b| a.0.floor() == b.0.floor()).flat_map(corners).collect()
}

fn corners(column: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if column.len() <= 4 {
        return column.to_vec();
    }
    let by_height = |i: &usize, j: &usize| column[*i].1.total_cmp(&column[*j].1);
    let low = (0..column.len()).min_by(by_height).unwrap_or(0);
    let high = (0..column.len()).max_by(by_height).unwrap_or(0);
    let mut keep = [0, low, high, column.len() - 1];
    keep.sort_unstable();
    keep.iter().map(|i| column[*i]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_split_a_series() {
        let series = Series::counted("s", &[1.0, 2.0, f64::NAN, 3.0, f64::INFINITY, f64::NAN]);
        let plain = AxisStyle::default();
        let lengths: Vec<usize> = series.runs(&plain, &plain).iter().map(|r| r.len()).collect();
        assert_eq!(lengths, [2, 1]);
    }

    #[test]
    fn best_is_the_first_of_equals_and_never_a_gap() {
        let plain = AxisStyle::default();
        let series = Series::counted("s", &[f64::NAN, 0.9, 0.9, f64::INFINITY]);
        assert_eq!(series.clone().best(Best::Highest).best_point(&plain, &plain), Some((2.0, 0.9)));
        assert_eq!(series.best(Best::Lowest).best_point(&plain, &plain), Some((2.0, 0.9)));
    }

    #[test]
    fn thinning_keeps_spikes_and_ends() {
        let mut points: Vec<(f64, f64)> = (0..1000).map(|i| (f64::from(i) / 100.0, 0.0)).collect();
        points[555].1 = 9.0;
        points[556].1 = -9.0;
        let thin = thinned(&points);
        assert!(thin.len() <= 40);
        assert!(thin.contains(&points[555]) && thin.contains(&points[556]));
        assert_eq!((thin.first(), thin.last()), (points.first(), points.last()));
        assert!(thin.windows(2).all(|w| w[0].0 <= w[1].0));
    }

    #[test]
    fn smoothing_passes_over_what_is_not_finite() {
        let series = Series::counted("s", &[1.0, f64::NAN, 3.0]).smoothed("m", 3);
        assert_eq!(series.points[1].1, 2.0);
        assert!(Series::counted("s", &[f64::NAN]).smoothed("m", 3).points[0].1.is_nan());
    }
}
