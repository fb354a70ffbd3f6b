//! A median with the least and the greatest of its figures.

/// A median with its least and most; all three are finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Half are below.
    pub median: f64,
    /// Of all.
    pub min: f64,
    /// Of all.
    pub max: f64,
}

impl Spread {
    /// Of what is finite; `None` if nothing is. The median of an even number is the middle of the middle two.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let median = (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0;
        Some(Spread { median, min, max })
    }

    /// Whether any figure of one lies within the other.
    #[must_use]
    pub fn overlaps(self, other: Spread) -> bool {
        self.min <= other.max && other.min <= self.max
    }
}
