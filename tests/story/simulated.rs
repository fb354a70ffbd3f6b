//! A stage in the simulator: after each step the server works until it has nothing left to do.

use super::{Stage, Story};
use clap::Parser;
use redpoll::cli::{Cli, Command};
use redpoll::limits::Limits;
use redpoll::reactor::Running;
use redpoll::sim::{PeerNo, Sim};
use std::time::Duration;

/// The simulated server, and what each peer got and has not told yet.
pub struct Simulated {
    sim: Sim,
    unread: Vec<Vec<u8>>,
    stopped: bool,
}

impl Simulated {
    /// A server with the flags of a story.
    pub fn new(story: &Story) -> Simulated {
        let serve = ["redpoll", "serve"].into_iter().chain(story.flags.iter().map(String::as_str));
        let Command::Serve(options) = Cli::parse_from(serve).command else { panic!("the command is serve") };
        let mut limits = options.limits();
        if limits.max_connections == 0 {
            limits.max_connections = Limits::default().max_connections;
        }
        Simulated { sim: Sim::new(limits), unread: Vec::new(), stopped: false }
    }
}

impl Stage for Simulated {
    fn connect(&mut self) {
        self.sim.connect();
        self.sim.run();
        self.unread.push(Vec::new());
    }

    fn send(&mut self, peer: usize, bytes: &[u8]) {
        self.sim.send(PeerNo(peer), bytes);
        self.sim.run();
    }

    fn hear(&mut self, peer: usize) -> Result<Option<String>, String> {
        let unread = &mut self.unread[peer];
        unread.extend(self.sim.take(PeerNo(peer)));
        match unread.iter().position(|byte| *byte == b'\n') {
            Some(lf) => {
                let line: Vec<u8> = unread.drain(..=lf).collect();
                let line = String::from_utf8(line).map_err(|error| format!("gets {error}"))?;
                Ok(Some(line[..lf].to_owned()))
            }
            None if !unread.is_empty() => Err(format!("gets half a line: {unread:?}")),
            None if self.sim.is_ended(PeerNo(peer)) => Ok(None),
            None => Err("gets nothing".into()),
        }
    }

    fn end(&mut self, peer: usize) {
        self.sim.end(PeerNo(peer));
        self.sim.run();
    }

    fn vanish(&mut self, peer: usize) {
        self.sim.reset(PeerNo(peer));
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
