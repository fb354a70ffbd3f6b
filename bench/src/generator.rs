//! The message generator: each sender has a window of messages in flight. It reads up to 64 KiB at a time and sends all
//! messages that a read has allowed in one write. The verifier decides what to send and whether input is correct.

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
    /// Input: the unfinished line of a member's last read, then the new bytes.
    scratch: Vec<u8>,
    /// Unfinished lines, by member.
    held: Vec<Vec<u8>>,
    /// Bytes that the kernel refused, by member.
    refused: Vec<Vec<u8>>,
    batch: Vec<u8>,
    seen: Seen,
}

impl<'a> Generator<'a> {
    /// Sends nothing yet. The event key of a member is its number.
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

    /// Reads from a member once, then writes once for each sender with an opened window.
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

    /// Sends all messages that the window of a sender allows.
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
        // The last line, if there is one, contains the close reason.
        let last_line = String::from_utf8_lossy(&self.held[member]).into_owned();
        let client = payload::name(member);
        harness
            .server
            .broken(&if last_line.is_empty() { client } else { format!("{client} ({last_line})") }, &error)
    }
}

impl Load for Generator<'_> {
    fn begin(&mut self, harness: &mut Harness<'_>) -> Result<(), Failure> {
        // Stalled members aren't watched: epoll would report their hang-up again and again.
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
            // The scenario exists to show this result.
            Some(_) if self.verifier.has_stalled() => {
                Failure::Stopped(format!("connections that read received nothing for {SILENCE:?}"))
            }
            Some(violation) => Failure::Violation(format!("{violation}; nothing has come for {SILENCE:?}")),
            None => Failure::Broken(format!("nothing has come for {SILENCE:?}")),
        }
    }
}
