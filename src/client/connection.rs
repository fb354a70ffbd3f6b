//! The way to the server and back: the only file of the client that touches a socket. What comes from the network
//! leaves here as whole lines of safe text ([`push_safe`]) or not at all.

use super::address::Address;
use crate::protocol::text::push_safe;
use socket2::{SockRef, TcpKeepalive};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long one address of a host may take to answer.
const CONNECT: Duration = Duration::from_secs(10);

/// How long sent bytes may stay unacknowledged before the server counts as lost (tcp(7), TCP_USER_TIMEOUT).
#[cfg(target_os = "linux")]
const UNANSWERED: Duration = Duration::from_secs(30);

/// A server's line holds at most 3 x max-line + 300 bytes (protocol.md, "Framing"), here for the default of max-line.
const MAX_LINE: usize = 3 * 4096 + 300;

/// What stands at the end of a line that was longer.
const CUT_MARK: &str = " [cut]";

/// Bytes read at once.
const CHUNK: usize = 16 * 1024;

/// Connects to the first of the host's addresses that answers.
///
/// # Errors
/// The look-up's, or the last address's.
pub fn connect(address: &Address) -> io::Result<TcpStream> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the host has no address");
    for candidate in (address.host.as_str(), address.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&candidate, CONNECT) {
            Ok(stream) => {
                prepare(&stream)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Why connecting failed, in words: which address, why, and what to try.
#[must_use]
pub fn explain(address: &Address, error: &io::Error) -> String {
    let advice = match error.kind() {
        ErrorKind::ConnectionRefused => "is a server running there? `redpoll serve` starts one",
        ErrorKind::TimedOut => "nothing answers there; is the address right, or a firewall in between?",
        _ => "is the address right? `redpoll chat HOST:PORT` names another",
    };
    format!("cannot connect to {address}: {}; {advice}", reason(error))
}

/// An error's text without the system's number behind it.
#[must_use]
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(text);
    let mut safe = Vec::new();
    push_safe(text.as_bytes(), &mut safe);
    String::from_utf8_lossy(&safe).into_owned()
}

/// Sends `line` and its LF in one piece.
///
/// # Errors
/// The socket's.
pub fn send_line(stream: &TcpStream, line: &str) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(line.len() + 1);
    bytes.extend_from_slice(line.as_bytes());
    bytes.push(b'\n');
    let mut stream = stream;
    stream.write_all(&bytes)
}

/// Says that nothing more will be sent; what the server says is still read.
pub fn finish(stream: &TcpStream) {
    // A connection that is gone already has no side to shut.
    let _ = stream.shutdown(Shutdown::Write);
}

/// Ends the connection in both directions; whoever reads from it sees the end.
pub fn abandon(stream: &TcpStream) {
    let _ = stream.shutdown(Shutdown::Both);
}

/// Bytes from the server, cut into lines.
#[derive(Debug)]
pub struct Lines<R> {
    source: R,
    /// The unfinished line; at most MAX_LINE bytes, whatever the server sends.
    line: Vec<u8>,
    /// The unfinished line was longer; its rest is thrown away up to its LF.
    cut: bool,
}

impl<R: Read> Lines<R> {
    /// Lines of what `source` yields.
    #[must_use]
    pub fn new(source: R) -> Lines<R> {
        Lines { source, line: Vec::new(), cut: false }
    }

    /// Reads once, blocking, and hands each line that is complete with it to `each`, as safe text without its LF. At the
    /// end of the stream an unterminated last line counts as one.
    ///
    /// # Errors
    /// The source's. Returns false at the end of the stream.
    pub fn read(&mut self, mut each: impl FnMut(&str)) -> io::Result<bool> {
        let mut chunk = [0; CHUNK];
        let count = loop {
            match self.source.read(&mut chunk) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        if count == 0 {
            if !self.line.is_empty() || self.cut {
                self.hand_over(&mut each);
            }
            return Ok(false);
        }
        let mut rest = &chunk[..count];
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.keep(&rest[..end]);
            self.hand_over(&mut each);
            rest = &rest[end + 1..];
        }
        self.keep(rest);
        Ok(true)
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = MAX_LINE - self.line.len();
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.cut |= bytes.len() > room;
    }

    fn hand_over(&mut self, each: &mut impl FnMut(&str)) {
        let line = self.line.strip_suffix(b"\r").filter(|_| !self.cut).unwrap_or(&self.line);
        let mut safe = Vec::with_capacity(line.len());
        push_safe(line, &mut safe);
        if self.cut {
            safe.extend_from_slice(CUT_MARK.as_bytes());
        }
        each(&String::from_utf8_lossy(&safe));
        self.line.clear();
        self.cut = false;
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15))
        .with_retries(4);
    let socket = SockRef::from(stream);
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNANSWERED))?;
    socket.set_tcp_keepalive(&keepalive)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source that yields `bytes` in pieces of at most `size`.
    struct Pieces<'a> {
        bytes: &'a [u8],
        size: usize,
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let count = self.size.min(self.bytes.len()).min(out.len());
            out[..count].copy_from_slice(&self.bytes[..count]);
            self.bytes = &self.bytes[count..];
            Ok(count)
        }
    }

    fn lines(bytes: &[u8], size: usize) -> Vec<String> {
        let mut lines = Lines::new(Pieces { bytes, size });
        let mut seen = Vec::new();
        while lines.read(|line| seen.push(line.to_owned())).unwrap() {}
        seen
    }

    #[test]
    fn the_slicing_never_changes_the_lines() {
        let bytes = "alice: Grüße\r\n\r\n@bob:a\rb\n* 世界 joined\nunfinished".as_bytes();
        let whole = lines(bytes, bytes.len());
        assert_eq!(whole, ["alice: Grüße", "", "@bob:a\u{FFFD}b", "* 世界 joined", "unfinished"]);
        for size in 1..bytes.len() {
            assert_eq!(lines(bytes, size), whole, "in pieces of {size}");
        }
    }

    #[test]
    fn no_line_moves_the_cursor() {
        assert_eq!(lines(b"a\x1b[2J\x07\x9b1m\n", 100), ["a\u{FFFD}[2J\u{FFFD}\u{FFFD}1m"]);
    }

    #[test]
    fn an_endless_line_is_cut_and_marked_and_the_next_one_is_whole() {
        let mut bytes = vec![b'x'; 1_000_000];
        bytes.extend_from_slice(b"\nnext\n");
        for size in [1000, CHUNK] {
            let seen = lines(&bytes, size);
            assert_eq!(seen.len(), 2);
            assert_eq!(seen[0].len(), MAX_LINE + CUT_MARK.len());
            assert!(seen[0].ends_with("x [cut]"));
            assert_eq!(seen[1], "next");
        }
    }

    #[test]
    fn a_line_of_just_the_limit_is_whole() {
        let mut bytes = vec![b'x'; MAX_LINE];
        bytes.push(b'\n');
        assert_eq!(lines(&bytes, 100)[0].len(), MAX_LINE);
    }
}
