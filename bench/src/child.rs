//! What is measured: an engine that runs as a child on a processor of its own, or a server that is running already. How
//! it is started, asked for its counters and what the system says of it, and stopped.

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

/// How long nothing at all may come before it counts as lost.
pub const SILENCE: Duration = Duration::from_secs(10);

/// How an engine is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// `redpoll serve` with these words besides those that every server is given.
    Serve(Vec<String>),
    /// `redpoll-bench limit` with these.
    Baseline(Vec<String>),
    /// Not at all: it runs there, and this is its process, if it is one of this machine.
    Target(String, Option<u32>),
}

/// A running engine. Dropping it ends it, if it was started here.
#[derive(Debug)]
pub struct ServerProcess {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its command line.
    pub command: Vec<String>,
    /// Tells its counters; a target's aren't asked for.
    pub control: Option<Control>,
    child: Option<Child>,
    pid: Option<u32>,
    folder: Option<PathBuf>,
}

impl ServerProcess {
    /// Starts it and waits until it listens. What serves is `program`; what starts `limit` is this one.
    ///
    /// # Errors
    /// Why it could not be, with what it has said on standard error.
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
            // Flags of the server by another way: what was measured shall stand in the command line.
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

    /// One that runs nowhere and tells its counters there.
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

    /// What it has said on standard error: the error, or the last line.
    pub fn last_log_line(&self) -> Option<String> {
        let log = fs::read_to_string(self.folder.as_ref()?.join("log")).ok()?;
        let error = log.lines().find(|line| line.starts_with("error")).or(log.lines().last());
        error.map(|line| line.trim_start_matches("redpoll: ").to_owned())
    }

    /// Why a connection has ended in the middle: what the server says of it, if it is ours and has ended too.
    pub fn broken(&mut self, who: &str, error: &io::Error) -> Failure {
        // It takes a moment until the system tells that a process is gone, or that Ctrl-C went to both of us.
        std::thread::sleep(Duration::from_millis(50));
        if is_interrupted() {
            return Failure::Interrupted;
        }
        Failure::Broken(match self.end() {
            Some(end) => end,
            None if error.kind() == ErrorKind::UnexpectedEof => {
                format!("the server closed the connection of {who}")
            }
            None => format!("the connection of {who} broke: {error}"),
        })
    }

    /// How it has ended, if it has.
    pub fn end(&mut self) -> Option<String> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        let words = self.last_log_line().map_or(String::new(), |words| format!(": {words}"));
        Some(format!("the server ended ({status}){words}"))
    }

    /// Its CPU time so far, all threads, in nanoseconds.
    pub fn cpu(&self) -> Option<u64> {
        let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(self.pid?).ok()?)).ok()?;
        nanoseconds(clock)
    }

    /// User and system time so far, in the system's ticks: good for their proportion only.
    pub fn ticks(&self) -> Option<(u64, u64)> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid?)).ok()?;
        // The name, in parentheses, may hold anything (proc_pid_stat(5)); utime and stime are 14 and 15.
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    }

    /// Nanoseconds that its first thread was ready to run and something else ran.
    pub fn waited(&self) -> Option<u64> {
        waited(&self.pid?.to_string())
    }

    /// Context switches of all threads that are there: voluntary, involuntary.
    pub fn switches(&self) -> Option<(u64, u64)> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid?)).ok()?;
        let mut sum = (0, 0);
        for task in tasks.flatten() {
            // A thread may have ended since.
            let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
            sum.0 += figure(&status, "voluntary_ctxt_switches:").unwrap_or(0);
            sum.1 += figure(&status, "nonvoluntary_ctxt_switches:").unwrap_or(0);
        }
        Some(sum)
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> Option<usize> {
        Some(fs::read_dir(format!("/proc/{}/fd", self.pid?)).ok()?.count())
    }

    /// Asks for its counters, and waits for them.
    ///
    /// # Errors
    /// Where they don't come.
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

    /// Bytes that are resident, and its share of them.
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

/// The connection by which an engine tells its counters. It never blocks: the load goes on while it answers.
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

    /// For a poller.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }

    /// Asks for the counters.
    ///
    /// # Errors
    /// Where it can't be asked.
    pub fn ask(&mut self) -> io::Result<()> {
        self.received.clear();
        self.input.write_all(b"/stats\n")
    }

    /// Takes what has come; the counters once they are complete.
    ///
    /// # Errors
    /// Where the connection is broken.
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

/// What an engine counts, by name.
pub type Counters = BTreeMap<String, u64>;

/// System calls between two sets of counters, by the names of the calls.
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

/// The CPU time of this process, in nanoseconds.
pub fn own_cpu() -> u64 {
    nanoseconds(ClockId::CLOCK_PROCESS_CPUTIME_ID).unwrap_or(0)
}

/// Nanoseconds that this process was ready to run and something else ran.
pub fn own_waited() -> Option<u64> {
    waited("self")
}

/// The second figure of /proc/PID/schedstat, where the kernel keeps it.
fn waited(process: &str) -> Option<u64> {
    let figures = fs::read_to_string(format!("/proc/{process}/schedstat")).ok()?;
    figures.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn nanoseconds(clock: ClockId) -> Option<u64> {
    let now = clock.now().ok()?;
    Some(now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64)
}

/// The number behind a key of a file of /proc.
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
