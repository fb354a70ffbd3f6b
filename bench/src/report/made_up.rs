//! Made-up results for the tests of the report.

use crate::results::{Latency, Machine, Results, Run, Series};

/// Returns a series of one-second runs, given as round and nanoseconds of CPU time per unit.
pub fn series(scenario: &str, engine: &str, runs: &[(usize, u64)]) -> Series {
    Series {
        scenario: scenario.into(),
        variant: String::new(),
        engine: engine.into(),
        server: ["redpoll", "serve", "--engine", engine].map(String::from).into(),
        connections: 100,
        size: 64,
        unit: "message".into(),
        runs: runs.iter().map(|&(round, cpu)| run(round, cpu)).collect(),
        stopped: None,
    }
}

fn run(round: usize, cpu: u64) -> Run {
    Run {
        round,
        seconds: 1.0,
        units: 1000,
        cpu: Some(1000 * cpu),
        system_share: Some(0.7),
        calls: [("recv".into(), 1000), ("send".into(), 1000)].into(),
        switches: Some((2, 1)),
        rss: Some(3 << 20),
        pss: Some(2 << 20),
        latency: Some(latency(100_000.0)),
        more: [].into(),
    }
}

/// Returns a distribution with a long tail around `p50` nanoseconds.
fn latency(p50: f64) -> Latency {
    let at = |share: f64| (p50 * (1.0 + (0.5 / (1.0 - share)).log10().max(-0.4))) as u64;
    let shares = (0..100).map(|step| 1.0 - 10.0_f64.powf(-f64::from(step) / 25.0));
    let mut curve: Vec<(u64, f64)> = shares.map(|share| (at(share), share)).collect();
    curve.push((p50 as u64 * 6, 1.0));
    Latency {
        p50: p50 as u64,
        p90: p50 as u64 * 3 / 2,
        p99: p50 as u64 * 2,
        p999: p50 as u64 * 3,
        max: p50 as u64 * 6,
        curve,
    }
}

/// Each engine: its name, and its factors over the floor in CPU and latency, and its bytes of memory per connection.
const ENGINES: [(&str, f64, f64, f64); 5] = [
    ("reactor", 1.35, 1.1, 210.0),
    ("threads", 4.2, 0.9, 9_800.0),
    ("threads-queued", 6.1, 2.3, 19_500.0),
    ("limit", 1.0, 1.0, 90.0),
    ("irc://<b>127.0.0.1</b>:6667/\x1b[2J&", 8.0, 3.1, 4_100.0),
];

/// Each load: scenario, variant, connections, unit, CPU time and latency of the floor in nanoseconds.
const LOADS: [(&str, &str, usize, &str, f64, f64); 15] = [
    ("relay", "", 100, "message", 900.0, 900_000.0),
    ("many", "", 1000, "message", 2_100.0, 2_000_000.0),
    ("pingpong", "", 2, "message", 6_000.0, 22_000.0),
    ("fanout", "", 1000, "delivery", 950.0, 3_000_000.0),
    ("stalled", "with 10 who stopped reading", 1000, "delivery", 990.0, 3_400_000.0),
    ("stalled", "without them", 990, "delivery", 950.0, 3_000_000.0),
    ("idle", "", 10_000, "connection", 3_000.0, 0.0),
    ("churn", "notices off", 64, "cycle", 60_000.0, 300_000.0),
    ("churn", "notices on", 64, "cycle", 75_000.0, 300_000.0),
    ("ramp", "", 10, "message", 2_900.0, 20_000.0),
    ("ramp", "", 100, "message", 2_200.0, 200_000.0),
    ("ramp", "", 300, "message", 2_100.0, 600_000.0),
    ("ramp", "", 1000, "message", 2_100.0, 2_000_000.0),
    ("ramp", "", 3000, "message", 2_500.0, 6_000_000.0),
    ("ramp", "", 10_000, "message", 3_000.0, 22_000_000.0),
];

/// Returns seven rounds of everything, with all that may go wrong: an engine that the machine stopped, a target with a
/// hostile name and no readable process, a floor without variants.
pub fn results() -> Results {
    let loads = LOADS.iter().flat_map(|load| ENGINES.iter().map(move |engine| one(load, engine)));
    // The floor of churn was run once for both variants.
    let loads = loads.filter(|series| (&*series.variant, &*series.engine) != ("notices on", "limit"));
    Results {
        machine: Machine {
            kernel: "Linux 6.1.0-test".into(),
            processor: "Processor & Sons <model 3>".into(),
            processors: 2,
            memory: 8 << 30,
            redpoll: "0.1.0".into(),
            rustc: "rustc 1.88.0".into(),
            pinning: "server on processor 0, generator on processor 1".into(),
        },
        command: ["redpoll-bench", "--out", "a folder", "--rounds", "7"].map(String::from).into(),
        began: "2026-01-02T03:04:05Z".into(),
        seconds: 1834.2,
        series: loads.map(without_variant).collect(),
        notes: vec!["Two processors: the generator has one, the server the other.".into()],
    }
}

fn without_variant(mut series: Series) -> Series {
    if (&*series.scenario, &*series.engine) == ("churn", "limit") {
        series.variant.clear();
    }
    series
}

fn one(load: &(&str, &str, usize, &str, f64, f64), engine: &(&str, f64, f64, f64)) -> Series {
    let &(scenario, variant, connections, unit, cpu, p50) = load;
    let &(name, worse, slower, bytes) = engine;
    let mut series = series(scenario, name, &[]);
    let target = name.contains("://");
    (series.connections, series.unit) = (connections, unit.into());
    series.variant = variant.into();
    let many_threads = connections >= 10_000 && name.starts_with("threads");
    if many_threads {
        series.stopped =
            Some("no more threads at 7,211 connections: EAGAIN, the process has 32,768 at most".into());
    }
    if target {
        series.server.clear();
    }
    let rounds = if many_threads && scenario == "ramp" { 0 } else { 7 };
    series.runs = (0..rounds)
        .map(|round| {
            // The rounds of each engine differ in a different order.
            let own = name.len() + connections;
            let shake = 1.0 + [0.0, 0.04, -0.03, 0.07, 0.01, -0.05, 0.02][(round * (1 + own % 6) + own) % 7];
            let mut run = run(round, (cpu * worse * shake) as u64);
            run.units = (1e9 / (cpu * (worse + 0.5) * shake)) as u64;
            run.cpu = Some((run.units as f64 * cpu * worse * shake) as u64);
            run.calls =
                [("recv".into(), run.units), ("send".into(), run.units), ("wait".into(), run.units / 9)]
                    .into();
            run.rss = Some(2_500_000 + (bytes * shake) as u64 * connections as u64);
            run.latency = (p50 > 0.0).then(|| latency(p50 * slower * shake));
            if unit == "connection" {
                (run.latency, run.units) = (None, connections as u64);
                run.more = [
                    ("bytes per connection", bytes),
                    ("bytes after a burst", bytes * 1.3),
                    ("wake-ups per second", 0.2),
                ]
                .map(|(name, value)| (name.into(), value * shake))
                .into();
            }
            if target {
                (run.cpu, run.system_share, run.switches, run.rss, run.pss) = (None, None, None, None, None);
                run.calls.clear();
                run.more.clear();
            }
            run
        })
        .collect();
    series
}
