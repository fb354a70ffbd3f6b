//! The measured part of a run: a warm-up, two borders at which clocks and counters are read while the load goes on, and a
//! rest in which what is on its way must still arrive. Generators ask it where they are and tell it what has arrived.

use super::Failure;
use super::child::{self, Counters, SILENCE, ServerProcess};
use super::results::{Latency, Run};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

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

/// Where a run is; until when, in nanoseconds since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Warming(u64),
    Settling(u64),
    Measuring(u64),
    /// The last counters are under way; since then.
    Counting(u64),
    /// Nobody begins anything; what is on its way must arrive all the same.
    Draining,
}

/// What is read at a border.
#[derive(Debug, Clone, Copy)]
struct Mark {
    at: u64,
    units: u64,
    cpu: Option<u64>,
    ticks: Option<(u64, u64)>,
    waited: Option<u64>,
    own_cpu: u64,
    own_waited: Option<u64>,
}

/// The clock of a run, and what was read and recorded.
pub struct Meter {
    started: Instant,
    timing: Timing,
    phase: Phase,
    /// When something last arrived.
    received: u64,
    marks: Vec<Mark>,
    counters: Vec<Counters>,
    /// The server's context switches just outside of the borders, and the units until then.
    switches: Vec<((u64, u64), u64)>,
    histogram: Histogram<u64>,
}

impl Meter {
    /// Begins to warm up now.
    #[must_use]
    pub fn start(timing: Timing) -> Meter {
        Meter {
            started: Instant::now(),
            timing,
            phase: Phase::Warming(nanoseconds(timing.warm_up)),
            received: 0,
            marks: Vec::new(),
            counters: Vec::new(),
            switches: Vec::new(),
            histogram: new_histogram(),
        }
    }

    /// Nanoseconds since the beginning.
    #[must_use]
    pub fn now(&self) -> u64 {
        nanoseconds(self.started.elapsed())
    }

    /// Whether nothing is to be begun any more.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.phase == Phase::Draining
    }

    /// How long to wait at most: up to the next border.
    #[must_use]
    pub fn patience(&self) -> Duration {
        let until = match self.phase {
            Phase::Warming(until) | Phase::Settling(until) | Phase::Measuring(until) => until,
            Phase::Counting(_) | Phase::Draining => u64::MAX,
        };
        Duration::from_nanos(until.saturating_sub(self.now()).max(1))
    }

    /// Passes a border if it is time; `units` have arrived so far. False once nothing has arrived for [`SILENCE`].
    ///
    /// # Errors
    /// Where the server doesn't tell its counters.
    pub fn advance(&mut self, server: &mut ServerProcess, units: u64) -> Result<bool, Failure> {
        let now = self.now();
        match self.phase {
            Phase::Warming(until) if now >= until => {
                self.switches.extend(server.switches().map(|switches| (switches, units)));
                self.phase = Phase::Settling(self.now() + nanoseconds(SETTLE));
            }
            Phase::Settling(until) if now >= until => {
                let at = self.mark(server, units)?;
                self.phase = Phase::Measuring(at + nanoseconds(self.timing.measured));
            }
            // The first counters come before the last are asked for, however many others the server has to serve.
            Phase::Measuring(until) if now >= until && self.has_counters(server) => {
                self.mark(server, units)?;
                self.switches.extend(server.switches().map(|switches| (switches, units)));
                self.phase = Phase::Counting(self.now());
            }
            Phase::Counting(_) if self.has_counters(server) => {
                self.phase = Phase::Draining;
                self.received = now;
            }
            // Others are heard, but not the one who tells the counters.
            Phase::Measuring(since) | Phase::Counting(since) if now > since + nanoseconds(SILENCE) => {
                // One that is blocked by those who don't read, as a thread may be that holds the lock, is a result.
                return Err(Failure::Stopped(format!(
                    "the server did not tell its counters for {SILENCE:?}"
                )));
            }
            _ => return Ok(now.saturating_sub(self.received) < nanoseconds(SILENCE)),
        }
        Ok(true)
    }

    /// Whether the counters of the last border have come, if there are any.
    fn has_counters(&self, server: &ServerProcess) -> bool {
        server.control.is_none() || self.counters.len() == self.marks.len()
    }

    /// Reads the clocks, and asks for counters: at both borders alike and without waiting for the answer, so that what
    /// the server does between the one and the other is the same on both sides.
    fn mark(&mut self, server: &mut ServerProcess, units: u64) -> Result<u64, Failure> {
        let at = self.now();
        let cpu = server.cpu();
        self.marks.push(Mark {
            at,
            units,
            cpu,
            own_cpu: child::own_cpu(),
            ticks: server.ticks(),
            waited: server.waited(),
            own_waited: child::own_waited(),
        });
        if let Some(control) = &mut server.control {
            control.ask().map_err(|error| Failure::of("can't ask the server for its counters", &error))?;
        }
        Ok(at)
    }

    /// Takes what the server's control connection has brought.
    ///
    /// # Errors
    /// Where that is broken.
    pub fn receive_counters(&mut self, server: &mut ServerProcess) -> std::io::Result<()> {
        if let Some(control) = &mut server.control
            && let Some(counters) = control.receive()?
            && self.counters.len() < self.marks.len()
        {
            self.counters.push(counters);
        }
        Ok(())
    }

    /// So many units have arrived now that began then. The time now.
    pub fn record(&mut self, began: u64, count: u64) {
        // What began before the first border may have waited for it. What arrives behind the second isn't counted.
        let now = self.received;
        let measured = matches!(self.phase, Phase::Measuring(_))
            && self.marks.first().is_some_and(|mark| began >= mark.at);
        if measured {
            self.histogram.saturating_record_n(now.saturating_sub(began), count);
        }
    }

    /// Something has arrived now.
    pub fn note_arrival(&mut self) {
        self.received = self.now();
    }

    /// What came of it.
    #[must_use]
    pub fn result(&self, server: &ServerProcess) -> Run {
        let [before, after] = [self.marks[0], self.marks[1]];
        let (nanos, units) = (after.at - before.at, after.units - before.units);
        let cpu = after.cpu.zip(before.cpu).map(|(after, before)| after - before);
        let waited = |after: Option<u64>, before| {
            after.zip(before).map(|(after, before)| share(after - before, nanos))
        };
        let shares = [
            ("generator busy", Some(share(after.own_cpu - before.own_cpu, nanos))),
            ("server busy", cpu.map(|cpu| share(cpu, nanos))),
            ("generator waited", waited(after.own_waited, before.own_waited)),
            ("server waited", waited(after.waited, before.waited)),
            (
                "bytes queued",
                self.counters.get(1).and_then(|counters| Some(*counters.get("queued-bytes")? as f64)),
            ),
        ];
        let (rss, pss) = server.memory();
        Run {
            round: 0,
            seconds: nanos as f64 / 1e9,
            units,
            cpu,
            system_share: before.ticks.zip(after.ticks).and_then(|(before, after)| {
                let (user, system) = (after.0 - before.0, after.1 - before.1);
                (user + system > 0).then(|| share(system, user + system))
            }),
            calls: match &self.counters[..] {
                [before, after] => child::calls(before, after),
                _ => BTreeMap::new(),
            },
            switches: self.scaled_switches(units),
            rss,
            pss,
            latency: (!self.histogram.is_empty()).then(|| latency(&self.histogram)),
            more: shares.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect(),
        }
    }

    /// They are read outside of the borders, since that takes long where there are many threads, and scaled to them.
    fn scaled_switches(&self, units: u64) -> Option<(u64, u64)> {
        let [(before, from), (after, to)] = self.switches[..] else { return None };
        let scale =
            |more: u64| (more as f64 * units as f64 / to.saturating_sub(from).max(1) as f64).round() as u64;
        Some((scale(after.0.saturating_sub(before.0)), scale(after.1.saturating_sub(before.1))))
    }
}

/// Up to a minute, to three digits.
pub fn new_histogram() -> Histogram<u64> {
    // The bounds are constants that hdrhistogram allows.
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds are in order")
}

/// What is told of a distribution.
fn latency(histogram: &Histogram<u64>) -> Latency {
    // From half of them to all but one in 100,000: ever finer towards the end, where it matters.
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read, Write};
    use std::os::unix::net::UnixStream;

    /// What the server has been asked since the last time.
    fn asked(peer: &mut UnixStream) -> String {
        let mut bytes = [0; 64];
        match peer.read(&mut bytes) {
            Ok(count) => String::from_utf8_lossy(&bytes[..count]).into_owned(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => String::new(),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn counters_of_the_second_border_are_asked_for_once_those_of_the_first_have_come() {
        let (ours, mut peer) = UnixStream::pair().unwrap();
        peer.set_nonblocking(true).unwrap();
        let mut server = ServerProcess::with_control(ours);
        let mut meter = Meter::start(Timing { warm_up: Duration::ZERO, measured: Duration::from_nanos(1) });
        while !matches!(meter.phase, Phase::Measuring(_)) {
            assert!(meter.advance(&mut server, 10).unwrap());
        }
        assert_eq!(asked(&mut peer), "/stats\n");
        for _ in 0..3 {
            assert!(meter.advance(&mut server, 20).unwrap());
            assert_eq!(asked(&mut peer), "");
        }
        for (turns, left) in [("5", "/stats\n"), ("9", "")] {
            peer.write_all(format!("+stats turns {turns}\n+end stats 1\n").as_bytes()).unwrap();
            meter.receive_counters(&mut server).unwrap();
            assert!(meter.advance(&mut server, 30).unwrap());
            assert_eq!(asked(&mut peer), left);
        }
        assert!(meter.is_draining());
        let run = meter.result(&server);
        assert_eq!((run.units, run.calls.get("wait")), (20, Some(&4)));
    }

    #[test]
    fn only_what_begins_and_arrives_between_the_borders_is_timed() {
        let (ours, _peer) = UnixStream::pair().unwrap();
        let mut server = ServerProcess::with_control(ours);
        let mut meter = Meter::start(Timing { warm_up: Duration::ZERO, measured: SILENCE });
        meter.note_arrival();
        meter.record(0, 1);
        while !matches!(meter.phase, Phase::Measuring(_)) {
            assert!(meter.advance(&mut server, 0).unwrap());
        }
        let border = meter.marks[0].at;
        meter.note_arrival();
        meter.record(border - 1, 1);
        assert_eq!(meter.histogram.len(), 0);
        meter.record(border, 2);
        assert_eq!(meter.histogram.len(), 2);
        meter.phase = Phase::Counting(meter.now());
        meter.record(border, 1);
        assert_eq!(meter.histogram.len(), 2);
    }
}
