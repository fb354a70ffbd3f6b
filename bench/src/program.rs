//! The program under test: its path, its version, and the compiler that built it.

use bstr::ByteSlice;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const NAME: &str = "redpoll";

/// Returns the path of the program: the value of `--server`, else `redpoll` in the directory of this program, else
/// `redpoll` on PATH. If none exists, returns its bare name; starting that fails.
#[must_use]
pub fn find(flag: Option<&Path>) -> PathBuf {
    if let Some(path) = flag {
        return path.to_owned();
    }
    let this = env::current_exe().unwrap_or_default();
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = this.parent().map(Path::to_owned).into_iter().chain(env::split_paths(&path));
    folders.map(|folder| folder.join(NAME)).find(|program| program.is_file()).unwrap_or_else(|| NAME.into())
}

/// Returns the output of `--version` without the program's name.
#[must_use]
pub fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().rsplit(' ').next()?.to_owned()).filter(|_| output.status.success())
}

/// Returns the compiler's version, which is in the comment section of every program that it builds.
#[must_use]
pub fn compiler(program: &Path) -> Option<String> {
    let program = fs::read(program).ok()?;
    let mark = b"rustc version ";
    let at = program
        .find_iter(mark)
        .map(|at| at + mark.len())
        .find(|at| program.get(*at).is_some_and(u8::is_ascii_digit))?;
    let version = program[at..].split(|byte| !(b' '..=b'~').contains(byte)).next()?;
    Some(String::from_utf8_lossy(version).into_owned())
}
