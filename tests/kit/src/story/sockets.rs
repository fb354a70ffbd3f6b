//! A stage on real sockets: the built program, and a connection for each peer. Before another peer acts, the last one is
//! answered a ping, so that what it sent was obeyed; nothing is ever slept for.

use super::{Stage, Story, ping};
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
    /// Where the operators' socket is.
    _folder: Folder,
    peers: Vec<Option<Peer>>,
    /// The peer that sent last; its input may not be handled yet.
    unsettled: Option<usize>,
    stopped: bool,
}

struct Peer {
    door: Scheme,
    socket: Socket,
    /// What came and no step has dealt with: bytes of a stream.
    unread: Vec<u8>,
    /// The same of peers with datagrams.
    datagrams: VecDeque<Vec<u8>>,
}

/// What no story says.
const PING: &str = "has-the-server-obeyed";

impl Sockets {
    /// `program` as a server with that engine, and with the doors and flags of a story.
    pub fn new(program: &Path, story: &Story, engine: &str) -> Sockets {
        let folder = Folder::create();
        let doors = story.doors();
        let mut command = command(program);
        command.args(["serve", "--engine", engine]);
        for door in &doors {
            let url = match door {
                Scheme::Unix => format!("unix://{}", folder.path("operators").display()),
                _ => format!("{}://127.0.0.1:0", door.name()),
            };
            command.args(["--listen", &url]);
        }
        let server = Server::run_at(doors.len(), command.args(&story.flags));
        Sockets { server, _folder: folder, peers: Vec::new(), unsettled: None, stopped: false }
    }

    fn settle(&mut self, next: Option<usize>) {
        let Some(last) = self.unsettled.filter(|last| Some(*last) != next) else { return };
        self.unsettled = None;
        let Some(peer) = &mut self.peers[last] else { return };
        let (ping, pong) = ping(peer.door, PING);
        if peer.send(&ping).is_ok() {
            peer.hear_until(&pong);
        }
    }

    fn peer(&mut self, peer: usize) -> &mut Peer {
        self.peers[peer].as_mut().expect("a story doesn't go on with those who have gone")
    }
}

impl Peer {
    fn connect(server: &Server, door: Scheme) -> Peer {
        let address = server.address_of(door.name());
        let inet = || SockAddr::from(address.parse::<SocketAddr>().expect("it is an address"));
        let (domain, kind, address) = match door {
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
        Peer { door, socket, unread: Vec::new(), datagrams: VecDeque::new() }
    }

    fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// One receive. False at the end of the stream.
    fn receive(&mut self) -> Result<bool, String> {
        let mut buffer = [0; 65_536];
        let got = uninterrupted(|| self.socket.read(&mut buffer));
        let unread = String::from_utf8_lossy(&self.unread);
        let got = got.map_err(|error| format!("gets {unread:?} and then {error}"))?;
        if self.door == Scheme::Udp {
            self.datagrams.push_back(buffer[..got].to_vec());
            return Ok(true);
        }
        self.unread.extend_from_slice(&buffer[..got]);
        // A server gone wild must not eat the machine.
        assert!(self.unread.len() < 1 << 24, "so much is never sent");
        Ok(got > 0)
    }

    /// Hears, until a line or datagram has come that is taken out again.
    fn hear_until(&mut self, last: &str) {
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
            if !self.receive().unwrap_or(false) {
                return;
            }
        }
    }

    fn line(&mut self) -> Result<Option<String>, String> {
        let bytes = if self.door == Scheme::Udp {
            self.datagram()?
        } else {
            loop {
                if let Some(lf) = self.unread.iter().position(|byte| *byte == b'\n') {
                    let mut line: Vec<u8> = self.unread.drain(..=lf).collect();
                    line.pop();
                    break line;
                }
                if !self.receive()? {
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
            self.receive()?;
        }
        Ok(self.datagrams.pop_front().unwrap_or_default())
    }

    fn bytes(&mut self, len: usize) -> Result<Vec<u8>, String> {
        if self.door == Scheme::Udp {
            return self.datagram();
        }
        while self.unread.len() < len {
            if !self.receive()? {
                return Err(format!("gets {:?} alone", String::from_utf8_lossy(&self.unread)));
            }
        }
        Ok(self.unread.drain(..len).collect())
    }
}

impl Stage for Sockets {
    fn connect(&mut self, door: Scheme) {
        self.settle(None);
        self.peers.push(Some(Peer::connect(&self.server, door)));
        // Nothing greets it that shows that it is in, and it hears what others say from then on.
        if door == Scheme::Relay {
            self.unsettled = Some(self.peers.len() - 1);
        }
    }

    fn send(&mut self, peer: usize, bytes: &[u8]) {
        self.settle(Some(peer));
        // Where the server has closed already, what it said before is still to be read.
        let whole = self.peer(peer).door == Scheme::Udp || bytes.ends_with(b"\n");
        let sent = self.peer(peer).send(bytes);
        self.unsettled = (sent.is_ok() && whole).then_some(peer);
    }

    fn hear(&mut self, peer: usize) -> Result<Option<String>, String> {
        self.peer(peer).line()
    }

    fn hear_bytes(&mut self, peer: usize, len: usize) -> Result<Vec<u8>, String> {
        self.peer(peer).bytes(len)
    }

    fn end(&mut self, peer: usize) {
        self.settle(Some(peer));
        self.unsettled = None;
        if self.peer(peer).door != Scheme::Udp {
            self.peer(peer).socket.shutdown(Shutdown::Write).expect("an open stream can be shut");
        }
    }

    fn vanish(&mut self, peer: usize) {
        self.settle(None);
        let gone = self.peers[peer].take().expect("it has not gone already");
        // socket(7): with SO_LINGER of no time, closing resets the connection.
        gone.socket.set_linger(Some(Duration::ZERO)).expect("a socket lingers");
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
