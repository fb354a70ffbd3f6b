//! The clients of a load: a number of connections, registered if the engine registers. No client has unread input when
//! the load begins.

use super::child::ServerProcess;
use super::verifier::Wire;
use super::{Failure, is_interrupted, payload};
use bstr::ByteSlice;
use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How many clients connect before their answers are awaited: fewer than the listen backlog holds, since an overflow of
/// the backlog costs whole seconds.
const BATCH: usize = 250;
/// Maximum time for an answer of the server.
const PATIENCE: Duration = Duration::from_secs(20);

/// The connections of a load, indexed by member number.
#[derive(Debug)]
pub struct Clients {
    /// Non-blocking.
    pub members: Vec<TcpStream>,
}

impl Clients {
    /// Connects and registers `count` members in order. The last `stalled` of them get small receive buffers, so that
    /// their queues fill soon.
    ///
    /// # Errors
    /// The server or this machine has refused a connection: how many there were, and why.
    pub fn connect_all(
        server: &mut ServerProcess,
        wire: Wire,
        count: usize,
        stalled: usize,
    ) -> Result<Clients, Failure> {
        let mut members = Vec::with_capacity(count);
        while members.len() < count {
            let first = members.len();
            let gathered = Clients::connect_batch(&mut members, server, wire, count, stalled);
            gathered.map_err(|error| match server.end() {
                Some(end) => Failure::Stopped(format!("at {first} of {count} connections {end}")),
                None => match (error, server.last_log_line()) {
                    (Failure::Interrupted, _) => Failure::Interrupted,
                    (error, Some(words)) => Failure::Stopped(format!(
                        "at {first} of {count} connections: {error}; the server says: {words}"
                    )),
                    (error, None) => Failure::Stopped(format!("at {first} of {count} connections: {error}")),
                },
            })?;
        }
        if wire == Wire::Server {
            // Reads the presence events of all members that joined later.
            for member in &mut members {
                member.write_all(b"/ping all\n").map_err(|error| Failure::of("can't send", &error))?;
            }
            for (index, member) in members.iter_mut().enumerate() {
                read_until(member, b"+pong all\n").map_err(|why| why.of(index))?;
            }
        }
        for member in &members {
            member.set_nonblocking(true).map_err(|error| Failure::of("can't prepare a socket", &error))?;
        }
        Ok(Clients { members })
    }

    fn connect_batch(
        members: &mut Vec<TcpStream>,
        server: &mut ServerProcess,
        wire: Wire,
        count: usize,
        stalled: usize,
    ) -> Result<(), Failure> {
        let first = members.len();
        for index in first..count.min(first + BATCH) {
            let small = index >= count - stalled;
            let connected = connect(server.address, small).and_then(|socket| {
                socket.set_read_timeout(Some(PATIENCE))?;
                let mut stream = TcpStream::from(socket);
                if wire == Wire::Server {
                    stream.write_all(format!("#{}\n/ping in\n", payload::name(index)).as_bytes())?;
                }
                Ok(stream)
            });
            members.push(connected.map_err(|error| Failure::of("can't connect", &error))?);
        }
        match wire {
            Wire::Server => {
                let mut added = members.iter_mut().enumerate().skip(first);
                added.try_for_each(|(index, member)| {
                    read_until(member, b"+pong in\n").map_err(|why| why.of(index))
                })
            }
            // The baseline would not send to a connection that it has not accepted yet.
            Wire::Baseline => wait_for_accept(server, members.len()),
        }
    }
}

/// Connects; with a receive buffer of 4 KiB if `small`, for clients that will not read.
///
/// # Errors
/// The connection can't be made.
pub fn connect(to: SocketAddr, small: bool) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    if small {
        socket.set_recv_buffer_size(4096)?;
    }
    socket.set_tcp_nodelay(true)?;
    socket.connect(&to.into())?;
    Ok(socket)
}

/// Why a member did not receive the expected line.
enum Why {
    Refused(String),
    Io(std::io::Error),
}

impl Why {
    fn of(self, member: usize) -> Failure {
        let name = payload::name(member);
        match self {
            _ if is_interrupted() => Failure::Interrupted,
            Why::Refused(line) => Failure::Stopped(format!("{name} was refused: {line}")),
            Why::Io(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Failure::Stopped(format!("{name} got no answer for {PATIENCE:?}"))
            }
            Why::Io(error) => Failure::Stopped(format!("{name} lost its connection: {error}")),
        }
    }
}

/// Reads until `end` has arrived as the last line.
fn read_until(stream: &mut TcpStream, end: &[u8]) -> Result<(), Why> {
    let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => {
                let refusal = seen.lines().rfind(|line| line.starts_with(b"!"));
                return Err(match refusal {
                    Some(line) => Why::Refused(line.to_str_lossy().into_owned()),
                    None => Why::Io(ErrorKind::UnexpectedEof.into()),
                });
            }
            Ok(bytes) => seen.extend_from_slice(&buffer[..bytes]),
            Err(error) if error.kind() == ErrorKind::Interrupted && !is_interrupted() => {}
            Err(error) => return Err(Why::Io(error)),
        }
        let after = seen.find(end).filter(|at| *at == 0 || seen[at - 1] == b'\n');
        if after.is_some() {
            return match seen.lines().find(|line| line.starts_with(b"!")) {
                Some(line) => Err(Why::Refused(line.to_str_lossy().into_owned())),
                None => Ok(()),
            };
        }
    }
}

fn wait_for_accept(server: &mut ServerProcess, count: usize) -> Result<(), Failure> {
    let failure = |error| Failure::of("the engine does not tell its counters", &error);
    let started = Instant::now();
    while started.elapsed() < PATIENCE && !is_interrupted() {
        let counters = server.counters().map_err(failure)?;
        if counters.get("connections").is_some_and(|connections| *connections >= count as u64) {
            return Ok(());
        }
    }
    Err(Failure::Stopped(format!("it did not accept {count} connections within {PATIENCE:?}")))
}
