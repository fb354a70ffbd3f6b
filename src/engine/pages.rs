//! Returns unused pages to the kernel: free pages of the heap, and pages of program files that only the start has used.
//! Parsing flags alone runs most of clap, and the kernel maps a file 64 KiB at a time around each touched page, so a
//! started server holds nearly all of its program and of libc. It runs an eighth of that afterwards; pages that are
//! needed again come from the page cache.
#![allow(unsafe_code)]

use rustix::mm::{Advice, madvise};
use std::fs;
use std::ptr;

/// Releases all pages of code. On failure they stay, which does no harm.
pub(super) fn release_startup_code() {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for (start, end) in maps.lines().filter_map(code_range) {
        // SAFETY: the range is a private mapping of a file, executable and not writable, so nothing in it was changed
        // (code has no relocations: the program and its libraries are position independent), and the kernel reads the
        // same bytes from the file again. No Rust value is in it.
        let _ =
            unsafe { madvise(ptr::with_exposed_provenance_mut(start), end - start, Advice::LinuxDontNeed) };
    }
}

/// Releases the free pages of the heap. glibc keeps freed memory unless it is at the end of the heap: after a burst
/// that would be a tenth of the memory of ten thousand idle members.
#[cfg(target_env = "gnu")]
pub(super) fn release_free_heap() {
    // SAFETY: malloc_trim(3) takes a number, may be called at any time from any thread, and touches no memory in use.
    let _ = unsafe { libc::malloc_trim(0) };
}

/// Returns the range of a line of proc_pid_maps(5), if it maps code from a file.
fn code_range(line: &str) -> Option<(usize, usize)> {
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
        assert_eq!(code_range(&line("r-xp", "/usr/bin/redpoll")), Some((0x7f00, 0x8f00)));
        assert_eq!(code_range(&line("r-xp", "/a path with blanks")), Some((0x7f00, 0x8f00)));
        for other in
            [line("r--p", "/usr/bin/redpoll"), line("rwxp", "/x"), line("r-xs", "/x"), line("r-xp", "[vdso]")]
        {
            assert_eq!(code_range(&other), None, "{other}");
        }
        assert_eq!(code_range("7f00-8f00 r-xp 00000000 00:00 0"), None);
        assert_eq!(code_range(""), None);
    }

    #[test]
    fn forgotten_code_runs_again() {
        release_startup_code();
        assert_eq!(format!("{:.3}", 2.0_f64.sqrt()), "1.414");
    }
}
