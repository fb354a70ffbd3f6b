//! `redpoll chat` in a pipe: standard input goes to the server as it is, the server's lines go to standard output.
//! Nothing is coloured, timed or repeated here, so that scripts can rely on the protocol alone.

use super::Options;
use super::connection::{self, Lines};
use super::line::Line;
use std::io::{self, ErrorKind, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::thread;

/// Talks until the server closes: 0, or 1 if it closed with a refusal or the connection broke.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    let stream = match connection::connect(&options.address) {
        Ok(stream) => stream,
        Err(error) => {
            eprintln!("redpoll: {}", connection::explain(&options.address, &error));
            return ExitCode::FAILURE;
        }
    };
    match talk(stream, options.nick.clone()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("redpoll: lost the connection to {}: {}", options.address, connection::reason(&error));
            ExitCode::FAILURE
        }
    }
}

fn talk(stream: TcpStream, nick: Option<String>) -> io::Result<ExitCode> {
    let sending = stream.try_clone()?;
    // Not joined: it may wait for input that never comes, and the process ends with the server's last word.
    thread::spawn(move || send_all(&sending, nick.as_deref()));
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
            // The reader of our output has seen enough; that's how pipes end.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
            other => other?,
        }
        out.clear();
        if !more {
            return Ok(if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS });
        }
    }
}

/// Errors end the sending only: the reader hears from the server, or of its end, by itself.
fn send_all(stream: &TcpStream, nick: Option<&str>) {
    let registered = nick.is_none_or(|nick| connection::send_line(stream, &format!("#{nick}")).is_ok());
    let mut sending = stream;
    if registered && io::copy(&mut io::stdin().lock(), &mut sending).is_ok() {
        connection::finish(stream);
    }
}
