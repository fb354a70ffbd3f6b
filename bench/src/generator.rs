//! The generator: a load of messages, a window of them on their way per sender. It reads 64 KiB at a time and answers all
//! that a read has earned by one write. What stands on the wire, and whether it is right, is the verifier's business.

use super::child::SILENCE;
use super::clients::Clients;
use super::harness::{Harness, Load};
use super::verifier::{Seen, Verifier};
use super::{Failure, payload};
use redpoll::limits::READ;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::io::{self, ErrorKind};

/// A load of messages.
pub struct Generator<'a> {
    clients: &'a Clients,
    verifier: Verifier,
    /// Read here, behind what was left of a member's last read.
    scratch: Vec<u8>,
    /// Unfinished lines, by member.
    held: Vec<Vec<u8>>,
    /// What the kernel refused, by member.
    refused: Vec<Vec<u8>>,
    batch: Vec<u8>,
    seen: Seen,
}

impl<'a> Generator<'a> {
    /// Nothing is sent yet. Members are watched by their numbers.
    #[must_use]
    pub fn new(clients: &'a Clients, verifier: Verifier) -> Generator<'a> {
        let members = clients.members.len();
        Generator {
            clients,
            verifier,
            scratch: vec![0; 2 * READ],
            held: vec![Vec::new(); members],
            refused: vec![Vec::new(); members],
            batch: Vec::with_capacity(READ),
            seen: Seen::default(),
        }
    }

    /// One read of a member, and one write of each sender whom it lets go on.
    fn receive(&mut self, member: usize, harness: &mut Harness<'_>) -> Result<(), Failure> {
        let held = self.held[member].len();
        self.scratch[..held].copy_from_slice(&self.held[member]);
        self.held[member].clear();
        let room = &mut self.scratch[held..held + READ];
        let bytes = match recv(&self.clients.members[member], room, RecvFlags::empty()) {
            Ok((0, _)) => return Err(self.broken(member, ErrorKind::UnexpectedEof.into(), harness)),
            Ok((bytes, _)) => held + bytes,
            Err(Errno::AGAIN | Errno::INTR) => held,
            Err(error) => return Err(self.broken(member, error.into(), harness)),
        };
        let read = self.verifier.read(member, &self.scratch[..bytes], &mut self.seen);
        let whole = read.map_err(|violation| Failure::Violation(violation.to_string()))?;
        if whole < bytes {
            self.held[member].extend_from_slice(&self.scratch[whole..bytes]);
        }
        harness.meter.note_arrival();
        for (sent, count) in self.seen.sent.drain(..) {
            harness.meter.record(sent, count);
        }
        if harness.meter.is_draining() {
            self.seen.ready.clear();
        }
        while let Some(sender) = self.seen.ready.pop() {
            self.send(sender, harness)?;
        }
        Ok(())
    }

    /// Sends all that a sender may.
    fn send(&mut self, sender: usize, harness: &mut Harness<'_>) -> Result<(), Failure> {
        self.batch.clear();
        let first = self.verifier.write(sender, &mut self.batch);
        self.verifier.stamp(sender, first, harness.meter.now());
        if self.batch.is_empty() {
            return Ok(());
        }
        if !self.refused[sender].is_empty() {
            self.refused[sender].extend_from_slice(&self.batch);
            return Ok(());
        }
        let taken = match send(&self.clients.members[sender], &self.batch, SendFlags::NOSIGNAL) {
            Ok(taken) => taken,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Err(error) => return Err(self.broken(sender, error.into(), harness)),
        };
        if taken < self.batch.len() {
            self.refused[sender].extend_from_slice(&self.batch[taken..]);
            self.watch(sender, EventFlags::IN | EventFlags::OUT, harness)?;
        }
        Ok(())
    }

    fn send_refused(&mut self, sender: usize, harness: &mut Harness<'_>) -> Result<(), Failure> {
        match send(&self.clients.members[sender], &self.refused[sender], SendFlags::NOSIGNAL) {
            Ok(taken) => drop(self.refused[sender].drain(..taken)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(self.broken(sender, error.into(), harness)),
        }
        if self.refused[sender].is_empty() { self.watch(sender, EventFlags::IN, harness) } else { Ok(()) }
    }

    fn watch(&self, member: usize, flags: EventFlags, harness: &Harness<'_>) -> Result<(), Failure> {
        harness.poller.modify(&self.clients.members[member], member as u64, flags)
    }

    fn broken(&self, member: usize, error: io::Error, harness: &mut Harness<'_>) -> Failure {
        // What it was told last says why, if it was told.
        let last_line = String::from_utf8_lossy(&self.held[member]).into_owned();
        let who = payload::name(member);
        harness
            .server
            .broken(&if last_line.is_empty() { who } else { format!("{who} ({last_line})") }, &error)
    }
}

impl Load for Generator<'_> {
    fn begin(&mut self, harness: &mut Harness<'_>) -> Result<(), Failure> {
        // Whoever is stalled isn't even watched: its end would be told again and again.
        for (index, member) in self.clients.members.iter().enumerate().take(self.verifier.readers()) {
            harness.poller.add(member, index as u64)?;
        }
        (0..self.verifier.senders()).try_for_each(|sender| self.send(sender, harness))
    }

    fn handle_event(
        &mut self,
        key: u64,
        flags: EventFlags,
        harness: &mut Harness<'_>,
    ) -> Result<(), Failure> {
        let member = key as usize;
        if flags.contains(EventFlags::OUT) {
            self.send_refused(member, harness)?;
        }
        if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            self.receive(member, harness)?;
        }
        Ok(())
    }

    fn units(&self) -> u64 {
        self.verifier.verified()
    }

    fn is_over(&self) -> bool {
        self.verifier.missing().is_none()
    }

    fn silence(&self) -> Failure {
        match self.verifier.missing() {
            // That is what the scenario is to show.
            Some(_) if self.verifier.has_stalled() => {
                Failure::Stopped(format!("those who read got nothing for {SILENCE:?}"))
            }
            Some(violation) => Failure::Violation(format!("{violation}; nothing has come for {SILENCE:?}")),
            None => Failure::Broken(format!("nothing has come for {SILENCE:?}")),
        }
    }
}
