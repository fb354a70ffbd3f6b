//! Gives pages back that aren't needed any more: freed ones within the heap, and those of program files that only
//! starting up has used. Reading flags alone runs through most of clap, and the kernel maps a file 64 KiB at a time around
//! each page that is touched, so a server that has started holds nearly all of its program and of libc; what it runs
//! from then on is an eighth of that. Those pages come back from the page cache as they are needed.
#![allow(unsafe_code)]

use rustix::mm::{Advice, madvise};
use std::fs;
use std::ptr;

/// Where it can't be done, nothing is lost: the pages stay.
pub(super) fn forget_start() {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for (start, end) in maps.lines().filter_map(code) {
        // SAFETY: the range is a private mapping of a file that may be run and not written, so nothing was changed in it
        // (there are no relocations in code: the program and its libraries are position independent): what the kernel
        // reads from the file again is what stood there. No Rust value lives in it.
        let _ =
            unsafe { madvise(ptr::with_exposed_provenance_mut(start), end - start, Advice::LinuxDontNeed) };
    }
}

/// Gives back the pages within the heap that hold nothing. What glibc frees it keeps, unless it lies at the end: after a
/// burst that would be a tenth of what ten thousand idle members take.
#[cfg(target_env = "gnu")]
pub(super) fn give_back_freed() {
    // SAFETY: malloc_trim(3) takes a number, may be called at any time from any thread, and touches no memory in use.
    let _ = unsafe { libc::malloc_trim(0) };
}

/// The range of a line of proc_pid_maps(5) that maps code from a file.
fn code(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split_ascii_whitespace();
    let (range, rights, file) = (words.next()?, words.next()?, words.nth(3)?);
    let (start, end) = range.split_once('-')?;
    let range = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    (rights == "r-xp" && file.starts_with('/') && range.0 < range.1).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_file_backed_code_is_forgotten() {
        let line = |rights: &str, file: &str| format!("7f00-8f00 {rights} 00001000 fe:00 1234    {file}");
        assert_eq!(code(&line("r-xp", "/usr/bin/redpoll")), Some((0x7f00, 0x8f00)));
        assert_eq!(code(&line("r-xp", "/a path with blanks")), Some((0x7f00, 0x8f00)));
        for other in
            [line("r--p", "/usr/bin/redpoll"), line("rwxp", "/x"), line("r-xs", "/x"), line("r-xp", "[vdso]")]
        {
            assert_eq!(code(&other), None, "{other}");
        }
        assert_eq!(code("7f00-8f00 r-xp 00000000 00:00 0"), None);
        assert_eq!(code(""), None);
    }

    #[test]
    fn forgotten_code_runs_again() {
        forget_start();
        assert_eq!(format!("{:.3}", 2.0_f64.sqrt()), "1.414");
    }
}
