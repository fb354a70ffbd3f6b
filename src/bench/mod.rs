//! `redpoll bench`: measures engines against each other, each a child on a processor of its own, by runs that take turns
//! (A B C A B C), and verifies every message. This file is the plan: which runs there are, in which order, and what
//! becomes of one that goes wrong.

mod child;
mod crowd;
mod generator;
mod ledger;
pub mod limit;
mod machine;
pub mod payload;
pub mod report;
pub mod results;
pub mod scenario;

use crate::cli::BenchOptions;
use child::{Server, Start};
use crowd::Crowd;
use generator::{Generator, Timing};
use ledger::{Ledger, Shape, Wire};
use machine::Processors;
use results::{Results, Run, Series};
use scenario::{Engine, Load, Row, TABLE, Variant};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::fmt;
use std::io;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Why there is no result of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// A message was not as it should be.
    Wrong(String),
    /// Something broke in the middle.
    Broken(String),
    /// The machine would have no more of it: so far and no further.
    Stopped(String),
    /// Ctrl-C.
    Interrupted,
}

impl Failure {
    fn of(what: &str, error: &io::Error) -> Failure {
        Failure::Broken(format!("{what}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Wrong(why) | Failure::Broken(why) | Failure::Stopped(why) => f.write_str(why),
            Failure::Interrupted => f.write_str("interrupted"),
        }
    }
}

/// One row, variant and number of connections: what engines are compared by.
struct Case<'a> {
    row: &'a Row,
    variant: &'a Variant,
    connections: usize,
    size: usize,
}

/// An engine, or somebody's server.
#[derive(Debug, Clone)]
enum Contender {
    Engine(Engine),
    Target { url: String, pid: Option<u32> },
}

impl Contender {
    fn name(&self) -> String {
        match self {
            Contender::Engine(engine) => engine.to_string(),
            Contender::Target { url, .. } => url.clone(),
        }
    }

    fn wire(&self) -> Wire {
        match self {
            Contender::Engine(engine) => engine.wire(),
            Contender::Target { .. } => Wire::Server,
        }
    }

    fn start(&self, variant: &Variant) -> Option<Start> {
        match self {
            Contender::Engine(engine) => engine.start(variant),
            Contender::Target { url, pid } => Some(Start::Target(url.clone(), *pid)),
        }
    }
}

static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Whether Ctrl-C was pressed.
fn is_interrupted() -> bool {
    INTERRUPTED.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// Measures what the flags ask for. Exit codes: 0 done, 1 a message was wrong or something broke.
#[must_use]
pub fn run(options: &BenchOptions) -> ExitCode {
    let interrupted = Arc::clone(INTERRUPTED.get_or_init(Arc::default));
    for signal in [SIGINT, SIGTERM] {
        if let Err(error) = flag::register(signal, Arc::clone(&interrupted)) {
            eprintln!("redpoll bench: can't watch for signals: {error}");
            return ExitCode::FAILURE;
        }
    }
    let (results, failure) = measure(options);
    print!("{}", table(&results));
    if let Some(folder) = &options.out
        && let Err(error) = write(&results, folder)
    {
        eprintln!("redpoll bench: can't write to {}: {error}", folder.display());
        return ExitCode::FAILURE;
    }
    match failure {
        None => ExitCode::SUCCESS,
        Some(failure) => {
            eprintln!("redpoll bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// The engine `limit`, as a child of the above.
#[must_use]
pub fn run_limit(mode: limit::Mode) -> ExitCode {
    match limit::run(mode) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("redpoll: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &BenchOptions) -> (Results, Option<String>) {
    let started = Instant::now();
    let processors = Processors::claim();
    let descriptors = machine::descriptors();
    let mut results = Results {
        machine: machine::facts(&processors),
        command: std::env::args().collect(),
        began: String::new(),
        seconds: 0.0,
        series: Vec::new(),
        notes: Vec::new(),
    };
    let mut failure = None;
    for case in cases(options) {
        let (series, failed) = run_case(&case, options, &processors, descriptors);
        results.series.extend(series);
        if failed.is_some() {
            failure = failed;
            break;
        }
    }
    results.seconds = started.elapsed().as_secs_f64();
    (results, failure)
}

fn cases(options: &BenchOptions) -> Vec<Case<'_>> {
    let rows =
        TABLE.iter().filter(|row| options.scenario.is_empty() || options.scenario.contains(&row.scenario));
    let variants = rows.flat_map(|row| row.variants.iter().map(move |variant| (row, variant)));
    let case = |(row, variant): (&'static Row, &'static Variant)| {
        let counts = options.connections.map_or(row.connections.to_vec(), |count| vec![count]);
        let size = options.size.unwrap_or(row.size);
        counts.into_iter().map(move |connections| Case { row, variant, connections, size })
    };
    variants.flat_map(case).collect()
}

fn contenders(options: &BenchOptions) -> Vec<Contender> {
    match &options.target {
        Some(url) => vec![Contender::Target { url: url.clone(), pid: options.pid }],
        None if options.engine.is_empty() => Engine::DEFAULT.map(Contender::Engine).to_vec(),
        None => options.engine.iter().copied().map(Contender::Engine).collect(),
    }
}

/// All rounds of one case: each engine once, then each once more.
fn run_case(
    case: &Case<'_>,
    options: &BenchOptions,
    processors: &Processors,
    descriptors: usize,
) -> (Vec<Series>, Option<String>) {
    let started = contenders(options).into_iter().filter_map(|contender| {
        let start = contender.start(case.variant)?;
        Some((case.series(&contender), contender, start))
    });
    let mut all: Vec<(Series, Contender, Start)> = started.collect();
    let mut failure = None;
    'rounds: for round in 0..options.runs() {
        for (series, contender, start) in &mut all {
            if series.stopped.is_some() {
                continue;
            }
            match run_once(case, contender, start, options, processors, descriptors) {
                Ok((run, command)) => {
                    series.runs.push(Run { round, ..run });
                    series.server = command;
                }
                Err(error) => {
                    series.stopped = Some(error.to_string());
                    if !matches!(error, Failure::Stopped(_)) {
                        failure = Some(format!("{}, {}: {error}", case.name(), contender.name()));
                        break 'rounds;
                    }
                }
            }
        }
    }
    (all.into_iter().map(|(series, ..)| series).collect(), failure)
}

fn run_once(
    case: &Case<'_>,
    contender: &Contender,
    start: &Start,
    options: &BenchOptions,
    processors: &Processors,
    descriptors: usize,
) -> Result<(Run, Vec<String>), Failure> {
    if is_interrupted() {
        return Err(Failure::Interrupted);
    }
    if case.connections + 64 > descriptors {
        return Err(Failure::Stopped(format!(
            "the generator may have {descriptors} descriptors (ulimit -n)"
        )));
    }
    let mut server = Server::start(start, processors)?;
    let seconds = options.seconds();
    let timing = Timing { warm_up: seconds.min(Duration::from_millis(300)), measured: seconds };
    let members = case.connections;
    let shape = case.variant.load.shape(members);
    let (stalled, window) = match (shape, case.variant.load) {
        (Shape::Room { stalled, .. }, Load::Room { window, .. }) => (stalled, window),
        (_, Load::Room { window, .. } | Load::Pairs { window }) => (0, window),
    };
    let mut crowd = Crowd::gather(&mut server, contender.wire(), members, stalled)?;
    let mut ledger = Ledger::new(shape, contender.wire(), members, case.size, window);
    ledger.notices = matches!(contender, Contender::Target { .. });
    let command = server.command.clone();
    let run = Generator::new(&mut crowd, stalled, ledger, &mut server)?.run(timing)?;
    Ok((run, command))
}

impl Case<'_> {
    fn name(&self) -> String {
        match self.variant.name {
            "" => self.row.scenario.to_string(),
            variant => format!("{} ({variant})", self.row.scenario),
        }
    }

    fn series(&self, contender: &Contender) -> Series {
        Series {
            scenario: self.row.scenario.to_string(),
            variant: self.variant.name.to_owned(),
            engine: contender.name(),
            server: Vec::new(),
            connections: self.connections,
            size: self.size,
            unit: self.variant.load.unit().to_owned(),
            runs: Vec::new(),
            stopped: None,
        }
    }
}

/// Medians, until the report does it.
fn table(results: &Results) -> String {
    let median = |runs: &[Run], figure: &dyn Fn(&Run) -> f64| {
        let mut figures: Vec<f64> = runs.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let cpu = |run: &Run| run.cpu.map_or(f64::NAN, |cpu| cpu as f64 / run.units.max(1) as f64);
    let mut text = String::new();
    text += &format!(
        "{:<10} {:<14} {:>6} {:>5} {:>11} {:>9} {:>6} {:>6} {:>6} {:>9} {:>9}  {}\n",
        "scenario",
        "engine",
        "conns",
        "size",
        "units/s",
        "ns/unit",
        "ratio",
        "busy",
        "gen",
        "p50 us",
        "p99 us",
        "calls/unit"
    );
    for series in &results.series {
        let runs = &series.runs;
        let limit = results.series.iter().find(|other| {
            other.engine == "limit"
                && (&other.scenario, &other.variant, other.connections)
                    == (&series.scenario, &series.variant, series.connections)
        });
        let mut ratios: Vec<f64> = runs
            .iter()
            .filter_map(|run| {
                let other = limit?.runs.iter().find(|other| other.round == run.round)?;
                Some(cpu(run) / cpu(other))
            })
            .collect();
        ratios.sort_by(f64::total_cmp);
        let calls = runs.first().map_or(String::new(), |run| {
            let each = run
                .calls
                .iter()
                .map(|(name, count)| format!("{name} {:.3}", *count as f64 / run.units.max(1) as f64));
            each.collect::<Vec<_>>().join(" ")
        });
        let latency = |run: &Run, of: &dyn Fn(&results::Latency) -> u64| {
            run.latency.as_ref().map_or(f64::NAN, |latency| of(latency) as f64 / 1000.0)
        };
        text += &format!(
            "{:<10} {:<14} {:>6} {:>5} {:>11.0} {:>9.1} {:>6.3} {:>6.2} {:>6.2} {:>9.1} {:>9.1}  {}\n",
            series.scenario,
            series.engine,
            series.connections,
            series.size,
            median(runs, &|run| run.units as f64 / run.seconds),
            median(runs, &cpu),
            ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN),
            median(runs, &|run| run.more.get("server busy").copied().unwrap_or(f64::NAN)),
            median(runs, &|run| run.more.get("generator busy").copied().unwrap_or(f64::NAN)),
            median(runs, &|run| latency(run, &|latency| latency.p50)),
            median(runs, &|run| latency(run, &|latency| latency.p99)),
            calls,
        );
        if let Some(why) = &series.stopped {
            text += &format!("  stopped: {why}\n");
        }
    }
    text
}

fn write(results: &Results, folder: &std::path::Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let json = serde_json::to_string_pretty(results).map_err(io::Error::other)?;
    std::fs::write(folder.join("results.json"), json)
}
