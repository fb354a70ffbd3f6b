//! `redpoll-bench` measures engines against each other, each in a child process on its own processor, by runs that take
//! turns (A B C A B C), and verifies every message. This file is the plan: which runs there are, in which order, and
//! how a failed run is handled.
#![cfg(target_os = "linux")]

pub mod baseline;
mod child;
mod churn;
pub mod cli;
mod clients;
mod generator;
mod harness;
mod idle;
mod machine;
mod meter;
mod notes;
pub mod payload;
mod poller;
mod program;
pub mod report;
pub mod results;
pub mod scenario;
pub mod soak;
mod verifier;
mod violation;

use child::{ServerProcess, Start};
use churn::Churn;
use cli::{Command, Options};
use clients::Clients;
use generator::Generator;
use indicatif::{ProgressBar, ProgressStyle};
use machine::Processors;
use meter::Timing;
use redpoll::limits::SPARE_DESCRIPTORS;
use results::{Results, Run, Series};
use scenario::{Engine, Load, Row, Scenario, TABLE, Variant};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tz::UtcDateTime;
use verifier::{Verifier, Wire};

/// Why a run has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// A message was wrong.
    Violation(String),
    /// A connection, the server or a system call failed during the run.
    Broken(String),
    /// A limit of the machine or of the engine ended the series; this is a result.
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
            Failure::Violation(why) | Failure::Broken(why) | Failure::Stopped(why) => f.write_str(why),
            Failure::Interrupted => f.write_str("interrupted"),
        }
    }
}

/// One row, variant and number of connections: the unit in which engines are compared.
struct Case<'a> {
    row: &'a Row,
    variant: &'a Variant,
    connections: usize,
    size: usize,
}

/// An engine, or a foreign server.
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

    fn start(&self, case: &Case<'_>) -> Option<Start> {
        match self {
            Contender::Engine(engine) => engine.start(case.variant, case.connections),
            Contender::Target { url, pid } => Some(Start::Target(url.clone(), *pid)),
        }
    }
}

/// The progress line on standard error, shown on a terminal only.
const PROGRESS: &str = "{bar:30} {pos}/{len} {msg} ({eta} left)";

static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Returns whether Ctrl-C was pressed.
fn is_interrupted() -> bool {
    INTERRUPTED.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// Makes SIGINT and SIGTERM set [`is_interrupted`].
fn watch_signals() -> Result<(), Failure> {
    let interrupted = INTERRUPTED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM] {
        flag::register(signal, Arc::clone(interrupted))
            .map_err(|error| Failure::of("can't watch for signals", &error))?;
    }
    Ok(())
}

/// Sleeps. Ctrl-C ends the sleep with an error.
fn sleep(time: Duration) -> Result<(), Failure> {
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        if is_interrupted() {
            return Err(Failure::Interrupted);
        }
        std::thread::sleep(left.min(Duration::from_millis(50)));
    }
    Ok(())
}

/// Returns a progress bar of `steps` steps.
fn progress_bar(steps: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(PROGRESS).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(steps).with_style(style)
}

/// Measures what the flags select. Exit codes: 0 done, 1 a message was wrong or something broke.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    match &options.command {
        Some(Command::Soak(options)) => return soak::run(options),
        Some(Command::Baseline(options)) => return run_baseline(options),
        None => {}
    }
    if let Err(failure) = watch_signals() {
        eprintln!("redpoll-bench: {failure}");
        return ExitCode::FAILURE;
    }
    let (results, failure) = measure(options);
    print!("{}", report::table(&results));
    if let Some(folder) = &options.out
        && let Err(error) = report::write(&results, folder)
    {
        eprintln!("redpoll-bench: can't write to {}: {error}", folder.display());
        return ExitCode::FAILURE;
    }
    match failure {
        None => ExitCode::SUCCESS,
        Some(failure) => {
            eprintln!("redpoll-bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the baseline engine, as a child of `redpoll-bench`.
fn run_baseline(options: &cli::BaselineOptions) -> ExitCode {
    match baseline::run(options.mode, options.bytes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("redpoll-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The parts that are common to all runs.
struct Bench<'a> {
    options: &'a Options,
    /// The program that contains the engines.
    program: PathBuf,
    processors: Processors,
    /// Maximum number of descriptors of this process.
    descriptors: usize,
    progress: ProgressBar,
}

fn measure(options: &Options) -> (Results, Option<String>) {
    let started = Instant::now();
    let processors = Processors::claim();
    let program = program::find(options.server.as_deref());
    let (cases, contenders) = (cases(options), contenders(options));
    let mut results = Results {
        machine: machine::facts(&processors, Some(&*program).filter(|_| options.target.is_none())),
        command: std::env::args().collect(),
        began: UtcDateTime::now().map_or(String::new(), |now| now.to_string()),
        seconds: 0.0,
        series: Vec::new(),
        notes: notes::of_machine(&processors),
    };
    let runs = |case: &Case<'_>| {
        let all = contenders.iter().filter(|contender| contender.start(case).is_some()).count();
        (all * case.rounds(options)) as u64
    };
    let progress = progress_bar(cases.iter().map(runs).sum());
    let bench = Bench { options, program, processors, descriptors: machine::descriptors(), progress };
    let mut failure = None;
    for case in &cases {
        let (series, failed) = bench.run_case(case, &contenders);
        results.series.extend(series);
        failure = failed;
        if failure.is_some() {
            break;
        }
    }
    bench.progress.finish_and_clear();
    results.seconds = started.elapsed().as_secs_f64();
    results.notes.extend(notes::of_series(&results.series));
    let nothing = results.series.iter().find(|series| series.runs.is_empty() && !may_stop(series));
    let nothing = nothing.and_then(|series| {
        Some(format!("{}, {}: {}", series.scenario, series.engine, series.stopped.as_ref()?))
    });
    (results, failure.or(nothing))
}

/// Returns whether a limit of the machine counts as a result there, because the scenario opens that many connections.
fn may_stop(series: &Series) -> bool {
    [Scenario::Ramp, Scenario::Idle, Scenario::Stalled]
        .iter()
        .any(|scenario| scenario.to_string() == series.scenario)
}

fn cases(options: &Options) -> Vec<Case<'static>> {
    let rows =
        TABLE.iter().filter(|row| options.scenario.is_empty() || options.scenario.contains(&row.scenario));
    let variants = rows.flat_map(|row| row.variants.iter().map(move |variant| (row, variant)));
    let case = |(row, variant): (&'static Row, &'static Variant)| {
        let own = if options.quick { row.quick } else { row.connections };
        let counts = options.connections.map_or(own.to_vec(), |count| vec![count]);
        let size = options.size.unwrap_or(row.size);
        counts.into_iter().map(move |asked| {
            let connections = variant.load.connections(asked);
            Case { row, variant, connections, size }
        })
    };
    // Variants with the same number of connections run next to each other, so that they can be compared.
    variants.flat_map(case).collect()
}

fn contenders(options: &Options) -> Vec<Contender> {
    match &options.target {
        Some(url) => vec![Contender::Target { url: url.clone(), pid: options.pid }],
        None if options.engine.is_empty() => Engine::DEFAULT.map(Contender::Engine).to_vec(),
        None => options.engine.iter().copied().map(Contender::Engine).collect(),
    }
}

impl Bench<'_> {
    /// Runs all rounds of one case. Each round runs each engine once.
    fn run_case(&self, case: &Case<'_>, contenders: &[Contender]) -> (Vec<Series>, Option<String>) {
        let those = contenders.iter().filter_map(|contender| {
            let start = contender.start(case)?;
            Some((case.series(contender), contender, start))
        });
        let mut all: Vec<(Series, &Contender, Start)> = those.collect();
        let mut failure = None;
        'rounds: for round in 0..case.rounds(self.options) {
            for (series, contender, start) in &mut all {
                self.progress.set_message(format!(
                    "{} {} {}",
                    case.name(),
                    case.connections,
                    contender.name()
                ));
                let run =
                    if series.stopped.is_some() { None } else { Some(self.run_once(case, contender, start)) };
                self.progress.inc(1);
                match run {
                    None => {}
                    Some(Ok((run, command))) => {
                        series.runs.push(Run { round, ..run });
                        series.server = command;
                    }
                    Some(Err(error)) => {
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
        &self,
        case: &Case<'_>,
        contender: &Contender,
        start: &Start,
    ) -> Result<(Run, Vec<String>), Failure> {
        let (load, connections, wire) = (case.variant.load, case.connections, contender.wire());
        if is_interrupted() {
            return Err(Failure::Interrupted);
        }
        if connections + SPARE_DESCRIPTORS > self.descriptors {
            let most = self.descriptors;
            return Err(Failure::Stopped(format!(
                "the generator may have {most} descriptors only (ulimit -Hn)"
            )));
        }
        let mut server = ServerProcess::start(start, &self.program, &self.processors)?;
        let command = server.command.clone();
        let measured = self.options.seconds();
        let timing = Timing { warm_up: measured.min(load.warm_up()), measured };
        let run = match (load, load.shape(connections)) {
            (Load::Idle, _) => idle::run(&mut server, connections, measured),
            (_, Some((shape, window))) => {
                let mut verifier = Verifier::new(shape, wire, connections, case.size, window);
                verifier.allow_presence = matches!(contender, Contender::Target { .. });
                let stalled = connections - verifier.readers();
                let clients = Clients::connect_all(&mut server, wire, connections, stalled)?;
                harness::run(Generator::new(&clients, verifier), &mut server, timing)
            }
            (_, None) => {
                let churn = Churn::new(load.cycle(wire, connections), connections);
                harness::run(churn, &mut server, timing)
            }
        };
        Ok((run?, command))
    }
}

impl Case<'_> {
    fn rounds(&self, options: &Options) -> usize {
        options.runs(self.row.rounds)
    }

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
