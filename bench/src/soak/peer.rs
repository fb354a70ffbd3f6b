//! A peer that follows a script: a connection, the remaining steps, and what it may receive meanwhile. It never blocks;
//! the loop in `mod.rs` continues it.

use super::whole_lines;
use crate::Failure;
use crate::child::SILENCE;
use crate::clients::connect;
use crate::payload::Payload;
use crate::poller::Poller;
use bstr::ByteSlice;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use socket2::Socket;
use std::collections::VecDeque;
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

/// The flood room, in which stalled peers get more output than they read.
pub const FLOOD_ROOM: &str = "pit";

/// The role of a peer, which determines what the server may do to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Connects, registers and leaves; must never be rejected.
    Churner,
    /// Doesn't read for a while; may be closed as too slow.
    Staller,
    /// Sends garbage; may get any error.
    Garbage,
}

/// A step of a script. At the end of the script the connection is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Reads until a line with this prefix arrives.
    Await(String),
    /// Reads for this long.
    Wait(Duration),
    /// Doesn't read for this long.
    Stall(Duration),
    /// Shuts down the sending side.
    HalfClose,
    /// Closes by a reset.
    Reset,
    /// Reads until the server closes.
    End,
}

/// The state of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It continues when input arrives, at the latest at this time.
    Waits(Instant),
    /// The script is done.
    Done,
    /// The server has closed the connection as too slow, with its close reason.
    TooSlow,
    /// The server has closed the connection early, as it may.
    Cut,
}

/// Interval between attempts to send bytes that the kernel refused.
const AGAIN: Duration = Duration::from_millis(20);
/// Maximum wait for an answer: longer than the server takes to read the input of a connection above its rate after the
/// end of its stream.
const PATIENCE: Duration = SILENCE.saturating_mul(3);

/// A peer that follows a script.
pub struct Peer {
    /// What the server may do to it.
    pub role: Role,
    name: String,
    socket: Socket,
    key: u64,
    steps: VecDeque<Step>,
    /// When the first remaining step began.
    since: Instant,
    /// Whether the socket is not in the poller.
    is_stalled: bool,
    has_ended: bool,
    too_slow: bool,
    /// The unfinished line.
    held: Vec<u8>,
    /// The next expected sequence in the flood room, after the first message.
    next: Option<u32>,
}

impl Peer {
    /// Connects. The first step adds the socket to the poller, under `key`.
    ///
    /// # Errors
    /// The connection can't be made.
    pub fn connect(
        role: Role,
        (name, steps): (String, Vec<Step>),
        to: SocketAddr,
        key: u64,
    ) -> std::io::Result<Peer> {
        let socket = connect(to, role == Role::Staller)?;
        socket.set_nonblocking(true)?;
        Ok(Peer {
            role,
            name,
            socket,
            key,
            steps: steps.into(),
            since: Instant::now(),
            is_stalled: true,
            has_ended: false,
            too_slow: false,
            held: Vec::new(),
            next: None,
        })
    }

    /// Reads once.
    ///
    /// # Errors
    /// A line that the server should not have sent.
    pub fn receive(&mut self, scratch: &mut [u8]) -> Result<(), Failure> {
        let bytes = match recv(&self.socket, &mut *scratch, RecvFlags::empty()) {
            Ok((0, _)) => return self.end("closed"),
            Ok((bytes, _)) => bytes,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            Err(error) => return self.end(&error.to_string()),
        };
        let lines = whole_lines(&scratch[..bytes], &mut self.held);
        lines
            .lines_with_terminator()
            .try_for_each(|line| self.receive_line(line.strip_suffix(b"\n").unwrap_or(line)))
    }

    /// Takes as many steps as possible.
    ///
    /// # Errors
    /// An expected answer did not arrive.
    pub fn advance(&mut self, now: Instant, poller: &Poller) -> Result<Progress, Failure> {
        loop {
            let until = match self.steps.front() {
                None => return Ok(Progress::Done),
                Some(Step::End) if self.has_ended => return Ok(Progress::Done),
                Some(_) if self.has_ended => return self.cut(),
                Some(Step::Send(_) | Step::HalfClose | Step::Reset) => now,
                Some(Step::Wait(time) | Step::Stall(time)) => self.since + *time,
                Some(Step::Await(_) | Step::End) => self.since + PATIENCE,
            };
            self.watch(!matches!(self.steps.front(), Some(Step::Stall(_))), poller)?;
            if now < until {
                return Ok(Progress::Waits(until));
            }
            if !self.take(now)? {
                return Ok(Progress::Waits(now + AGAIN));
            }
        }
    }

    /// Takes the current step. Returns whether it is complete.
    fn take(&mut self, now: Instant) -> Result<bool, Failure> {
        match self.steps.front_mut() {
            Some(Step::Send(bytes)) => match send(&self.socket, bytes, SendFlags::NOSIGNAL) {
                Ok(taken) if taken < bytes.len() => {
                    bytes.drain(..taken);
                    return Ok(false);
                }
                Ok(_) => {}
                Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
                Err(error) if self.role == Role::Churner => {
                    return Err(self.violation(&format!("can't send: {error}")));
                }
                // Lines that were sent before are still to be read.
                Err(_) => self.steps = [Step::End].into(),
            },
            // An error here means that the server has closed first, which is noticed elsewhere.
            Some(Step::HalfClose) => drop(self.socket.shutdown(Shutdown::Write)),
            Some(Step::Reset) => drop(self.socket.set_linger(Some(Duration::ZERO))),
            Some(Step::Await(what)) => {
                let what = std::mem::take(what);
                return Err(self.violation(&format!("waits for `{what}` for {PATIENCE:?}")));
            }
            Some(Step::End) => return Err(self.violation(&format!("is not closed for {PATIENCE:?}"))),
            Some(Step::Wait(_) | Step::Stall(_)) | None => {}
        }
        self.step(now);
        Ok(true)
    }

    /// Adds the socket to the poller or removes it. A stalled peer isn't watched: epoll would report its hang-up again
    /// and again.
    fn watch(&mut self, reads: bool, poller: &Poller) -> Result<(), Failure> {
        if reads != self.is_stalled {
            return Ok(());
        }
        self.is_stalled = !reads;
        if reads { poller.add(&self.socket, self.key) } else { poller.delete(&self.socket) }
    }

    fn step(&mut self, now: Instant) {
        // `End` stays until the script is done.
        if self.steps.front() != Some(&Step::End) {
            self.steps.pop_front();
        }
        self.since = now;
    }

    /// Returns the result for a connection that the server has closed before the script was done.
    fn cut(&self) -> Result<Progress, Failure> {
        match self.role {
            Role::Churner => Err(self.violation("was closed in the middle")),
            _ if self.too_slow => Ok(Progress::TooSlow),
            _ => Ok(Progress::Cut),
        }
    }

    fn end(&mut self, how: &str) -> Result<(), Failure> {
        self.has_ended = true;
        match (self.role, self.steps.front()) {
            (Role::Churner, step) if step != Some(&Step::End) => {
                Err(self.violation(&format!("was cut off: {how}")))
            }
            _ => Ok(()),
        }
    }

    fn receive_line(&mut self, line: &[u8]) -> Result<(), Failure> {
        // The first guarantee of the protocol, whatever other peers send.
        let is_clean = |text: &str| !text.chars().any(|c| c.is_control() && c != '\t');
        if !line.to_str().is_ok_and(is_clean) {
            return Err(self.violation(&format!("got {:?}, which is no clean text", line.as_bstr())));
        }
        if self.role != Role::Garbage && line.starts_with(b"!") {
            self.too_slow = self.role == Role::Staller && line.starts_with(b"!too-slow ");
            if !self.too_slow {
                return Err(self.violation(&format!("was refused: {}", line.as_bstr())));
            }
        }
        if let Some(text) = line.strip_prefix(format!("&{FLOOD_ROOM}:").as_bytes()) {
            self.receive_flood(text)?;
        }
        if let Some(Step::Await(what)) = self.steps.front()
            && line.starts_with(what.as_bytes())
        {
            self.step(Instant::now());
        }
        Ok(())
    }

    /// Checks that no message in the flood room was lost, even for a peer that reads late.
    fn receive_flood(&mut self, text: &[u8]) -> Result<(), Failure> {
        let payload = text.split_once_str(":").and_then(|(_, text)| Payload::decode(text));
        match payload {
            Some(payload) if self.next.is_none_or(|next| next == payload.sequence) => {
                self.next = Some(payload.sequence + 1);
                Ok(())
            }
            Some(payload) => {
                let due = self.next.unwrap_or_default();
                Err(self
                    .violation(&format!("got message {} of the pit where {due} was due", payload.sequence)))
            }
            None => Err(self.violation("got a damaged message in the pit")),
        }
    }

    fn violation(&self, what: &str) -> Failure {
        Failure::Violation(format!("{} {what}", self.name))
    }
}
