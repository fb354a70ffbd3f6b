//! `redpoll-bench soak`: clients that chat, connect and leave, stall, and send garbage, all at once and for long,
//! against one server that is watched for drift. This file is the plan: what the loop does, when it takes a sample, and
//! what it checks after all clients have left.

mod chat;
mod drift;
mod peer;
mod workload;

use super::child::SILENCE;
use super::child::{Counters, ServerProcess, Start};
use super::machine::Processors;
use super::poller::{CONTROL, Poller};
use super::{Failure, program, sleep, watch_signals};
use crate::cli::SoakOptions;
use bstr::ByteSlice;
use chat::Chat;
use drift::Sample;
use fastrand::Rng;
use indicatif::ProgressBar;
use peer::{Peer, Progress, Role};
use redpoll::limits::READ;
use slab::Slab;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use workload::FLOWS;

/// First event key of peers; the chatting members have the keys below.
const PEERS: u64 = 1 << 32;
/// Time after the last client has left until the server is checked.
const IDLE: Duration = Duration::from_secs(2);
/// Interval between samples, as the help says.
const SAMPLE_EVERY: Duration = Duration::from_secs(5);
/// Minimum and maximum number of samples. The maximum bounds the slopes, which are taken between all pairs.
const LEAST_SAMPLES: u32 = 60;
const MOST_SAMPLES: u32 = 720;
/// Flags of the server: those of a small host, so that limits are reached within seconds. `--rate` is the default:
/// chatting members stay below it, garbage does not.
const FLAGS: &str = "--queue 64KiB --queue-total 8MiB --send-buffer 32KiB --register-timeout 5s \
                     --max-connections 256 --drain 2s";

/// Runs a soak. Exit codes: 0 nothing to complain about, 1 complaints, or interrupted.
#[must_use]
pub fn run(options: &SoakOptions) -> ExitCode {
    match watch_signals().and_then(|()| soak(options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("redpoll-bench soak: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn soak(options: &SoakOptions) -> Result<(), Failure> {
    let processors = Processors::claim();
    let engine = options.engine();
    let words = FLAGS.split(' ').chain(["--engine", &engine]).map(str::to_owned).collect();
    let program = program::find(options.server.as_deref());
    let mut server = ServerProcess::start(&Start::Serve(words), &program, &processors)?;
    println!("{engine} for {:?}, seed {}: serve {FLAGS}", options.time, options.seed);
    println!("{}", processors.words());
    let record = Record::new(options.out.as_deref()).map_err(|error| Failure::of("can't write", &error))?;
    let before = idle_sample(&mut server)?;
    let mut soak = Soak::new(&mut server, options, record)?;
    let result = soak.run(options.time);
    soak.progress.finish_and_clear();
    let samples = std::mem::take(&mut soak.samples);
    // Closes all clients.
    drop(soak);
    if !samples.is_empty() {
        print!("{}", drift::table(&samples));
    }
    result?;
    sleep(IDLE)?;
    let after = idle_sample(&mut server)?;
    println!("{}", drift::ends(&before, &after));
    let complaints = drift::complaints(&samples, &before, &after);
    if complaints.is_empty() {
        println!("nothing to complain about");
        return Ok(());
    }
    Err(Failure::Violation(complaints.join("; ")))
}

/// The file of samples, if one was asked for.
struct Record(Option<File>);

impl Record {
    fn new(folder: Option<&Path>) -> io::Result<Record> {
        let Some(folder) = folder else { return Ok(Record(None)) };
        fs::create_dir_all(folder)?;
        let mut record = Record(Some(File::create(folder.join("soak.csv"))?));
        record.write(&drift::heading())?;
        Ok(record)
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), |file| writeln!(file, "{line}"))
    }
}

/// Counts since the last sample.
#[derive(Default)]
struct Counts {
    cycles: u32,
    late: u32,
    too_slow: u32,
    garbage: u32,
}

/// Figures at the last sample.
struct Mark {
    at: Instant,
    cpu: Option<u64>,
    verified: u64,
    timed_out: u64,
}

/// The state of a flow. Each flow has its own random numbers, so that its nth peer is the same whatever the other flows
/// do.
struct Arrivals {
    next: Instant,
    number: u32,
    rng: Rng,
}

struct Soak<'a> {
    server: &'a mut ServerProcess,
    poller: Poller,
    chat: Chat,
    peers: Slab<Peer>,
    /// When each peer may continue, by index in `peers`.
    wakes: Vec<Instant>,
    arrivals: [Arrivals; FLOWS.len()],
    counts: Counts,
    started: Instant,
    mark: Mark,
    /// When the counters were requested, until they arrive.
    asked: Option<Instant>,
    samples: Vec<Sample>,
    record: Record,
    progress: ProgressBar,
    scratch: Vec<u8>,
}

impl<'a> Soak<'a> {
    fn new(
        server: &'a mut ServerProcess,
        options: &SoakOptions,
        record: Record,
    ) -> Result<Soak<'a>, Failure> {
        let poller = Poller::new(server)?;
        let chat = Chat::start(server, &poller)?;
        let now = Instant::now();
        Ok(Soak {
            mark: Mark { at: now, cpu: server.cpu(), verified: 0, timed_out: 0 },
            server,
            poller,
            chat,
            peers: Slab::new(),
            wakes: Vec::new(),
            arrivals: [0, 1, 2].map(|flow| Arrivals {
                next: now,
                number: 0,
                rng: Rng::with_seed(options.seed.wrapping_mul(FLOWS.len() as u64).wrapping_add(flow)),
            }),
            counts: Counts::default(),
            started: now,
            asked: None,
            samples: Vec::new(),
            record,
            progress: super::progress_bar(u64::from(samples(options.time))),
            scratch: vec![0; READ],
        })
    }

    fn run(&mut self, time: Duration) -> Result<(), Failure> {
        let count = samples(time);
        let every = time / count;
        let mut next_sample = self.started + every;
        while self.samples.len() < count as usize {
            let now = Instant::now();
            match self.asked {
                None if now >= next_sample => {
                    self.ask(now)?;
                    next_sample += every;
                }
                Some(asked) if now >= asked + SILENCE => {
                    let why = format!("the operator got no answer for {SILENCE:?}");
                    return Err(self.or_end(Failure::Violation(why)));
                }
                _ => {}
            }
            let wake = self.asked.map_or(next_sample, |asked| asked + SILENCE);
            let wake = wake.min(self.chat.advance(self.server)?);
            let wake = wake.min(self.start_due_peers(now)?);
            let wake = self.advance_due_peers(now, wake)?;
            self.wait(wake)?;
        }
        self.drain()
    }

    /// Waits for all messages in flight; nothing more is sent.
    fn drain(&mut self) -> Result<(), Failure> {
        let last = Instant::now() + SILENCE;
        while let Some(missing) = self.chat.missing() {
            if Instant::now() > last {
                return Err(Failure::Violation(format!("{missing}; nothing has come for {SILENCE:?}")));
            }
            self.wait(last)?;
        }
        Ok(())
    }

    /// Waits for events until `wake`, and handles them.
    fn wait(&mut self, wake: Instant) -> Result<(), Failure> {
        for index in 0..self.poller.wait(wake.saturating_duration_since(Instant::now()))? {
            let (key, _) = self.poller.event(index);
            self.handle_event(key)?;
        }
        Ok(())
    }

    fn handle_event(&mut self, key: u64) -> Result<(), Failure> {
        if key == CONTROL {
            let received = self.server.control.as_mut().map_or(Ok(None), |control| control.receive());
            return match received {
                Ok(Some(counters)) => self.sample(&counters),
                Ok(None) => Ok(()),
                Err(error) => Err(self.server.broken("its operator", &error)),
            };
        }
        if self.chat.has(key) {
            return self.chat.receive(key as usize, &mut self.scratch, self.server);
        }
        let index = (key - PEERS) as usize;
        if let Some(peer) = self.peers.get_mut(index) {
            let received = peer.receive(&mut self.scratch);
            received.map_err(|failure| self.or_end(failure))?;
            // The line for which it waits may have arrived.
            self.wakes[index] = Instant::now();
        }
        Ok(())
    }

    /// Connects the peers that are due. Returns when the next one is due.
    fn start_due_peers(&mut self, now: Instant) -> Result<Instant, Failure> {
        for (flow, arrivals) in FLOWS.iter().zip(&mut self.arrivals) {
            if arrivals.next > now {
                continue;
            }
            // A peer that is late, or exceeds `at_once`, is skipped.
            arrivals.next = (arrivals.next + flow.every).max(now);
            if self.peers.iter().filter(|(_, peer)| peer.role == flow.role).count() == flow.at_once {
                continue;
            }
            let script = workload::script(flow.role, arrivals.number, &mut arrivals.rng);
            arrivals.number += 1;
            let entry = self.peers.vacant_entry();
            let key = entry.key();
            let peer = Peer::connect(flow.role, script, self.server.address, PEERS + key as u64);
            entry.insert(peer.map_err(|error| self.server.broken("a new connection", &error))?);
            self.wakes.resize(self.wakes.len().max(key + 1), now);
            self.wakes[key] = now;
        }
        Ok(self.arrivals.iter().map(|arrivals| arrivals.next).min().unwrap_or(now))
    }

    /// Continues the peers that are due. Returns when the next one is due, at most `wake`.
    fn advance_due_peers(&mut self, now: Instant, wake: Instant) -> Result<Instant, Failure> {
        let mut next = wake;
        let mut gone = Vec::new();
        for (index, peer) in &mut self.peers {
            if self.wakes[index] <= now {
                match peer.advance(now, &self.poller) {
                    Ok(Progress::Waits(until)) => self.wakes[index] = until,
                    Ok(end) => {
                        self.counts.count(peer.role, end);
                        gone.push(index);
                        continue;
                    }
                    Err(failure) => return Err(self.or_end(failure)),
                }
            }
            next = next.min(self.wakes[index]);
        }
        for index in gone {
            self.peers.remove(index);
        }
        Ok(next)
    }

    /// If the server has ended, that is the cause of the failure and replaces it.
    fn or_end(&mut self, failure: Failure) -> Failure {
        match failure {
            Failure::Violation(why) => match self.server.broken("", &io::ErrorKind::Other.into()) {
                Failure::Broken(end) if end.starts_with("the server ended") => Failure::Broken(end),
                Failure::Interrupted => Failure::Interrupted,
                _ => Failure::Violation(why),
            },
            failure => failure,
        }
    }

    fn ask(&mut self, now: Instant) -> Result<(), Failure> {
        self.asked = Some(now);
        let asked = self.server.control.as_mut().map_or(Ok(()), |control| control.ask());
        asked.map_err(|error| self.server.broken("its operator", &error))
    }

    /// Takes a sample from counters that have arrived.
    fn sample(&mut self, counters: &Counters) -> Result<(), Failure> {
        if self.asked.take().is_none() {
            return Ok(());
        }
        let (now, cpu, verified) = (Instant::now(), self.server.cpu(), self.chat.verified());
        let counts = std::mem::take(&mut self.counts);
        let timed_out = counters.get("refused-register-timeout").copied().unwrap_or(0);
        let spent = cpu.zip(self.mark.cpu).map_or(0, |(now, before)| now.saturating_sub(before));
        let latencies = &mut self.chat.latencies;
        let ms = |nanos: u64| nanos as f64 / 1e6;
        let sample = Sample {
            seconds: (now - self.started).as_secs_f64(),
            cpu: spent as f64 / (now - self.mark.at).as_nanos().max(1) as f64,
            p50: ms(latencies.value_at_quantile(0.5)),
            p99: ms(latencies.value_at_quantile(0.99)),
            max: ms(latencies.max()),
            verified: (verified - self.mark.verified) as f64,
            cycles: counts.cycles.into(),
            late: counts.late.into(),
            too_slow: counts.too_slow.into(),
            garbage: counts.garbage.into(),
            timed_out: (timed_out - self.mark.timed_out) as f64,
            ..of_process(self.server, counters)
        };
        latencies.reset();
        self.mark = Mark { at: now, cpu, verified, timed_out };
        self.samples.push(sample);
        self.progress.inc(1);
        self.progress.set_message(format!("{:.0} KiB, p99 {:.1} ms", sample.rss / 1024.0, sample.p99));
        self.record.write(&drift::line(&sample)).map_err(|error| Failure::of("can't write", &error))
    }
}

impl Counts {
    fn count(&mut self, role: Role, end: Progress) {
        let count = match (role, end) {
            (Role::Churner, _) => &mut self.cycles,
            (Role::Staller, Progress::Done) => &mut self.late,
            (Role::Staller, _) => &mut self.too_slow,
            (Role::Garbage, _) => &mut self.garbage,
        };
        *count += 1;
    }
}

/// Returns the number of samples for a soak of this length.
fn samples(time: Duration) -> u32 {
    let count = time.as_secs_f64() / SAMPLE_EVERY.as_secs_f64();
    (count as u32).clamp(LEAST_SAMPLES, MOST_SAMPLES)
}

/// Returns the figures from the system and from the counters.
fn of_process(server: &ServerProcess, counters: &Counters) -> Sample {
    let figure = |key| counters.get(key).map_or(0.0, |figure| *figure as f64);
    let (rss, pss) = server.memory();
    Sample {
        rss: rss.unwrap_or(0) as f64,
        pss: pss.unwrap_or(0) as f64,
        descriptors: server.descriptors().unwrap_or(0) as f64,
        connections: figure("connections"),
        queued: figure("queued-bytes"),
        ..Sample::default()
    }
}

/// Returns a sample of the empty server.
fn idle_sample(server: &mut ServerProcess) -> Result<Sample, Failure> {
    let counters = server.counters().map_err(|error| server.broken("its operator", &error))?;
    Ok(of_process(server, &counters))
}

/// Appends `input` to `held` and returns its complete lines. The unfinished line stays in `held`.
fn whole_lines(input: &[u8], held: &mut Vec<u8>) -> Vec<u8> {
    held.extend_from_slice(input);
    let end = held.rfind_byte(b'\n').map_or(0, |at| at + 1);
    held.drain(..end).collect()
}
