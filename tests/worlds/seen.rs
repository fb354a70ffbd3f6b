//! How often what these worlds are for has happened, so that none of it is lost unnoticed.

use crate::judge::Heard;
use crate::lot::Deed;
use crate::world::Crowd;
use redpoll_kit::Fault;
use std::collections::BTreeMap;

/// Kinds of things, and the things that must have happened of each, besides every fault and every deed.
const EXPECTED: [(&str, &[&str]); 4] = [
    (
        "refusal",
        &[
            "line-too-long",
            "bad-byte",
            "register-first",
            "unknown-command",
            "denied",
            "usage",
            "empty-text",
            "too-many-targets",
            "nick-invalid",
            "nick-reserved",
            "nick-taken",
            "room-invalid",
            "no-such-room",
            "not-in-room",
            "too-many-rooms",
            "no-such-user",
            "recipient-full",
            "no-accounts",
            "server-full",
            "too-many-connections",
            "register-timeout",
            "too-slow",
            "kicked",
            "shutting-down",
        ],
    ),
    ("ending", &["see you", "", "connection lost", "too slow", "kicked"]),
    ("door", &["classic", "nickname", "relay"]),
    ("direct", &["told"]),
];

/// Counts by kind and name.
#[derive(Debug, Default)]
pub struct Seen(BTreeMap<(String, String), usize>);

impl Seen {
    pub fn note(&mut self, kind: &str, name: &str) {
        self.note_times(kind, name, 1);
    }

    pub fn note_times(&mut self, kind: &str, name: &str, times: usize) {
        *self.0.entry((kind.to_owned(), name.to_owned())).or_default() += times;
    }

    /// The faults that were met, and the deeds that were done.
    pub fn note_world(&mut self, crowd: &Crowd, done: &[usize]) {
        for fault in Fault::ALL {
            self.note_times("fault", &format!("{fault:?}"), crowd.lot.faults.met(fault));
        }
        for ((deed, _), times) in Deed::ALL.iter().zip(done) {
            self.note_times("deed", &format!("{deed:?}"), *times);
        }
    }

    /// The refusals that somebody has heard.
    pub fn note_heard(&mut self, heard: &Heard<'_>) {
        for line in heard.lines.iter().chain(&heard.farewell).filter_map(|line| line.strip_prefix('!')) {
            self.note("refusal", line.split(' ').next().unwrap_or(line));
        }
    }

    pub fn add(&mut self, more: Seen) {
        for ((kind, name), times) in more.0 {
            self.note_times(&kind, &name, times);
        }
    }

    /// Asserts that nothing is missing.
    pub fn everything(&self) {
        let happened = |kind: &str, name: &str| {
            let times = self.0.get(&(kind.to_owned(), name.to_owned())).copied().unwrap_or(0);
            assert!(times > 0, "these worlds are too tame: no {kind} {name:?} in {self:#?}");
        };
        EXPECTED.iter().for_each(|(kind, names)| names.iter().for_each(|name| happened(kind, name)));
        Fault::ALL.iter().for_each(|fault| happened("fault", &format!("{fault:?}")));
        Deed::ALL.iter().for_each(|(deed, _)| happened("deed", &format!("{deed:?}")));
    }
}
