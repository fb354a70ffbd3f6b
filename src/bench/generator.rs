//! The generator: one thread, one loop over the sockets of all members, a window of messages on their way per sender.
//! It reads 64 KiB at a time, answers all that a read has earned by one write, and measures between two borders, across
//! which the windows stay full. What stands on the wire, and whether it is right, is the ledger's business.

use super::child::{self, Counters, Server};
use super::crowd::Crowd;
use super::ledger::{Ledger, Seen};
use super::results::{Latency, Run};
use super::{Failure, is_interrupted};
use crate::limits::READ;
use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::time::Timespec;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The key of the connection that tells counters; members are numbered from 0.
const CONTROL: u64 = u64::MAX;
/// How long nothing at all may come before a message counts as lost.
const SILENCE: Duration = Duration::from_secs(10);
/// How long the load goes on between reading what takes a while to read, and a border.
const SETTLE: Duration = Duration::from_millis(30);

/// How long.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Load before the measured part.
    pub warm_up: Duration,
    /// The measured part.
    pub measured: Duration,
}

/// What was read at a border.
#[derive(Debug, Clone, Copy)]
struct Mark {
    at: u64,
    verified: u64,
    cpu: Option<u64>,
    ticks: Option<(u64, u64)>,
    own_cpu: u64,
}

/// Where the run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Until then.
    Warming(u64),
    Settling(u64),
    Measuring(u64),
    /// The last counters are under way.
    Counting,
    /// Nobody sends; what is on its way must arrive all the same.
    Draining,
}

/// A load that runs.
pub struct Generator<'a> {
    crowd: &'a mut Crowd,
    ledger: Ledger,
    server: &'a mut Server,
    epoll: OwnedFd,
    started: Instant,
    phase: Phase,
    /// When something was last verified.
    heard: u64,
    /// Read here; behind what was left of a member's last read.
    scratch: Vec<u8>,
    /// Unfinished lines, by member.
    held: Vec<Vec<u8>>,
    /// What the kernel refused, by member.
    refused: Vec<Vec<u8>>,
    batch: Vec<u8>,
    seen: Seen,
    histogram: Histogram<u64>,
    /// Messages sent before this don't count for latency.
    fresh: u64,
    switches: [Option<((u64, u64), u64)>; 2],
    marks: Vec<Mark>,
    counters: Vec<Counters>,
}

impl<'a> Generator<'a> {
    /// Puts the members who read, and the server's counters, into a poller.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn new(
        crowd: &'a mut Crowd,
        stalled: usize,
        ledger: Ledger,
        server: &'a mut Server,
    ) -> Result<Generator<'a>, Failure> {
        let failure = |error: Errno| Failure::of("can't poll", &error.into());
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(failure)?;
        let members = crowd.members.len();
        for (place, member) in crowd.members.iter().enumerate() {
            let flags = if place < members - stalled { EventFlags::IN } else { EventFlags::empty() };
            epoll::add(&epoll, member, EventData::new_u64(place as u64), flags).map_err(failure)?;
        }
        if let Some(control) = &server.control {
            epoll::add(&epoll, control.descriptor(), EventData::new_u64(CONTROL), EventFlags::IN)
                .map_err(failure)?;
        }
        Ok(Generator {
            crowd,
            ledger,
            server,
            epoll,
            started: Instant::now(),
            phase: Phase::Draining,
            heard: 0,
            scratch: vec![0; 2 * READ],
            held: vec![Vec::new(); members],
            refused: vec![Vec::new(); members],
            batch: Vec::with_capacity(READ),
            seen: Seen::default(),
            histogram: new_histogram(),
            fresh: u64::MAX,
            switches: [None; 2],
            marks: Vec::new(),
            counters: Vec::new(),
        })
    }

    /// Runs the load once.
    ///
    /// # Errors
    /// A message that was wrong, a server that ended, Ctrl-C.
    pub fn run(mut self, timing: Timing) -> Result<Run, Failure> {
        self.started = Instant::now();
        self.phase = Phase::Warming(nanoseconds(timing.warm_up));
        for sender in 0..self.ledger.senders() {
            self.send(sender)?;
        }
        let mut events = Vec::with_capacity(1024);
        loop {
            self.advance(timing)?;
            if self.phase == Phase::Draining && self.ledger.missing().is_none() {
                return Ok(self.result());
            }
            events.clear();
            let timeout = Timespec { tv_sec: 0, tv_nsec: self.patience() };
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(Failure::of("can't poll", &error.into())),
            }
            if is_interrupted() {
                return Err(Failure::Interrupted);
            }
            for Event { flags, data } in events.iter().copied() {
                self.attend(data.u64(), flags)?;
            }
        }
    }

    /// Nanoseconds to wait at most: up to the next border.
    fn patience(&self) -> i64 {
        let until = match self.phase {
            Phase::Warming(until) | Phase::Settling(until) | Phase::Measuring(until) => until,
            Phase::Counting | Phase::Draining => u64::MAX,
        };
        until.saturating_sub(self.now()).clamp(1, 100_000_000) as i64
    }

    fn now(&self) -> u64 {
        nanoseconds(self.started.elapsed())
    }

    fn advance(&mut self, timing: Timing) -> Result<(), Failure> {
        let now = self.now();
        match self.phase {
            Phase::Warming(until) if now >= until => {
                self.switches[0] = self.server.switches().map(|switches| (switches, self.ledger.verified()));
                self.phase = Phase::Settling(self.now() + nanoseconds(SETTLE));
            }
            Phase::Settling(until) if now >= until => {
                self.mark()?;
                self.fresh = self.marks[0].at;
                self.phase = Phase::Measuring(self.fresh + nanoseconds(timing.measured));
            }
            Phase::Measuring(until) if now >= until => {
                self.mark()?;
                self.fresh = u64::MAX;
                self.switches[1] = self.server.switches().map(|switches| (switches, self.ledger.verified()));
                self.phase = Phase::Counting;
            }
            Phase::Counting if self.server.control.is_none() || self.counters.len() == 2 => {
                self.phase = Phase::Draining;
                self.heard = now;
            }
            _ if now.saturating_sub(self.heard) > nanoseconds(SILENCE) => {
                return Err(match (self.server.end(), self.ledger.missing()) {
                    (Some(end), _) => Failure::Broken(end),
                    (None, Some(wrong)) => {
                        Failure::Wrong(format!("{wrong}; nothing has come for {SILENCE:?}"))
                    }
                    (None, None) => Failure::Broken("the server does not tell its counters".to_owned()),
                });
            }
            _ => {}
        }
        Ok(())
    }

    /// Reads the clocks, and asks for counters: both borders alike, so that what the server does between the one and the
    /// other is the same on both sides.
    fn mark(&mut self) -> Result<(), Failure> {
        self.marks.push(Mark {
            at: self.now(),
            verified: self.ledger.verified(),
            cpu: self.server.cpu(),
            ticks: self.server.ticks(),
            own_cpu: child::own_cpu(),
        });
        if let Some(control) = &mut self.server.control {
            control.ask().map_err(|error| Failure::of("can't ask the server for its counters", &error))?;
        }
        Ok(())
    }

    fn attend(&mut self, key: u64, flags: EventFlags) -> Result<(), Failure> {
        if key == CONTROL {
            let heard = self.server.control.as_mut().map(child::Control::hear).transpose();
            match heard {
                Ok(Some(Some(counters))) if self.counters.len() < self.marks.len() => {
                    self.counters.push(counters)
                }
                Ok(_) => {}
                Err(error) => return Err(self.broken("the server", &error)),
            }
            return Ok(());
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
        let bytes =
            match recv(&self.crowd.members[member], &mut self.scratch[held..held + READ], RecvFlags::empty())
            {
                Ok((0, _)) => {
                    return Err(self.broken(&Crowd::name(member), &std::io::ErrorKind::UnexpectedEof.into()));
                }
                Ok((bytes, _)) => held + bytes,
                Err(Errno::AGAIN | Errno::INTR) => held,
                Err(error) => return Err(self.broken(&Crowd::name(member), &error.into())),
            };
        let input = &self.scratch[..bytes];
        let whole = self
            .ledger
            .read(member, input, &mut self.seen)
            .map_err(|wrong| Failure::Wrong(wrong.to_string()))?;
        if whole < bytes {
            self.held[member].extend_from_slice(&self.scratch[whole..bytes]);
        }
        self.heard = self.now();
        for (sent, count) in self.seen.sent.drain(..) {
            if sent >= self.fresh {
                self.histogram.saturating_record_n(self.heard - sent, count);
            }
        }
        if self.phase == Phase::Draining {
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
        let now = self.now();
        self.ledger.stamp(sender, first, now);
        if !self.refused[sender].is_empty() {
            self.refused[sender].extend_from_slice(&self.batch);
            return Ok(());
        }
        if self.batch.is_empty() {
            return Ok(());
        }
        let taken = match send(&self.crowd.members[sender], &self.batch, SendFlags::NOSIGNAL) {
            Ok(taken) => taken,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Err(error) => return Err(self.broken(&Crowd::name(sender), &error.into())),
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
            Err(error) => return Err(self.broken(&Crowd::name(sender), &error.into())),
        }
        if self.refused[sender].is_empty() { self.watch(sender, EventFlags::IN) } else { Ok(()) }
    }

    fn watch(&self, member: usize, flags: EventFlags) -> Result<(), Failure> {
        let watched =
            epoll::modify(&self.epoll, &self.crowd.members[member], EventData::new_u64(member as u64), flags);
        watched.map_err(|error| Failure::of("can't poll", &error.into()))
    }

    /// A connection has ended in the middle. What the server says of it, if it is ours and has ended too.
    fn broken(&mut self, who: &str, error: &std::io::Error) -> Failure {
        // It may take a moment until the system tells that a process is gone.
        std::thread::sleep(Duration::from_millis(20));
        Failure::Broken(match self.server.end() {
            Some(end) => end,
            None if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                format!("the server closed the connection of {who}")
            }
            None => format!("the connection of {who} broke: {error}"),
        })
    }

    fn result(&self) -> Run {
        let [before, after] = [self.marks[0], self.marks[1]];
        let (nanos, units) = (after.at - before.at, after.verified - before.verified);
        let cpu = after.cpu.zip(before.cpu).map(|(after, before)| after - before);
        let mut more =
            BTreeMap::from([("generator busy".to_owned(), share(after.own_cpu - before.own_cpu, nanos))]);
        if let Some(cpu) = cpu {
            more.insert("server busy".to_owned(), share(cpu, nanos));
        }
        let calls = match &self.counters[..] {
            [before, after] => {
                if let Some(bytes) = after.get("queued-bytes") {
                    more.insert("queued bytes".to_owned(), *bytes as f64);
                }
                child::calls(before, after)
            }
            _ => BTreeMap::new(),
        };
        let (rss, pss) = self.server.memory();
        Run {
            round: 0,
            seconds: nanos as f64 / 1e9,
            units,
            cpu,
            system_share: before.ticks.zip(after.ticks).and_then(|(before, after)| {
                let (user, system) = (after.0 - before.0, after.1 - before.1);
                (user + system > 0).then(|| share(system, user + system))
            }),
            calls,
            switches: self.switches[0].zip(self.switches[1]).map(|((before, from), (after, to))| {
                // Read just outside of the borders, since it takes long where there are many threads; scaled to them.
                let scale =
                    |more: u64| (more as f64 * units as f64 / (to - from).max(1) as f64).round() as u64;
                (scale(after.0.saturating_sub(before.0)), scale(after.1.saturating_sub(before.1)))
            }),
            rss,
            pss,
            latency: Some(latency(&self.histogram)),
            more,
        }
    }
}

/// Up to a minute, to three digits.
pub fn new_histogram() -> Histogram<u64> {
    // The bounds are constants that hdrhistogram allows.
    Histogram::new_with_bounds(1, 60_000_000_000, 3)
        .unwrap_or_else(|_| unreachable!("the bounds are in order"))
}

/// What is told of a distribution.
pub fn latency(histogram: &Histogram<u64>) -> Latency {
    // Half, nine in ten, 99 in 100 …: ever finer towards the end, where it matters.
    let shares = (0..100).map(|step| 1.0 - 10f64.powf(-f64::from(step) / 20.0));
    let curve = shares.map(|share| (histogram.value_at_quantile(share), share));
    Latency {
        p50: histogram.value_at_quantile(0.5),
        p90: histogram.value_at_quantile(0.9),
        p99: histogram.value_at_quantile(0.99),
        p999: histogram.value_at_quantile(0.999),
        max: histogram.max(),
        curve: curve.chain([(histogram.max(), 1.0)]).collect(),
    }
}

fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos() as u64
}
