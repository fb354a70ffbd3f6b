//! `redpoll bench`: hands over to the program redpoll-bench, which is a package of its own, so that nothing that it needs
//! is in the server that it measures. Its flags are not known here. `execv` comes from `nix`: with `Command` of the
//! standard library this program would be 20 KiB larger.

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

/// The words after `redpoll bench`: any.
pub fn words() -> Arg {
    let words = Arg::new("flags").value_name("FLAGS").num_args(0..).value_parser(ValueParser::os_string());
    words.trailing_var_arg(true).allow_hyphen_values(true).help("Flags of redpoll-bench; --help shows them")
}

/// Becomes redpoll-bench: the one in the directory of this program, else the one on PATH. It is given the words after
/// `bench`, and this program as the server to measure where they name no other. Returns only where it can't be run, with
/// exit code 1.
#[must_use]
pub fn bench() -> ExitCode {
    let Err(error) = become_program();
    eprintln!(
        "redpoll: can't run redpoll-bench, beside this program or on PATH: {error}; build it by `cargo build --release \
         -p redpoll-bench`"
    );
    ExitCode::FAILURE
}

fn become_program() -> io::Result<Infallible> {
    let this = std::env::current_exe()?;
    let beside = c_string(this.with_file_name("redpoll-bench").into())?;
    let mut words = vec![PROGRAM.to_owned()];
    for word in std::env::args_os().skip(2) {
        words.push(c_string(word)?);
    }
    let names_server = |word: &CString| {
        ["--server", "--target"].iter().any(|flag| word.as_bytes().starts_with(flag.as_bytes()))
    };
    if !words.iter().any(names_server) {
        words.extend([c"--server".to_owned(), c_string(this.into())?]);
    }
    match execv(&beside, &words) {
        Err(Errno::ENOENT) => Ok(execvp(PROGRAM, &words)?),
        result => Ok(result?),
    }
}

fn c_string(word: OsString) -> io::Result<CString> {
    Ok(CString::new(word.into_vec())?)
}
