//! The baseline engine (`limit` on the command line and in reports): one loop that moves bytes between paired
//! connections, or from each sender to all others, without parsing them. It makes the same system calls as a
//! single-threaded reactor and nothing else, so that no such reactor can be faster. Its turn is the reactor's: one
//! `recv` for each ready connection, one `send` for each dirty connection, accept last. It runs as a child of
//! `redpoll-bench`, which requests its counters by a line on standard input and ends it by closing standard input.

use clap::ValueEnum;
use redpoll::limits::{ACCEPTS_PER_TURN, ARENA, BACKLOG, Limits, READ, TOO_SLOW_FACTOR};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{self, RecvFlags, SendFlags, SocketFlags};
use slab::Slab;
use socket2::{Domain, Socket, Type};
use std::io::{self, Write};
use std::net::SocketAddr;

/// What the engine does with connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Bytes from connection 2i go to 2i + 1 and vice versa, numbered in the order of accept.
    Pairs,
    /// Bytes from one connection go to all others.
    Room,
    /// Each connection is read once, answered once by `--bytes` bytes, and closed at the end of its stream.
    Answer,
    /// Each connection is accepted and closed.
    Close,
}

/// Event keys of the listener and of standard input; keys of connections are small.
const LISTENER: u64 = u64::MAX;
const CONTROL: u64 = u64::MAX - 1;
/// Maximum number of events of one wait, as in the server.
const EVENTS: usize = 1024;

#[derive(Debug)]
struct Connection {
    socket: OwnedFd,
    /// Bytes that the kernel refused. The socket is watched for writability while this is not empty.
    backlog: Vec<u8>,
    /// Has sent bytes in this turn or, in [`Mode::Answer`], at any time.
    has_sent: bool,
}

/// A part of the turn's bytes, and the connection that sent it.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: usize,
    start: usize,
    end: usize,
}

/// System calls, named as the server names them.
#[derive(Debug, Default)]
struct Counters {
    turns: u64,
    recv: u64,
    send: u64,
    accept: u64,
    watch: u64,
}

/// The event loop and all that it watches.
pub struct Baseline {
    mode: Mode,
    listener: OwnedFd,
    control: (OwnedFd, OwnedFd),
    epoll: OwnedFd,
    events: Vec<Event>,
    /// In order of accept: slots are filled from the front.
    connections: Slab<Connection>,
    /// Number of slots that were ever filled.
    slots: usize,
    /// All bytes read in this turn, one read after the other; sends read from here.
    arena: Vec<u8>,
    filled: usize,
    spans: Vec<Span>,
    /// Scratch: what a sender of this turn receives from the others; in [`Mode::Answer`] the answer.
    gather: Vec<u8>,
    counters: Counters,
    /// Maximum size of a backlog.
    max_backlog: usize,
}

/// Returns a listening socket with those options of the server's listeners that affect speed.
///
/// # Errors
/// A system call failed.
pub fn listen(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_tcp_nodelay(true)?;
    if let Some(bytes) = Limits::default().send_buffer {
        socket.set_send_buffer_size(bytes)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Runs as a child: prints the listen address and serves until the end of standard input.
///
/// # Errors
/// The system refused the listener or the poller.
pub fn run(mode: Mode, answer: usize) -> io::Result<()> {
    let socket = listen(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let address = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let control = (io::stdin().as_fd().try_clone_to_owned()?, io::stdout().as_fd().try_clone_to_owned()?);
    let mut baseline = Baseline::new(mode, answer, socket, control)?;
    writeln!(io::stdout(), "listening line://{address}")?;
    while baseline.turn()? {}
    Ok(())
}

impl Baseline {
    /// Watches the listener and `control.0`. Each line on `control.0` is answered by the counters on `control.1`.
    ///
    /// # Errors
    /// The system refused the poller.
    pub fn new(
        mode: Mode,
        answer: usize,
        listener: Socket,
        control: (OwnedFd, OwnedFd),
    ) -> io::Result<Baseline> {
        let limits = Limits::default();
        let baseline = Baseline {
            mode,
            listener: listener.into(),
            control,
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS),
            connections: Slab::new(),
            slots: 0,
            arena: vec![b'.'; ARENA + READ],
            filled: 0,
            spans: Vec::new(),
            gather: vec![b'.'; answer],
            counters: Counters::default(),
            max_backlog: limits.queue * TOO_SLOW_FACTOR,
        };
        epoll::add(&baseline.epoll, &baseline.listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        epoll::add(&baseline.epoll, &baseline.control.0, EventData::new_u64(CONTROL), EventFlags::IN)?;
        Ok(baseline)
    }

    /// Runs one turn. Returns false once standard input has ended.
    ///
    /// # Errors
    /// The poller failed.
    pub fn turn(&mut self) -> io::Result<bool> {
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        self.counters.turns += 1;
        let (mut is_listener_ready, mut asked) = (false, false);
        for index in 0..self.events.len() {
            let Event { flags, data } = self.events[index];
            match data.u64() {
                LISTENER => is_listener_ready = true,
                CONTROL => asked = true,
                key => self.handle_event(key as usize, flags),
            }
        }
        self.flush();
        if is_listener_ready {
            self.accept();
        }
        if asked { self.answer_control() } else { Ok(true) }
    }

    fn handle_event(&mut self, id: usize, flags: EventFlags) {
        if flags.contains(EventFlags::OUT) {
            self.flush_backlog(id);
        }
        if !flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            return;
        }
        if self.filled > ARENA {
            self.flush();
        }
        let Some(connection) = self.connections.get_mut(id) else { return };
        self.counters.recv += 1;
        let start = self.filled;
        match net::recv(&connection.socket, &mut self.arena[start..start + READ], RecvFlags::empty()) {
            Ok((0, _)) => self.close(id),
            Ok((bytes, _)) => {
                if self.mode == Mode::Answer {
                    return self.answer(id);
                }
                connection.has_sent = true;
                self.filled = start + bytes;
                self.spans.push(Span { from: id, start, end: start + bytes });
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.close(id),
        }
    }

    fn answer(&mut self, id: usize) {
        if !std::mem::replace(&mut self.connections[id].has_sent, true) {
            let answer = std::mem::take(&mut self.gather);
            self.send(id, &answer);
            self.gather = answer;
        }
    }

    /// Makes one `send` for each connection that has output from this turn.
    fn flush(&mut self) {
        if self.spans.is_empty() {
            return;
        }
        let (arena, spans) = (std::mem::take(&mut self.arena), std::mem::take(&mut self.spans));
        match self.mode {
            Mode::Pairs => {
                spans.iter().for_each(|span| self.send(span.from ^ 1, &arena[span.start..span.end]))
            }
            Mode::Room => self.send_to_room(&arena[..self.filled], &spans),
            Mode::Answer | Mode::Close => {}
        }
        (self.arena, self.spans, self.filled) = (arena, spans, 0);
        self.spans.clear();
    }

    fn send_to_room(&mut self, input: &[u8], spans: &[Span]) {
        for id in 0..self.slots {
            match self.connections.get_mut(id) {
                None => {}
                Some(connection) if connection.has_sent => {
                    connection.has_sent = false;
                    let mut others = std::mem::take(&mut self.gather);
                    others.clear();
                    for span in spans.iter().filter(|span| span.from != id) {
                        others.extend_from_slice(&input[span.start..span.end]);
                    }
                    self.send(id, &others);
                    self.gather = others;
                }
                Some(_) => self.send(id, input),
            }
        }
    }

    fn send(&mut self, id: usize, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if bytes.is_empty() {
            return;
        }
        if !connection.backlog.is_empty() {
            connection.backlog.extend_from_slice(bytes);
            if connection.backlog.len() > self.max_backlog {
                self.close(id);
            }
            return;
        }
        self.counters.send += 1;
        let taken = match net::send(&connection.socket, bytes, SendFlags::NOSIGNAL) {
            Ok(taken) => taken,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Err(_) => return self.close(id),
        };
        if taken < bytes.len() {
            connection.backlog.extend_from_slice(&bytes[taken..]);
            self.watch(id, EventFlags::IN | EventFlags::OUT);
        }
    }

    fn flush_backlog(&mut self, id: usize) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        self.counters.send += 1;
        match net::send(&connection.socket, &connection.backlog, SendFlags::NOSIGNAL) {
            Ok(taken) => {
                connection.backlog.drain(..taken);
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => return self.close(id),
        }
        if connection.backlog.is_empty() {
            self.watch(id, EventFlags::IN);
        }
    }

    fn watch(&mut self, id: usize, flags: EventFlags) {
        self.counters.watch += 1;
        // If this fails, the connection is broken, and a later event reports that.
        let _ =
            epoll::modify(&self.epoll, &self.connections[id].socket, EventData::new_u64(id as u64), flags);
    }

    /// Runs after the events of the turn, so that no event reaches a slot that was reused.
    fn accept(&mut self) {
        for _ in 0..ACCEPTS_PER_TURN {
            self.counters.accept += 1;
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let Ok(socket) = net::accept_with(&self.listener, flags) else { break };
            if self.mode == Mode::Close {
                continue;
            }
            let slot = self.connections.vacant_entry();
            let data = EventData::new_u64(slot.key() as u64);
            if epoll::add(&self.epoll, &socket, data, EventFlags::IN).is_ok() {
                self.slots = self.slots.max(slot.key() + 1);
                slot.insert(Connection { socket, backlog: Vec::new(), has_sent: false });
            }
        }
    }

    fn close(&mut self, id: usize) {
        // Closing the only descriptor of a socket removes it from the poller (epoll(7)).
        self.connections.remove(id);
    }

    fn answer_control(&mut self) -> io::Result<bool> {
        let mut line = [0; 64];
        if matches!(rustix::io::read(&self.control.0, &mut line), Ok(0)) {
            return Ok(false);
        }
        let Counters { turns, recv, send, accept, watch } = self.counters;
        let figures = [
            ("connections", self.connections.len() as u64),
            ("turns", turns),
            ("recv-calls", recv),
            ("send-calls", send),
            ("accept-calls", accept),
            ("watch-calls", watch),
        ];
        let mut text: String = figures.iter().map(|(key, value)| format!("+stats {key} {value}\n")).collect();
        text += &format!("+end stats {}\n", figures.len());
        rustix::io::write(&self.control.1, text.as_bytes())?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Read};
    use std::net::{Shutdown, TcpStream};
    use std::os::unix::net::UnixStream;
    use std::thread::{self, JoinHandle};

    /// The loop on its own thread, and its control connection.
    struct Running {
        address: SocketAddr,
        control: BufReader<UnixStream>,
        thread: JoinHandle<()>,
    }

    impl Running {
        fn start(mode: Mode, answer: usize) -> Running {
            let socket = listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
            let address = socket.local_addr().unwrap().as_socket().unwrap();
            let (ours, theirs) = UnixStream::pair().unwrap();
            let control = (theirs.try_clone().unwrap().into(), theirs.into());
            let thread = thread::spawn(move || {
                let mut baseline = Baseline::new(mode, answer, socket, control).unwrap();
                while baseline.turn().unwrap() {}
            });
            Running { address, control: BufReader::new(ours), thread }
        }

        fn figure(&mut self, key: &str) -> u64 {
            self.control.get_mut().write_all(b"/stats\n").unwrap();
            let (mut line, mut figure) = (String::new(), None);
            while !line.starts_with("+end") {
                line.clear();
                self.control.read_line(&mut line).unwrap();
                figure = figure.or(line.strip_prefix(&format!("+stats {key} ")).map(str::to_owned));
            }
            figure.unwrap().trim().parse().unwrap()
        }

        /// Returns `count` connections, accepted in this order.
        fn connect(&mut self, count: usize) -> Vec<TcpStream> {
            let streams = (0..count).map(|_| TcpStream::connect(self.address).unwrap()).collect();
            while self.figure("connections") < count as u64 {}
            streams
        }

        fn stop(self) {
            self.control.get_ref().shutdown(Shutdown::Both).unwrap();
            self.thread.join().unwrap();
        }
    }

    fn expect(stream: &mut TcpStream, text: &str) {
        let mut received = vec![0; text.len()];
        stream.read_exact(&mut received).unwrap();
        assert_eq!(String::from_utf8(received).unwrap(), text);
    }

    /// Expects the end of the stream and no more bytes before it.
    fn expect_end(stream: &mut TcpStream) {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"");
    }

    #[test]
    fn pairs_receive_only_each_other() {
        let mut baseline = Running::start(Mode::Pairs, 0);
        let mut at = baseline.connect(4);
        at[0].write_all(b"to one").unwrap();
        at[1].write_all(b"to naught").unwrap();
        at[3].write_all(b"to two").unwrap();
        expect(&mut at[1], "to one");
        expect(&mut at[0], "to naught");
        expect(&mut at[2], "to two");
        assert!(baseline.figure("recv-calls") == 3 && baseline.figure("send-calls") == 3);
        baseline.stop();
        at.iter_mut().for_each(expect_end);
    }

    #[test]
    fn room_receives_all_other_senders() {
        let mut baseline = Running::start(Mode::Room, 0);
        let mut at = baseline.connect(3);
        at[0].write_all(b"a").unwrap();
        expect(&mut at[1], "a");
        expect(&mut at[2], "a");
        at[2].write_all(b"b").unwrap();
        expect(&mut at[0], "b");
        expect(&mut at[1], "b");
        baseline.stop();
        at.iter_mut().for_each(expect_end);
    }

    #[test]
    fn refused_bytes_are_sent_later() {
        let mut baseline = Running::start(Mode::Pairs, 0);
        let mut at = baseline.connect(2);
        let (text, mut received) = (b"0123456789abcde".repeat(128 * 1024), Vec::new());
        at[0].write_all(&text).unwrap();
        at[0].shutdown(Shutdown::Write).unwrap();
        received.resize(text.len(), 0);
        at[1].read_exact(&mut received).unwrap();
        assert!(received == text);
        assert!(baseline.figure("watch-calls") > 0, "the socket was watched for writability");
        baseline.stop();
    }

    #[test]
    fn answer_and_close_modes_end_connections() {
        let mut answers = Running::start(Mode::Answer, 5);
        let mut stream = TcpStream::connect(answers.address).unwrap();
        stream.write_all(b"#a\n").unwrap();
        expect(&mut stream, ".....");
        stream.write_all(b"more").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        expect_end(&mut stream);
        assert_eq!(answers.figure("connections"), 0);
        answers.stop();

        let closes = Running::start(Mode::Close, 0);
        expect_end(&mut TcpStream::connect(closes.address).unwrap());
        closes.stop();
    }
}
