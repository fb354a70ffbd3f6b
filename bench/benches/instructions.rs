//! Counts the instructions that the server executes for a message, on turns in memory. Of 2n messages callgrind counts
//! the second n, which is I(2n) - I(n) for a server with one hash seed. The cost of the simulator and of this file is
//! in a separate column. `cargo bench -p redpoll-bench --bench instructions [-- --case NAME]` prints a row for each
//! case: the mean of some runs, each with other hash seeds, then the minimum and the maximum. It needs `valgrind`, and
//! `addr2line` of binutils.

// Only these lines differ between versions of the server.
use redpoll::limits::Limits;
use redpoll::protocol::scheme::Scheme;
use redpoll_kit::{PeerNo, Sim};

use std::collections::HashMap;
use std::fmt::Display;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitCode};

/// Directories of the simulator's code. All other code of the repository belongs to the server.
const SIMULATOR: [&str; 2] = ["/tests/kit/", "/bench/"];
/// Directories of other crates and of the standard library. Their code counts as part of the code around it or, where
/// it is a separate function, as part of its callers.
const FOREIGN: [&str; 5] = ["/rustc/", "/rustlib/", "/registry/src/", "/git/checkouts/", "/vendor/"];
/// Runs of a case, and servers in a run, one after the other. Each server has its own hash seed.
const RUNS: usize = 5;
const SERVERS: usize = 10;

/// Name, messages per round, rounds of a server that count, and the function that plays a number of rounds.
struct Case(&'static str, usize, usize, fn(usize));

const CASES: [Case; 8] = [
    Case("direct, one a turn", 1, 1000, |rounds| pairs(2, 1, 1, rounds)),
    Case("direct, 64 at once", 64, 30, |rounds| pairs(2, 1, 64, rounds)),
    Case("many, one line each", 100, 20, |rounds| pairs(100, 100, 1, rounds)),
    Case("room of 100", 1, 400, |rounds| room(100, 0, 1, rounds)),
    Case("ten rooms of ten", 100, 20, rooms),
    Case("four dialects", 4, 100, dialects),
    Case("come and go", 1, 200, churn),
    Case("half read slowly", 16, 20, |rounds| room(40, 20, 16, rounds)),
];

const TEXT: &str = "see you at the usual place, at 8";

/// A server and its peers.
struct World {
    sim: Sim,
    peers: Vec<PeerNo>,
    received: usize,
}

impl World {
    fn new(quiet_above: usize, schemes: &[Scheme]) -> World {
        let limits = Limits { quiet_above: Some(quiet_above), rate: None, ..Limits::default() };
        World { sim: Sim::with_schemes(limits, schemes), peers: Vec::new(), received: 0 }
    }

    /// Connects `count` peers to `listener`; each sends its first bytes.
    fn connect(&mut self, listener: usize, count: usize, first: impl Fn(usize) -> String) {
        for i in 0..count {
            let peer = self.sim.connect_at(listener);
            self.sim.run();
            self.sim.send(peer, first(i));
            self.sim.run();
            self.peers.push(peer);
        }
        self.run();
        self.received = 0;
    }

    /// Runs the server until it is idle, and takes what the peers have received.
    fn run(&mut self) {
        self.sim.run();
        let World { sim, peers, received } = self;
        *received += peers.iter().map(|peer| sim.sockets().peer(*peer).forget_output()).sum::<usize>();
    }
}

/// Plays `rounds` uncounted rounds, then `rounds` counted ones.
fn play(rounds: usize, mut round: impl FnMut()) {
    (0..rounds).for_each(|_| round());
    counted_rounds(rounds, &mut round);
}

/// Callgrind counts only while this function runs; it finds the function by its name.
#[inline(never)]
fn counted_rounds(rounds: usize, round: &mut dyn FnMut()) {
    for _ in 0..rounds {
        round();
    }
}

/// Peers send to each other in pairs; in each turn the first `senders` peers send a batch of lines.
fn pairs(peers: usize, senders: usize, batch: usize, rounds: usize) {
    let mut world = World::new(1, &[Scheme::Line]);
    world.connect(0, peers, |i| format!("#user{i:04}\n"));
    let lines: Vec<String> =
        (0..senders).map(|i| format!("@user{:04}:{TEXT}\n", i ^ 1).repeat(batch)).collect();
    play(rounds, || {
        for (peer, lines) in world.peers.iter().zip(&lines) {
            world.sim.send(*peer, lines);
        }
        world.run();
    });
    assert_eq!(world.received, 2 * rounds * lines.concat().len(), "every message arrives");
}

/// One peer sends `lines` lines to `others` members, a line a turn. The `slow` ones among them receive nothing before
/// the last line, and everything after it.
fn room(others: usize, slow: usize, lines: usize, rounds: usize) {
    let mut world = World::new(1, &[Scheme::Line]);
    world.connect(0, 1 + others, |i| format!("#user{i:04}\n&dev\n"));
    play(rounds, || {
        (1..=slow).for_each(|i| world.sim.stall(world.peers[i], 0));
        for _ in 0..lines {
            world.sim.send(world.peers[0], format!("&dev:{TEXT}\n"));
            world.run();
        }
        if slow > 0 {
            (1..=slow).for_each(|i| world.sim.stall(world.peers[i], usize::MAX));
            world.run();
        }
    });
    let line = format!("&dev:user0000:{TEXT}\n");
    assert_eq!(world.received, 2 * rounds * lines * others * line.len(), "every member receives it");
}

/// A hundred peers in ten rooms. Each sends a line in each turn; adjacent peers are in different rooms.
fn rooms(rounds: usize) {
    let mut world = World::new(1, &[Scheme::Line]);
    world.connect(0, 100, |i| format!("#user{i:04}\n&room{}\n", i % 10));
    play(rounds, || {
        for i in 0..100 {
            world.sim.send(world.peers[i], format!("{TEXT}\n"));
        }
        world.run();
    });
    assert_eq!(
        world.received,
        2 * rounds * 100 * 9 * format!("&room0:user0000:{TEXT}\n").len(),
        "every member receives it"
    );
}

/// Peers of four dialects are in the lobby; one peer of each dialect sends a line in each turn.
fn dialects(rounds: usize) {
    let mut world = World::new(1, &[Scheme::Line, Scheme::Nickname, Scheme::Relay, Scheme::Udp]);
    world.connect(0, 20, |i| format!("#line{i:04}\n"));
    world.connect(1, 20, |i| format!("nick{i:04}\n"));
    world.connect(2, 20, |i| format!("tiny{i:04}: hello\n"));
    let source = SocketAddr::from(([127, 0, 0, 1], 9));
    world.sim.send_datagram(3, source, "L ming0000");
    world.run();
    world.sim.datagrams(source);
    world.received = 0;
    let mut datagrams = 0;
    play(rounds, || {
        world.sim.send(world.peers[0], format!("{TEXT}\n"));
        world.sim.send(world.peers[20], format!("nick0000: {TEXT}\n"));
        world.sim.send(world.peers[40], format!("tiny0000: {TEXT}\n"));
        world.sim.send_datagram(3, source, format!("C ming0000 {TEXT}\n"));
        world.run();
        datagrams += world.sim.datagrams(source).len();
    });
    // Only peers of the line dialect don't receive their own lines.
    assert_eq!(
        world.received,
        2 * rounds * (4 * 60 - 1) * format!("line0000: {TEXT}\n").len(),
        "every member receives it"
    );
    assert_eq!(datagrams, 2 * rounds * 3, "every line arrives as a datagram");
}

/// A peer connects, registers and leaves; twenty members receive both events.
fn churn(rounds: usize) {
    let mut world = World::new(256, &[Scheme::Line]);
    world.connect(0, 20, |i| format!("#user{i:04}\n"));
    play(rounds, || {
        let guest = world.sim.connect();
        world.sim.run();
        world.sim.send(guest, "#guest\n");
        world.sim.run();
        world.sim.end(guest);
        world.run();
        assert!(world.sim.is_closed(guest), "the connection is closed");
    });
    assert_eq!(
        world.received,
        2 * rounds * 20 * "* guest joined\n* guest left\n".len(),
        "every member receives both events"
    );
}

/// Instructions by function, by address (where the address is in the program) and by callee. The cost of a call is all
/// that the callee executed; it is not counted again.
type Profile = HashMap<(String, Option<u64>, Option<String>), f64>;

/// Runs a case under callgrind.
fn profile(program: &Path, case: &str) -> Result<Profile, String> {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("instructions.callgrind");
    let played = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*counted_rounds*", "--demangle=no"])
        .args(["--dump-instr=yes", "--dump-line=no", "--compress-strings=no", "--compress-pos=no"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(program)
        .args(["--play", case])
        .output()
        .map_err(about("valgrind (apt-get install valgrind)"))?;
    if !played.status.success() {
        return Err(format!("{case}: {}", String::from_utf8_lossy(&played.stderr)));
    }
    let text = fs::read_to_string(&file).map_err(about(file.display()))?;
    let mut profile = Profile::new();
    let (mut is_program, mut function, mut callee) = (false, "", None);
    for line in text.lines() {
        match line.split_once(['=', ' ']) {
            Some(("ob", object)) => is_program = Path::new(object) == program,
            Some(("fn", name)) => function = name,
            // The next line of costs belongs to this call.
            Some(("cfn", name)) => callee = Some(name.to_owned()),
            Some((at, cost)) if at.starts_with("0x") => {
                let at = is_program.then_some(address(at)?);
                let cost: f64 = cost.parse().map_err(about(line))?;
                *profile.entry((function.to_owned(), at, callee.take())).or_default() += cost;
            }
            _ => {}
        }
    }
    if profile.is_empty() { Err(format!("{case}: callgrind has counted nothing")) } else { Ok(profile) }
}

/// Returns the server's share of the code at each address: 0 or 1, and no entry where all code there is foreign. If
/// several functions are inlined at an address, the innermost one of this repository decides: a whole turn may be
/// inlined in the simulator, and the simulator's sockets in the turn.
fn shares(program: &Path, profile: &Profile) -> Result<HashMap<u64, f64>, String> {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("instructions.addresses");
    let addresses = profile.keys().filter_map(|(_, at, _)| at.map(|at| format!("{at:#x}\n")));
    fs::write(&file, addresses.collect::<String>()).map_err(about(file.display()))?;
    let found = Command::new("addr2line")
        .args(["--addresses", "--inlines", "--exe"])
        .arg(program)
        .arg(format!("@{}", file.display()))
        .output()
        .map_err(about("addr2line (apt-get install binutils)"))?;
    let (mut shares, mut at) = (HashMap::new(), 0);
    for line in String::from_utf8_lossy(&found.stdout).lines() {
        let lies_in = |folders: &[&str]| folders.iter().any(|folder| line.contains(folder));
        if line.starts_with("0x") {
            at = address(line)?;
        } else if line.starts_with('/') && !lies_in(&FOREIGN) {
            shares.entry(at).or_insert(if lies_in(&SIMULATOR) { 0.0 } else { 1.0 });
        }
    }
    if shares.is_empty() { Err(format!("{}: no debug information", program.display())) } else { Ok(shares) }
}

/// Counts the server's instructions in a case, those of them in libc, and the simulator's. The cost of an allocation in
/// libc depends on all earlier allocations, also the simulator's.
fn count(program: &Path, case: &str) -> Result<[f64; 3], String> {
    let profile = profile(program, case)?;
    let shares = shares(program, &profile)?;
    // The server's share of a foreign function is its share of the calls to the function. Where the callers are foreign
    // too, their share is known one iteration later.
    let mut of_functions: HashMap<&str, f64> = HashMap::new();
    let share = |of_functions: &HashMap<&str, f64>, function: &str, at: &Option<u64>| {
        let known = at.and_then(|at| shares.get(&at)).or(of_functions.get(function));
        known.copied().unwrap_or(0.0)
    };
    for _ in 0..30 {
        let mut sums: HashMap<&str, [f64; 2]> = HashMap::new();
        for ((function, at, callee), cost) in profile.iter().filter(|(_, cost)| **cost > 0.0) {
            let Some(callee) = callee else { continue };
            let sum = sums.entry(callee).or_default();
            *sum = [sum[0] + cost * share(&of_functions, function, at), sum[1] + cost];
        }
        of_functions = sums.into_iter().map(|(name, [server, all])| (name, server / all)).collect();
    }
    let [mut server, mut libc, mut simulator] = [0.0; 3];
    for ((function, at, _), cost) in profile.iter().filter(|((.., callee), _)| callee.is_none()) {
        let share = share(&of_functions, function, at);
        server += share * cost;
        libc += if at.is_none() { share * cost } else { 0.0 };
        simulator += (1.0 - share) * cost;
    }
    Ok([server, libc, simulator])
}

/// Prefixes an error with its subject.
fn about<E: Display>(what: impl Display) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error}")
}

fn address(word: &str) -> Result<u64, String> {
    u64::from_str_radix(word.trim_start_matches("0x"), 16).map_err(about(word))
}

/// Prints a row for each of `cases`.
fn table(cases: &[Case]) -> Result<(), String> {
    let program = std::env::current_exe().map_err(about("the path of the program"))?;
    println!("case                      n     server       least to greatest  spread of it libc  simulator");
    for Case(name, messages, rounds, _) in cases {
        let n = SERVERS * messages * rounds;
        let runs: Vec<[f64; 3]> = (0..RUNS).map(|_| count(&program, name)).collect::<Result<_, _>>()?;
        let of = |column: usize| runs.iter().map(move |run| run[column] / n as f64);
        let [server, libc, simulator] = [0, 1, 2].map(|column| of(column).sum::<f64>() / RUNS as f64);
        let (least, greatest) = (of(0).fold(f64::INFINITY, f64::min), of(0).fold(0.0, f64::max));
        let spread = 100.0 * (greatest - least) / server;
        println!(
            "{name:<20} {n:>6} {server:>10.1} {least:>10.1} to {greatest:>9.1} {spread:>6.2}% {libc:>10.1} {simulator:>10.1}"
        );
    }
    Ok(())
}

fn run(args: &[&str]) -> Result<(), String> {
    let case = |name: &str| {
        let names = || format!("no case {name:?}, but {:?}", CASES.map(|case| case.0));
        CASES.into_iter().find(|case| case.0 == name).ok_or_else(names)
    };
    match args {
        [] => table(&CASES),
        ["--case", name] => table(&[case(name)?]),
        ["--play", name] => {
            let Case(.., rounds, play) = case(name)?;
            (0..SERVERS).for_each(|_| play(rounds));
            Ok(())
        }
        _ => Err("usage: cargo bench -p redpoll-bench --bench instructions [-- --case NAME]".to_owned()),
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
