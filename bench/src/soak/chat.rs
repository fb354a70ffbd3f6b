//! The chatting members of a soak: two verifiers check every message, one those between members and one those to the
//! lobby. Latency is measured from the time when a message was due. One more member, the flooder, fills the flood room;
//! only stalled peers (`peer.rs`) check its messages.

use super::peer::FLOOD_ROOM;
use super::whole_lines;
use crate::Failure;
use crate::child::SILENCE;
use crate::child::ServerProcess;
use crate::clients::Clients;
use crate::meter::new_histogram;
use crate::payload::{self, Payload};
use crate::poller::Poller;
use crate::verifier::{Seen, Shape, Verifier, Wire};
use bstr::ByteSlice;
use hdrhistogram::Histogram;
use redpoll::limits::READ;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::io;
use std::time::{Duration, Instant};

/// Number of chatting members. The member after them is the flooder.
const MEMBERS: usize = 16;
/// How many of them also send to the lobby.
const SENDERS: usize = 4;
/// Maximum number of messages of a sender in flight. Two, so that a lost message shows by the next one.
const WINDOW: usize = 2;
/// Interval between the sends of a sender. A member that sends both directly and to the lobby sends 16 lines a second,
/// which is below the default `--rate`.
const EVERY: Duration = Duration::from_millis(250);
/// A sender that is late by more than this skips messages: sent at once, they would be blocked by rate.
const MAX_DELAY: Duration = Duration::from_secs(1);
/// Bytes of a payload: the length of a typical line.
const SIZE: usize = 64;
/// Interval and size of the flooder's messages: 36 KB a second, also below the default `--rate`.
const FLOOD_EVERY: Duration = Duration::from_millis(83);
const FLOOD_SIZE: usize = 3000;

/// The members, their verifiers, and the latencies since the last sample.
pub struct Chat {
    clients: Clients,
    direct: Verifier,
    room: Verifier,
    /// When each sender sends next, in nanoseconds: first all members, then the senders to the lobby.
    due: Vec<u64>,
    flood_due: u64,
    flood_sequence: u32,
    /// Unfinished lines, by member.
    held: Vec<Vec<u8>>,
    seen: Seen,
    batch: Vec<u8>,
    started: Instant,
    /// Time from when a message was due until it arrived, in nanoseconds.
    pub latencies: Histogram<u64>,
}

impl Chat {
    /// Connects the members. Their keys in the poller are their numbers, from 0.
    ///
    /// # Errors
    /// The server rejected a member.
    pub fn start(server: &mut ServerProcess, poller: &Poller) -> Result<Chat, Failure> {
        let clients = Clients::connect_all(server, Wire::Server, MEMBERS + 1, 0)?;
        for (index, member) in clients.members.iter().enumerate() {
            poller.add(member, index as u64)?;
        }
        let senders = MEMBERS + SENDERS;
        // Spreads the sends over the interval.
        let due = (0..senders).map(|sender| (EVERY * sender as u32 / senders as u32).as_nanos() as u64);
        let room = Shape::Room { senders: SENDERS, stalled: 0 };
        let mut chat = Chat {
            clients,
            direct: Verifier::new(Shape::Pairs, Wire::Server, MEMBERS, SIZE, WINDOW),
            room: Verifier::new(room, Wire::Server, MEMBERS, SIZE, WINDOW),
            due: due.collect(),
            flood_due: 0,
            flood_sequence: 0,
            held: vec![Vec::new(); MEMBERS],
            seen: Seen::default(),
            batch: format!("&{FLOOD_ROOM}\n").into_bytes(),
            started: Instant::now(),
            latencies: new_histogram(),
        };
        chat.send(MEMBERS, server)?;
        Ok(chat)
    }

    /// Returns whether a key belongs to a member.
    pub fn has(&self, key: u64) -> bool {
        key <= MEMBERS as u64
    }

    /// Returns the number of verified messages.
    pub fn verified(&self) -> u64 {
        self.direct.verified() + self.room.verified()
    }

    /// Sends all messages that are due. Returns when to call it again.
    ///
    /// # Errors
    /// A message is overdue, or a connection is broken.
    pub fn advance(&mut self, server: &mut ServerProcess) -> Result<Instant, Failure> {
        let now = self.now();
        let mut next = now + EVERY.as_nanos() as u64;
        for sender in 0..self.due.len() {
            if self.due[sender] <= now {
                self.send_due(sender, now, server)?;
            }
            // A sender with a full window continues once its messages have arrived.
            next = next.min(self.due[sender].max(now + 1_000_000));
        }
        if self.flood_due <= now {
            self.batch = format!("&{FLOOD_ROOM}:").into_bytes();
            let payload = Payload { sender: MEMBERS, recipient: None, sequence: self.flood_sequence };
            payload.encode(FLOOD_SIZE, &mut self.batch);
            self.batch.push(b'\n');
            self.send(MEMBERS, server)?;
            self.flood_sequence += 1;
            self.flood_due = after(self.flood_due, FLOOD_EVERY, now);
        }
        Ok(self.started + Duration::from_nanos(next.min(self.flood_due)))
    }

    fn send_due(&mut self, sender: usize, now: u64, server: &mut ServerProcess) -> Result<(), Failure> {
        let (verifier, member) = match sender.checked_sub(MEMBERS) {
            None => (&mut self.direct, sender),
            Some(member) => (&mut self.room, member),
        };
        self.batch.clear();
        let first = verifier.write(member, &mut self.batch);
        if self.batch.is_empty() {
            let is_lost = now - self.due[sender] > SILENCE.as_nanos() as u64;
            return match verifier.missing().filter(|_| is_lost) {
                Some(violation) => Err(silent(server, &violation.to_string())),
                None => Ok(()),
            };
        }
        verifier.stamp(member, first, self.due[sender]);
        self.due[sender] = after(self.due[sender], EVERY, now);
        self.send(member, server)
    }

    /// Sends the batch. The server reads all input that is within the rate, so the kernel accepts all bytes.
    fn send(&mut self, member: usize, server: &mut ServerProcess) -> Result<(), Failure> {
        match send(&self.clients.members[member], &self.batch, SendFlags::NOSIGNAL) {
            Ok(taken) if taken == self.batch.len() => Ok(()),
            Ok(_) | Err(Errno::AGAIN) => {
                Err(silent(server, &format!("{} isn't read", payload::name(member))))
            }
            Err(error) => Err(server.broken(&payload::name(member), &error.into())),
        }
    }

    /// Reads once and verifies the lines.
    ///
    /// # Errors
    /// A violation, or a broken connection.
    pub fn receive(
        &mut self,
        member: usize,
        scratch: &mut [u8],
        server: &mut ServerProcess,
    ) -> Result<(), Failure> {
        let bytes = match recv(&self.clients.members[member], &mut scratch[..READ], RecvFlags::empty()) {
            Ok((0, _)) => {
                let last_line =
                    self.held.get(member).map_or(String::new(), |held| held.to_str_lossy().into());
                let client = format!("{} {last_line}", payload::name(member));
                return Err(server.broken(client.trim_end(), &io::ErrorKind::UnexpectedEof.into()));
            }
            Ok((bytes, _)) => bytes,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            Err(error) => return Err(server.broken(&payload::name(member), &error.into())),
        };
        let Some(held) = self.held.get_mut(member) else { return Ok(()) };
        let lines = whole_lines(&scratch[..bytes], held);
        let now = self.now();
        let mut each = lines.lines_with_terminator();
        each.try_for_each(|line| self.verify(member, line, now).map_err(Failure::Violation))
    }

    fn verify(&mut self, member: usize, line: &[u8], now: u64) -> Result<(), String> {
        let verifier = match line {
            // Presence isn't verified.
            [b'*', b' ', ..] => return Ok(()),
            [b'@', ..] => &mut self.direct,
            _ => &mut self.room,
        };
        verifier.read(member, line, &mut self.seen).map_err(|violation| violation.to_string())?;
        self.seen.ready.clear();
        for (due, count) in self.seen.sent.drain(..) {
            self.latencies.saturating_record_n(now.saturating_sub(due), count);
        }
        Ok(())
    }

    /// Returns a message that was sent and has not reached all its receivers, if there is one.
    pub fn missing(&self) -> Option<String> {
        self.direct.missing().or_else(|| self.room.missing()).map(|violation| violation.to_string())
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }
}

/// Returns the time after `due` for the next send; `now` if the sender is too late.
fn after(due: u64, every: Duration, now: u64) -> u64 {
    let next = due + every.as_nanos() as u64;
    if next + (MAX_DELAY.as_nanos() as u64) < now { now } else { next }
}

/// Returns the failure for output that has stopped arriving: the end of the server, else `what`.
fn silent(server: &mut ServerProcess, what: &str) -> Failure {
    Failure::Violation(server.end().unwrap_or_else(|| format!("{what}; nothing has come for {SILENCE:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_sender_skips_after_maximum_delay() {
        let ms = |count: u64| count * 1_000_000;
        assert_eq!(after(ms(100), EVERY, ms(101)), ms(350));
        assert_eq!(after(ms(100), EVERY, ms(900)), ms(350));
        assert_eq!(after(ms(100), EVERY, ms(9000)), ms(9000));
    }
}
