//! The clock of a run: a warm-up, a measured part, and a drain in which messages in flight must still arrive. At the
//! two borders of the measured part clocks and counters are read while the load continues. Loads ask the meter for the
//! phase and record arrivals in it.

use super::Failure;
use super::child::{self, Counters, SILENCE, ServerProcess};
use super::results::{Latency, Run};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Load between the slow reads (context switches) and the first border, so that their cost does not disturb the
/// measured part.
const SETTLE: Duration = Duration::from_millis(30);

/// Lengths of the parts of a run.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Load before the measured part.
    pub warm_up: Duration,
    /// The measured part.
    pub measured: Duration,
}

/// The phase of a run, with its end in nanoseconds since the start of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Warming(u64),
    Settling(u64),
    Measuring(u64),
    /// The last counters were requested at this time and have not arrived.
    Counting(u64),
    /// No message is begun; all messages in flight must still arrive.
    Draining,
}

/// Figures that are read at a border.
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

/// The clock of a run, and all that was read and recorded.
pub struct Meter {
    started: Instant,
    timing: Timing,
    phase: Phase,
    /// When the last unit arrived.
    last_arrival: u64,
    marks: Vec<Mark>,
    counters: Vec<Counters>,
    /// The server's context switches just outside of the borders, with the units that had arrived.
    switches: Vec<((u64, u64), u64)>,
    histogram: Histogram<u64>,
}

impl Meter {
    /// Starts the warm-up.
    #[must_use]
    pub fn start(timing: Timing) -> Meter {
        Meter {
            started: Instant::now(),
            timing,
            phase: Phase::Warming(nanoseconds(timing.warm_up)),
            last_arrival: 0,
            marks: Vec::new(),
            counters: Vec::new(),
            switches: Vec::new(),
            histogram: new_histogram(),
        }
    }

    /// Returns nanoseconds since the start of the run.
    #[must_use]
    pub fn now(&self) -> u64 {
        nanoseconds(self.started.elapsed())
    }

    /// Returns whether no message may be begun any more.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.phase == Phase::Draining
    }

    /// Returns the maximum time to wait: until the end of the phase.
    #[must_use]
    pub fn patience(&self) -> Duration {
        let until = match self.phase {
            Phase::Warming(until) | Phase::Settling(until) | Phase::Measuring(until) => until,
            Phase::Counting(_) | Phase::Draining => u64::MAX,
        };
        Duration::from_nanos(until.saturating_sub(self.now()).max(1))
    }

    /// Enters the next phase if it is time; `units` have arrived so far. Returns false if nothing has arrived for
    /// [`SILENCE`].
    ///
    /// # Errors
    /// The server doesn't send its counters.
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
            // The first counters must arrive before the last are requested, however busy the server is.
            Phase::Measuring(until) if now >= until && self.has_counters(server) => {
                self.mark(server, units)?;
                self.switches.extend(server.switches().map(|switches| (switches, units)));
                self.phase = Phase::Counting(self.now());
            }
            Phase::Counting(_) if self.has_counters(server) => {
                self.phase = Phase::Draining;
                self.last_arrival = now;
            }
            // Messages still arrive, but the counters don't.
            Phase::Measuring(since) | Phase::Counting(since) if now > since + nanoseconds(SILENCE) => {
                // This is a result: the server may be blocked by clients that don't read, as a thread may be that holds
                // the lock.
                return Err(Failure::Stopped(format!(
                    "the server did not tell its counters for {SILENCE:?}"
                )));
            }
            _ => return Ok(now.saturating_sub(self.last_arrival) < nanoseconds(SILENCE)),
        }
        Ok(true)
    }

    /// Returns whether the counters of the last border have arrived, if there are any.
    fn has_counters(&self, server: &ServerProcess) -> bool {
        server.control.is_none() || self.counters.len() == self.marks.len()
    }

    /// Reads the clocks and requests the counters. Both borders do the same and don't wait for the answer, so that the
    /// cost of it is equal at both.
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

    /// Reads the server's control connection once.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn receive_counters(&mut self, server: &mut ServerProcess) -> std::io::Result<()> {
        if let Some(control) = &mut server.control
            && let Some(counters) = control.receive()?
            && self.counters.len() < self.marks.len()
        {
            self.counters.push(counters);
        }
        Ok(())
    }

    /// Records `count` units that began at `began` and have arrived now.
    pub fn record(&mut self, began: u64, count: u64) {
        // Units that began before the first border may have been delayed by it. Units that arrive after the second
        // aren't counted.
        let now = self.last_arrival;
        let measured = matches!(self.phase, Phase::Measuring(_))
            && self.marks.first().is_some_and(|mark| began >= mark.at);
        if measured {
            self.histogram.saturating_record_n(now.saturating_sub(began), count);
        }
    }

    /// Notes that something has arrived now.
    pub fn note_arrival(&mut self) {
        self.last_arrival = self.now();
    }

    /// Returns the figures of the run.
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

    /// Returns context switches scaled to the measured part. They are read outside of the borders, because reading them
    /// takes long if there are many threads.
    fn scaled_switches(&self, units: u64) -> Option<(u64, u64)> {
        let [(before, from), (after, to)] = self.switches[..] else { return None };
        let scale =
            |more: u64| (more as f64 * units as f64 / to.saturating_sub(from).max(1) as f64).round() as u64;
        Some((scale(after.0.saturating_sub(before.0)), scale(after.1.saturating_sub(before.1))))
    }
}

/// Returns a histogram of up to a minute with three significant digits.
pub fn new_histogram() -> Histogram<u64> {
    // The bounds are constants that hdrhistogram accepts.
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds are in order")
}

/// Summarizes a distribution.
fn latency(histogram: &Histogram<u64>) -> Latency {
    // From 50 % to all but one in 100,000, in steps that become finer towards the end.
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

    /// Returns the requests that the server has received since the last call.
    fn asked(peer: &mut UnixStream) -> String {
        let mut bytes = [0; 64];
        match peer.read(&mut bytes) {
            Ok(count) => String::from_utf8_lossy(&bytes[..count]).into_owned(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => String::new(),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn second_counters_wait_for_the_first() {
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
    fn only_units_between_borders_are_timed() {
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
