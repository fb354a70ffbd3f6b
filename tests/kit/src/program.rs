//! The built program, started for one test on ports that the system chooses, and killed at the end of the test.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Maximum time for any wait; only failing tests reach it.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// A running server that has printed its listeners.
pub struct Server {
    child: Child,
    /// The address of the first listener: HOST:PORT, or the path of a Unix socket.
    pub address: String,
    /// Scheme and address of each listener, as the program prints them.
    pub listens: Vec<(String, String)>,
}

/// Returns a command that runs `program`, without the environment variables that set its flags.
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
    /// Starts a server with one listener.
    pub fn run(command: &mut Command) -> Server {
        Server::run_at(1, command)
    }

    /// Starts a server with that number of listeners.
    pub fn run_at(listeners: usize, command: &mut Command) -> Server {
        let child = command.spawn().expect("the program can be started");
        let mut server = Server { child, address: String::new(), listens: Vec::new() };
        let stdout = server.child.stdout.as_mut().expect("it is piped");
        let mut lines = BufReader::new(stdout).lines();
        for _ in 0..listeners {
            let line = lines.next().expect("the program prints its listeners").expect("it is UTF-8");
            let url = line.strip_prefix("listening ").expect(&line);
            let (scheme, address) = url.split_once("://").expect(&line);
            server.listens.push((scheme.to_owned(), address.to_owned()));
        }
        server.address = server.listens[0].1.clone();
        server
    }

    /// Returns the address of the listener with that scheme.
    pub fn address_of(&self, scheme: &str) -> &str {
        let at = self.listens.iter().find(|(listens, _)| listens == scheme);
        &at.expect("it has a listener with that scheme").1
    }

    /// Connects with timeouts of [`DEADLINE`].
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("the server accepts");
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket has a timeout");
        stream.set_write_timeout(Some(DEADLINE)).expect("a socket has a timeout");
        stream.set_nodelay(true).expect("lines leave at once");
        stream
    }

    /// Returns its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns its standard input, if that is a pipe.
    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("it is piped")
    }

    /// Waits for its end and returns its log.
    pub fn log(mut self) -> String {
        let mut log = String::new();
        self.wait();
        self.stderr().read_to_string(&mut log).expect("a log is UTF-8");
        log
    }

    /// Returns the number of its threads, as proc_pid_task(5) lists them.
    #[cfg(target_os = "linux")]
    pub fn threads(&self) -> usize {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it runs");
        tasks.count()
    }

    /// Returns its standard error, which has the log, while it runs.
    pub fn stderr(&mut self) -> ChildStderr {
        self.child.stderr.take().expect("it is piped")
    }

    /// Returns its process id, for [`rustix`].
    pub fn process(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.process(), signal).expect("the server is ours");
    }

    /// Waits for its end, at most [`DEADLINE`], and returns its exit status.
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

/// Repeats a receive that a signal interrupts: the kernel doesn't do so for a socket with a timeout, whichever thread
/// gets the signal (signal(7)).
pub fn uninterrupted<T>(mut receive: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match receive() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            received => return received,
        }
    }
}

/// A temporary folder for socket files, removed with its contents when dropped.
pub struct Folder(PathBuf);

impl Folder {
    /// Creates an empty folder with a unique name.
    pub fn create() -> Folder {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        // Not in the target folder: the path of a socket is at most 107 bytes long (unix(7)).
        let folder = std::env::temp_dir().join(format!("redpoll-tests-{process}-{count}"));
        std::fs::create_dir(&folder).expect("the temporary folder is writable");
        Folder(folder)
    }

    /// Returns the path of a file in it.
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
