//! What a soak has seen, sample by sample, and what is made of it: the first tenth against the last, the slope of the
//! memory, and the verdict. Figures only; who takes them is in `mod.rs`.

use redpoll::limits::KIB;
use std::fmt::Write as _;

/// How much more memory the last tenth may take than the first.
pub const GROWTH: f64 = (KIB * KIB) as f64;
/// How much more the server may take after everyone has gone than before anyone came: what it had not used by then.
pub const REMAINDER: f64 = (KIB * KIB) as f64;
/// The part that isn't looked at: memory that is used for the first time is no drift.
const WARM_UP: usize = 10;

/// What was seen at one moment, or since the last one.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sample {
    /// Since the beginning.
    pub seconds: f64,
    /// Bytes that are resident.
    pub rss: f64,
    /// Bytes that are resident, those that other processes have too divided by their number.
    pub pss: f64,
    /// Open descriptors of the server.
    pub descriptors: f64,
    /// By `/stats`.
    pub connections: f64,
    /// Bytes in queues, by `/stats`.
    pub queued: f64,
    /// The server's CPU time, as a share of the time.
    pub cpu: f64,
    /// Milliseconds that half of the messages took at most.
    pub p50: f64,
    /// Milliseconds that all but one in a hundred took at most.
    pub p99: f64,
    /// Milliseconds that the slowest took.
    pub max: f64,
    /// Messages that were heard as they should be.
    pub verified: f64,
    /// Who came, spoke and went.
    pub cycles: f64,
    /// Who didn't read for a while and had lost nothing then.
    pub late: f64,
    /// Who was told to be too slow, or closed without being told because it did not read that either.
    pub too_slow: f64,
    /// Connections of garbage that are over.
    pub garbage: f64,
    /// Who gave no name in time, by `/stats`.
    pub timed_out: f64,
}

/// A column: its name, and what stands in it.
type Column = (&'static str, fn(&Sample) -> f64);

/// What is written down of each sample; all but the first are compared in the end.
const COLUMNS: [Column; 16] = [
    ("seconds", |sample| sample.seconds),
    ("RSS KiB", |sample| sample.rss / KIB as f64),
    ("PSS KiB", |sample| sample.pss / KIB as f64),
    ("descriptors", |sample| sample.descriptors),
    ("connections", |sample| sample.connections),
    ("queued KiB", |sample| sample.queued / KIB as f64),
    ("CPU %", |sample| sample.cpu * 100.0),
    ("p50 ms", |sample| sample.p50),
    ("p99 ms", |sample| sample.p99),
    ("max ms", |sample| sample.max),
    ("verified", |sample| sample.verified),
    ("cycles", |sample| sample.cycles),
    ("read late", |sample| sample.late),
    ("too slow", |sample| sample.too_slow),
    ("garbage", |sample| sample.garbage),
    ("no name in time", |sample| sample.timed_out),
];

/// The first line of a file of samples.
pub fn heading() -> String {
    COLUMNS.map(|(name, _)| name.to_lowercase().replace(' ', "_")).join(",").replace('%', "percent")
}

/// Another line of it.
pub fn line(sample: &Sample) -> String {
    COLUMNS.map(|(_, of)| format!("{:.3}", of(sample))).join(",")
}

/// How the memory went on, in bytes a minute: the median of the slopes between each two samples (Theil 1950, Sen 1968),
/// and the bounds within which the true one is 95 times in a hundred if samples are independent of each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slope {
    /// The median.
    pub median: f64,
    /// The lower bound.
    pub least: f64,
    /// The upper bound.
    pub most: f64,
}

impl Slope {
    /// Of points in time, in minutes, and values; `None` for fewer than two times.
    pub fn new(points: &[(f64, f64)]) -> Option<Slope> {
        let pairs = points.iter().enumerate().flat_map(|(index, from)| {
            points[index + 1..].iter().filter(|to| to.0 > from.0).map(|to| (to.1 - from.1) / (to.0 - from.0))
        });
        let mut slopes: Vec<f64> = pairs.collect();
        slopes.sort_by(f64::total_cmp);
        let last = slopes.len().checked_sub(1)? as f64;
        let n = points.len() as f64;
        // Sen's bounds: ranks around the middle by the spread of Kendall's statistic.
        let width = 1.96 * (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
        let at = |rank: f64| slopes[rank.clamp(0.0, last).round() as usize];
        Some(Slope {
            median: median(&slopes),
            least: at((last - width) / 2.0),
            most: at((last + width) / 2.0),
        })
    }
}

/// The middle one; 0 of none.
fn median(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => 0.0,
        length => f64::midpoint(sorted[(length - 1) / 2], sorted[length / 2]),
    }
}

fn median_of(samples: &[Sample], of: fn(&Sample) -> f64) -> f64 {
    let mut values: Vec<f64> = samples.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    median(&values)
}

/// Those behind the warm-up: the first tenth of them, the last, and all.
fn tenths(samples: &[Sample]) -> (&[Sample], &[Sample], &[Sample]) {
    let all = &samples[samples.len() / WARM_UP..];
    let count = all.len().div_ceil(10);
    (&all[..count], &all[all.len() - count..], all)
}

/// What there is to complain about, if anything, by what the server had before anyone came and had after all had gone;
/// whether messages were right is known by then.
pub fn complaints(samples: &[Sample], before: &Sample, after: &Sample) -> Vec<String> {
    let (first, last, _) = tenths(samples);
    let mut found = Vec::new();
    let grown = median_of(last, |sample| sample.rss) - median_of(first, |sample| sample.rss);
    if grown > GROWTH {
        found.push(format!("memory has grown by {:.0} KiB between first and last tenth", grown / KIB as f64));
    }
    if after.descriptors != before.descriptors {
        let (before, after) = (before.descriptors, after.descriptors);
        found.push(format!(
            "{after} descriptors are open after all have gone, {before} were before they came"
        ));
    }
    if after.connections != before.connections {
        found.push(format!("{} connections are told after all have gone", after.connections));
    }
    if after.rss - before.rss > REMAINDER {
        let left = (after.rss - before.rss) / KIB as f64;
        found.push(format!("{left:.0} KiB more are resident after all have gone than before they came"));
    }
    found
}

/// The table for the terminal.
pub fn table(samples: &[Sample]) -> String {
    let (first, last, all) = tenths(samples);
    let mut out = format!("{:<18}{:>14}{:>14}{:>14}\n", "medians", "first tenth", "last tenth", "drift");
    for (name, of) in &COLUMNS[1..] {
        let (first, last) = (median_of(first, *of), median_of(last, *of));
        let _ = writeln!(out, "{name:<18}{first:>14.2}{last:>14.2}{:>+14.2}", last - first);
    }
    let points: Vec<(f64, f64)> = all.iter().map(|sample| (sample.seconds / 60.0, sample.rss)).collect();
    if let Some(Slope { median, least, most }) = Slope::new(&points) {
        let _ = writeln!(out, "\nRSS goes by {median:+.0} bytes a minute ({least:+.0} to {most:+.0})");
    }
    let sum = |of: fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>();
    let totals = [
        ("messages verified", sum(|sample| sample.verified)),
        ("came, spoke and went", sum(|sample| sample.cycles)),
        ("read late and lost nothing", sum(|sample| sample.late)),
        ("given up as too slow", sum(|sample| sample.too_slow)),
        ("connections of garbage", sum(|sample| sample.garbage)),
        ("gave no name in time", sum(|sample| sample.timed_out)),
    ];
    for (name, count) in totals {
        let _ = writeln!(out, "{count:>12} {name}");
    }
    let worst = samples.iter().map(|sample| sample.max).fold(0.0, f64::max);
    let _ = writeln!(out, "{worst:>9.2} ms the longest that a message took");
    out
}

/// What the server had before anyone came, and has after all have gone.
pub fn ends(before: &Sample, after: &Sample) -> String {
    let had = |sample: &Sample| {
        format!("{} descriptors, {:.0} KiB resident", sample.descriptors, sample.rss / KIB as f64)
    };
    format!("empty before: {}; after: {}", had(before), had(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many samples, 6 s apart, by these values of memory.
    fn samples(count: usize, rss: impl Fn(usize) -> f64) -> Vec<Sample> {
        let sample = |index| Sample { seconds: index as f64 * 6.0, rss: rss(index), ..Sample::default() };
        (0..count).map(sample).collect()
    }

    /// An empty server.
    fn empty() -> Sample {
        Sample { rss: 2e6, descriptors: 10.0, connections: 1.0, ..Sample::default() }
    }

    #[test]
    fn slope_ignores_outliers() {
        let line = |index: usize| 7.0 + 3.0 * index as f64;
        let mut points: Vec<(f64, f64)> = (0..100).map(|index| (index as f64, line(index))).collect();
        for index in [3, 40, 41, 99] {
            points[index].1 = 1e9;
        }
        let slope = Slope::new(&points).unwrap();
        assert!((slope.median - 3.0).abs() < 1e-9 && slope.least <= 3.0 && slope.most >= 3.0, "{slope:?}");
        assert_eq!(Slope::new(&points[..1]), None);
        assert_eq!(Slope::new(&[(1.0, 2.0), (1.0, 3.0)]), None);
    }

    #[test]
    fn periodic_level_has_no_slope() {
        let points: Vec<(f64, f64)> =
            (0..200).map(|index| (f64::from(index), f64::from(index * 7 % 13))).collect();
        let slope = Slope::new(&points).unwrap();
        assert!(slope.least <= 0.0 && slope.most >= 0.0 && slope.median.abs() < 0.01, "{slope:?}");
    }

    #[test]
    fn steady_server_gives_no_complaint() {
        // What is used for the first time is no drift.
        let steady = samples(100, |index| if index < 5 { 1e6 } else { 9e6 + index as f64 });
        assert_eq!(complaints(&steady, &empty(), &empty()), [""; 0]);
    }

    #[test]
    fn memory_growth_is_reported() {
        let leak = samples(100, |index| index as f64 * 20_000.0);
        let found = complaints(&leak, &empty(), &empty());
        assert!(matches!(&found[..], [one] if one.starts_with("memory has grown by 15")), "{found:?}");
    }

    #[test]
    fn leftover_resources_are_reported() {
        let steady = samples(100, |_| 2e6);
        let found = |after| complaints(&steady, &empty(), &after);
        let left = Sample { descriptors: 11.0, ..empty() };
        assert_eq!(found(left), ["11 descriptors are open after all have gone, 10 were before they came"]);
        let left = Sample { connections: 2.0, ..empty() };
        assert_eq!(found(left), ["2 connections are told after all have gone"]);
        let left = Sample { rss: empty().rss + REMAINDER + 1024.0, ..empty() };
        assert!(found(left)[0].starts_with("1025 KiB more are resident"));
    }

    #[test]
    fn line_matches_heading() {
        assert_eq!(heading().split(',').count(), line(&Sample::default()).split(',').count());
        assert!(heading().starts_with("seconds,rss_kib,pss_kib,descriptors,"), "{}", heading());
    }
}
