//! `redpoll chat` in a pipe: copies standard input to the server, and the server's lines to standard output. Lines get
//! no colours, times or local echo, and nothing reconnects, so that scripts can rely on the protocol alone.

use super::Options;
use super::connection::{self, Lines};
use super::line::Line;
use std::io::{self, ErrorKind, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::thread;

/// Runs until the server closes the connection. Returns exit code 0, or 1 if the last line was a refusal that closes
/// the connection, or if the connection failed.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    let stream = match connection::connect(&options.address) {
        Ok(stream) => stream,
        Err(error) => {
            eprintln!("redpoll: {}", connection::explain(&options.address, &error));
            return ExitCode::FAILURE;
        }
    };
    match relay(stream, options.nick.clone()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!(
                "redpoll: lost the connection to {}: {}",
                options.address,
                connection::error_text(&error)
            );
            ExitCode::FAILURE
        }
    }
}

fn relay(stream: TcpStream, nick: Option<String>) -> io::Result<ExitCode> {
    let sending = stream.try_clone()?;
    // Not joined: it may block on standard input. The process ends when the server closes the connection.
    thread::spawn(move || send_stdin(&sending, nick.as_deref()));
    let mut lines = Lines::new(stream);
    let mut refused = false;
    let mut out = Vec::new();
    loop {
        let more = lines.read(|line| {
            refused = matches!(Line::parse(line), Line::Refusal(refusal) if refusal.is_closing());
            out.extend_from_slice(line.as_bytes());
            out.push(b'\n');
        })?;
        match io::stdout().write_all(&out).and_then(|()| io::stdout().flush()) {
            // The process that reads the output has closed the pipe: a regular end.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
            other => other?,
        }
        out.clear();
        if !more {
            return Ok(if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS });
        }
    }
}

/// Sends the registration and standard input, and half-closes the connection. An error ends only the sending: the main
/// thread reads on, and gets the error itself if the connection is broken.
fn send_stdin(stream: &TcpStream, nick: Option<&str>) {
    let registered = nick.is_none_or(|nick| connection::send_line(stream, &format!("#{nick}")).is_ok());
    let mut sending = stream;
    if registered && io::copy(&mut io::stdin().lock(), &mut sending).is_ok() {
        connection::half_close(stream);
    }
}
