//! The generator: one thread, one loop over the sockets of all members, a window of messages on their way per sender.
//! It reads 64 KiB at a time and answers all that a read has earned by one write. What stands on the wire, and whether it
//! is right, is the ledger's business; when it is measured, the meter's.

use super::child::Server;
use super::crowd::Crowd;
use super::ledger::{Ledger, Seen};
use super::meter::{Meter, SILENCE, Timing};
use super::results::Run;
use super::{Failure, is_interrupted, payload};
use redpoll::limits::READ;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::io::{self, ErrorKind};

/// The key of the connection that tells counters; members are numbered from 0.
const CONTROL: u64 = u64::MAX;
/// Events of one wait.
const EVENTS: usize = 1024;

/// A load that runs.
pub struct Generator<'a> {
    crowd: &'a Crowd,
    ledger: Ledger,
    server: &'a mut Server,
    meter: Meter,
    epoll: OwnedFd,
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
    /// Puts the members who read, and the server's counters, into a poller, and begins to warm up.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn new(
        crowd: &'a Crowd,
        ledger: Ledger,
        server: &'a mut Server,
        timing: Timing,
    ) -> Result<Generator<'a>, Failure> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(cannot_poll)?;
        let members = crowd.members.len();
        // Whoever is stalled isn't even watched: its end would be told again and again.
        for (place, member) in crowd.members.iter().enumerate().take(ledger.listening()) {
            epoll::add(&epoll, member, EventData::new_u64(place as u64), EventFlags::IN)
                .map_err(cannot_poll)?;
        }
        if let Some(control) = &server.control {
            let control = control.descriptor();
            epoll::add(&epoll, control, EventData::new_u64(CONTROL), EventFlags::IN).map_err(cannot_poll)?;
        }
        Ok(Generator {
            crowd,
            ledger,
            server,
            meter: Meter::start(timing),
            epoll,
            scratch: vec![0; 2 * READ],
            held: vec![Vec::new(); members],
            refused: vec![Vec::new(); members],
            batch: Vec::with_capacity(READ),
            seen: Seen::default(),
        })
    }

    /// Runs the load once.
    ///
    /// # Errors
    /// A message that was wrong, a server that ended, Ctrl-C.
    pub fn run(mut self) -> Result<Run, Failure> {
        for sender in 0..self.ledger.senders() {
            self.send(sender)?;
        }
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            if !self.meter.advance(self.server, self.ledger.verified())? {
                return Err(self.silence());
            }
            if self.meter.is_draining() && self.ledger.missing().is_none() {
                return Ok(self.meter.result(self.server));
            }
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&self.meter.patience())) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(cannot_poll(error)),
            }
            if is_interrupted() {
                return Err(Failure::Interrupted);
            }
            for Event { flags, data } in events.iter().copied() {
                self.attend(data.u64(), flags)?;
            }
        }
    }

    fn attend(&mut self, key: u64, flags: EventFlags) -> Result<(), Failure> {
        if key == CONTROL {
            let heard = self.meter.hear_counters(self.server);
            return heard.map_err(|error| self.server.broken("its operator", &error));
        }
        let member = key as usize;
        if flags.contains(EventFlags::OUT) {
            self.send_refused(member)?;
        }
        if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            self.receive(member)?;
        }
        Ok(())
    }

    /// One read of a member, and one write of each sender whom it lets go on.
    fn receive(&mut self, member: usize) -> Result<(), Failure> {
        let held = self.held[member].len();
        self.scratch[..held].copy_from_slice(&self.held[member]);
        self.held[member].clear();
        let room = &mut self.scratch[held..held + READ];
        let bytes = match recv(&self.crowd.members[member], room, RecvFlags::empty()) {
            Ok((0, _)) => return Err(self.broken(member, ErrorKind::UnexpectedEof.into())),
            Ok((bytes, _)) => held + bytes,
            Err(Errno::AGAIN | Errno::INTR) => held,
            Err(error) => return Err(self.broken(member, error.into())),
        };
        let read = self.ledger.read(member, &self.scratch[..bytes], &mut self.seen);
        let whole = read.map_err(|wrong| Failure::Wrong(wrong.to_string()))?;
        if whole < bytes {
            self.held[member].extend_from_slice(&self.scratch[whole..bytes]);
        }
        self.meter.note_arrival();
        for (sent, count) in self.seen.sent.drain(..) {
            self.meter.record(sent, count);
        }
        if self.meter.is_draining() {
            self.seen.ready.clear();
        }
        while let Some(sender) = self.seen.ready.pop() {
            self.send(sender)?;
        }
        Ok(())
    }

    /// Sends all that a sender may.
    fn send(&mut self, sender: usize) -> Result<(), Failure> {
        self.batch.clear();
        let first = self.ledger.write(sender, &mut self.batch);
        self.ledger.stamp(sender, first, self.meter.now());
        if self.batch.is_empty() {
            return Ok(());
        }
        if !self.refused[sender].is_empty() {
            self.refused[sender].extend_from_slice(&self.batch);
            return Ok(());
        }
        let taken = match send(&self.crowd.members[sender], &self.batch, SendFlags::NOSIGNAL) {
            Ok(taken) => taken,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Err(error) => return Err(self.broken(sender, error.into())),
        };
        if taken < self.batch.len() {
            self.refused[sender].extend_from_slice(&self.batch[taken..]);
            self.watch(sender, EventFlags::IN | EventFlags::OUT)?;
        }
        Ok(())
    }

    fn send_refused(&mut self, sender: usize) -> Result<(), Failure> {
        match send(&self.crowd.members[sender], &self.refused[sender], SendFlags::NOSIGNAL) {
            Ok(taken) => drop(self.refused[sender].drain(..taken)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(self.broken(sender, error.into())),
        }
        if self.refused[sender].is_empty() { self.watch(sender, EventFlags::IN) } else { Ok(()) }
    }

    fn watch(&self, member: usize, flags: EventFlags) -> Result<(), Failure> {
        let data = EventData::new_u64(member as u64);
        epoll::modify(&self.epoll, &self.crowd.members[member], data, flags).map_err(cannot_poll)
    }

    fn broken(&mut self, member: usize, error: io::Error) -> Failure {
        // What it was told last says why, if it was told.
        let farewell = String::from_utf8_lossy(&self.held[member]).into_owned();
        let who = payload::name(member);
        self.server.broken(&if farewell.is_empty() { who } else { format!("{who} ({farewell})") }, &error)
    }

    /// Nothing has come for long.
    fn silence(&mut self) -> Failure {
        match (self.server.end(), self.ledger.missing()) {
            (Some(end), _) => Failure::Broken(end),
            // That is what the scenario is to show.
            (None, Some(_)) if self.ledger.has_stalled() => {
                Failure::Stopped(format!("those who read got nothing for {SILENCE:?}"))
            }
            (None, Some(wrong)) => Failure::Wrong(format!("{wrong}; nothing has come for {SILENCE:?}")),
            (None, None) => Failure::Broken(format!("nothing has come for {SILENCE:?}")),
        }
    }
}

/// The poller has failed.
pub fn cannot_poll(error: Errno) -> Failure {
    Failure::of("can't poll", &error.into())
}
