//! A stage in the simulator: after each step the server works until it has nothing left to do.

use super::{Stage, Story};
use crate::{Fault, Faults, PeerNo, Sim};
use clap::Parser;
use redpoll::cli::ServeOptions;
use redpoll::limits::Limits;
use redpoll::protocol::scheme::Scheme;
use redpoll::reactor::Running;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

/// The flags of `redpoll serve` alone, as every build has them.
#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    options: ServeOptions,
}

/// The simulated server and its peers.
pub struct Simulated {
    sim: Sim,
    doors: Vec<Scheme>,
    pause: Duration,
    peers: Vec<Peer>,
    stopped: bool,
}

/// A peer, and what it got and has not told yet.
enum Peer {
    Stream { number: PeerNo, door: Scheme, unread: Vec<u8> },
    Datagrams { address: SocketAddr, unread: VecDeque<Vec<u8>> },
}

impl Simulated {
    /// A server with the flags of a story.
    pub fn new(story: &Story) -> Simulated {
        let flags = ["serve"].into_iter().chain(story.flags.iter().map(String::as_str));
        let Flags { options } = Flags::parse_from(flags);
        let mut limits = options.limits();
        if limits.max_connections == 0 {
            limits.max_connections = Limits::default().max_connections;
        }
        let (doors, pause) = (story.doors(), limits.pause);
        Simulated { sim: Sim::with_schemes(limits, &doors), doors, pause, peers: Vec::new(), stopped: false }
    }

    fn place(&self, door: Scheme) -> usize {
        self.doors.iter().position(|listens| *listens == door).expect("the story's doors are there")
    }

    /// The stream of a peer; `None` with datagrams.
    fn number(&self, peer: usize) -> Option<PeerNo> {
        match &self.peers[peer] {
            Peer::Stream { number, .. } => Some(*number),
            Peer::Datagrams { .. } => None,
        }
    }

    /// Looks for what has come for a peer.
    fn look(&mut self, peer: usize) {
        match &mut self.peers[peer] {
            Peer::Stream { number, unread, .. } => unread.extend(self.sim.take(*number)),
            Peer::Datagrams { address, unread } => unread.extend(self.sim.datagrams(*address)),
        }
    }
}

/// The same where sockets cut, delay and break off what they can without anything being lost.
pub fn gone_wrong(story: &Story, seed: u64) -> Simulated {
    let mut stage = Simulated::new(story);
    let mut faults = Faults::plenty(seed).with(Fault::NoMemory, 0);
    if stage.doors.contains(&Scheme::Udp) {
        // A datagram that can't be sent is lost.
        faults = faults.with(Fault::BlockedSend, 0);
    }
    stage.sim.sockets().set_faults(Some(faults));
    stage
}

impl Stage for Simulated {
    fn connect(&mut self, door: Scheme) {
        let peer = if door == Scheme::Udp {
            let port = 40_000 + u16::try_from(self.peers.len()).expect("a story has few peers");
            Peer::Datagrams { address: SocketAddr::from(([127, 0, 0, 1], port)), unread: VecDeque::new() }
        } else {
            let number = self.sim.connect_at(self.place(door));
            Peer::Stream { number, door, unread: Vec::new() }
        };
        self.peers.push(peer);
        self.sim.run();
    }

    fn send(&mut self, peer: usize, bytes: &[u8]) {
        match self.peers[peer] {
            Peer::Stream { number, door, .. } => {
                self.sim.send(number, bytes);
                self.sim.run();
                // On real sockets this time passes before a peer receives it.
                if matches!(door, Scheme::Classic | Scheme::Nickname | Scheme::Relay)
                    && !bytes.ends_with(b"\n")
                {
                    self.sim.pass(self.pause);
                }
            }
            Peer::Datagrams { address, .. } => {
                let udp = self.place(Scheme::Udp);
                self.sim.send_datagram(udp, address, bytes);
                self.sim.run();
            }
        }
    }

    fn hear(&mut self, peer: usize) -> Result<Option<String>, String> {
        self.look(peer);
        match &mut self.peers[peer] {
            Peer::Stream { number, unread, .. } => match unread.iter().position(|byte| *byte == b'\n') {
                Some(lf) => {
                    let line: Vec<u8> = unread.drain(..=lf).collect();
                    let line = String::from_utf8(line).map_err(|error| format!("gets {error}"))?;
                    Ok(Some(line[..lf].to_owned()))
                }
                None if !unread.is_empty() => {
                    Err(format!("gets half a line: {:?}", String::from_utf8_lossy(unread)))
                }
                None if self.sim.is_ended(*number) => Ok(None),
                None => Err("gets nothing".into()),
            },
            Peer::Datagrams { unread, .. } => {
                let datagram = unread.pop_front().ok_or("gets nothing")?;
                String::from_utf8(datagram).map(Some).map_err(|error| format!("gets {error}"))
            }
        }
    }

    fn hear_bytes(&mut self, peer: usize, len: usize) -> Result<Vec<u8>, String> {
        self.look(peer);
        match &mut self.peers[peer] {
            Peer::Stream { unread, .. } if unread.len() >= len => Ok(unread.drain(..len).collect()),
            Peer::Stream { unread, .. } => Err(format!("gets {:?} alone", String::from_utf8_lossy(unread))),
            Peer::Datagrams { unread, .. } => unread.pop_front().ok_or_else(|| "gets nothing".into()),
        }
    }

    fn end(&mut self, peer: usize) {
        self.number(peer).into_iter().for_each(|number| self.sim.end(number));
        self.sim.run();
    }

    fn vanish(&mut self, peer: usize) {
        self.number(peer).into_iter().for_each(|number| self.sim.reset(number));
        self.sim.run();
    }

    fn pass(&mut self, time: Duration) {
        self.sim.pass(time);
    }

    fn stop(&mut self) {
        self.sim.stop();
        self.sim.run();
        self.stopped = true;
    }

    fn finish(mut self) -> Result<(), String> {
        // Longer than anything that a server which stops may wait for.
        match self.stopped && self.sim.pass(Duration::from_secs(60)) != Running::Done {
            true => Err("the server doesn't stop".into()),
            false => Ok(()),
        }
    }
}
