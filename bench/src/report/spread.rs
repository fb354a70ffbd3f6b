//! A median with the minimum and the maximum of its figures.

/// Median, minimum and maximum; all three are finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Half of the figures are below.
    pub median: f64,
    /// The minimum of all figures.
    pub min: f64,
    /// The maximum of all figures.
    pub max: f64,
}

impl Spread {
    /// Returns the spread of the finite values; `None` if there are none. The median of an even number of values is the
    /// mean of the middle two.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let median = (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0;
        Some(Spread { median, min, max })
    }

    /// Returns whether the two ranges have a value in common.
    #[must_use]
    pub fn overlaps(self, other: Spread) -> bool {
        self.min <= other.max && other.min <= self.max
    }
}
