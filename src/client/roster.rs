//! Who is here and which rooms there are, as far as this client has heard, and what TAB makes of it. Only names that
//! the server told; never more than a bound of them, whoever the server is.

use super::line::is_name;
use std::collections::BTreeMap;

/// Names remembered at most; what a person completes is among the first of them.
const MAX_NAMES: usize = 4096;

/// Rooms remembered at most.
pub const MAX_ROOMS: usize = 1024;

/// What `/` completes to, and what may follow it.
const COMMANDS: [(&str, Follows); 13] = [
    ("announce", Follows::Nothing),
    ("help", Follows::Nothing),
    ("join", Follows::Room),
    ("kick", Follows::Nick),
    ("leave", Follows::Room),
    ("msg", Follows::Nick),
    ("nick", Follows::Nothing),
    ("ping", Follows::Nothing),
    ("quit", Follows::Nothing),
    ("rooms", Follows::Nothing),
    ("say", Follows::Nothing),
    ("stats", Follows::Nothing),
    ("who", Follows::Room),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Follows {
    Nothing,
    Nick,
    Room,
}

/// Names by their folded form.
type Names = BTreeMap<String, String>;

/// The names and rooms that were heard of.
#[derive(Debug, Default)]
pub struct Roster {
    nicks: Names,
    rooms: Names,
}

/// What could stand in place of what was typed from `start` on.
#[derive(Debug, PartialEq, Eq)]
pub struct Completion {
    /// A byte offset into the line, at the start of the unfinished word.
    pub start: usize,
    /// Replacements, sorted.
    pub candidates: Vec<String>,
}

impl Roster {
    /// Somebody is here.
    pub fn add_nick(&mut self, nick: &str) {
        add(&mut self.nicks, nick, MAX_NAMES);
    }

    /// Somebody is gone.
    pub fn remove_nick(&mut self, nick: &str) {
        self.nicks.remove(&fold(nick));
    }

    /// There is such a room.
    pub fn add_room(&mut self, room: &str) {
        add(&mut self.rooms, room, MAX_ROOMS);
    }

    /// Nobody is known any more; rooms may well be there again after reconnecting.
    pub fn forget_nicks(&mut self) {
        self.nicks.clear();
    }

    /// What TAB could make of `head`, the line up to the cursor.
    #[must_use]
    pub fn complete(&self, head: &str) -> Completion {
        let none = Completion { start: head.len(), candidates: Vec::new() };
        if let Some(targets) = head.strip_prefix('@') {
            return if targets.contains(':') { none } else { self.last_of_list(head, ',') };
        }
        if let Some(room) = head.strip_prefix('&') {
            return if room.contains(':') { none } else { offer(&self.rooms, room, 1, "") };
        }
        if let Some(command) = head.strip_prefix('/') {
            let Some((command, argument)) = command.split_once(' ') else {
                return commands(command);
            };
            let start = head.len() - argument.len();
            let follows = COMMANDS.iter().find(|(name, _)| *name == command).map(|(_, follows)| *follows);
            return match follows {
                Some(Follows::Nick) => offer(&self.nicks, argument, start, " "),
                Some(Follows::Room) => offer(&self.rooms, argument, start, ""),
                _ => none,
            };
        }
        if head.is_empty() { none } else { offer(&self.nicks, head, 0, ": ") }
    }

    /// `@alice,bo`: the last name of the list, behind a sigil.
    fn last_of_list(&self, head: &str, separator: char) -> Completion {
        let start = head.rfind(separator).unwrap_or(0) + 1;
        offer(&self.nicks, &head[start..], start, ":")
    }
}

/// The form in which two spellings of a name are compared, near enough for completion and colours: the server alone
/// knows RFC 8265.
#[must_use]
pub fn fold(name: &str) -> String {
    name.to_lowercase()
}

/// What is no name is never offered: a completion is sent as if it had been typed.
fn add(names: &mut Names, name: &str, limit: usize) {
    if names.len() < limit && is_name(name) {
        names.insert(fold(name), name.to_owned());
    }
}

/// Those of `names` that go on from `typed`, each followed by `suffix`.
fn offer(names: &Names, typed: &str, start: usize, suffix: &str) -> Completion {
    let prefix = fold(typed);
    let fitting = names.range(prefix.clone()..).take_while(|(folded, _)| folded.starts_with(&prefix));
    Completion { start, candidates: fitting.map(|(_, name)| format!("{name}{suffix}")).collect() }
}

fn commands(typed: &str) -> Completion {
    let fitting = COMMANDS.iter().filter(|(name, _)| name.starts_with(typed));
    Completion { start: 1, candidates: fitting.map(|(name, _)| format!("{name} ")).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_tells_names_without_end_fills_no_memory() {
        let mut roster = Roster::default();
        for number in 0..MAX_NAMES + 10 {
            roster.add_nick(&number.to_string());
            roster.add_room(&number.to_string());
        }
        assert_eq!(roster.nicks.len(), MAX_NAMES);
        assert_eq!(roster.rooms.len(), MAX_ROOMS);
    }
}
