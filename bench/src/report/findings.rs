//! Findings in sentences: where threads win, what stalled members cost the others, and which series ended early.
//! Terminal and page show the same sentences.

use super::figures::{self, Block, CPU, Measure, P50, P99, P999, RATE, RSS};
use super::spread::Spread;
use super::units::{self, Kind};
use crate::results::{Results, Series};

/// The figures by which engines are compared.
const COMPARED: [Measure; 6] = [RATE, CPU, P50, P99, P999, RSS];

/// Returns one line for each load and engine with threads that has a better median than the reactor in any figure.
#[must_use]
pub fn where_threads_win(results: &Results) -> Vec<String> {
    let (mut wins, mut met) = (Vec::new(), false);
    for block in figures::blocks(results) {
        let Some(reactor) = block.rows.iter().find(|row| row.engine == "reactor") else { continue };
        for threads in block.rows.iter().filter(|row| row.engine.starts_with("threads")) {
            met = true;
            wins.extend(won(&block, threads, reactor));
        }
    }
    match (met, wins.is_empty()) {
        (false, _) => vec!["not asked: this run has no load under which both reactor and threads ran".into()],
        (true, true) => vec!["nowhere in this run".into()],
        (true, false) => wins,
    }
}

/// Describes all figures in which `threads` is better under one load.
fn won(block: &Block, threads: &Series, reactor: &Series) -> Option<String> {
    if reactor.runs.is_empty() && !threads.runs.is_empty() {
        return Some(format!("{}: {} ran, the reactor did not", place(threads), engine(threads)));
    }
    let common = COMPARED.iter().map(|measure| {
        (measure.name, measure.kind, measure.more_is_better, measure.over(threads), measure.over(reactor))
    });
    // Among the figures of only one scenario, it is known only for memory which direction is better.
    let bytes = block.more().into_iter().filter(|name| figures::kind_of_more(name) == Kind::Bytes);
    let more = bytes
        .map(|name| (name, Kind::Bytes, false, figures::more(threads, name), figures::more(reactor, name)));
    let figures = common.chain(more).filter_map(|(name, kind, more_is_better, threads_have, reactor_has)| {
        let (threads_have, reactor_has) = (threads_have?, reactor_has?);
        let by = better_by(threads_have, reactor_has, more_is_better)?;
        let doubt = if threads_have.overlaps(reactor_has) { ", but their ranges overlap" } else { "" };
        let figure = |spread: Spread| units::median(kind, Some(spread));
        Some(format!("{name} {} against {} ({by}{doubt})", figure(threads_have), figure(reactor_has)))
    });
    let won: Vec<String> = figures.collect();
    (!won.is_empty()).then(|| format!("{}: {}: {}", place(threads), engine(threads), won.join("; ")))
}

/// Describes by how much the first median is better; `None` if it isn't.
fn better_by(first: Spread, second: Spread, more_is_better: bool) -> Option<String> {
    let ahead = match more_is_better {
        true => first.median > second.median,
        false => first.median < second.median,
    };
    let share = (first.median / second.median - 1.0).abs() * 100.0;
    let by = if share.is_finite() { format!("{}%", units::digits(share)) } else { "much".into() };
    ahead.then(|| format!("{by} {}", if more_is_better { "more" } else { "less" }))
}

/// Compares the p99 of each engine between a variant and the one named `without` something, by round.
#[must_use]
pub fn with_and_without(results: &Results) -> Vec<String> {
    let all = &results.series;
    let pairs = all.iter().filter(|series| !series.variant.starts_with("without")).filter_map(|with| {
        let same = |other: &&Series| {
            (&other.scenario, &other.engine, other.size) == (&with.scenario, &with.engine, with.size)
        };
        let without = all.iter().filter(same).find(|other| other.variant.starts_with("without"))?;
        let ratio = figures::ratios(with, without, P99)?;
        let figure = |series| units::median(P99.kind, P99.over(series));
        let range = Some(units::range(Kind::Times, Some(ratio))).filter(|range| !range.is_empty());
        Some(format!(
            "{}: {}, p99: {} times that {} ({} to {}{})",
            with.scenario,
            engine(with),
            units::median(Kind::Times, Some(ratio)),
            units::safe(&without.variant),
            figure(with),
            figure(without),
            range.map(|range| format!("; by round {range}")).unwrap_or_default()
        ))
    });
    pairs.collect()
}

/// Returns one line for each series that the machine or a wrong message ended.
#[must_use]
pub fn stopped(results: &Results) -> Vec<String> {
    let lines = results.series.iter().filter_map(|series| {
        let why = units::safe(series.stopped.as_deref()?);
        let rounds = series.runs.len();
        let after = match rounds {
            0 => "before any figure".into(),
            1 => "after 1 round".into(),
            _ => format!("after {rounds} rounds"),
        };
        Some(format!("{}: {}, {after}: {why}", place(series), engine(series)))
    });
    lines.collect()
}

/// Returns the name of the engine.
#[must_use]
pub fn engine(series: &Series) -> String {
    units::safe(&series.engine)
}

/// Returns the name of the engine, cut to the width of a column or a label.
#[must_use]
pub fn short_engine(series: &Series) -> String {
    const MOST: usize = 15;
    let name = engine(series);
    match name.chars().count() > MOST {
        true => name.chars().take(MOST - 1).chain(['\u{2026}']).collect(),
        false => name,
    }
}

/// Describes the load in short.
#[must_use]
pub fn place(series: &Series) -> String {
    format!("{}, {}", scenario(series), connections(series))
}

/// Describes the scenario, with its variant if it has several.
#[must_use]
pub fn scenario(series: &Series) -> String {
    let variant = if series.variant.is_empty() { String::new() } else { format!(" ({})", series.variant) };
    units::safe(&format!("{}{variant}", series.scenario))
}

/// Describes the number of connections.
#[must_use]
pub fn connections(series: &Series) -> String {
    match series.connections {
        1 => "1 connection".into(),
        many => format!("{many} connections"),
    }
}

/// Describes the load and the unit of the figures.
#[must_use]
pub fn heading(block: &Block) -> String {
    let Some(series) = block.rows.first() else { return String::new() };
    let rounds = match block.rounds() {
        (0, 0) => "no round".into(),
        (1, 1) => "1 round".into(),
        (least, most) if least == most => format!("{most} rounds"),
        (least, most) => format!("{least} to {most} rounds"),
    };
    let size = match series.size {
        0 => String::new(),
        size => format!(", {size} B"),
    };
    format!("{}{size}; per {}; {rounds}", place(series), units::safe(&series.unit))
}

#[cfg(test)]
mod tests {
    use super::super::made_up;
    use super::*;

    #[test]
    fn better_median_of_threads_wins() {
        let mut results = made_up::results();
        results.series = vec![
            made_up::series("relay", "reactor", &[(0, 100), (1, 120), (2, 110)]),
            made_up::series("relay", "threads", &[(0, 90), (1, 105), (2, 99)]),
        ];
        // All other figures are equal, so they are no wins.
        assert_eq!(
            where_threads_win(&results),
            [
                "relay, 100 connections: threads: CPU 99.0 ns against 110 ns (10.0% less, but their ranges overlap)"
            ]
        );
        for run in &mut results.series[1].runs {
            run.units *= 2;
            run.cpu = run.cpu.map(|cpu| cpu * 4);
        }
        assert_eq!(
            where_threads_win(&results),
            ["relay, 100 connections: threads: per s 2.00 k against 1.00 k (100% more)"]
        );
    }

    #[test]
    fn memory_of_one_scenario_counts() {
        let mut results = made_up::results();
        results.series = ["reactor", "threads"].map(|e| made_up::series("idle", e, &[(0, 100)])).into();
        for (series, bytes) in results.series.iter_mut().zip([400.0, 300.0]) {
            series.runs[0].more = [("bytes per connection".into(), bytes), ("wake-ups".into(), bytes)].into();
        }
        assert_eq!(
            where_threads_win(&results),
            ["idle, 100 connections: threads: bytes per connection 300 B against 400 B (25.0% less)"]
        );
    }

    #[test]
    fn no_win_is_explained() {
        let mut results = made_up::results();
        results.series = vec![made_up::series("relay", "threads", &[(0, 100)])];
        assert!(where_threads_win(&results)[0].starts_with("not asked"));
        results.series.push(made_up::series("relay", "reactor", &[(0, 100)]));
        assert_eq!(where_threads_win(&results), ["nowhere in this run"]);
        results.series[1].runs.clear();
        let won = ["relay, 100 connections: threads ran, the reactor did not"];
        assert_eq!(where_threads_win(&results), won);
    }

    #[test]
    fn stalled_variants_compare_by_round() {
        let mut results = made_up::results();
        let variant = |variant: &str, p99: [u64; 2]| {
            let mut series = made_up::series("stalled", "threads", &[(0, 100), (1, 100)]);
            series.variant = variant.into();
            for (run, p99) in series.runs.iter_mut().zip(p99) {
                run.latency.get_or_insert_default().p99 = p99;
            }
            series
        };
        results.series =
            vec![variant("with the stalled", [3000, 8000]), variant("without them", [1000, 2000])];
        assert_eq!(
            with_and_without(&results),
            ["stalled: threads, p99: 3.50 times that without them (5.50 us to 1.50 us; by round 3.00-4.00)"]
        );
    }

    #[test]
    fn stopped_series_gives_reason() {
        let mut results = made_up::results();
        let mut series = made_up::series("ramp", "threads", &[]);
        series.stopped = Some("EAGAIN\x1b: no more threads".into());
        results.series = vec![series];
        assert_eq!(
            stopped(&results),
            ["ramp, 100 connections: threads, before any figure: EAGAIN\u{FFFD}: no more threads"]
        );
    }
}
