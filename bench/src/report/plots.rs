//! The plots of a report: throughput and CPU time against connections, latencies, memory.

use super::draw::{self, Axis, Line, Look, Mark, Panel};
use super::figures::{self, Block, CPU, Measure, RATE, RSS};
use super::findings;
use super::spread::Spread;
use super::units::{self, Kind};
use crate::results::{Results, Series};
use plotters::style::RGBColor;
use std::io;

/// One plot.
#[derive(Debug)]
pub struct Plot {
    /// The file name.
    pub file: String,
    /// What the plot shows, and which direction is better.
    pub caption: String,
    /// The SVG document.
    pub svg: String,
}

/// The looks of the known engines, then those for other engines. The colors are Okabe and Ito's, which are distinct
/// also for people with color blindness.
const KNOWN: [(&str, Look); 4] = [
    ("reactor", Look { color: RGBColor(0x00, 0x72, 0xB2), dash: None, mark: Mark::Disc }),
    ("threads", Look { color: RGBColor(0xD5, 0x5E, 0x00), dash: Some((9, 4)), mark: Mark::Triangle }),
    ("threads-queued", Look { color: RGBColor(0xCC, 0x79, 0xA7), dash: Some((3, 3)), mark: Mark::Square }),
    ("limit", Look { color: RGBColor(0x77, 0x77, 0x77), dash: Some((14, 4)), mark: Mark::Ring }),
];
const OTHERS: [Look; 3] = [
    Look { color: RGBColor(0x00, 0x9E, 0x73), dash: Some((6, 2)), mark: Mark::Square },
    Look { color: RGBColor(0xE6, 0x9F, 0x00), dash: Some((2, 4)), mark: Mark::Triangle },
    Look { color: RGBColor(0x56, 0xB4, 0xE9), dash: Some((12, 2)), mark: Mark::Disc },
];

/// The shares of a distribution that have a tick; the last is the finest that can be shown.
const SHARES: [(f64, &str); 6] =
    [(0.0, "0%"), (0.5, "50%"), (0.9, "90%"), (0.99, "99%"), (0.999, "99.9%"), (0.9999, "99.99%")];

/// Returns all plots for which the results suffice.
pub fn plots(results: &Results) -> io::Result<Vec<Plot>> {
    let blocks = figures::blocks(results);
    let ramp = blocks.iter().any(|block| block.rows.iter().any(|row| is_ramp(row) && !row.runs.is_empty()));
    let mut plots = Vec::new();
    for (name, measure) in [("throughput", RATE), ("cpu", CPU)] {
        let plot =
            if ramp { against_connections(results, name, measure) } else { by_load(results, name, measure) };
        plots.extend(plot?);
    }
    for block in blocks.iter().filter(|block| !is_ramp(block.rows[0])) {
        plots.extend(latency(results, block)?);
    }
    plots.extend(memory(results)?);
    Ok(plots)
}

/// Returns the look of an engine, the same in all plots of these results.
fn look(results: &Results, engine: &str) -> Look {
    let known = |name: &str| KNOWN.iter().find(|known| known.0 == name).map(|known| known.1);
    let mut others: Vec<&str> = Vec::new();
    for series in &results.series {
        if known(&series.engine).is_none() && !others.contains(&&*series.engine) {
            others.push(&series.engine);
        }
    }
    let place = others.iter().position(|other| *other == engine).unwrap_or_default();
    known(engine).unwrap_or(OTHERS[place % OTHERS.len()])
}

fn is_ramp(series: &Series) -> bool {
    series.scenario == "ramp"
}

/// Describes a measure.
fn title(measure: Measure, unit: &str) -> String {
    match measure.name {
        name if name == RATE.name => match unit.strip_suffix('y') {
            Some(stem) => format!("{stem}ies per second"),
            None => format!("{unit}s per second"),
        },
        name => format!("{name} time per {unit}"),
    }
}

fn against_connections(results: &Results, name: &str, measure: Measure) -> io::Result<Option<Plot>> {
    let ramp: Vec<&Series> = results.series.iter().filter(|series| is_ramp(series)).collect();
    let mut engines: Vec<&str> = ramp.iter().map(|series| &*series.engine).collect();
    let mut connections: Vec<usize> = ramp.iter().map(|series| series.connections).collect();
    connections.sort_unstable();
    connections.dedup();
    let mut seen = std::collections::BTreeSet::new();
    engines.retain(|engine| seen.insert(*engine));
    let line = |engine: &&str| {
        let own = || ramp.iter().filter(|series| series.engine == *engine);
        let mut spreads: Vec<(f64, Spread)> = own()
            .filter_map(|series| Some((log(series.connections as f64), measure.over(series)?)))
            .collect();
        spreads.sort_by(|one, other| one.0.total_cmp(&other.0));
        let line = Line {
            label: units::safe(engine),
            look: look(results, engine),
            points: spreads.iter().map(|(x, spread)| (*x, spread.median)).collect(),
            whiskers: spreads.iter().map(|(x, spread)| (*x, spread.min, spread.max)).collect(),
            marked: true,
            ended: own().any(|series| series.stopped.is_some()),
        };
        (!line.points.is_empty()).then_some(line)
    };
    let lines: Vec<Line> = engines.iter().filter_map(line).collect();
    let most = lines.iter().flat_map(|line| &line.whiskers).map(|whisker| whisker.2).fold(0.0, f64::max);
    let (Some(first), Some(last)) = (connections.first(), connections.last()) else { return Ok(None) };
    if lines.is_empty() {
        return Ok(None);
    }
    let what = title(measure, &ramp[0].unit);
    let (ticks, unit) = draw::ticks_from_zero(measure.kind, most);
    let x = Axis {
        title: "connections (logarithmic)".into(),
        range: log(*first as f64) - 0.05..log(*last as f64) + 0.05,
        ticks: connections.iter().map(|many| (log(*many as f64), many.to_string())).collect(),
    };
    let y = axis_from_zero(&what, ticks, unit);
    let ended = if lines.iter().any(|line| line.ended) { ENDED } else { "" };
    Ok(Some(Plot {
        file: format!("{name}.svg"),
        caption: format!(
            "{} against the number of connections: medians, with a line from least to most. {}{ended}",
            capital(&what),
            better(measure)
        ),
        svg: draw::curves(&x, &y, &lines)?,
    }))
}

const ENDED: &str =
    " A cross marks the last figure of a series that was stopped; the list of those says why.";

fn by_load(results: &Results, name: &str, measure: Measure) -> io::Result<Option<Plot>> {
    let panel = |block: &Block| {
        let what = title(measure, &units::safe(&block.rows[0].unit));
        panel(results, block, &what, measure.kind, |row| measure.over(row))
    };
    let panels: Vec<Panel> = figures::blocks(results).iter().filter_map(panel).collect();
    if panels.is_empty() {
        return Ok(None);
    }
    let what = title(measure, "unit");
    Ok(Some(Plot {
        file: format!("{name}.svg"),
        caption: format!(
            "{} under each load: medians, with a line from least to most. Each load has its own scale, from 0. {}",
            capital(&what),
            better(measure)
        ),
        svg: draw::bars(&panels)?,
    }))
}

/// Returns a bar for each engine; `None` if no engine has the figure.
fn panel(
    results: &Results,
    block: &Block,
    what: &str,
    kind: Kind,
    figure: impl Fn(&Series) -> Option<Spread>,
) -> Option<Panel> {
    let bar = |row: &&Series| (findings::short_engine(row), look(results, &row.engine), figure(row));
    let bars: Vec<_> = block.rows.iter().map(bar).collect();
    let here = block.rows.first()?;
    let title = [findings::scenario(here), format!("{}: {what}", findings::connections(here))];
    bars.iter().any(|bar| bar.2.is_some()).then_some(Panel { title, kind, bars })
}

fn latency(results: &Results, block: &Block) -> io::Result<Option<Plot>> {
    let finest = finest(block);
    let shares: Vec<f64> = (0..=64)
        .map(|step| 1.0 - 10.0_f64.powf(-f64::from(step) / 16.0))
        .filter(|share| *share <= finest)
        .collect();
    let line = |row: &&Series| Line {
        label: findings::engine(row),
        look: look(results, &row.engine),
        points: figures::curve(row, &shares)
            .into_iter()
            .map(|(ns, share)| (log(ns.max(1.0)), tail(share)))
            .collect(),
        whiskers: Vec::new(),
        marked: false,
        ended: false,
    };
    let lines: Vec<Line> = block.rows.iter().map(line).filter(|line| !line.points.is_empty()).collect();
    let places = || lines.iter().flat_map(|line| &line.points).map(|point| point.0);
    if lines.is_empty() {
        return Ok(None);
    }
    let range = places().fold(f64::MAX, f64::min) - 0.02..places().fold(0.0, f64::max) + 0.02;
    let x = Axis { title: "latency (logarithmic)".into(), ticks: log_ticks(&range), range };
    let ticks: Vec<(f64, String)> = SHARES
        .into_iter()
        .filter(|share| share.0 <= finest)
        .map(|(share, name)| (tail(share), name.into()))
        .collect();
    let y = Axis { title: "share that is no slower".into(), range: 0.0..tail(finest) + 0.05, ticks };
    let (place, unit) = (findings::place(block.rows[0]), units::safe(&block.rows[0].unit));
    Ok(Some(Plot {
        file: format!("latency-{}.svg", latency_name(results, block)),
        caption: format!(
            "{}: how long each {unit} took. Read it from a share to the right: where the curve meets 99%, all but \
             the slowest hundredth have arrived. Medians of the runs. Further left is better.",
            capital(&place)
        ),
        svg: draw::curves(&x, &y, &lines)?,
    }))
}

/// Returns scenario and variant, with the load where another block has the same scenario and variant.
fn latency_name(results: &Results, block: &Block) -> String {
    let row = block.rows[0];
    let same =
        |other: &&Block| (&other.rows[0].scenario, &other.rows[0].variant) == (&row.scenario, &row.variant);
    let mut name = format!("{} {}", row.scenario, row.variant);
    if figures::blocks(results).iter().filter(same).count() > 1 {
        name += &format!(" {} {} {}", row.connections, row.size, row.unit);
    }
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

/// Returns the finest share that all curves distinguish from the whole.
fn finest(block: &Block) -> f64 {
    let curves = block.rows.iter().flat_map(|row| &row.runs).filter_map(|run| run.latency.as_ref());
    let last = |curve: &[(u64, f64)]| {
        curve.iter().map(|point| point.1).filter(|share| *share < 1.0).fold(0.0, f64::max)
    };
    let least = curves.map(|latency| last(&latency.curve)).fold(1.0, f64::min);
    let shown = SHARES.iter().map(|share| share.0).filter(|share| *share <= least.max(0.9));
    shown.fold(0.9, f64::max)
}

fn memory(results: &Results) -> io::Result<Option<Plot>> {
    let blocks = figures::blocks(results);
    let mut panels = Vec::new();
    for block in &blocks {
        for name in block.more().into_iter().filter(|name| figures::kind_of_more(name) == Kind::Bytes) {
            let what = units::safe(name);
            panels.extend(panel(results, block, &what, Kind::Bytes, |row| figures::more(row, name)));
        }
    }
    // No scenario has measured memory in particular: use that of the process with the most connections.
    if panels.is_empty() {
        let each = |row: &Series| {
            let by = |bytes: f64| bytes / row.connections as f64;
            RSS.over(row).and_then(|all| Spread::of([by(all.min), by(all.median), by(all.max)]))
        };
        let most = blocks.iter().max_by_key(|block| block.rows[0].connections);
        panels.extend(most.and_then(|block| panel(results, block, "RSS per connection", Kind::Bytes, each)));
    }
    if panels.is_empty() {
        return Ok(None);
    }
    Ok(Some(Plot {
        file: "memory.svg".into(),
        caption: "Memory of the server: medians, with a line from least to most; each panel has its own scale, from 0. \
                  Shorter is better."
            .into(),
        svg: draw::bars(&panels)?,
    }))
}

fn better(measure: Measure) -> &'static str {
    if measure.more_is_better { "More is better." } else { "Less is better." }
}

fn axis_from_zero(what: &str, ticks: Vec<(f64, String)>, unit: &str) -> Axis {
    let most = ticks.last().map_or(1.0, |tick| tick.0);
    let title = if unit.is_empty() { what.into() } else { format!("{what} ({})", thousands(unit)) };
    Axis { title, range: 0.0..most, ticks }
}

/// Spells out the unit of a number.
fn thousands(unit: &str) -> &str {
    match unit {
        "k" => "thousands",
        "M" => "millions",
        "G" => "thousands of millions",
        other => other,
    }
}

/// Returns ticks at 1, 2 and 5 of each power of ten, or only at 1 where those are too many.
fn log_ticks(range: &std::ops::Range<f64>) -> Vec<(f64, String)> {
    let powers = range.start.floor() as i32..=range.end.ceil() as i32;
    let steps: &[f64] = if range.end - range.start > 3.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let values = powers.flat_map(|power| steps.iter().map(move |step| step * 10.0_f64.powi(power)));
    let within = values.filter(|value| range.contains(&log(*value)));
    within.map(|value| (log(value), short_time(value))).collect()
}

/// Formats round nanoseconds without decimals.
fn short_time(ns: f64) -> String {
    let (unit, scale) = Kind::Time.unit(ns);
    format!("{} {unit}", (ns / scale).round())
}

fn log(value: f64) -> f64 {
    value.max(f64::MIN_POSITIVE).log10()
}

/// Returns the height of a share on a logarithmic scale of the remainder: 0.9 at 1, 0.99 at 2.
fn tail(share: f64) -> f64 {
    -log(1.0 - share)
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::made_up;
    use super::*;

    fn files(results: &Results) -> Vec<String> {
        plots(results).expect("plots are drawn").into_iter().map(|plot| plot.file).collect()
    }

    #[test]
    fn each_load_has_latency_plot() {
        let mut results = made_up::results();
        assert_eq!(
            files(&results),
            [
                "throughput.svg",
                "cpu.svg",
                "latency-relay.svg",
                "latency-many.svg",
                "latency-pingpong.svg",
                "latency-fanout.svg",
                "latency-stalled-with-10-who-stopped-reading.svg",
                "latency-stalled-without-them.svg",
                "latency-churn-notices-off.svg",
                "latency-churn.svg",
                "latency-churn-notices-on.svg",
                "memory.svg",
            ]
        );
        // The same scenario twice, with different loads.
        results.series = ["reactor", "threads"].map(|e| made_up::series("relay", e, &[(0, 1)])).into();
        results.series[1].size = 1024;
        assert_eq!(
            files(&results)[2..4],
            ["latency-relay-100-64-message.svg", "latency-relay-100-1024-message.svg"]
        );
    }

    #[test]
    fn bars_replace_missing_ramp() {
        let mut results = made_up::results();
        results.series = vec![made_up::series("relay", "reactor", &[(0, 900)])];
        let plots = plots(&results).expect("plots are drawn");
        assert!(plots[1].caption.starts_with("CPU time per unit under each load"), "{}", plots[1].caption);
        assert!(plots[1].svg.contains("900 ns"));
        results.series[0].runs.clear();
        assert_eq!(files(&results), [""; 0]);
    }

    #[test]
    fn title_uses_correct_plural() {
        assert_eq!(title(RATE, "message"), "messages per second");
        assert_eq!(title(RATE, "delivery"), "deliveries per second");
        assert_eq!(title(CPU, "cycle"), "CPU time per cycle");
    }

    #[test]
    fn each_engine_has_unique_look() {
        let results = made_up::results();
        let mut looks: Vec<Look> = Vec::new();
        for series in &results.series[..5] {
            let look = look(&results, &series.engine);
            assert!(looks.iter().all(|other| other.color != look.color && other.dash != look.dash));
            looks.push(look);
        }
    }

    #[test]
    fn plots_show_finite_numbers_only() {
        for plot in plots(&made_up::results()).expect("plots are drawn") {
            assert!(plot.svg.starts_with("<svg") && plot.svg.trim_end().ends_with("</svg>"), "{}", plot.file);
            assert!(!plot.svg.contains("NaN") && !plot.svg.contains(">inf"), "{}", plot.file);
            assert!(!plot.svg.contains('\x1b') && !plot.svg.contains("<b>"), "{}", plot.file);
        }
    }
}
