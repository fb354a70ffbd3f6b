//! Formats figures: three significant digits and a suitable unit. A figure that is missing or not a number is `-`.

use super::spread::Spread;
use redpoll::protocol::text;

/// The kind of a figure, which determines its units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nanoseconds.
    Time,
    /// Bytes.
    Bytes,
    /// A share of 1, written in percent.
    Share,
    /// A number that may be large.
    Count,
    /// A ratio.
    Times,
}

impl Kind {
    /// Returns the units in ascending order, and the factor between them. A number's first unit has no name.
    fn ladder(self) -> (f64, &'static [&'static str]) {
        match self {
            Kind::Time => (1000.0, &["ns", "us", "ms", "s"]),
            Kind::Bytes => (1024.0, &["B", "KiB", "MiB", "GiB"]),
            Kind::Count => (1000.0, &["", "k", "M", "G"]),
            Kind::Share | Kind::Times => (f64::INFINITY, &[""]),
        }
    }

    /// Returns the unit in which `value` has few digits before its decimal point, and the unit's size in the smallest
    /// unit.
    #[must_use]
    pub fn unit(self, value: f64) -> (&'static str, f64) {
        let (step, names) = self.ladder();
        let mut scale = 1.0;
        for name in &names[..names.len() - 1] {
            // A value that would be rounded up to the next unit belongs to it.
            if (value / scale).abs() < step - 0.5 {
                return (name, scale);
            }
            scale *= step;
        }
        (names[names.len() - 1], scale)
    }
}

/// Formats one figure: `1.63 us`, `3.10 MiB`, `72%`, `612 k`, `1.20`; `-` if it is missing or not finite.
#[must_use]
pub fn one(kind: Kind, value: Option<f64>) -> String {
    let Some(value) = value.filter(|value| value.is_finite()) else { return "-".into() };
    let (unit, scale) = kind.unit(value);
    match (kind, unit) {
        (Kind::Share, _) => format!("{:.0}%", value * 100.0),
        (Kind::Times, _) => format!("{value:.2}"),
        (_, "") => digits(value),
        _ => format!("{} {unit}", digits(value / scale)),
    }
}

/// Formats the median as [`one`] does.
#[must_use]
pub fn median(kind: Kind, spread: Option<Spread>) -> String {
    one(kind, spread.map(|spread| spread.median))
}

/// Formats minimum and maximum in the unit of the median: `1.55-1.80`; empty if both look the same.
#[must_use]
pub fn range(kind: Kind, spread: Option<Spread>) -> String {
    let Some(spread) = spread else { return String::new() };
    let (_, scale) = kind.unit(spread.median);
    let write = |value: f64| match kind {
        Kind::Share | Kind::Times => one(kind, Some(value)),
        _ => digits(value / scale),
    };
    let (least, most) = (write(spread.min), write(spread.max));
    if least == most { String::new() } else { format!("{least}-{most}") }
}

/// Formats three significant digits, and more if there are more before the decimal point.
#[must_use]
pub fn digits(value: f64) -> String {
    match rounded(value).abs() {
        size if !size.is_finite() => "-".into(),
        0.0 => "0".into(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        size if size >= 0.0005 => format!("{value:.3}"),
        _ => format!("{value:.0e}"),
    }
}

/// Rounds `value` to three significant digits.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10.0_f64.powf(2.0 - value.abs().log10().floor());
    (value * scale).round() / scale
}

/// Quotes a command line for a shell.
#[must_use]
pub fn command(words: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    let quoted = words.iter().map(|word| match !word.is_empty() && word.chars().all(plain) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// Replaces characters that move a cursor or are not allowed in a document.
#[must_use]
pub fn safe(text: &str) -> String {
    let unsafe_to_mark = |c: char| if text::is_safe(c) { c } else { text::REPLACEMENT };
    text.chars().map(unsafe_to_mark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figure_has_three_digits_and_unit() {
        let write = |kind, value| one(kind, Some(value));
        assert_eq!(write(Kind::Time, 1.0), "1.00 ns");
        assert_eq!(write(Kind::Time, 999.4), "999 ns");
        assert_eq!(write(Kind::Time, 999.6), "1.00 us");
        assert_eq!(write(Kind::Time, 16_340.0), "16.3 us");
        assert_eq!(write(Kind::Time, 99_960.0), "100 us");
        assert_eq!(write(Kind::Time, 7.2e12), "7200 s");
        assert_eq!(write(Kind::Bytes, 1000.0), "1000 B");
        assert_eq!(write(Kind::Bytes, 1024.0), "1.00 KiB");
        assert_eq!(write(Kind::Bytes, 3_250_586.0), "3.10 MiB");
        assert_eq!(write(Kind::Count, 612_345.0), "612 k");
        assert_eq!(write(Kind::Count, 0.0312), "0.031");
        assert_eq!(write(Kind::Count, 0.000_04), "4e-5");
        assert_eq!(write(Kind::Count, 0.0), "0");
        assert_eq!(write(Kind::Share, 0.724), "72%");
        assert_eq!(write(Kind::Times, 1.2), "1.20");
    }

    #[test]
    fn missing_figure_is_a_dash() {
        for value in [None, Some(f64::NAN), Some(f64::INFINITY), Some(f64::NEG_INFINITY)] {
            for kind in [Kind::Time, Kind::Bytes, Kind::Share, Kind::Count, Kind::Times] {
                assert_eq!(one(kind, value), "-");
            }
        }
        assert_eq!(digits(f64::NAN), "-");
        assert_eq!(range(Kind::Time, None), "");
    }

    #[test]
    fn range_has_unit_of_median() {
        let spread = Spread { median: 1_630.0, min: 980.0, max: 12_000.0 };
        assert_eq!(range(Kind::Time, Some(spread)), "0.980-12.0");
        assert_eq!(range(Kind::Times, Some(Spread { median: 1.2, min: 1.1, max: 1.31 })), "1.10-1.31");
        assert_eq!(range(Kind::Time, Some(Spread { median: 5.0, min: 5.0, max: 5.0 })), "");
    }

    #[test]
    fn command_can_be_pasted() {
        let words = ["redpoll", "serve", "--name", "it's a", "", "a=b"].map(String::from);
        assert_eq!(command(&words), r"redpoll serve --name 'it'\''s a' '' a=b");
    }

    #[test]
    fn cursor_controls_are_replaced() {
        assert_eq!(safe("a\x1b[2J"), "a\u{FFFD}[2J");
    }
}
