//! Those who chat all the time: every message is in the books of two ledgers, one for what is said to one another and one
//! for the lobby, and timed from when it was due. Besides, somebody who talks much in the pit, which nobody has to hear.

use super::peer::PIT;
use super::whole_lines;
use crate::Failure;
use crate::child::SILENCE;
use crate::child::Server;
use crate::crowd::Crowd;
use crate::ledger::{Ledger, Seen, Shape, Wire};
use crate::meter::new_histogram;
use crate::payload::{self, Payload};
use crate::poller::Poller;
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
const BEHIND: Duration = Duration::from_secs(1);
/// Bytes of a payload, as people type.
const SIZE: usize = 64;
/// How often something is said in the pit, and how much: 36 KB a second, also below the rate.
const PIT_EVERY: Duration = Duration::from_millis(83);
const PIT_SIZE: usize = 3000;

/// The members, their books, and what came of it since the last sample.
pub struct Chat {
    crowd: Crowd,
    direct: Ledger,
    room: Ledger,
    /// When each lane sends next, in nanoseconds: members first, senders in the lobby then.
    due: Vec<u64>,
    pit_due: u64,
    pit_sequence: u32,
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
    pub fn gather(server: &mut Server, poller: &Poller) -> Result<Chat, Failure> {
        let crowd = Crowd::gather(server, Wire::Server, MEMBERS + 1, 0)?;
        for (place, member) in crowd.members.iter().enumerate() {
            poller.add(member, place as u64)?;
        }
        let lanes = MEMBERS + SENDERS;
        // Not all at the same moment.
        let due = (0..lanes).map(|lane| (EVERY * lane as u32 / lanes as u32).as_nanos() as u64);
        let room = Shape::Room { senders: SENDERS, stalled: 0 };
        let mut chat = Chat {
            crowd,
            direct: Ledger::new(Shape::Pairs, Wire::Server, MEMBERS, SIZE, WINDOW),
            room: Ledger::new(room, Wire::Server, MEMBERS, SIZE, WINDOW),
            due: due.collect(),
            pit_due: 0,
            pit_sequence: 0,
            held: vec![Vec::new(); MEMBERS],
            seen: Seen::default(),
            batch: format!("&{PIT}\n").into_bytes(),
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
    pub fn talk(&mut self, server: &mut Server) -> Result<Instant, Failure> {
        let now = self.now();
        let mut next = now + EVERY.as_nanos() as u64;
        for lane in 0..self.due.len() {
            if self.due[lane] <= now {
                self.talk_in(lane, now, server)?;
            }
            // One that waits for its last messages is let go on by their coming.
            next = next.min(self.due[lane].max(now + 1_000_000));
        }
        if self.pit_due <= now {
            self.batch = format!("&{PIT}:").into_bytes();
            let said = Payload { sender: MEMBERS, recipient: None, sequence: self.pit_sequence };
            said.encode(PIT_SIZE, &mut self.batch);
            self.batch.push(b'\n');
            self.send(MEMBERS, server)?;
            self.pit_sequence += 1;
            self.pit_due = after(self.pit_due, PIT_EVERY, now);
        }
        Ok(self.started + Duration::from_nanos(next.min(self.pit_due)))
    }

    fn talk_in(&mut self, lane: usize, now: u64, server: &mut Server) -> Result<(), Failure> {
        let (ledger, sender) = match lane.checked_sub(MEMBERS) {
            None => (&mut self.direct, lane),
            Some(sender) => (&mut self.room, sender),
        };
        self.batch.clear();
        let first = ledger.write(sender, &mut self.batch);
        if self.batch.is_empty() {
            let is_lost = now - self.due[lane] > SILENCE.as_nanos() as u64;
            return match ledger.missing().filter(|_| is_lost) {
                Some(wrong) => Err(silent(server, &wrong.to_string())),
                None => Ok(()),
            };
        }
        ledger.stamp(sender, first, self.due[lane]);
        self.due[lane] = after(self.due[lane], EVERY, now);
        self.send(sender, server)
    }

    /// Sends the batch. The server reads all that keeps to the rate, so the kernel takes it.
    fn send(&mut self, member: usize, server: &mut Server) -> Result<(), Failure> {
        match send(&self.crowd.members[member], &self.batch, SendFlags::NOSIGNAL) {
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
    pub fn receive(&mut self, member: usize, scratch: &mut [u8], server: &mut Server) -> Result<(), Failure> {
        let bytes = match recv(&self.crowd.members[member], &mut scratch[..READ], RecvFlags::empty()) {
            Ok((0, _)) => {
                let farewell = self.held.get(member).map_or(String::new(), |held| held.to_str_lossy().into());
                let who = format!("{} {farewell}", payload::name(member));
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
        each.try_for_each(|line| self.hear(member, line, now).map_err(Failure::Wrong))
    }

    fn hear(&mut self, member: usize, line: &[u8], now: u64) -> Result<(), String> {
        let ledger = match line {
            // Who comes and goes isn't in the books.
            [b'*', b' ', ..] => return Ok(()),
            [b'@', ..] => &mut self.direct,
            _ => &mut self.room,
        };
        ledger.read(member, line, &mut self.seen).map_err(|wrong| wrong.to_string())?;
        self.seen.ready.clear();
        for (due, count) in self.seen.sent.drain(..) {
            self.latencies.saturating_record_n(now.saturating_sub(due), count);
        }
        Ok(())
    }

    /// What was said and has not been heard by everybody, if anything.
    pub fn missing(&self) -> Option<String> {
        self.direct.missing().or_else(|| self.room.missing()).map(|wrong| wrong.to_string())
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }
}

/// The next time behind one that was due.
fn after(due: u64, every: Duration, now: u64) -> u64 {
    let next = due + every.as_nanos() as u64;
    if next + (BEHIND.as_nanos() as u64) < now { now } else { next }
}

/// Nothing comes any more, and this shows it.
fn silent(server: &mut Server, what: &str) -> Failure {
    Failure::Wrong(server.end().unwrap_or_else(|| format!("{what}; nothing has come for {SILENCE:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_a_little_behind_makes_up_for_it_and_whoever_is_far_behind_does_not() {
        let ms = |count: u64| count * 1_000_000;
        assert_eq!(after(ms(100), EVERY, ms(101)), ms(350));
        assert_eq!(after(ms(100), EVERY, ms(900)), ms(350));
        assert_eq!(after(ms(100), EVERY, ms(9000)), ms(9000));
    }
}
