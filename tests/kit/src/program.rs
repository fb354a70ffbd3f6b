//! The built program, started for one test on a port that the system chooses, and killed with it.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A time that only failing tests wait.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// A server that has said where it listens.
pub struct Server {
    child: Child,
    /// HOST:PORT, the first if there are several.
    pub address: String,
    /// Where it listens, as it says it: scheme and address of each.
    pub listens: Vec<(String, String)>,
}

/// A command that runs `program`, without the variables that would set its flags.
#[must_use]
pub fn command(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("REDPOLL_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Server {
    /// A command that serves at one address.
    pub fn run(command: &mut Command) -> Server {
        Server::run_at(1, command)
    }

    /// A command that serves at so many addresses.
    pub fn run_at(addresses: usize, command: &mut Command) -> Server {
        let child = command.spawn().expect("the program can be started");
        let mut server = Server { child, address: String::new(), listens: Vec::new() };
        let stdout = server.child.stdout.as_mut().expect("it is piped");
        let mut lines = BufReader::new(stdout).lines();
        for _ in 0..addresses {
            let line = lines.next().expect("the program says where it listens").expect("it is UTF-8");
            let url = line.strip_prefix("listening ").expect(&line);
            let (scheme, address) = url.split_once("://").expect(&line);
            server.listens.push((scheme.to_owned(), address.to_owned()));
        }
        server.address = server.listens[0].1.clone();
        server
    }

    /// Where it listens by that scheme.
    pub fn address_of(&self, scheme: &str) -> &str {
        let at = self.listens.iter().find(|(listens, _)| listens == scheme);
        &at.expect("it listens by that scheme").1
    }

    /// A connection on which nothing takes for ever.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("the server accepts");
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket has a timeout");
        stream.set_write_timeout(Some(DEADLINE)).expect("a socket has a timeout");
        stream.set_nodelay(true).expect("lines leave at once");
        stream
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard input, where that is a pipe.
    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("it is piped")
    }

    /// All that it has logged, once it has ended.
    pub fn log(mut self) -> String {
        let mut log = String::new();
        self.wait();
        self.stderr().read_to_string(&mut log).expect("a log is UTF-8");
        log
    }

    /// Its threads, as proc_pid_task(5) lists them.
    #[cfg(target_os = "linux")]
    pub fn threads(&self) -> usize {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it runs");
        tasks.count()
    }

    /// Its log, while it runs.
    pub fn stderr(&mut self) -> ChildStderr {
        self.child.stderr.take().expect("it is piped")
    }

    /// Which process it is.
    pub fn process(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// Asks it to stop, by name of the signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.process(), signal).expect("the server is ours");
    }

    /// How it ended, which it has to within [`DEADLINE`].
    pub fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the server is ours") {
                return status;
            }
            assert!(Instant::now() < until, "the server doesn't end");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A receive that is made again where a signal interrupts it: where a socket has a timeout, the kernel doesn't do so
/// itself, whichever thread gets the signal (signal(7)).
pub fn uninterrupted<T>(mut receive: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match receive() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            received => return received,
        }
    }
}

/// A folder of one's own for socket files, removed with all that is in it.
pub struct Folder(PathBuf);

impl Folder {
    /// Creates an empty folder of its own.
    pub fn create() -> Folder {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        // Not in the target folder: the path of a socket is at most 107 bytes long (unix(7)).
        let folder = std::env::temp_dir().join(format!("redpoll-tests-{process}-{count}"));
        std::fs::create_dir(&folder).expect("there is a place for temporary files");
        Folder(folder)
    }

    /// A file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
