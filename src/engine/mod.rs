//! The only code of the server that touches sockets, threads, files and the clock: the body of `redpoll serve`.

mod listener;
mod log_sink;
#[cfg(target_os = "linux")]
mod pages;
mod poll;
mod signals;
mod sockets;
#[cfg(feature = "threads")]
mod threads;

use crate::cli::{Engine, ServeOptions, environment};
use crate::limits::{Limits, SPARE_DESCRIPTORS};
use crate::protocol::name;
use crate::reactor::{Reactor, Running};
use ::log::{error, info, warn};
use clap::ValueEnum;
use clap::builder::PossibleValue;
use listener::Listener;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signals::Signals;
use sockets::PolledSockets;
use std::io::{self, Write};
use std::process::ExitCode;

/// Serves until it is asked to stop. Exit code: 0 after a stop, 1 after a failure at start or while running.
#[must_use]
pub fn serve(options: &ServeOptions) -> ExitCode {
    log_sink::install(options.log, options.log_format);
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for (name, nearest) in environment::unknown(names) {
        warn!(target: "unknown-variable", name = name.as_str(), nearest = nearest.as_str();
            "the environment variable {name} is ignored: it belongs to no flag; the nearest is {nearest}");
    }
    let ended = run(options);
    // Writes the counts of suppressed lines.
    ::log::logger().flush();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(target: "failed", reason = error.to_string().as_str(); "{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &ServeOptions) -> io::Result<()> {
    let mut limits = options.limits();
    #[cfg(feature = "threads")]
    threads::refuse_udp(options)?;
    let listeners = Listener::open_all(&options.listen, &limits, options.udp_public)?;
    limits.max_connections = max_connections(options, listeners.len());
    if !name::EVERY_SCRIPT {
        warn!(target: "ascii-names", "this build takes ASCII names only: it lacks the feature `unicode`");
    }
    log_start(options, &limits);
    let signals = Signals::watch().map_err(|error| context("can't watch for signals", &error))?;
    announce(&listeners).map_err(|error| context("can't say where it listens", &error))?;
    match options.engine {
        Engine::Reactor => run_reactor(listeners, signals, options, limits),
        #[cfg(feature = "threads")]
        Engine::Threads => threads::serve(listeners, signals, options.console, false, limits),
        #[cfg(feature = "threads")]
        Engine::ThreadsQueued => threads::serve(listeners, signals, options.console, true, limits),
    }
}

fn run_reactor(
    listeners: Vec<Listener>,
    signals: Signals,
    options: &ServeOptions,
    limits: Limits,
) -> io::Result<()> {
    let schemes = listeners.iter().map(Listener::scheme).collect();
    let sockets = PolledSockets::new(listeners, signals, options.console, options.spin);
    let sockets = sockets.map_err(|error| context("can't poll", &error))?;
    let mut reactor = Reactor::new(sockets, schemes, limits);
    #[cfg(target_os = "linux")]
    pages::release_startup_code();
    while reactor.turn().map_err(|error| context("the poller failed", &error))? == Running::On {}
    Ok(())
}

/// Logs the start, with the limits that decide how much the server accepts.
fn log_start(options: &ServeOptions, limits: &Limits) {
    let version = env!("CARGO_PKG_VERSION");
    let (connections, queue_total) = (limits.max_connections, limits.queue_total);
    let engine = options.engine.to_possible_value();
    let engine = engine.as_ref().map_or("", PossibleValue::get_name);
    info!(target: "started", version, engine, connections, queue_total;
        "version {version}, engine {engine}, at most {connections} connections and {queue_total} bytes queued");
}

/// Prints one line per listener on standard output, once all are bound and can be connected to.
fn announce(listeners: &[Listener]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for listener in listeners {
        let url = listener.url()?;
        writeln!(out, "listening {url}")?;
        info!(target: "listening", address = url.as_str(), scheme = listener.scheme().name(); "listening at {url}");
    }
    out.flush()
}

/// Returns the maximum number of connections: `--max-connections` (0: as many as possible), within the descriptors of
/// the process, less some spare ones, and within the threads of an engine that has them.
fn max_connections(options: &ServeOptions, listeners: usize) -> usize {
    let asked = options.max_connections;
    let descriptors = usize::try_from(raise_descriptor_limit()).unwrap_or(usize::MAX);
    let max = descriptors.saturating_sub(SPARE_DESCRIPTORS + listeners).max(1);
    #[cfg(feature = "threads")]
    if let Some(fewer) = threads::max_connections(options, max) {
        return fewer;
    }
    if asked > max {
        warn!(target: "clamped", asked, max, descriptors;
            "--max-connections {asked} is clamped to {max}: the process may have {descriptors} descriptors");
    }
    if asked == 0 { max } else { asked.min(max) }
}

/// Raises the soft limit of descriptors to the hard one; returns the limit then in force.
fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let current = if raised.is_ok() { limit.maximum } else { limit.current };
    // Ids have 32 bits, and where the limit is infinite the kernel has its own bounds.
    let max = u64::from(u32::MAX / 2);
    current.unwrap_or(max).min(max)
}

fn context(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
