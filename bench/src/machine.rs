//! The machine: its facts for the record, and its processors, of which server and generator get one each.

use super::program;
use super::results::Machine;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command};

/// The assignment of processors.
#[derive(Debug)]
pub struct Processors {
    /// All processors that this process may use.
    usable: Vec<usize>,
}

impl Processors {
    /// Finds the usable processors and moves this process to the first.
    #[must_use]
    pub fn claim() -> Processors {
        let set = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
        let processors =
            Processors { usable: (0..CpuSet::MAX_CPU).filter(|place| set.is_set(*place)).collect() };
        processors.run_on(processors.usable.first());
        processors
    }

    /// Starts a program on the last processor.
    ///
    /// # Errors
    /// The program can't be started.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        // A child inherits the affinity of its parent.
        self.run_on(self.usable.last());
        let child = command.spawn();
        self.run_on(self.usable.first());
        child
    }

    /// Describes the assignment in words.
    #[must_use]
    pub fn words(&self) -> String {
        match (self.usable.first(), self.usable.last()) {
            (Some(first), Some(last)) if first != last => {
                format!("server on CPU {last}, generator on CPU {first}")
            }
            _ => "server and generator share the only CPU".to_owned(),
        }
    }

    /// Returns whether server and generator share one processor.
    #[must_use]
    pub fn are_shared(&self) -> bool {
        self.usable.len() < 2
    }

    fn run_on(&self, processor: Option<&usize>) {
        let Some(processor) = processor else { return };
        let mut set = CpuSet::new();
        set.set(*processor);
        // Where this isn't permitted, the system chooses the processor; the figures remain valid.
        let _ = sched_setaffinity(None, &set);
    }
}

/// Returns the facts of this machine and, if it is known, of the program under test.
#[must_use]
pub fn facts(processors: &Processors, program: Option<&Path>) -> Machine {
    let uname = rustix::system::uname();
    let word = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name") || line.starts_with("Model"));
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = kib.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok());
    let unknown = || "unknown".to_owned();
    Machine {
        kernel: format!("{} {}", word(uname.sysname()), word(uname.release())),
        processor: model
            .and_then(|line| line.split_once(':'))
            .map_or_else(|| word(uname.machine()), |(_, model)| model.trim().to_owned()),
        processors: processors.usable.len(),
        memory: kib.unwrap_or(0) * 1024,
        redpoll: program.and_then(program::version).unwrap_or_else(unknown),
        rustc: program.and_then(program::compiler).unwrap_or_else(unknown),
        pinning: processors.words(),
    }
}

/// Raises the descriptor limit of this process to its maximum. Returns the limit.
#[must_use]
pub fn descriptors() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let current = if raised.is_ok() { limit.maximum } else { limit.current };
    current.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}
