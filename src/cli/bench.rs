//! `redpoll bench`: replaces this process by the program redpoll-bench. That is a separate package, so that its
//! dependencies are not part of the measured server, and its flags are not parsed here. `execv` comes from `nix`,
//! because `Command` of the standard library would make this program 20 KiB larger.

use clap::Arg;
use clap::builder::ValueParser;
use nix::errno::Errno;
use nix::unistd::{execv, execvp};
use std::convert::Infallible;
use std::ffi::{CStr, CString, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;

const PROGRAM: &CStr = c"redpoll-bench";

/// Accepts any arguments after `redpoll bench`.
pub fn arguments() -> Arg {
    let arguments =
        Arg::new("flags").value_name("FLAGS").num_args(0..).value_parser(ValueParser::os_string());
    arguments
        .trailing_var_arg(true)
        .allow_hyphen_values(true)
        .help("Flags of redpoll-bench; `redpoll bench --help` lists them")
}

/// Replaces this process by redpoll-bench from the directory of this program, or else from PATH. Passes the arguments
/// after `bench`, and this program as the server to measure unless they name another. Returns exit code 1, and only if
/// redpoll-bench can't be run.
#[must_use]
pub fn bench() -> ExitCode {
    let Err(error) = exec_bench();
    eprintln!(
        "redpoll: can't run redpoll-bench from this program's directory or PATH: {error}; build it with \
         `cargo build --release -p redpoll-bench`"
    );
    ExitCode::FAILURE
}

fn exec_bench() -> io::Result<Infallible> {
    let this = std::env::current_exe()?;
    let beside = c_string(this.with_file_name("redpoll-bench").into())?;
    let mut arguments = vec![PROGRAM.to_owned()];
    for argument in std::env::args_os().skip(2) {
        arguments.push(c_string(argument)?);
    }
    let names_server = |argument: &CString| {
        ["--server", "--target"].iter().any(|flag| argument.as_bytes().starts_with(flag.as_bytes()))
    };
    if !arguments.iter().any(names_server) {
        arguments.extend([c"--server".to_owned(), c_string(this.into())?]);
    }
    match execv(&beside, &arguments) {
        Err(Errno::ENOENT) => Ok(execvp(PROGRAM, &arguments)?),
        result => Ok(result?),
    }
}

fn c_string(text: OsString) -> io::Result<CString> {
    Ok(CString::new(text.into_vec())?)
}
