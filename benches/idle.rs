//! What idle connections cost: resident memory of the server, empty and with 10,000 members, before and after each of
//! them has sent and got a burst, and how often it wakes up meanwhile. `cargo bench --bench idle [-- CONNECTIONS [SERVER]]`
//! starts the release build (or the program SERVER) as a child and reads its /proc entry, so it runs on Linux only.

#![allow(clippy::unwrap_used, reason = "a benchmark that goes wrong shall stop")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const CONNECTIONS: usize = 10_000;
/// What each member sends to itself in the burst, in lines of [`LINE`] bytes.
const BURST: usize = 8 * 1024;
const LINE: usize = 128;

struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(program: &str) -> Server {
        let mut child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address =
            line.trim().strip_prefix("listening line://").expect("it says where it listens").to_owned();
        Server { child, address }
    }

    /// A figure of /proc/PID/status.
    fn status(&self, field: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("/proc tells of the server");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect(field);
        line.trim_start_matches(':').split_whitespace().next().unwrap().parse().unwrap()
    }

    fn rss(&self) -> u64 {
        self.status("VmRSS") * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads until `end` has come.
fn read_until(stream: &mut TcpStream, end: &str) {
    let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&seen).contains(end) {
        let bytes = stream.read(&mut buffer).expect("the server answers");
        assert!(bytes > 0, "the server closed a connection");
        seen.extend_from_slice(&buffer[..bytes]);
    }
}

fn join(server: &Server, name: &str) -> TcpStream {
    let mut stream = TcpStream::connect(&server.address).expect("the server accepts");
    stream.write_all(format!("#{name}\n/ping ready\n").as_bytes()).unwrap();
    read_until(&mut stream, "+pong ready\n");
    stream
}

fn burst(stream: &mut TcpStream, name: &str) {
    let head = format!("@{name}:");
    let line = format!("{head}{}\n", "x".repeat(LINE - head.len() - 1));
    stream.write_all(line.repeat(BURST / LINE).as_bytes()).unwrap();
    let mut back = vec![0; BURST];
    stream.read_exact(&mut back).expect("the burst comes back whole");
    assert!(back == line.repeat(BURST / LINE).into_bytes(), "the burst comes back as it was");
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let count = words.first().map_or(CONNECTIONS, |word| word.parse().expect("a number of connections"));
    let program = words.get(1).map_or(env!("CARGO_BIN_EXE_redpoll"), String::as_str);
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).unwrap();

    let server = Server::start(program);
    settle();
    let mib = |rss: u64| rss as f64 / (1024.0 * 1024.0);
    println!("empty server, started        {:>10.2} MiB", mib(server.rss()));
    // Whoever is first brings the code that serves into memory, which is not what a connection costs.
    drop(join(&server, "first"));
    settle();
    let empty = server.rss();
    println!("empty server, was used       {:>10.2} MiB", mib(empty));

    let mut members: Vec<(String, TcpStream)> = Vec::new();
    for i in 0..count {
        let name = format!("user{i:05}");
        let stream = join(&server, &name);
        members.push((name, stream));
    }
    // In a lobby of up to 256 everyone hears of everyone; nobody has read that yet.
    let per_member = |rss: u64| (rss.saturating_sub(empty)) as f64 / count as f64;
    settle();
    println!("{count} idle members         {:>10.1} bytes each", per_member(server.rss()));

    for (name, stream) in &mut members {
        stream.write_all(b"/ping drained\n").unwrap();
        read_until(stream, "+pong drained\n");
        burst(stream, name);
    }
    settle();
    println!("the same after a burst       {:>10.1} bytes each", per_member(server.rss()));

    let all = members.len();
    for (name, stream) in &mut members {
        stream.write_all(format!("@{name}:{}\n", "y".repeat(LINE)).repeat(BURST / LINE).as_bytes()).unwrap();
    }
    for (_, stream) in &mut members {
        read_until(stream, &format!("{}\n", "y".repeat(LINE)));
    }
    settle();
    println!("the same after all {all} at once {:>8.1} bytes each", per_member(server.rss()));

    let woken = server.status("voluntary_ctxt_switches");
    std::thread::sleep(Duration::from_secs(5));
    println!("wake-ups in 5 s              {:>10}", server.status("voluntary_ctxt_switches") - woken);
}

/// Longer than the server waits before it gives memory back.
fn settle() {
    std::thread::sleep(Duration::from_millis(1500));
}
