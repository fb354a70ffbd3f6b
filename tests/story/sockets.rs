//! A stage on real sockets: the built program, and a connection for each peer. Before another peer acts, the last one is
//! answered a ping, so that what it sent was obeyed; nothing is ever slept for.

use super::{Stage, Story};
use crate::server::Server;
use rustix::process::Signal;
use socket2::SockRef;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// The program and its peers.
pub struct Sockets {
    server: Server,
    peers: Vec<Option<Peer>>,
    /// Who sent last, and may not have been obeyed yet.
    unsettled: Option<usize>,
    stopped: bool,
}

struct Peer {
    stream: BufReader<TcpStream>,
    /// Lines that came before the answer to our own ping.
    heard: VecDeque<String>,
}

/// What no story says.
const PING: &str = "has-the-server-obeyed";

impl Sockets {
    /// A server with the flags of a story.
    pub fn new(story: &Story) -> Sockets {
        Sockets { server: Server::start(&story.flags), peers: Vec::new(), unsettled: None, stopped: false }
    }

    fn settle(&mut self, next: Option<usize>) {
        let Some(last) = self.unsettled.filter(|last| Some(*last) != next) else { return };
        self.unsettled = None;
        let Some(peer) = &mut self.peers[last] else { return };
        let Ok(()) = peer.send(format!("/ping {PING}\n").as_bytes()) else { return };
        while let Ok(Some(line)) = peer.line() {
            if line == format!("+pong {PING}") {
                break;
            }
            peer.heard.push_back(line);
        }
    }

    fn peer(&mut self, peer: usize) -> &mut Peer {
        self.peers[peer].as_mut().expect("a story doesn't go on with those who have gone")
    }
}

impl Peer {
    fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    fn line(&mut self) -> Result<Option<String>, String> {
        let mut line = Vec::new();
        // No line of the server is longer; a server gone wild must not eat the machine.
        let limit = 1 << 20;
        let read = self.stream.by_ref().take(limit).read_until(b'\n', &mut line);
        read.map_err(|error| format!("gets {:?} and then {error}", String::from_utf8_lossy(&line)))?;
        match line.pop() {
            None => Ok(None),
            Some(b'\n') => Ok(Some(String::from_utf8(line).map_err(|error| format!("gets {error}"))?)),
            Some(last) => Err(format!("gets half a line: {:?} {last}", String::from_utf8_lossy(&line))),
        }
    }
}

impl Stage for Sockets {
    fn connect(&mut self) {
        self.settle(None);
        let stream = BufReader::new(self.server.connect());
        self.peers.push(Some(Peer { stream, heard: VecDeque::new() }));
    }

    fn send(&mut self, peer: usize, bytes: &[u8]) {
        self.settle(Some(peer));
        // Where the server has closed already, what it said before is still to be read.
        let sent = self.peer(peer).send(bytes);
        self.unsettled = (sent.is_ok() && bytes.ends_with(b"\n")).then_some(peer);
    }

    fn hear(&mut self, peer: usize) -> Result<Option<String>, String> {
        let listener = self.peer(peer);
        match listener.heard.pop_front() {
            Some(line) => Ok(Some(line)),
            None => listener.line(),
        }
    }

    fn end(&mut self, peer: usize) {
        self.settle(Some(peer));
        self.unsettled = None;
        self.peer(peer).stream.get_mut().shutdown(Shutdown::Write).expect("an open stream can be shut");
    }

    fn vanish(&mut self, peer: usize) {
        self.settle(None);
        let gone = self.peers[peer].take().expect("it has not gone already");
        // socket(7): with SO_LINGER of no time, closing resets the connection.
        SockRef::from(gone.stream.get_ref()).set_linger(Some(Duration::ZERO)).expect("a socket lingers");
    }

    fn pass(&mut self, _: Duration) {
        unreachable!("nobody waits for time to pass on real sockets");
    }

    fn stop(&mut self) {
        self.settle(None);
        self.server.signal(Signal::TERM);
        self.stopped = true;
    }

    fn finish(mut self) -> Result<(), String> {
        if self.stopped {
            self.peers.clear();
            let status = self.server.wait();
            if !status.success() {
                return Err(format!("the server ends with {status}"));
            }
        }
        Ok(())
    }
}
