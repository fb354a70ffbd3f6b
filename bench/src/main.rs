//! Parses the flags and runs the command; nothing else.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    use clap::Parser;
    redpoll_bench::run(&redpoll_bench::cli::Options::parse())
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("redpoll-bench needs Linux: it waits by epoll and reads /proc");
    ExitCode::FAILURE
}
