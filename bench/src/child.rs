//! The server under test: an engine that runs as a child on its own processor, or a server that is running already.
//! Starts and stops it, requests its counters, and reads its figures from the system.

use super::machine::Processors;
use super::{Failure, is_interrupted};
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Time without any arrival after which a message counts as lost.
pub const SILENCE: Duration = Duration::from_secs(10);

/// How an engine is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// `redpoll serve` with these arguments, after the arguments that every server gets.
    Serve(Vec<String>),
    /// `redpoll-bench limit` with these arguments.
    Baseline(Vec<String>),
    /// Not started here: the URL of a running server and, if it runs on this machine, its process.
    Target(String, Option<u32>),
}

/// A running server. Dropping it ends the process if it was started here.
#[derive(Debug)]
pub struct ServerProcess {
    /// The listen address.
    pub address: SocketAddr,
    /// The command line.
    pub command: Vec<String>,
    /// The connection for counters; `None` for a target.
    pub control: Option<Control>,
    child: Option<Child>,
    pid: Option<u32>,
    folder: Option<PathBuf>,
}

impl ServerProcess {
    /// Starts a server and waits until it listens. An engine of redpoll is `program`; the baseline is this program.
    ///
    /// # Errors
    /// The server did not start; contains its error on standard error.
    pub fn start(start: &Start, program: &Path, processors: &Processors) -> Result<ServerProcess, Failure> {
        let words = match start {
            Start::Serve(words) => words,
            Start::Baseline(words) => words,
            Start::Target(url, pid) => return ServerProcess::target(url, *pid),
        };
        let folder = make_folder().map_err(|error| Failure::of("can't make a temporary folder", &error))?;
        let this = std::env::current_exe().map_err(|error| Failure::of("can't find this program", &error))?;
        let serves = matches!(start, Start::Serve(_));
        let mut command = Command::new(if serves { program } else { &this });
        if serves {
            let socket = format!("unix://{}", folder.join("operators").display());
            command.args(["serve", "--listen", "line://127.0.0.1:0", "--listen", &socket]).args(words);
        } else {
            command.arg("limit").args(words);
        }
        for (variable, _) in std::env::vars_os() {
            // These variables set flags of the server. The command line must record all flags of a measurement.
            if variable.to_string_lossy().starts_with("REDPOLL_") {
                command.env_remove(variable);
            }
        }
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words = words.map(|word| word.to_string_lossy().into_owned()).collect();
        let log =
            File::create(folder.join("log")).map_err(|error| Failure::of("can't make a log", &error))?;
        command.stdin(if serves { Stdio::null() } else { Stdio::piped() });
        command.stdout(Stdio::piped()).stderr(log);
        let child = processors.spawn(&mut command).map_err(|error| match error.kind() {
            ErrorKind::NotFound if serves => Failure::Broken(format!(
                "there is no program {} to measure: build it by `cargo build --release -p redpoll`, or name one by \
                 --server FILE",
                program.display()
            )),
            _ => Failure::of("can't start the server", &error),
        })?;
        let mut server = ServerProcess {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            command: words,
            control: None,
            pid: Some(child.id()),
            child: Some(child),
            folder: Some(folder),
        };
        server.read_address(serves).map_err(|error| match server.last_log_line() {
            Some(words) => Failure::Stopped(format!("the server did not start: {words}")),
            None => Failure::of("the server did not start", &error),
        })?;
        Ok(server)
    }

    fn target(url: &str, pid: Option<u32>) -> Result<ServerProcess, Failure> {
        let host = url.strip_prefix("line://").unwrap_or(url);
        let address = host.to_socket_addrs().and_then(|mut addresses| {
            addresses.next().ok_or_else(|| io::Error::new(ErrorKind::NotFound, "it has no address"))
        });
        Ok(ServerProcess {
            address: address.map_err(|error| Failure::of(&format!("can't find {url}"), &error))?,
            command: Vec::new(),
            control: None,
            child: None,
            pid,
            folder: None,
        })
    }

    /// A server without a process, with counters from `stream`.
    #[cfg(test)]
    pub fn with_control(stream: UnixStream) -> ServerProcess {
        let stream = OwnedFd::from(stream);
        let control = stream.try_clone().and_then(|input| Control::new(input, stream)).expect("descriptors");
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        ServerProcess {
            address,
            command: Vec::new(),
            control: Some(control),
            child: None,
            pid: None,
            folder: None,
        }
    }

    fn read_address(&mut self, serves: bool) -> io::Result<()> {
        let child = self.child.as_mut().ok_or(ErrorKind::NotFound)?;
        let out = child.stdout.take().ok_or(ErrorKind::NotFound)?;
        let copy = out.as_fd().try_clone_to_owned()?;
        let (mut lines, mut line) = (BufReader::new(out), String::new());
        for _ in 0..if serves { 2 } else { 1 } {
            line.clear();
            lines.read_line(&mut line)?;
            if let Some(address) = line.trim().strip_prefix("listening line://") {
                self.address = address.parse().map_err(|_| ErrorKind::InvalidData)?;
            }
        }
        if self.address.port() == 0 {
            return Err(io::Error::new(ErrorKind::InvalidData, "it does not say where it listens"));
        }
        self.control = Some(match (&self.folder, child.stdin.take()) {
            (Some(folder), None) => Control::over_socket(&folder.join("operators"))?,
            (_, stdin) => Control::new(stdin.ok_or(ErrorKind::NotFound)?.into(), copy)?,
        });
        Ok(())
    }

    /// Returns the error that the server wrote to standard error, else its last line there.
    pub fn last_log_line(&self) -> Option<String> {
        let log = fs::read_to_string(self.folder.as_ref()?.join("log")).ok()?;
        let error = log.lines().find(|line| line.starts_with("error")).or(log.lines().last());
        error.map(|line| line.trim_start_matches("redpoll: ").to_owned())
    }

    /// Returns why a connection has ended early: the end of the server, if it is a child and has ended, else `error`.
    pub fn broken(&mut self, client: &str, error: &io::Error) -> Failure {
        // The end of a process, and a Ctrl-C to both processes, show only after a moment.
        std::thread::sleep(Duration::from_millis(50));
        if is_interrupted() {
            return Failure::Interrupted;
        }
        Failure::Broken(match self.end() {
            Some(end) => end,
            None if error.kind() == ErrorKind::UnexpectedEof => {
                format!("the server closed the connection of {client}")
            }
            None => format!("the connection of {client} broke: {error}"),
        })
    }

    /// Returns how the child has ended, if it has.
    pub fn end(&mut self) -> Option<String> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        let words = self.last_log_line().map_or(String::new(), |words| format!(": {words}"));
        Some(format!("the server ended ({status}){words}"))
    }

    /// Returns the CPU time of all threads so far, in nanoseconds.
    pub fn cpu(&self) -> Option<u64> {
        let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(self.pid?).ok()?)).ok()?;
        nanoseconds(clock)
    }

    /// Returns user and system time so far, in ticks of the system. Only their ratio is precise enough to use.
    pub fn ticks(&self) -> Option<(u64, u64)> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid?)).ok()?;
        // The name, in parentheses, may contain any character (proc_pid_stat(5)); utime and stime are fields 14 and 15.
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    }

    /// Returns for how many nanoseconds the first thread was runnable while something else ran.
    pub fn waited(&self) -> Option<u64> {
        waited(&self.pid?.to_string())
    }

    /// Returns the context switches of all current threads: voluntary, involuntary.
    pub fn switches(&self) -> Option<(u64, u64)> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid?)).ok()?;
        let mut sum = (0, 0);
        for task in tasks.flatten() {
            // A thread may have ended since the directory was read.
            let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
            sum.0 += figure(&status, "voluntary_ctxt_switches:").unwrap_or(0);
            sum.1 += figure(&status, "nonvoluntary_ctxt_switches:").unwrap_or(0);
        }
        Some(sum)
    }

    /// Returns the number of open descriptors.
    pub fn descriptors(&self) -> Option<usize> {
        Some(fs::read_dir(format!("/proc/{}/fd", self.pid?)).ok()?.count())
    }

    /// Requests the counters and waits for them.
    ///
    /// # Errors
    /// The counters don't arrive.
    pub fn counters(&mut self) -> io::Result<Counters> {
        let control = self.control.as_mut().ok_or(ErrorKind::NotConnected)?;
        control.ask()?;
        let asked = Instant::now();
        while asked.elapsed() < SILENCE {
            if let Some(counters) = control.receive()? {
                return Ok(counters);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(ErrorKind::TimedOut.into())
    }

    /// Returns resident memory (RSS) and the proportional share (PSS), in bytes.
    pub fn memory(&self) -> (Option<u64>, Option<u64>) {
        let Some(pid) = self.pid else { return (None, None) };
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let bytes = |key| figure(&rollup, key).map(|kib| kib * 1024);
        (bytes("Rss:"), bytes("Pss:"))
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// The connection for an engine's counters. It never blocks: the load continues while the engine answers.
#[derive(Debug)]
pub struct Control {
    input: File,
    output: File,
    received: Vec<u8>,
}

impl Control {
    fn over_socket(path: &Path) -> io::Result<Control> {
        let stream = OwnedFd::from(UnixStream::connect(path)?);
        Control::new(stream.try_clone()?, stream)
    }

    fn new(input: OwnedFd, output: OwnedFd) -> io::Result<Control> {
        rustix::io::ioctl_fionbio(&output, true)?;
        Ok(Control { input: input.into(), output: output.into(), received: Vec::new() })
    }

    /// Returns the descriptor to poll.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }

    /// Requests the counters.
    ///
    /// # Errors
    /// The request can't be written.
    pub fn ask(&mut self) -> io::Result<()> {
        self.received.clear();
        self.input.write_all(b"/stats\n")
    }

    /// Reads once. Returns the counters once they are complete.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn receive(&mut self) -> io::Result<Option<Counters>> {
        let mut buffer = [0; 4096];
        match self.output.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(bytes) => self.received.extend_from_slice(&buffer[..bytes]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        let text = String::from_utf8_lossy(&self.received);
        if !text.lines().any(|line| line.starts_with("+end stats ")) || !text.ends_with('\n') {
            return Ok(None);
        }
        let figure = |line: &str| {
            let (key, value) = line.strip_prefix("+stats ")?.split_once(' ')?;
            Some((key.to_owned(), value.parse().ok()?))
        };
        Ok(Some(text.lines().filter_map(figure).collect()))
    }
}

/// Counters of an engine, by name.
pub type Counters = BTreeMap<String, u64>;

/// Returns the number of system calls between two sets of counters, by the name of the call.
pub fn calls(before: &Counters, after: &Counters) -> BTreeMap<String, u64> {
    let made = |(key, value): (&String, &u64)| {
        let name = match key.as_str() {
            // Each turn waits once.
            "turns" => "wait",
            key => key.strip_suffix("-calls")?,
        };
        Some((name.to_owned(), value.saturating_sub(before.get(key).copied().unwrap_or(0))))
    };
    after.iter().filter_map(made).collect()
}

/// Returns the CPU time of this process, in nanoseconds.
pub fn own_cpu() -> u64 {
    nanoseconds(ClockId::CLOCK_PROCESS_CPUTIME_ID).unwrap_or(0)
}

/// Returns for how many nanoseconds this process was runnable while something else ran.
pub fn own_waited() -> Option<u64> {
    waited("self")
}

/// Returns the second figure of /proc/PID/schedstat, if the kernel keeps it.
fn waited(process: &str) -> Option<u64> {
    let figures = fs::read_to_string(format!("/proc/{process}/schedstat")).ok()?;
    figures.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn nanoseconds(clock: ClockId) -> Option<u64> {
    let now = clock.now().ok()?;
    Some(now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64)
}

/// Returns the number after `key` in a file of /proc.
fn figure(text: &str, key: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

fn make_folder() -> io::Result<PathBuf> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("redpoll-bench-{}-{number}", std::process::id()));
    fs::create_dir(&folder)?;
    Ok(folder)
}
