//! Those who chat all the time: every message is in the books of two verifiers, one for what is said to one another and one
//! for the lobby, and timed from when it was due. Besides, somebody who talks much in the pit, which nobody has to hear.

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

/// How many chat. The one behind them is who talks in the pit.
const MEMBERS: usize = 16;
/// How many of them talk in the lobby, too.
const SENDERS: usize = 4;
/// Messages of a lane that are sent at once, if the last ones have come: two, so that a loss shows by the other one.
const WINDOW: usize = 2;
/// How often a lane sends. With both lanes that is 16 lines a second of one member, below the default `--rate`.
const EVERY: Duration = Duration::from_millis(250);
/// A lane that is so far behind leaves out what it would have sent: the server holds back who sends it all at once.
const MAX_DELAY: Duration = Duration::from_secs(1);
/// Bytes of a payload, as people type.
const SIZE: usize = 64;
/// How often something is said in the pit, and how much: 36 KB a second, also below the rate.
const FLOOD_EVERY: Duration = Duration::from_millis(83);
const FLOOD_SIZE: usize = 3000;

/// The members, their books, and what came of it since the last sample.
pub struct Chat {
    clients: Clients,
    direct: Verifier,
    room: Verifier,
    /// When each lane sends next, in nanoseconds: members first, senders in the lobby then.
    due: Vec<u64>,
    flood_due: u64,
    flood_sequence: u32,
    /// Unfinished lines, by member.
    held: Vec<Vec<u8>>,
    seen: Seen,
    batch: Vec<u8>,
    started: Instant,
    /// From when messages were due until they were heard, in nanoseconds.
    pub latencies: Histogram<u64>,
}

impl Chat {
    /// Gathers them; their keys in the poller are their numbers, from 0.
    ///
    /// # Errors
    /// Where the server would not have them.
    pub fn start(server: &mut ServerProcess, poller: &Poller) -> Result<Chat, Failure> {
        let clients = Clients::connect_all(server, Wire::Server, MEMBERS + 1, 0)?;
        for (index, member) in clients.members.iter().enumerate() {
            poller.add(member, index as u64)?;
        }
        let senders = MEMBERS + SENDERS;
        // Not all at the same moment.
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

    /// Whether that key is a member's.
    pub fn has(&self, key: u64) -> bool {
        key <= MEMBERS as u64
    }

    /// Messages that were heard as they should be.
    pub fn verified(&self) -> u64 {
        self.direct.verified() + self.room.verified()
    }

    /// Says what is due, and when it is to be asked next.
    ///
    /// # Errors
    /// A message that hasn't come for long, or a connection that is broken.
    pub fn advance(&mut self, server: &mut ServerProcess) -> Result<Instant, Failure> {
        let now = self.now();
        let mut next = now + EVERY.as_nanos() as u64;
        for sender in 0..self.due.len() {
            if self.due[sender] <= now {
                self.send_due(sender, now, server)?;
            }
            // One that waits for its last messages is let go on by their coming.
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

    /// Sends the batch. The server reads all that keeps to the rate, so the kernel takes it.
    fn send(&mut self, member: usize, server: &mut ServerProcess) -> Result<(), Failure> {
        match send(&self.clients.members[member], &self.batch, SendFlags::NOSIGNAL) {
            Ok(taken) if taken == self.batch.len() => Ok(()),
            Ok(_) | Err(Errno::AGAIN) => {
                Err(silent(server, &format!("{} isn't read", payload::name(member))))
            }
            Err(error) => Err(server.broken(&payload::name(member), &error.into())),
        }
    }

    /// Reads once, and holds it against the books.
    ///
    /// # Errors
    /// What is wrong.
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
                let who = format!("{} {last_line}", payload::name(member));
                return Err(server.broken(who.trim_end(), &io::ErrorKind::UnexpectedEof.into()));
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
            // Who comes and goes isn't in the books.
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

    /// What was said and has not been heard by everybody, if anything.
    pub fn missing(&self) -> Option<String> {
        self.direct.missing().or_else(|| self.room.missing()).map(|violation| violation.to_string())
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }
}

/// The next time behind one that was due.
fn after(due: u64, every: Duration, now: u64) -> u64 {
    let next = due + every.as_nanos() as u64;
    if next + (MAX_DELAY.as_nanos() as u64) < now { now } else { next }
}

/// Nothing comes any more, and this shows it.
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
