//! The built program, started for one test on a port that the system chooses, and killed with it.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// What nobody should ever have to wait for; only failing tests do.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// A server that has said where it listens.
pub struct Server {
    child: Child,
    /// HOST:PORT.
    pub address: String,
}

/// The program, without the variables of whoever runs the tests.
pub fn redpoll() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redpoll"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("REDPOLL_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Server {
    /// `redpoll serve` with these flags.
    pub fn start<F: AsRef<std::ffi::OsStr>>(flags: impl IntoIterator<Item = F>) -> Server {
        Server::run(redpoll().args(["serve", "--listen", "127.0.0.1:0"]).args(flags))
    }

    /// A command that serves at one address.
    pub fn run(command: &mut Command) -> Server {
        let child = command.spawn().expect("the program can be started");
        let mut server = Server { child, address: String::new() };
        let mut line = String::new();
        let stdout = server.child.stdout.as_mut().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the program says where it listens");
        let address = line.trim_end().strip_prefix("listening line://");
        server.address = address.expect("the program says where it listens").to_owned();
        server
    }

    /// A connection on which nothing takes for ever.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("the server accepts");
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket has a timeout");
        stream.set_write_timeout(Some(DEADLINE)).expect("a socket has a timeout");
        stream.set_nodelay(true).expect("lines leave at once");
        stream
    }

    /// Asks it to stop, by name of the signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("the server is ours");
    }

    /// How it ended.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("the server is ours")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
