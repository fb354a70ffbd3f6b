//! The backend in the simulator: after each step the server runs until it has nothing left to do.

use super::{Backend, Story};
use crate::{Fault, Faults, PeerNo, Sim};
use clap::Parser;
use redpoll::cli::ServeOptions;
use redpoll::limits::Limits;
use redpoll::protocol::scheme::Scheme;
use redpoll::reactor::Running;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

/// The flags of `redpoll serve` that every build has.
#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    options: ServeOptions,
}

/// The simulated server and its peers.
pub struct Simulated {
    sim: Sim,
    schemes: Vec<Scheme>,
    frame_timeout: Duration,
    peers: Vec<Peer>,
    stopped: bool,
}

/// A peer, with the output that no step has matched.
enum Peer {
    Stream { number: PeerNo, scheme: Scheme, unread: Vec<u8> },
    Datagrams { address: SocketAddr, unread: VecDeque<Vec<u8>> },
}

impl Simulated {
    /// Creates a server with the flags of a story.
    pub fn new(story: &Story) -> Simulated {
        let flags = ["serve"].into_iter().chain(story.flags.iter().map(String::as_str));
        let Flags { options } = Flags::parse_from(flags);
        let mut limits = options.limits();
        if limits.max_connections == 0 {
            limits.max_connections = Limits::default().max_connections;
        }
        let (schemes, frame_timeout) = (story.schemes(), limits.frame_timeout);
        Simulated {
            sim: Sim::with_schemes(limits, &schemes),
            schemes,
            frame_timeout,
            peers: Vec::new(),
            stopped: false,
        }
    }

    fn listener(&self, scheme: Scheme) -> usize {
        self.schemes
            .iter()
            .position(|listens| *listens == scheme)
            .expect("each scheme of the story has a listener")
    }

    /// Returns the stream of a peer; `None` with datagrams.
    fn number(&self, peer: usize) -> Option<PeerNo> {
        match &self.peers[peer] {
            Peer::Stream { number, .. } => Some(*number),
            Peer::Datagrams { .. } => None,
        }
    }

    /// Takes new output for a peer from the simulator.
    fn collect(&mut self, peer: usize) {
        match &mut self.peers[peer] {
            Peer::Stream { number, unread, .. } => unread.extend(self.sim.take(*number)),
            Peer::Datagrams { address, unread } => unread.extend(self.sim.datagrams(*address)),
        }
    }
}

/// Creates a server with faults that cut and delay its input and output but lose nothing.
pub fn with_faults(story: &Story, seed: u64) -> Simulated {
    let mut backend = Simulated::new(story);
    let mut faults = Faults::plenty(seed).with(Fault::NoMemory, 0);
    if backend.schemes.contains(&Scheme::Udp) {
        // A datagram is lost if its send is blocked.
        faults = faults.with(Fault::BlockedSend, 0);
    }
    backend.sim.sockets().set_faults(Some(faults));
    backend
}

impl Backend for Simulated {
    fn connect(&mut self, scheme: Scheme) {
        let peer = if scheme == Scheme::Udp {
            let port = 40_000 + u16::try_from(self.peers.len()).expect("a story has few peers");
            Peer::Datagrams { address: SocketAddr::from(([127, 0, 0, 1], port)), unread: VecDeque::new() }
        } else {
            let number = self.sim.connect_at(self.listener(scheme));
            Peer::Stream { number, scheme, unread: Vec::new() }
        };
        self.peers.push(peer);
        self.sim.run();
    }

    fn send(&mut self, peer: usize, bytes: &[u8]) {
        match self.peers[peer] {
            Peer::Stream { number, scheme, .. } => {
                self.sim.send(number, bytes);
                self.sim.run();
                // On real sockets this time passes before the server handles the message.
                if matches!(scheme, Scheme::Classic | Scheme::Nickname | Scheme::Relay)
                    && !bytes.ends_with(b"\n")
                {
                    self.sim.pass(self.frame_timeout);
                }
            }
            Peer::Datagrams { address, .. } => {
                let listener = self.listener(Scheme::Udp);
                self.sim.send_datagram(listener, address, bytes);
                self.sim.run();
            }
        }
    }

    fn receive(&mut self, peer: usize) -> Result<Option<String>, String> {
        self.collect(peer);
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

    fn receive_bytes(&mut self, peer: usize, len: usize) -> Result<Vec<u8>, String> {
        self.collect(peer);
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

    fn reset(&mut self, peer: usize) {
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
        // Longer than any wait of a stopping server.
        match self.stopped && self.sim.pass(Duration::from_secs(60)) != Running::Done {
            true => Err("the server doesn't stop".into()),
            false => Ok(()),
        }
    }
}
