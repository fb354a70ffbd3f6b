//! The connection to the server: the client's socket is opened, read and closed only here. Received bytes leave this
//! file only as whole lines of safe text ([`push_safe`]).

use super::address::Address;
use crate::protocol::text::push_safe;
use socket2::{SockRef, TcpKeepalive};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Timeout of a connection attempt to one address of a host.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long sent bytes may stay unacknowledged before the kernel drops the connection (tcp(7), TCP_USER_TIMEOUT).
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// Maximum bytes of a line from a server with the default `--max-line`: 3 x max-line + 300 (protocol.md, "Framing").
const MAX_LINE: usize = 3 * 4096 + 300;

/// Appended to a line that was cut at MAX_LINE.
const CUT_MARK: &str = " [cut]";

/// Maximum bytes of one read.
const CHUNK: usize = 16 * 1024;

/// Connects to the first address of the host that accepts.
///
/// # Errors
/// The error of the name lookup, or of the last address.
pub fn connect(address: &Address) -> io::Result<TcpStream> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the host has no address");
    for candidate in (address.host.as_str(), address.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&candidate, CONNECT_TIMEOUT) {
            Ok(stream) => {
                set_options(&stream)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Returns the error message of a failed connection attempt: the address, the error, and what to do.
#[must_use]
pub fn explain(address: &Address, error: &io::Error) -> String {
    let advice = match error.kind() {
        ErrorKind::ConnectionRefused => "check that a server runs there; `redpoll serve` starts one",
        ErrorKind::TimedOut => "check the address, and whether a firewall is in between",
        _ => "check the address; `redpoll chat HOST:PORT` gives another",
    };
    format!("cannot connect to {address}: {}; {advice}", error_text(error))
}

/// Returns the text of `error` without the operating system's error number.
#[must_use]
pub fn error_text(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(text);
    let mut safe = Vec::new();
    push_safe(text.as_bytes(), &mut safe);
    String::from_utf8_lossy(&safe).into_owned()
}

/// Sends `line` and LF with one write.
///
/// # Errors
/// The error of the socket.
pub fn send_line(stream: &TcpStream, line: &str) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(line.len() + 1);
    bytes.extend_from_slice(line.as_bytes());
    bytes.push(b'\n');
    let mut stream = stream;
    stream.write_all(&bytes)
}

/// Half-closes the connection: sends the end of the stream, and still receives.
pub fn half_close(stream: &TcpStream) {
    // This fails only if the connection is closed already.
    let _ = stream.shutdown(Shutdown::Write);
}

/// Shuts the connection down in both directions; a blocked read returns the end of the stream.
pub fn shutdown(stream: &TcpStream) {
    let _ = stream.shutdown(Shutdown::Both);
}

/// Splits bytes from the server into lines.
#[derive(Debug)]
pub struct Lines<R> {
    source: R,
    /// The unfinished line; `line.len() <= MAX_LINE`.
    line: Vec<u8>,
    /// The unfinished line is longer than MAX_LINE; its bytes are discarded up to LF.
    cut: bool,
}

impl<R: Read> Lines<R> {
    /// Creates a reader of the lines of `source`.
    #[must_use]
    pub fn new(source: R) -> Lines<R> {
        Lines { source, line: Vec::new(), cut: false }
    }

    /// Reads once, blocking, and calls `each` with every completed line, as safe text without LF. Returns false at the
    /// end of the stream, where an unterminated last line is complete.
    ///
    /// # Errors
    /// The error of the source.
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
                self.emit(&mut each);
            }
            return Ok(false);
        }
        let mut input = &chunk[..count];
        while let Some(end) = input.iter().position(|byte| *byte == b'\n') {
            self.append(&input[..end]);
            self.emit(&mut each);
            input = &input[end + 1..];
        }
        self.append(input);
        Ok(true)
    }

    fn append(&mut self, bytes: &[u8]) {
        let room = MAX_LINE - self.line.len();
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.cut |= bytes.len() > room;
    }

    fn emit(&mut self, each: &mut impl FnMut(&str)) {
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

fn set_options(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15))
        .with_retries(4);
    let socket = SockRef::from(stream);
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    socket.set_tcp_keepalive(&keepalive)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source that returns `bytes` in reads of at most `size` bytes.
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
        let mut all = Vec::new();
        while lines.read(|line| all.push(line.to_owned())).unwrap() {}
        all
    }

    #[test]
    fn lines_do_not_depend_on_reads() {
        let bytes = "alice: Grüße\r\n\r\n@bob:a\rb\n* 世界 joined\nunfinished".as_bytes();
        let whole = lines(bytes, bytes.len());
        assert_eq!(whole, ["alice: Grüße", "", "@bob:a\u{FFFD}b", "* 世界 joined", "unfinished"]);
        for size in 1..bytes.len() {
            assert_eq!(lines(bytes, size), whole, "in pieces of {size}");
        }
    }

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(lines(b"a\x1b[2J\x07\x9b1m\n", 100), ["a\u{FFFD}[2J\u{FFFD}\u{FFFD}1m"]);
    }

    #[test]
    fn long_line_is_cut_and_marked() {
        let mut bytes = vec![b'x'; 1_000_000];
        bytes.extend_from_slice(b"\nnext\n");
        for size in [1000, CHUNK] {
            let read = lines(&bytes, size);
            assert_eq!(read.len(), 2);
            assert_eq!(read[0].len(), MAX_LINE + CUT_MARK.len());
            assert!(read[0].ends_with("x [cut]"));
            assert_eq!(read[1], "next");
        }
    }

    #[test]
    fn line_at_limit_is_whole() {
        let mut bytes = vec![b'x'; MAX_LINE];
        bytes.push(b'\n');
        assert_eq!(lines(&bytes, 100)[0].len(), MAX_LINE);
    }
}
