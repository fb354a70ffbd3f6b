//! Counts of the faults, actions, refusals and close reasons that occurred; a run in which one is missing fails.

use crate::checker::Received;
use crate::config::Action;
use crate::world::Clients;
use redpoll_kit::Fault;
use std::collections::BTreeMap;

/// Kinds, each with the names that must have occurred, besides every fault and every action.
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
    ("close reason", &["see you", "", "connection lost", "too slow", "kicked"]),
    ("scheme", &["classic", "nickname", "relay"]),
    ("direct", &["received"]),
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

    /// Counts the faults that occurred and the actions that were performed.
    pub fn note_world(&mut self, clients: &Clients, done: &[usize]) {
        for fault in Fault::ALL {
            self.note_times("fault", &format!("{fault:?}"), clients.config.faults.met(fault));
        }
        for ((action, _), times) in Action::ALL.iter().zip(done) {
            self.note_times("action", &format!("{action:?}"), *times);
        }
    }

    /// Counts the refusals that a client has received.
    pub fn note_received(&mut self, received: &Received<'_>) {
        for line in
            received.lines.iter().chain(&received.final_line).filter_map(|line| line.strip_prefix('!'))
        {
            self.note("refusal", line.split(' ').next().unwrap_or(line));
        }
    }

    pub fn add(&mut self, more: Seen) {
        for ((kind, name), times) in more.0 {
            self.note_times(&kind, &name, times);
        }
    }

    /// Asserts that everything expected has occurred.
    pub fn assert_complete(&self) {
        let occurred = |kind: &str, name: &str| {
            let times = self.0.get(&(kind.to_owned(), name.to_owned())).copied().unwrap_or(0);
            assert!(times > 0, "no {kind} {name:?} occurred: {self:#?}");
        };
        EXPECTED.iter().for_each(|(kind, names)| names.iter().for_each(|name| occurred(kind, name)));
        Fault::ALL.iter().for_each(|fault| occurred("fault", &format!("{fault:?}")));
        Action::ALL.iter().for_each(|(action, _)| occurred("action", &format!("{action:?}")));
    }
}
