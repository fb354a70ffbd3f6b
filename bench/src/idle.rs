//! Idle connections: the memory of a registered connection, how often the server wakes up while all are silent, and how
//! much memory remains after a burst to all members.

use super::child::ServerProcess;
use super::clients::Clients;
use super::payload::{self, Payload};
use super::results::Run;
use super::verifier::Wire;
use super::{Failure, sleep};
use bstr::ByteSlice;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

/// Bytes that each member sends to itself in the burst, in lines of [`LINE`] bytes.
const BURST: usize = 8 * 1024;
const LINE: usize = 128;
/// Payload bytes of such a line.
pub const SIZE: usize = LINE - payload::NAME - "@:\n".len();
/// Longer than the server waits before it trims its memory.
const IDLE: Duration = Duration::from_millis(1500);

/// Measures once, with `silence` as the length of the idle period.
///
/// # Errors
/// A burst that was not returned unchanged, or a limit of the machine on connections.
pub fn run(server: &mut ServerProcess, count: usize, silence: Duration) -> Result<Run, Failure> {
    if server.memory().0.is_none() {
        return Err(Failure::Stopped("whose memory to read isn't known: --pid says it".to_owned()));
    }
    // The first connection loads the code that serves it into memory. That is not the cost of a connection.
    drop(Clients::connect_all(server, Wire::Server, 1, 0)?);
    sleep(IDLE)?;
    let empty = server.memory();

    let mut clients = Clients::connect_all(server, Wire::Server, count, 0)?;
    sleep(IDLE)?;
    let idle = server.memory();
    let (began, cpu, switches) = (Instant::now(), server.cpu(), server.switches());
    sleep(silence)?;
    let seconds = began.elapsed().as_secs_f64();
    let cpu = server.cpu().zip(cpu).map(|(after, before)| after - before);
    let switches =
        server.switches().zip(switches).map(|(after, before)| (after.0 - before.0, after.1 - before.1));

    burst(server, &mut clients)?;
    let burst = server.memory();
    sleep(IDLE)?;
    let idle_again = server.memory();

    let each =
        |memory: Option<u64>, empty: Option<u64>| Some((memory? as f64 - empty? as f64) / count as f64);
    let figures = [
        ("bytes per connection", each(idle.0, empty.0)),
        ("bytes per connection (PSS)", each(idle.1, empty.1)),
        ("bytes per connection after a burst", each(burst.0, empty.0)),
        ("bytes per connection after a burst (PSS)", each(burst.1, empty.1)),
        ("bytes per connection after a burst and rest", each(idle_again.0, empty.0)),
        ("bytes per connection after a burst and rest (PSS)", each(idle_again.1, empty.1)),
        ("bytes of the empty server", empty.0.map(|bytes| bytes as f64)),
        ("wake-ups per second", switches.map(|(voluntary, _)| voluntary as f64 / seconds)),
    ];
    Ok(Run {
        seconds,
        units: count as u64,
        cpu,
        switches,
        rss: idle_again.0,
        pss: idle_again.1,
        more: figures
            .into_iter()
            .filter_map(|(name, figure)| Some((name.to_owned(), figure?)))
            .collect::<BTreeMap<_, _>>(),
        ..Run::default()
    })
}

/// All members send at once, then all members read.
fn burst(server: &mut ServerProcess, clients: &mut Clients) -> Result<(), Failure> {
    let text = |member: usize| {
        let mut text = Vec::with_capacity(BURST);
        for sequence in 0..(BURST / LINE) as u32 {
            text.extend_from_slice(format!("@{}:", payload::name(member)).as_bytes());
            Payload { sender: member, recipient: Some(member), sequence }.encode(SIZE, &mut text);
            text.push(b'\n');
        }
        text
    };
    for (member, stream) in clients.members.iter_mut().enumerate() {
        let sent = stream.set_nonblocking(false).and_then(|()| stream.write_all(&text(member)));
        sent.map_err(|error| server.broken(&payload::name(member), &error))?;
    }
    let mut back = vec![0; BURST];
    for (member, stream) in clients.members.iter_mut().enumerate() {
        let read = stream.read_exact(&mut back);
        read.map_err(|error| server.broken(&payload::name(member), &error))?;
        if let Some((sequence, line)) = difference(&back, &text(member)) {
            let name = payload::name(member);
            return Err(Failure::Violation(format!(
                "damaged: {name} got {:?} for its message {sequence}",
                line.as_bstr()
            )));
        }
    }
    Ok(())
}

/// Returns the first line that differs from the one that was sent, and its sequence.
fn difference<'a>(back: &'a [u8], sent: &[u8]) -> Option<(usize, &'a [u8])> {
    let mut lines = back.chunks(LINE).zip(sent.chunks(LINE)).enumerate();
    lines.find(|(_, (back, sent))| back != sent).map(|(sequence, (back, _))| (sequence, back))
}
