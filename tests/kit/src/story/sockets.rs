//! The backend on real sockets: the built program, and a connection for each peer. Before another peer acts, the last
//! one must receive the answer to a ping, which shows that its input is handled; there is no sleep.

use super::{Backend, Story, ping};
use crate::program::{DEADLINE, Folder, Server, command, uninterrupted};
use redpoll::protocol::scheme::Scheme;
use rustix::process::Signal;
use socket2::{Domain, SockAddr, Socket, Type};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// The program and its peers.
pub struct Sockets {
    server: Server,
    /// Holds the operators' socket.
    _folder: Folder,
    peers: Vec<Option<Peer>>,
    /// The peer that sent last; its input may not be handled yet.
    unhandled: Option<usize>,
    stopped: bool,
}

struct Peer {
    scheme: Scheme,
    socket: Socket,
    /// Received bytes of a stream that no step has matched.
    unread: Vec<u8>,
    /// Received datagrams that no step has matched.
    datagrams: VecDeque<Vec<u8>>,
}

/// A token that no story uses.
const PING: &str = "has-the-server-handled";

impl Sockets {
    /// Starts `program` as a server with that engine, and the listeners and flags of a story.
    pub fn new(program: &Path, story: &Story, engine: &str) -> Sockets {
        let folder = Folder::create();
        let schemes = story.schemes();
        let mut command = command(program);
        command.args(["serve", "--engine", engine]);
        for scheme in &schemes {
            let url = match scheme {
                Scheme::Unix => format!("unix://{}", folder.path("operators").display()),
                _ => format!("{}://127.0.0.1:0", scheme.name()),
            };
            command.args(["--listen", &url]);
        }
        let server = Server::run_at(schemes.len(), command.args(&story.flags));
        Sockets { server, _folder: folder, peers: Vec::new(), unhandled: None, stopped: false }
    }

    /// Waits until the input of the last peer is handled, unless it is `next` too.
    fn settle(&mut self, next: Option<usize>) {
        let Some(last) = self.unhandled.filter(|last| Some(*last) != next) else { return };
        self.unhandled = None;
        let Some(peer) = &mut self.peers[last] else { return };
        let (ping, pong) = ping(peer.scheme, PING);
        if peer.send(&ping).is_ok() {
            peer.receive_until(&pong);
        }
    }

    fn peer(&mut self, peer: usize) -> &mut Peer {
        self.peers[peer].as_mut().expect("a story has no steps for a peer after its reset")
    }
}

impl Peer {
    fn connect(server: &Server, scheme: Scheme) -> Peer {
        let address = server.address_of(scheme.name());
        let inet = || SockAddr::from(address.parse::<SocketAddr>().expect("it is an address"));
        let (domain, kind, address) = match scheme {
            Scheme::Unix => (Domain::UNIX, Type::STREAM, SockAddr::unix(address).expect("it is a path")),
            Scheme::Udp => (Domain::IPV4, Type::DGRAM, inet()),
            _ => (Domain::IPV4, Type::STREAM, inet()),
        };
        let socket = Socket::new(domain, kind, None).expect("there are sockets");
        socket.connect(&address).expect("the server accepts");
        socket.set_read_timeout(Some(DEADLINE)).expect("a socket has a timeout");
        socket.set_write_timeout(Some(DEADLINE)).expect("a socket has a timeout");
        if domain == Domain::IPV4 && kind == Type::STREAM {
            socket.set_tcp_nodelay(true).expect("lines leave at once");
        }
        Peer { scheme, socket, unread: Vec::new(), datagrams: VecDeque::new() }
    }

    fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// Reads once; returns false at the end of the stream.
    fn read(&mut self) -> Result<bool, String> {
        let mut buffer = [0; 65_536];
        let got = uninterrupted(|| self.socket.read(&mut buffer));
        let unread = String::from_utf8_lossy(&self.unread);
        let got = got.map_err(|error| format!("gets {unread:?} and then {error}"))?;
        if self.scheme == Scheme::Udp {
            self.datagrams.push_back(buffer[..got].to_vec());
            return Ok(true);
        }
        self.unread.extend_from_slice(&buffer[..got]);
        // A faulty server must not exhaust the memory.
        assert!(self.unread.len() < 1 << 24, "too much output");
        Ok(got > 0)
    }

    /// Receives until this line or datagram, and removes it; the output before stays unread.
    fn receive_until(&mut self, last: &str) {
        let line = format!("{last}\n").into_bytes();
        loop {
            let at = self.unread.windows(line.len()).position(|window| window == line);
            if let Some(at) = at.filter(|at| *at == 0 || self.unread[at - 1] == b'\n') {
                self.unread.drain(at..at + line.len());
                return;
            }
            if let Some(at) = self.datagrams.iter().position(|datagram| datagram == last.as_bytes()) {
                self.datagrams.remove(at);
                return;
            }
            if !self.read().unwrap_or(false) {
                return;
            }
        }
    }

    fn line(&mut self) -> Result<Option<String>, String> {
        let bytes = if self.scheme == Scheme::Udp {
            self.datagram()?
        } else {
            loop {
                if let Some(lf) = self.unread.iter().position(|byte| *byte == b'\n') {
                    let mut line: Vec<u8> = self.unread.drain(..=lf).collect();
                    line.pop();
                    break line;
                }
                if !self.read()? {
                    return match self.unread.is_empty() {
                        true => Ok(None),
                        false => {
                            Err(format!("gets half a line: {:?}", String::from_utf8_lossy(&self.unread)))
                        }
                    };
                }
            }
        };
        String::from_utf8(bytes).map(Some).map_err(|error| format!("gets {error}"))
    }

    fn datagram(&mut self) -> Result<Vec<u8>, String> {
        while self.datagrams.is_empty() {
            self.read()?;
        }
        Ok(self.datagrams.pop_front().unwrap_or_default())
    }

    fn bytes(&mut self, len: usize) -> Result<Vec<u8>, String> {
        if self.scheme == Scheme::Udp {
            return self.datagram();
        }
        while self.unread.len() < len {
            if !self.read()? {
                return Err(format!("gets {:?} alone", String::from_utf8_lossy(&self.unread)));
            }
        }
        Ok(self.unread.drain(..len).collect())
    }
}

impl Backend for Sockets {
    fn connect(&mut self, scheme: Scheme) {
        self.settle(None);
        self.peers.push(Some(Peer::connect(&self.server, scheme)));
        // A relay peer has no greeting that shows its accept, and receives the lobby's lines from then on.
        if scheme == Scheme::Relay {
            self.unhandled = Some(self.peers.len() - 1);
        }
    }

    fn send(&mut self, peer: usize, bytes: &[u8]) {
        self.settle(Some(peer));
        // If the server has closed the connection, its output before is still unread.
        let whole = self.peer(peer).scheme == Scheme::Udp || bytes.ends_with(b"\n");
        let sent = self.peer(peer).send(bytes);
        self.unhandled = (sent.is_ok() && whole).then_some(peer);
    }

    fn receive(&mut self, peer: usize) -> Result<Option<String>, String> {
        self.peer(peer).line()
    }

    fn receive_bytes(&mut self, peer: usize, len: usize) -> Result<Vec<u8>, String> {
        self.peer(peer).bytes(len)
    }

    fn end(&mut self, peer: usize) {
        self.settle(Some(peer));
        self.unhandled = None;
        if self.peer(peer).scheme != Scheme::Udp {
            self.peer(peer).socket.shutdown(Shutdown::Write).expect("an open stream can be shut");
        }
    }

    fn reset(&mut self, peer: usize) {
        self.settle(None);
        let peer = self.peers[peer].take().expect("it is reset once");
        // socket(7): with an SO_LINGER of 0, close resets the connection.
        peer.socket.set_linger(Some(Duration::ZERO)).expect("a socket lingers");
    }

    fn pass(&mut self, _: Duration) {
        unreachable!("time passes in the simulator only");
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
