//! The report as one self-contained page: it fetches no script, font or picture. All text from the machine, the command
//! line or a server is escaped.

use super::draw;
use super::figures::{
    self, Block, CALLS, CPU, Measure, P50, P90, P99, P999, PSS, RATE, RSS, SLOWEST, SWITCHES, SYSTEM,
};
use super::findings;
use super::plots::Plot;
use super::spread::Spread;
use super::units::{self, Kind};
use crate::results::{Results, Run, Series};
use std::fmt::Write as _;

/// The columns before and after the ratio to the floor.
const FIRST: [Measure; 3] = [RATE, CPU, SYSTEM];
const LATER: [Measure; 9] = [P50, P90, P99, P999, SLOWEST, CALLS, SWITCHES, RSS, PSS];

const HOW: [(&str, &str); 10] = [
    (
        "Rounds",
        "Each round runs every engine once under the same load, one right after the other, so that whatever slows the \
         machine for a while slows all of them. A figure is the median over the rounds; the range below it goes from \
         the least to the most. Nothing is left out but what is listed as stopped.",
    ),
    (
        "Per s",
        "Units that arrived in the measured part, each of them verified by the generator, over its length. What one \
         unit is stands above each table.",
    ),
    (
        "Verified",
        "The generator knows the recipients and the content of each message, and counts what has arrived whole, at \
         the right peer, in the right order. One that is lost, doubled or changed ends the series, and the report says \
         which.",
    ),
    (
        "CPU",
        "The time on a processor that the server's process had in the measured part, user and system, from its process \
         CPU clock, over the units. It has no share of what the generator used. System is the part of it in the kernel.",
    ),
    (
        "To limit",
        "CPU time a unit over that of the floor, the engine limit: a server that moves the same bytes and does nothing else. \
         The ratio is taken within each round that both have; shown is the median of the ratios, not the ratio of the \
         medians.",
    ),
    (
        "Latency",
        "From just before the generator sends a message until the peer has read it whole; of every message, in an HDR \
         histogram. p99 is what 99 in 100 are within. As many messages are in flight as the load says, so where that is \
         more than one each waits for those before it.",
    ),
    (
        "Calls",
        "System calls a unit, of all kinds, as the engine itself counts them: tracing would slow what it counts. An \
         engine that can't count has none to show.",
    ),
    (
        "Switches",
        "Context switches of the server a unit, voluntary (it slept) and involuntary, from the kernel.",
    ),
    (
        "RSS, PSS",
        "Memory of the server at the end of the measured part: resident, and its share where pages are used by several \
         processes.",
    ),
    ("-", "Was not measured, or can't be: the inside of a foreign server, a ratio without a floor."),
];

/// Returns the whole page.
pub fn page(results: &Results, plots: &[Plot]) -> String {
    let mut out = String::new();
    head(results, &mut out);
    about(results, &mut out);
    list("Where threads win", &findings::where_threads_win(results), &mut out);
    list("With and without", &findings::with_and_without(results), &mut out);
    list("Stopped", &findings::stopped(results), &mut out);
    list("Notes", &results.notes, &mut out);
    out.push_str("<h2>Plots</h2>\n");
    for plot in plots {
        let caption = escaped(&plot.caption);
        let _ = writeln!(
            out,
            "<figure><div class=\"wide\">{}</div><figcaption>{caption} <small>{}</small></figcaption></figure>",
            plot.svg,
            escaped(&plot.file)
        );
    }
    out.push_str("<h2>Figures</h2>\n<p>Medians, with least to most below.</p>\n");
    for block in figures::blocks(results) {
        section(&block, &mut out);
    }
    how(&mut out);
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn head(results: &Results, out: &mut String) {
    let color = |color: plotters::style::RGBColor| format!("#{:02X}{:02X}{:02X}", color.0, color.1, color.2);
    let (ink, grid, paper) = (color(draw::INK), color(draw::GRID), color(draw::PAPER));
    let _ = write!(
        out,
        "<!doctype html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<meta name=\"color-scheme\" content=\"light dark\">
<title>redpoll-bench, {began}</title>
<style>
:root {{ --ink: {ink}; --grid: {grid}; --paper: {paper}; --quiet: #5f6368; --link: #0072B2 }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e6e6e6; --grid: #444; --paper: #161616; --quiet: #a5a5a5; --link: #6cb6e8 }}
}}
{STYLE}
.wide svg [fill=\"{ink}\"] {{ fill: var(--ink) }} .wide svg [stroke=\"{ink}\"] {{ stroke: var(--ink) }}
.wide svg [stroke=\"{grid}\"] {{ stroke: var(--grid) }} .wide svg [fill=\"{paper}\"] {{ fill: var(--paper) }}
</style>
</head>
<body>
<main>
<h1>redpoll-bench</h1>
",
        began = escaped(&results.began)
    );
}

const STYLE: &str = "* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif }
main { max-width: 76rem; margin: 0 auto; padding: 1rem }
h1, h2, h3 { line-height: 1.2; margin: 2.2rem 0 .6rem } h1 { margin-top: .5rem } h3 { font-size: 1.05rem }
p, li, dd, figcaption { max-width: 46rem }
li, dd, td, code { overflow-wrap: anywhere }
.wide { overflow-x: auto; max-width: 100% }
.wide svg { display: block; width: 100%; min-width: 35rem; max-width: 60rem; height: auto }
figure { margin: 1.5rem 0 2.5rem } figcaption { color: var(--quiet); font-size: .92rem; margin-top: .3rem }
figcaption small { white-space: nowrap }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem }
th, td { padding: .3rem .6rem; text-align: right; vertical-align: top; border-bottom: 1px solid var(--grid) }
th { font-weight: 600; white-space: nowrap } th:first-child, td:first-child { text-align: left; padding-left: 0 }
td { white-space: nowrap } td small { display: block; color: var(--quiet) }
table.about td { white-space: normal; text-align: left } table.about { width: 100%; max-width: 60rem }
th[scope=row] { font-weight: 500 } th:first-child { position: sticky; left: 0; background: var(--paper) }
@media (max-width: 40rem) {
  th[scope=row] { white-space: normal; overflow-wrap: anywhere; min-width: 7rem }
  table.about th[scope=row] { min-width: 6rem }
}
table.about th { width: 1% }
code { font: .88em ui-monospace, monospace }
pre { overflow-x: auto; padding: .6rem .8rem; border: 1px solid var(--grid); border-radius: 4px; margin: .4rem 0 }
details { margin: .5rem 0 1rem } summary { cursor: pointer; color: var(--link) }
dt { font-weight: 600; margin-top: .6rem } dd { margin: 0 }";

/// Writes what was measured, when and where, and the command to repeat it.
fn about(results: &Results, out: &mut String) {
    let machine = &results.machine;
    let processors = match machine.processors {
        1 => "1 processor".into(),
        many => format!("{many} processors"),
    };
    let facts = [
        ("measured", scenarios(results)),
        ("began", results.began.clone()),
        ("took", length(results.seconds)),
        ("processor", format!("{}, {processors}", machine.processor)),
        ("memory", units::one(Kind::Bytes, Some(machine.memory as f64))),
        ("kernel", machine.kernel.clone()),
        ("redpoll", machine.redpoll.clone()),
        ("compiler", machine.rustc.clone()),
        ("pinning", machine.pinning.clone()),
    ];
    out.push_str("<div class=\"wide\"><table class=\"about\">\n");
    for (name, fact) in facts {
        let _ = writeln!(out, "<tr><th scope=\"row\">{name}</th><td>{}</td></tr>", escaped(&fact));
    }
    let command = escaped(&units::command(&results.command));
    let _ = write!(out, "</table></div>\n<h2>Again</h2>\n<pre><code>{command}</code></pre>\n");
    servers(results, out);
}

/// Writes each distinct command line of each engine.
fn servers(results: &Results, out: &mut String) {
    let mut engines: Vec<(&str, Vec<String>)> = Vec::new();
    for series in &results.series {
        let line = match units::command(&series.server) {
            line if line.is_empty() => "was running already".into(),
            line => line,
        };
        match engines.iter_mut().find(|(engine, _)| *engine == series.engine) {
            Some((_, lines)) if lines.contains(&line) => {}
            Some((_, lines)) => lines.push(line),
            None => engines.push((&series.engine, vec![line])),
        }
    }
    out.push_str("<p>The servers:</p>\n");
    for (engine, lines) in engines {
        let lines = lines.iter().map(|line| escaped(line)).collect::<Vec<_>>().join("\n");
        let _ = writeln!(out, "<pre><code><b>{}</b>\n{lines}</code></pre>", escaped(engine));
    }
}

/// Returns the names of the scenarios and of the engines.
fn scenarios(results: &Results) -> String {
    let distinct = |name: fn(&Series) -> &str| {
        let mut names: Vec<&str> = Vec::new();
        for series in &results.series {
            if !names.contains(&name(series)) {
                names.push(name(series));
            }
        }
        names.join(", ")
    };
    format!("{}; of {}", distinct(|series| &series.scenario), distinct(|series| &series.engine))
}

/// Formats seconds in a readable unit.
fn length(seconds: f64) -> String {
    match seconds {
        seconds if seconds.is_finite() && seconds >= 120.0 => format!("{:.0} min", seconds / 60.0),
        seconds => units::one(Kind::Time, Some(seconds * 1e9)),
    }
}

fn list(title: &str, lines: &[String], out: &mut String) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(out, "<h2>{title}</h2>\n<ul>");
    for line in lines {
        let _ = writeln!(out, "<li>{}</li>", escaped(line));
    }
    out.push_str("</ul>\n");
}

/// Writes one load: its figures, and every run.
fn section(block: &Block, out: &mut String) {
    let columns = columns(block);
    let heads: String = columns.iter().map(|(name, _)| format!("<th>{}</th>", escaped(name))).collect();
    let heading = escaped(&findings::heading(block));
    let _ = writeln!(out, "<h3>{heading}</h3>\n<div class=\"wide\"><table>\n<tr><th>engine</th>{heads}</tr>");
    for (at, row) in block.rows.iter().enumerate() {
        let cells: String = columns.iter().map(|(_, cells)| &*cells[at]).collect();
        let _ = writeln!(out, "<tr><th scope=\"row\">{}</th>{cells}</tr>", escaped(&row.engine));
    }
    out.push_str("</table></div>\n");
    raw(block, out);
}

/// Returns heads and cells: the figures of all scenarios, those of only this one, and the calls by name. Empty columns
/// are left out.
fn columns(block: &Block) -> Vec<(String, Vec<String>)> {
    let of_measure = |measure: Measure| {
        let figures = block.rows.iter().map(|row| measure.over(row)).collect();
        (measure.name, measure.kind, figures)
    };
    let mut columns: Vec<(&str, Kind, Vec<Option<Spread>>)> = FIRST.map(of_measure).into();
    columns.push(("to limit", Kind::Times, block.rows.iter().map(|row| block.to_floor(row)).collect()));
    columns.extend(LATER.map(of_measure));
    columns.extend(block.more().into_iter().map(|name| {
        let figures = block.rows.iter().map(|row| figures::more(row, name)).collect();
        (name, figures::kind_of_more(name), figures)
    }));
    columns.extend(
        block
            .calls()
            .into_iter()
            .map(|name| (name, Kind::Count, block.rows.iter().map(|row| figures::call(row, name)).collect())),
    );
    let filled = columns.into_iter().filter(|(_, _, figures)| figures.iter().any(Option::is_some));
    filled
        .map(|(name, kind, figures)| (name.into(), figures.into_iter().map(|it| cell(kind, it)).collect()))
        .collect()
}

fn cell(kind: Kind, spread: Option<Spread>) -> String {
    let range = units::range(kind, spread);
    let range = if range.is_empty() { range } else { format!("<small>{range}</small>") };
    format!("<td>{}{range}</td>", units::median(kind, spread))
}

/// Writes every run as it was recorded.
fn raw(block: &Block, out: &mut String) {
    const HEADS: [&str; 16] = [
        "engine",
        "round",
        "seconds",
        "units",
        "CPU, ns",
        "system",
        "p50, ns",
        "p90, ns",
        "p99, ns",
        "p99.9, ns",
        "slowest, ns",
        "switches",
        "RSS",
        "PSS",
        "calls",
        "more",
    ];
    out.push_str("<details><summary>Every run</summary>\n<div class=\"wide\"><table>\n<tr>");
    for head in HEADS {
        let _ = write!(out, "<th>{head}</th>");
    }
    out.push_str("</tr>\n");
    for row in &block.rows {
        for run in &row.runs {
            let cells: String =
                recorded(run).iter().map(|cell| format!("<td>{}</td>", escaped(cell))).collect();
            let _ = writeln!(out, "<tr><th scope=\"row\">{}</th>{cells}</tr>", escaped(&row.engine));
        }
    }
    out.push_str("</table></div></details>\n");
}

/// Returns the cells of a run, in the order of the heads in [`raw`].
fn recorded(run: &Run) -> [String; 15] {
    let number = |number: Option<u64>| number.map_or_else(|| "-".into(), |number| number.to_string());
    let latency = run.latency.as_ref();
    let calls = run.calls.iter().map(|(name, count)| format!("{name} {count}"));
    let more = run.more.iter().map(|(name, value)| format!("{name} {}", units::digits(*value)));
    [
        run.round.to_string(),
        units::digits(run.seconds),
        run.units.to_string(),
        number(run.cpu),
        units::one(Kind::Share, run.system_share),
        number(latency.map(|latency| latency.p50)),
        number(latency.map(|latency| latency.p90)),
        number(latency.map(|latency| latency.p99)),
        number(latency.map(|latency| latency.p999)),
        number(latency.map(|latency| latency.max)),
        run.switches.map_or_else(|| "-".into(), |(slept, taken)| format!("{slept} + {taken}")),
        number(run.rss),
        number(run.pss),
        calls.collect::<Vec<_>>().join(", "),
        more.collect::<Vec<_>>().join(", "),
    ]
}

fn how(out: &mut String) {
    out.push_str("<h2>How the figures are taken</h2>\n<dl>\n");
    for (name, what) in HOW {
        let _ = writeln!(out, "<dt>{name}</dt><dd>{}</dd>", escaped(what));
    }
    out.push_str("</dl>\n<p>All of it, unrounded, is in <code>results.json</code> beside this page.</p>\n");
}

/// Escapes markup, and replaces characters that a document may not contain.
fn escaped(text: &str) -> String {
    let safe = units::safe(text);
    safe.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::made_up;
    use super::*;

    #[test]
    fn foreign_text_is_escaped() {
        assert_eq!(escaped("<a href=\"x\">&\x1b\r"), "&lt;a href=&quot;x&quot;&gt;&amp;\u{FFFD}\u{FFFD}");
        let mut results = made_up::results();
        let hostile = "<script>alert(1)</script>";
        let machine = &mut results.machine;
        for text in [&mut machine.kernel, &mut machine.processor, &mut machine.rustc, &mut machine.pinning] {
            *text = hostile.into();
        }
        (machine.redpoll, results.began) = (hostile.into(), hostile.into());
        results.command.push(hostile.into());
        results.notes.push(hostile.into());
        for series in &mut results.series {
            (series.scenario, series.variant, series.engine) =
                (hostile.into(), hostile.into(), hostile.into());
            (series.unit, series.stopped) = (hostile.into(), Some(hostile.into()));
            series.server.push(hostile.into());
            for run in &mut series.runs {
                run.calls = [(hostile.into(), 1)].into();
                run.more = [(hostile.into(), 1.0)].into();
            }
        }
        let plots = super::super::plots::plots(&results).expect("plots are drawn");
        let page = page(&results, &plots);
        assert!(!page.contains("<script") && page.contains("&lt;script"));
    }

    #[test]
    fn page_shows_every_run() {
        let results = made_up::results();
        let page = page(&results, &[]);
        let runs: usize = results.series.iter().map(|series| series.runs.len()).sum();
        let rows = page.split("Every run").skip(1).flat_map(|part| part.split("</details>").next());
        assert_eq!(rows.map(|rows| rows.matches("scope=\"row\"").count()).sum::<usize>(), runs);
        assert!(!page.contains("NaN") && !page.contains(">inf"));
        for (name, _) in HOW {
            assert!(page.contains(&format!("<dt>{name}</dt>")));
        }
    }

    #[test]
    fn lengths_have_readable_units() {
        assert_eq!(length(0.25), "250 ms");
        assert_eq!(length(95.0), "95.0 s");
        assert_eq!(length(1834.2), "31 min");
        assert_eq!(length(f64::NAN), "-");
    }
}
