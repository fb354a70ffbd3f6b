//! Notes for the reader of the figures: conditions that disturbed the measurement.

use super::machine::Processors;
use super::results::{Run, Series};
use super::scenario::Scenario;

/// Share of time above which the work of other programs has spoilt the figures.
const DISTURBED: f64 = 0.05;
/// Share of busy time below which the server was not the bottleneck.
const STARVED: f64 = 0.9;

/// Returns notes on the machine.
#[must_use]
pub fn of_machine(processors: &Processors) -> Vec<String> {
    if !processors.are_shared() {
        return Vec::new();
    }
    vec!["There is only one CPU: server and generator take each other's time, so latencies and messages per second \
          say little; CPU time per message still holds."
        .to_owned()]
}

/// Returns notes on each series.
#[must_use]
pub fn of_series(series: &[Series]) -> Vec<String> {
    series.iter().flat_map(|series| [disturbed(series), starved(series)]).flatten().collect()
}

fn disturbed(series: &Series) -> Option<String> {
    let waited = median(series, "generator waited")?;
    (waited > DISTURBED).then(|| {
        let (name, percent) = (title(series), waited * 100.0);
        format!(
            "{name}: other programs ran on the generator's CPU for {percent:.0} % of the time; messages per second and \
             latencies would be better without them."
        )
    })
}

fn starved(series: &Series) -> Option<String> {
    // These scenarios have no bottleneck by design: one side waits for the other, or both are idle.
    let closed = [Scenario::Pingpong, Scenario::Idle].map(|scenario| scenario.to_string());
    if closed.contains(&series.scenario) {
        return None;
    }
    let (server, generator) = (median(series, "server busy")?, median(series, "generator busy")?);
    let (server_waited, generator_waited) =
        (median(series, "server waited").unwrap_or(0.0), median(series, "generator waited").unwrap_or(0.0));
    (server + server_waited < STARVED && generator + generator_waited > server + server_waited).then(|| {
        let (name, percent) = (title(series), server * 100.0);
        format!(
            "{name}: generator-bound; the server's CPU was busy for {percent:.0} % of the time only, so it could do more \
             messages per second than it was given, and batches less than it would."
        )
    })
}

fn title(series: &Series) -> String {
    let variant = if series.variant.is_empty() { String::new() } else { format!(" ({})", series.variant) };
    format!("{}{variant}, {} connections, {}", series.scenario, series.connections, series.engine)
}

fn median(series: &Series, name: &str) -> Option<f64> {
    let mut figures: Vec<f64> =
        series.runs.iter().filter_map(|run: &Run| run.more.get(name).copied()).collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}
