//! Figures derived from the runs: per unit, medians with minimum and maximum, ratios to the floor. Table, page and
//! plots take all figures from here, so that they can't disagree. Nothing here writes text.

use super::spread::Spread;
use super::units::Kind;
use crate::results::{Results, Run, Series};
use std::collections::BTreeSet;

/// Engines that do the minimum of a server's work, the better floor first; other engines are measured against them.
const FLOORS: [&str; 2] = ["limit", "answer"];

/// One figure of a run.
#[derive(Debug, Clone, Copy)]
pub struct Measure {
    /// The head of its column.
    pub name: &'static str,
    /// What it counts.
    pub kind: Kind,
    /// Whether a greater figure is better.
    pub more_is_better: bool,
    /// The figure of a run: `None` if it was not measured, not finite if nothing arrived.
    pub of: fn(&Run) -> Option<f64>,
}

impl Measure {
    /// Returns the figure over all runs of a series.
    #[must_use]
    pub fn over(&self, series: &Series) -> Option<Spread> {
        // An idle connection has no rate: nothing arrives.
        if self.name == RATE.name && series.unit == "connection" {
            return None;
        }
        Spread::of(series.runs.iter().filter_map(self.of))
    }
}

/// Units per second.
pub const RATE: Measure = less("per s", Kind::Count, |run| Some(run.units as f64 / run.seconds)).but_more();
/// The server's CPU time per unit.
pub const CPU: Measure = less("CPU", Kind::Time, |run| per_unit(run, run.cpu? as f64));
/// The kernel's share of the CPU time.
pub const SYSTEM: Measure = less("system", Kind::Share, |run| run.system_share);
/// Latencies.
pub const P50: Measure = less("p50", Kind::Time, |run| Some(run.latency.as_ref()?.p50 as f64));
/// See [`P50`].
pub const P90: Measure = less("p90", Kind::Time, |run| Some(run.latency.as_ref()?.p90 as f64));
/// See [`P50`].
pub const P99: Measure = less("p99", Kind::Time, |run| Some(run.latency.as_ref()?.p99 as f64));
/// See [`P50`].
pub const P999: Measure = less("p99.9", Kind::Time, |run| Some(run.latency.as_ref()?.p999 as f64));
/// See [`P50`].
pub const SLOWEST: Measure = less("slowest", Kind::Time, |run| Some(run.latency.as_ref()?.max as f64));
/// System calls per unit; `None` for an engine that does not count them.
pub const CALLS: Measure = less("calls", Kind::Count, |run| {
    let all = (!run.calls.is_empty()).then(|| run.calls.values().sum::<u64>())?;
    per_unit(run, all as f64)
});
/// Context switches per unit, voluntary and involuntary.
pub const SWITCHES: Measure = less("switches", Kind::Count, |run| {
    let (voluntary, involuntary) = run.switches?;
    per_unit(run, voluntary as f64 + involuntary as f64)
});
/// Resident memory at the end.
pub const RSS: Measure = less("RSS", Kind::Bytes, |run| Some(run.rss? as f64));
/// Proportional share of memory at the end.
pub const PSS: Measure = less("PSS", Kind::Bytes, |run| Some(run.pss? as f64));

const fn less(name: &'static str, kind: Kind, of: fn(&Run) -> Option<f64>) -> Measure {
    Measure { name, kind, more_is_better: false, of }
}

impl Measure {
    const fn but_more(mut self) -> Measure {
        self.more_is_better = true;
        self
    }
}

/// Comparable series: one load, several engines.
#[derive(Debug)]
pub struct Block<'a> {
    /// One row for each engine; the first also gives what all rows have in common.
    pub rows: Vec<&'a Series>,
    /// All series, for finding the floor.
    all: &'a [Series],
}

impl Block<'_> {
    /// Returns the floor under the same load, to which CPU times are compared. If the floor was not run in the same
    /// variant, returns the one without a variant, or the only one there is.
    #[must_use]
    pub fn floor(&self) -> Option<&Series> {
        let here = self.rows.first()?;
        let load = |series: &&Series| {
            (&series.scenario, series.connections, series.size)
                == (&here.scenario, here.connections, here.size)
        };
        FLOORS.iter().find_map(|floor| {
            let found: Vec<&Series> =
                self.all.iter().filter(load).filter(|series| series.engine == *floor).collect();
            let variant = |wanted: &str| found.iter().find(|series| series.variant == wanted).copied();
            let only = (found.len() == 1).then(|| found[0]);
            variant(&here.variant).or_else(|| variant("")).or(only)
        })
    }

    /// Returns `row`'s CPU time per unit divided by the floor's, by round.
    #[must_use]
    pub fn to_floor(&self, row: &Series) -> Option<Spread> {
        ratios(row, self.floor()?, CPU)
    }

    /// Returns the minimum and maximum number of rounds among the rows that have any.
    #[must_use]
    pub fn rounds(&self) -> (usize, usize) {
        let counts = || self.rows.iter().map(|row| row.runs.len()).filter(|count| *count > 0);
        (counts().min().unwrap_or_default(), counts().max().unwrap_or_default())
    }

    /// Returns the names of the figures that only this scenario has.
    #[must_use]
    pub fn more(&self) -> Vec<&str> {
        let names: BTreeSet<&str> = self
            .rows
            .iter()
            .flat_map(|row| &row.runs)
            .flat_map(|run| run.more.keys())
            .map(|s| &**s)
            .collect();
        names.into_iter().collect()
    }

    /// Returns the names of the system calls that were counted.
    #[must_use]
    pub fn calls(&self) -> Vec<&str> {
        let names: BTreeSet<&str> = self
            .rows
            .iter()
            .flat_map(|row| &row.runs)
            .flat_map(|run| run.calls.keys())
            .map(|s| &**s)
            .collect();
        names.into_iter().collect()
    }
}

/// Groups all series by load, in the order of first occurrence.
#[must_use]
pub fn blocks(results: &Results) -> Vec<Block<'_>> {
    let load = |series: &Series| {
        (
            series.scenario.clone(),
            series.variant.clone(),
            series.connections,
            series.size,
            series.unit.clone(),
        )
    };
    let mut blocks: Vec<Block> = Vec::new();
    for series in &results.series {
        match blocks.iter_mut().find(|block| load(block.rows[0]) == load(series)) {
            Some(block) => block.rows.push(series),
            None => blocks.push(Block { rows: vec![series], all: &results.series }),
        }
    }
    blocks
}

/// Returns `over`'s figure divided by `under`'s in each round that both have. Runs of a round are close in time, so
/// that a slow phase of the machine slows both.
#[must_use]
pub fn ratios(over: &Series, under: &Series, measure: Measure) -> Option<Spread> {
    Spread::of(over.runs.iter().filter_map(|run| {
        let other = under.runs.iter().find(|other| other.round == run.round)?;
        Some((measure.of)(run)? / (measure.of)(other)?)
    }))
}

/// Returns a figure that only this scenario has, by its name.
#[must_use]
pub fn more(series: &Series, name: &str) -> Option<Spread> {
    Spread::of(series.runs.iter().filter_map(|run| run.more.get(name).copied()))
}

/// Returns the kind of such a figure, by its name.
#[must_use]
pub fn kind_of_more(name: &str) -> Kind {
    let says = |word: &str| name.split(' ').any(|part| part == word);
    match () {
        () if says("bytes") || says("RSS") || says("PSS") => Kind::Bytes,
        () if says("ns") || says("nanoseconds") => Kind::Time,
        () => Kind::Count,
    }
}

/// Returns the number of calls of one system call per unit.
#[must_use]
pub fn call(series: &Series, name: &str) -> Option<Spread> {
    Spread::of(series.runs.iter().filter_map(|run| per_unit(run, *run.calls.get(name)? as f64)))
}

/// Returns the latency within which each of `shares` lies, as the median of the runs; empty for a series without
/// latencies.
#[must_use]
pub fn curve(series: &Series, shares: &[f64]) -> Vec<(f64, f64)> {
    let curves = || series.runs.iter().filter_map(|run| run.latency.as_ref()).map(|latency| &latency.curve);
    let within = |share: f64| {
        let of_run =
            |curve: &Vec<(u64, f64)>| curve.iter().find(|point| point.1 >= share).map(|point| point.0 as f64);
        Some((Spread::of(curves().filter_map(of_run))?.median, share))
    };
    shares.iter().filter_map(|share| within(*share)).collect()
}

/// The result is not finite if there are no units, so that no spread includes it.
fn per_unit(run: &Run, total: f64) -> Option<f64> {
    Some(total / run.units as f64)
}

#[cfg(test)]
mod tests {
    use super::super::made_up;
    use super::*;

    #[test]
    fn spread_ignores_order_and_infinities() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 8.0]), Some(Spread { median: 3.0, min: 1.0, max: 8.0 }));
        assert_eq!(Spread::of([5.0]), Some(Spread { median: 5.0, min: 5.0, max: 5.0 }));
        assert_eq!(
            Spread::of([f64::NAN, 7.0, f64::INFINITY]),
            Some(Spread { median: 7.0, min: 7.0, max: 7.0 })
        );
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn ratio_uses_common_rounds() {
        let mut results = made_up::results();
        // 3, then 4 times the floor. The floor lacks round 2, in which this series is slow, and has an additional round
        // 3.
        results.series = vec![
            made_up::series("relay", "reactor", &[(0, 300), (1, 400), (2, 90_000)]),
            made_up::series("relay", "limit", &[(1, 100), (0, 100), (3, 1)]),
        ];
        let blocks = blocks(&results);
        let ratio = blocks[0].to_floor(blocks[0].rows[0]);
        assert_eq!(ratio, Some(Spread { median: 3.5, min: 3.0, max: 4.0 }));
        assert_eq!(blocks[0].to_floor(blocks[0].rows[1]), Some(Spread { median: 1.0, min: 1.0, max: 1.0 }));
    }

    #[test]
    fn missing_floor_or_runs_gives_none() {
        let mut results = made_up::results();
        results.series = vec![made_up::series("relay", "reactor", &[(0, 300)])];
        assert_eq!(blocks(&results)[0].to_floor(&results.series[0]), None);
        results.series.push(made_up::series("relay", "limit", &[]));
        assert_eq!(blocks(&results)[0].to_floor(&results.series[0]), None);
        assert_eq!(CPU.over(&results.series[1]), None);
        assert_eq!(blocks(&results)[0].rounds(), (1, 1), "the series that never ran has no say");
    }

    #[test]
    fn floor_without_variant_serves_all() {
        let mut results = made_up::results();
        let variant = |variant: &str, engine| {
            let mut series = made_up::series("churn", engine, &[(0, 100)]);
            series.variant = variant.into();
            series
        };
        results.series = vec![variant("notices off", "reactor"), variant("", "limit")];
        assert_eq!(blocks(&results)[0].floor().map(|floor| &*floor.engine), Some("limit"));
        results.series = vec![variant("notices off", "reactor"), variant("notices off", "answer")];
        assert_eq!(blocks(&results)[0].floor().map(|floor| &*floor.engine), Some("answer"));
        results.series =
            vec![variant("notices off", "reactor"), variant("answers", "limit"), variant("closes", "limit")];
        assert!(blocks(&results)[0].floor().is_none(), "which of the two?");
    }

    #[test]
    fn unmeasured_figures_are_none() {
        let mut series = made_up::series("relay", "irc://127.0.0.1:6667", &[(0, 300)]);
        series.runs[0] = Run { units: 10, seconds: 2.0, ..Run::default() };
        assert_eq!(RATE.over(&series).map(|rate| rate.median), Some(5.0));
        for measure in [CPU, SYSTEM, P50, P90, P99, P999, SLOWEST, CALLS, SWITCHES, RSS, PSS] {
            assert_eq!(measure.over(&series), None, "{}", measure.name);
        }
    }

    #[test]
    fn zero_units_give_no_figures() {
        let mut series = made_up::series("relay", "reactor", &[(0, 300)]);
        series.runs[0].units = 0;
        assert_eq!(RATE.over(&series).map(|rate| rate.median), Some(0.0));
        for measure in [CPU, CALLS, SWITCHES] {
            assert_eq!(measure.over(&series), None, "{}", measure.name);
        }
        series.runs[0].seconds = 0.0;
        assert_eq!(RATE.over(&series), None);
    }

    #[test]
    fn silent_connections_have_no_rate() {
        let mut series = made_up::series("idle", "reactor", &[(0, 300)]);
        assert!(RATE.over(&series).is_some());
        series.unit = "connection".into();
        assert_eq!(RATE.over(&series), None);
    }

    #[test]
    fn different_loads_are_not_compared() {
        let mut results = made_up::results();
        results.series =
            ["reactor", "limit", "threads"].map(|e| made_up::series("ramp", e, &[(0, 1)])).into();
        results.series[1].connections += 1;
        let engines = |block: &Block| block.rows.iter().map(|row| row.engine.clone()).collect::<Vec<_>>();
        let blocks: Vec<_> = blocks(&results).iter().map(engines).collect();
        assert_eq!(blocks, [vec!["reactor", "threads"], vec!["limit"]]);
    }

    #[test]
    fn curve_is_median_of_runs() {
        let mut series = made_up::series("relay", "reactor", &[(0, 1), (1, 1), (2, 1)]);
        for (run, slow) in series.runs.iter_mut().zip([10, 70, 30]) {
            run.latency.get_or_insert_default().curve = vec![(1, 0.5), (slow, 0.9)];
        }
        assert_eq!(curve(&series, &[0.2, 0.9, 0.95]), [(1.0, 0.2), (30.0, 0.9)]);
    }
}
