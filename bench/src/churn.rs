//! Connection churn: a fixed number of clients at once connect, register, leave and start again. A cycle is correct if
//! its answer is correct byte by byte and the server closes the connection after it.

use super::Failure;
use super::child::SILENCE;
use super::harness::{Harness, Load};
use bstr::ByteSlice;
use redpoll::protocol::dialect::{Context, Dialect};
use redpoll::protocol::name::Name;
use redpoll::protocol::{Event, PeerAddr};
use rustix::event::epoll::EventFlags;
use socket2::{Domain, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};

/// The side that closes first keeps its port for a minute (TIME_WAIT). That is the client, with every engine. Clients
/// therefore connect from this many local addresses by turns, enough for 1.5 million cycles a minute.
const ADDRESSES: u32 = 64;

/// The steps of a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cycle {
    /// Connect, register, read the answer, shut down, read the end of the stream.
    Register {
        /// Whether join and leave events of others are sent.
        presence: bool,
    },
    /// The same, but the answer is any text of this many bytes.
    Answered(usize),
    /// Connect, read the end of the stream.
    Closed,
}

/// A connection of the current cycle.
struct Slot {
    socket: Socket,
    name: String,
    /// When the cycle began.
    began: u64,
    received: Vec<u8>,
    /// This side has shut down its writes.
    ended: bool,
}

/// A load of churn cycles.
pub struct Churn {
    cycle: Cycle,
    slots: Vec<Option<Slot>>,
    /// Cycles that have begun, and cycles that are done.
    begun: u32,
    done: u64,
}

/// Returns the number of bytes of the answer to a registration among `at_once` members, for the baseline that answers
/// as many.
pub fn answer_bytes(at_once: usize) -> usize {
    let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 10), 50_000));
    answer(from, &name(0), at_once).len()
}

impl Churn {
    /// Starts without connections. The event key of a slot is its index.
    #[must_use]
    pub fn new(cycle: Cycle, at_once: usize) -> Churn {
        Churn { cycle, slots: (0..at_once).map(|_| None).collect(), begun: 0, done: 0 }
    }

    fn open(&mut self, index: usize, harness: &mut Harness<'_>) -> Result<(), Failure> {
        let (name, began) = (name(self.begun), harness.meter.now());
        let from = Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + 1 + self.begun % ADDRESSES);
        self.begun += 1;
        let connected = connect(harness.server.address, from).and_then(|mut socket| {
            if self.cycle != Cycle::Closed {
                socket.write_all(format!("#{name}\n").as_bytes())?;
            }
            Ok(socket)
        });
        let socket = connected.map_err(|error| harness.server.broken(&name, &error))?;
        harness.poller.add(&socket, index as u64)?;
        self.slots[index] = Some(Slot { socket, name, began, received: Vec::new(), ended: false });
        Ok(())
    }

    /// Verifies a cycle that the server has ended, and starts the next.
    fn finish(&mut self, index: usize, harness: &mut Harness<'_>) -> Result<(), Failure> {
        let Some(slot) = self.slots[index].take() else { return Ok(()) };
        slot.check(self.cycle, self.slots.len()).map_err(Failure::Violation)?;
        self.done += 1;
        harness.meter.note_arrival();
        harness.meter.record(slot.began, 1);
        // This frees the port before the next one is bound.
        drop(slot);
        if harness.meter.is_draining() { Ok(()) } else { self.open(index, harness) }
    }
}

impl Load for Churn {
    fn begin(&mut self, harness: &mut Harness<'_>) -> Result<(), Failure> {
        (0..self.slots.len()).try_for_each(|index| self.open(index, harness))
    }

    fn handle_event(&mut self, key: u64, _: EventFlags, harness: &mut Harness<'_>) -> Result<(), Failure> {
        let index = key as usize;
        let Some(slot) = &mut self.slots[index] else { return Ok(()) };
        let mut buffer = [0; 4096];
        match slot.socket.read(&mut buffer) {
            Ok(0) => return self.finish(index, harness),
            Ok(bytes) => slot.received.extend_from_slice(&buffer[..bytes]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => {
                let name = slot.name.clone();
                return Err(harness.server.broken(&name, &error));
            }
        }
        let is_answered = match self.cycle {
            Cycle::Register { .. } => {
                slot.received.ends_with(b"\n") && slot.received.find(b"\n+room ").is_some()
            }
            Cycle::Answered(bytes) => slot.received.len() >= bytes,
            Cycle::Closed => false,
        };
        if is_answered && !slot.ended {
            slot.ended = true;
            let ended = slot.socket.shutdown(Shutdown::Write);
            ended.map_err(|error| Failure::of("can't end a connection", &error))?;
        }
        Ok(())
    }

    fn units(&self) -> u64 {
        self.done
    }

    fn is_over(&self) -> bool {
        self.slots.iter().all(Option::is_none)
    }

    fn silence(&self) -> Failure {
        let missing = self.slots.iter().flatten().next().map_or("nobody", |slot| &slot.name);
        Failure::Violation(format!("lost: {missing} waits; nothing has come for {SILENCE:?}"))
    }
}

impl Slot {
    fn check(&self, cycle: Cycle, at_once: usize) -> Result<(), String> {
        let name = &self.name;
        match cycle {
            Cycle::Closed if self.received.is_empty() => return Ok(()),
            Cycle::Answered(bytes) if self.received.len() == bytes && self.ended => return Ok(()),
            Cycle::Closed | Cycle::Answered(_) => {
                return Err(format!("damaged: {name} got {} bytes", self.received.len()));
            }
            Cycle::Register { .. } if !self.ended => {
                return Err(format!("lost: {name} was closed behind {:?}", self.received.as_bstr()));
            }
            Cycle::Register { .. } => {}
        }
        let from = self.socket.local_addr().ok().and_then(|address| address.as_socket());
        let from = from.ok_or_else(|| format!("{name} has no address"))?;
        let lines: Vec<&[u8]> = self.received.lines_with_terminator().collect();
        let (mut answers, presence): (Vec<&[u8]>, Vec<&[u8]>) =
            lines.into_iter().partition(|line| !is_presence(line));
        let members =
            answers.last().and_then(|line| line.strip_prefix(b"+room lobby ")?.trim_ascii().to_str().ok());
        let members = members.and_then(|members| members.parse().ok()).unwrap_or(0);
        // The room may still contain members that are leaving.
        if members == 0 || members > at_once || answers.concat() != answer(from, name, members) {
            answers.truncate(8);
            return Err(format!("damaged: {name} got {:?} from {from}", answers.concat().as_bstr()));
        }
        match presence.first() {
            Some(event) if cycle == (Cycle::Register { presence: false }) => {
                Err(format!("misdelivered: {name} got {:?}", event.as_bstr()))
            }
            _ => Ok(()),
        }
    }
}

/// Returns whether a line is the join or leave event of another client.
fn is_presence(line: &[u8]) -> bool {
    let name = line
        .strip_prefix(b"* ")
        .and_then(|rest| rest.strip_suffix(b" joined\n").or_else(|| rest.strip_suffix(b" left\n")));
    name.is_some_and(|name| name.len() == 8 && name[0] == b'c')
}

/// Returns the name for a cycle. All names have equal length; a name repeats only after 2^28 cycles.
fn name(number: u32) -> String {
    format!("c{:07x}", number & 0x0fff_ffff)
}

/// Returns the server's answer, encoded by the server's own code.
fn answer(from: SocketAddr, name: &str, members: usize) -> Vec<u8> {
    let mut text = Vec::new();
    Dialect::Native.encode(
        Event::Connected { from: PeerAddr::Inet(from) },
        &Context { max_line: 4096 },
        &mut text,
    );
    if let (Ok(nick), Ok(room)) = (Name::new(name.as_bytes()), Name::new(b"lobby")) {
        Dialect::Native.encode(Event::Named { nick: &nick }, &Context { max_line: 4096 }, &mut text);
        Dialect::Native.encode(
            Event::Entered { room: &room, members },
            &Context { max_line: 4096 },
            &mut text,
        );
    }
    text
}

fn connect(to: SocketAddr, from: Ipv4Addr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    if let IpAddr::V4(address) = to.ip()
        && address.is_loopback()
    {
        socket.bind(&SocketAddr::from((from, 0)).into())?;
    }
    // On the loopback the connection is established when this returns, before the server accepts it.
    socket.connect(&to.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
