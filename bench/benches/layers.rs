//! Measures each layer by itself, on ordinary and on hostile input: the line frame, the parser, the folding of names,
//! encoding, routing. Run `cargo bench -p redpoll-bench --bench layers [-- PART_OF_A_NAME]`; no socket is involved.
//! Throughput is in bytes of input where a benchmark has bytes, else in requests or deliveries.

use bstr::BStr;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use redpoll::hub::Hub;
use redpoll::limits::{Limits, MAX_TARGETS};
use redpoll::protocol::dialect::{Context, Dialect};
use redpoll::protocol::frame::{LineFrame, Step};
use redpoll::protocol::name::{self, Name};
use redpoll::protocol::{ConnId, Event, Parsed, Rank, Request};
use redpoll::server::send_queue::SendQueues;
use std::hint::black_box;
use std::time::Duration;

const MEMBERS: u32 = 1000;

/// The maximum number of bytes of one read.
const READ: usize = 64 * 1024;

fn repeated(line: &[u8], bytes: usize) -> Vec<u8> {
    line.iter().copied().cycle().take(bytes / line.len() * line.len()).collect()
}

/// Counts the results of a frame for `input`, fed in pieces of `cut` bytes.
fn frame_all(input: &[u8], cut: usize) -> usize {
    let max = Limits::default().max_line;
    let (mut frame, mut found, mut start, mut end) = (LineFrame::default(), 0, 0, 0);
    while end < input.len() {
        end = (end + cut).min(input.len());
        loop {
            match frame.next(&input[start..end], max) {
                Step::More => break,
                Step::Skip(bytes) => start += bytes,
                Step::Message(bytes, _) | Step::Nul(bytes, _) | Step::TooLong(bytes) => {
                    (start, found) = (start + bytes, found + 1);
                }
            }
        }
    }
    found
}

fn frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("frame");
    let chat = repeated(b"@user0001:see you at the usual place, at eight\n", READ);
    let cases: [(&str, Vec<u8>, usize); 6] = [
        ("chat, one read", chat.clone(), READ),
        ("chat, 100 bytes at a time", chat, 100),
        ("hostile: empty lines", vec![b'\n'; READ], READ),
        ("hostile: NUL throughout", repeated(&[&[0; 40][..], b"\n"].concat(), READ), READ),
        ("hostile: one endless line", vec![b'x'; READ], READ),
        (
            "hostile: lines that just fit, byte by byte",
            repeated(&[&[b'x'; 4095][..], b"\n"].concat(), READ),
            1,
        ),
    ];
    for (what, input, cut) in cases {
        group.throughput(Throughput::Bytes(input.len() as u64));
        group.bench_function(what, |b| b.iter(|| frame_all(black_box(&input), cut)));
    }
}

fn parsing(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    let hostile_list = [&b"@".to_vec()[..], &b"a,".repeat(2000), b":x"].concat();
    let cases: [(&str, Vec<u8>); 7] = [
        ("direct", b"@user0001:see you at the usual place, at eight".to_vec()),
        ("said", b"see you at the usual place, at eight".to_vec()),
        ("command", b"/join dev".to_vec()),
        ("hostile: no such command, long", [&b"/"[..], &[b'x'; 4000]].concat()),
        ("hostile: a name that never ends", [&b"@"[..], &[b'x'; 4000]].concat()),
        ("hostile: 2000 recipients", hostile_list),
        ("hostile: blanks around nothing", [&b"@"[..], &[b' '; 4000], b":x"].concat()),
    ];
    for (what, line) in cases {
        group.throughput(Throughput::Bytes(line.len() as u64));
        group.bench_function(what, |b| {
            b.iter(|| matches!(Dialect::Native.parse(black_box(&line), Rank::Member), Parsed::Request(_)));
        });
    }
}

fn folding(c: &mut Criterion) {
    let mut group = c.benchmark_group("fold");
    let names = [
        ("ASCII", "user0001"),
        ("ASCII capitals", "USER0001"),
        ("Cyrillic capitals", "НАТАЛЬЯ0001"),
        ("Japanese", "さくら花子"),
        (
            "hostile: 32 marks",
            "ё\u{301}\u{302}\u{303}\u{304}\u{301}\u{302}\u{303}\u{304}\u{301}\u{302}\u{303}\u{304}",
        ),
        ("hostile: 32 characters of four bytes", "𝔞𝔟𝔠𝔡𝔢𝔣𝔤𝔥𝔞𝔟𝔠𝔡𝔢𝔣𝔤𝔥𝔞𝔟𝔠𝔡𝔢𝔣𝔤𝔥𝔞𝔟𝔠𝔡𝔢𝔣𝔤𝔥"),
        ("hostile: no name", "\u{202E}user0001"),
    ];
    for (what, typed) in names {
        group.bench_function(what, |b| b.iter(|| name::fold(black_box(typed.as_bytes())).is_ok()));
    }
}

fn encoding(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    let from = Name::new(b"user0001").expect("it is a name");
    let texts: [(&str, Vec<u8>); 6] = [
        ("32 bytes", vec![b'x'; 32]),
        ("1 KiB", vec![b'x'; 1024]),
        ("1 KiB of Cyrillic", "привет, ".repeat(73).into_bytes()),
        ("hostile: 4 KiB of no UTF-8", vec![0xFF; 4096]),
        ("hostile: 4 KiB of controls", vec![0x1B; 4096]),
        ("hostile: 4 KiB, a control at the end", [&[b'x'; 4095][..], b"\x1B"].concat()),
    ];
    for (what, text) in texts {
        let mut out = Vec::with_capacity(3 * text.len() + 300);
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(what, |b| {
            b.iter(|| {
                out.clear();
                let text = BStr::new(black_box(&text[..]));
                Dialect::Native.encode(
                    Event::Direct { from: &from, text },
                    &Context { max_line: 4096 },
                    &mut out,
                );
                out.len()
            });
        });
    }
}

/// A hub with a thousand members in its lobby, and their send queues, which are empty between requests.
struct Lobby {
    hub: Hub,
    queues: SendQueues,
}

impl Lobby {
    fn new() -> Lobby {
        let limits = Limits { quiet_above: Some(1), ..Limits::default() };
        let mut lobby = Lobby { hub: Hub::new(&limits), queues: SendQueues::new(&limits) };
        for id in 0..MEMBERS {
            lobby.queues.open(ConnId(id), Dialect::Native);
            let nick = format!("user{id:04}");
            let register = Request::Register { nick: BStr::new(&nick), password: None };
            assert!(lobby.handle(ConnId(id), register) > 0);
        }
        lobby
    }

    /// Handles one request and discards all output that it caused. Returns the number of bytes.
    fn handle(&mut self, from: ConnId, request: Request<'_>) -> usize {
        self.hub.handle(from, &request, &mut self.queues);
        self.queues.promote_deferred();
        let (mut index, mut bytes) = (0, 0);
        while let Some(id) = self.queues.dirty(index) {
            index += 1;
            self.queues.flush(id, usize::MAX, |sent, _| {
                bytes += sent.len();
                Ok(sent.len())
            });
        }
        self.queues.end_flush();
        bytes
    }
}

fn routing(c: &mut Criterion) {
    let mut lobby = Lobby::new();
    let mut group = c.benchmark_group("route");
    let text = BStr::new("see you at the usual place, at eight");
    let several: Vec<String> = (0..MAX_TARGETS).map(|id| format!("user{id:04}")).collect();
    let (several, unknown) = (several.join(","), "nobody,".repeat(MAX_TARGETS - 1) + "nobody");
    let direct = [
        ("to one as shown", "user0500"),
        ("to one in other case", "USER0500"),
        ("to sixteen", &several),
        ("hostile: to nobody", "nobody"),
        ("hostile: to sixteen nobodies", &unknown),
        ("hostile: to no name", "\u{202E}user0500"),
    ];
    group.throughput(Throughput::Elements(1));
    for (what, to) in direct {
        let request = Request::Direct { to: BStr::new(to), text };
        group.bench_function(what, |b| b.iter(|| lobby.handle(ConnId(7), black_box(request))));
    }
    group.throughput(Throughput::Elements(u64::from(MEMBERS - 1)));
    let said = Request::Say { room: None, text };
    group.bench_function("to a room of 1000", |b| b.iter(|| lobby.handle(ConnId(7), black_box(said))));
}

criterion_group! {
    name = layers;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = frames, parsing, folding, encoding, routing
}
criterion_main!(layers);
