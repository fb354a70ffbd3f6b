//! The samples of a soak and their evaluation: the first tenth against the last, the slope of the memory, and the
//! verdict. Figures only; `mod.rs` takes the samples.

use redpoll::limits::KIB;
use std::fmt::Write as _;

/// Maximum growth of memory from the first tenth to the last.
pub const GROWTH: f64 = (KIB * KIB) as f64;
/// Maximum growth of memory from the empty server before the soak to the empty server after it: the memory that it
/// first uses during the soak.
pub const REMAINDER: f64 = (KIB * KIB) as f64;
/// The first `1 / WARM_UP` of the samples is warm-up and not evaluated: memory that is used for the first time is no
/// drift.
const WARM_UP: usize = 10;

/// Figures at one moment, or since the previous sample.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sample {
    /// Seconds since the start.
    pub seconds: f64,
    /// Resident memory in bytes.
    pub rss: f64,
    /// Resident memory in bytes, shared pages divided by the number of their processes.
    pub pss: f64,
    /// Open descriptors of the server.
    pub descriptors: f64,
    /// Connections, from `/stats`.
    pub connections: f64,
    /// Bytes in send queues, from `/stats`.
    pub queued: f64,
    /// The server's CPU time divided by the elapsed time.
    pub cpu: f64,
    /// Latency in milliseconds that half of the messages did not exceed.
    pub p50: f64,
    /// Latency in milliseconds that 99 in 100 messages did not exceed.
    pub p99: f64,
    /// Latency of the slowest message in milliseconds.
    pub max: f64,
    /// Verified messages.
    pub verified: f64,
    /// Completed churn cycles.
    pub cycles: f64,
    /// Stalled peers that later read everything without a loss.
    pub late: f64,
    /// Stalled peers that were closed as too slow, with a close reason, or without one because they did not read it.
    pub too_slow: f64,
    /// Connections with garbage that have ended.
    pub garbage: f64,
    /// Connections that did not register in time, from `/stats`.
    pub timed_out: f64,
}

/// Name and value of a column.
type Column = (&'static str, fn(&Sample) -> f64);

/// The columns of the record; all but the first are compared at the end.
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

/// Returns the first line of the record.
pub fn heading() -> String {
    COLUMNS.map(|(name, _)| name.to_lowercase().replace(' ', "_")).join(",").replace('%', "percent")
}

/// Returns the line of a sample.
pub fn line(sample: &Sample) -> String {
    COLUMNS.map(|(_, of)| format!("{:.3}", of(sample))).join(",")
}

/// The growth of memory in bytes a minute: the median of the slopes between all pairs of samples (Theil 1950, Sen
/// 1968), with the bounds of the 95 % confidence interval for independent samples.
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
    /// Computes the slope from points of time (in minutes) and value; `None` for fewer than two distinct times.
    pub fn new(points: &[(f64, f64)]) -> Option<Slope> {
        let pairs = points.iter().enumerate().flat_map(|(index, from)| {
            points[index + 1..].iter().filter(|to| to.0 > from.0).map(|to| (to.1 - from.1) / (to.0 - from.0))
        });
        let mut slopes: Vec<f64> = pairs.collect();
        slopes.sort_by(f64::total_cmp);
        let last = slopes.len().checked_sub(1)? as f64;
        let n = points.len() as f64;
        // Sen's bounds: ranks around the middle, by the standard deviation of Kendall's statistic.
        let width = 1.96 * (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
        let at = |rank: f64| slopes[rank.clamp(0.0, last).round() as usize];
        Some(Slope {
            median: median(&slopes),
            least: at((last - width) / 2.0),
            most: at((last + width) / 2.0),
        })
    }
}

/// Returns the middle value; 0 for an empty slice.
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

/// Splits the samples after the warm-up: returns the first tenth, the last tenth, and all.
fn tenths(samples: &[Sample]) -> (&[Sample], &[Sample], &[Sample]) {
    let all = &samples[samples.len() / WARM_UP..];
    let count = all.len().div_ceil(10);
    (&all[..count], &all[all.len() - count..], all)
}

/// Returns all complaints, given samples of the empty server before and after the soak. Messages were verified before.
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

/// Returns the table for the terminal.
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

/// Describes the empty server before and after the soak.
pub fn ends(before: &Sample, after: &Sample) -> String {
    let had = |sample: &Sample| {
        format!("{} descriptors, {:.0} KiB resident", sample.descriptors, sample.rss / KIB as f64)
    };
    format!("empty before: {}; after: {}", had(before), had(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns `count` samples, 6 s apart, with memory from `rss`.
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
        // Memory that is used for the first time is no drift.
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
