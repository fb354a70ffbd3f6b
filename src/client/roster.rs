//! The users and rooms that the server has named, and their use in TAB completion. The count of names is bounded,
//! whatever the server sends.

use super::line::is_name;
use std::collections::BTreeMap;

/// Maximum count of stored names of users; later ones are not completed.
const MAX_NICKS: usize = 4096;

/// Maximum count of stored rooms.
pub const MAX_ROOMS: usize = 1024;

/// The commands, and what completes their argument.
const COMMANDS: [(&str, Argument); 13] = [
    ("announce", Argument::None),
    ("help", Argument::None),
    ("join", Argument::Room),
    ("kick", Argument::Nick),
    ("leave", Argument::Room),
    ("msg", Argument::Nick),
    ("nick", Argument::None),
    ("ping", Argument::None),
    ("quit", Argument::None),
    ("rooms", Argument::None),
    ("say", Argument::None),
    ("stats", Argument::None),
    ("who", Argument::Room),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Argument {
    None,
    Nick,
    Room,
}

/// Names by their case-folded form.
type Names = BTreeMap<String, String>;

/// The known users and rooms; at most MAX_NICKS and MAX_ROOMS.
#[derive(Debug, Default)]
pub struct Roster {
    nicks: Names,
    rooms: Names,
}

/// The candidates that may replace the typed text from `start` on.
#[derive(Debug, PartialEq, Eq)]
pub struct Completion {
    /// The byte offset of the unfinished word in the line.
    pub start: usize,
    /// The replacements, sorted.
    pub candidates: Vec<String>,
}

impl Roster {
    /// Adds a user.
    pub fn add_nick(&mut self, nick: &str) {
        add(&mut self.nicks, nick, MAX_NICKS);
    }

    /// Removes a user.
    pub fn remove_nick(&mut self, nick: &str) {
        self.nicks.remove(&fold(nick));
    }

    /// Adds a room.
    pub fn add_room(&mut self, room: &str) {
        add(&mut self.rooms, room, MAX_ROOMS);
    }

    /// Removes all users. Rooms are kept, since they probably still exist after reconnecting.
    pub fn clear_nicks(&mut self) {
        self.nicks.clear();
    }

    /// Returns the completions of `head`, the line up to the cursor.
    #[must_use]
    pub fn complete(&self, head: &str) -> Completion {
        let none = Completion { start: head.len(), candidates: Vec::new() };
        if let Some(targets) = head.strip_prefix('@') {
            return if targets.contains(':') { none } else { self.complete_list(head, ',') };
        }
        if let Some(room) = head.strip_prefix('&') {
            return if room.contains(':') { none } else { matching_names(&self.rooms, room, 1, "") };
        }
        if let Some(command) = head.strip_prefix('/') {
            let Some((command, argument)) = command.split_once(' ') else {
                return matching_commands(command);
            };
            let start = head.len() - argument.len();
            let kind = COMMANDS.iter().find(|(name, _)| *name == command).map(|(_, kind)| *kind);
            return match kind {
                Some(Argument::Nick) => matching_names(&self.nicks, argument, start, " "),
                Some(Argument::Room) => matching_names(&self.rooms, argument, start, ""),
                _ => none,
            };
        }
        if head.is_empty() { none } else { matching_names(&self.nicks, head, 0, ": ") }
    }

    /// Completes the last name of a list after `@`: `@alice,bo`.
    fn complete_list(&self, head: &str, separator: char) -> Completion {
        let start = head.rfind(separator).unwrap_or(0) + 1;
        matching_names(&self.nicks, &head[start..], start, ":")
    }
}

/// Returns the case-folded form of `name`. It is an approximation for completion and colours; the server compares names
/// by RFC 8265.
#[must_use]
pub fn fold(name: &str) -> String {
    name.to_lowercase()
}

/// Adds `name` if it is a valid name. Other text must not become a completion, because it is sent like typed text.
fn add(names: &mut Names, name: &str, limit: usize) {
    if names.len() < limit && is_name(name) {
        names.insert(fold(name), name.to_owned());
    }
}

/// Returns the names that begin with `typed`, each with `suffix` appended.
fn matching_names(names: &Names, typed: &str, start: usize, suffix: &str) -> Completion {
    let prefix = fold(typed);
    let matching = names.range(prefix.clone()..).take_while(|(folded, _)| folded.starts_with(&prefix));
    Completion { start, candidates: matching.map(|(_, name)| format!("{name}{suffix}")).collect() }
}

fn matching_commands(typed: &str) -> Completion {
    let matching = COMMANDS.iter().filter(|(name, _)| name.starts_with(typed));
    Completion { start: 1, candidates: matching.map(|(name, _)| format!("{name} ")).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_rooms_are_bounded() {
        let mut roster = Roster::default();
        for number in 0..MAX_NICKS + 10 {
            roster.add_nick(&number.to_string());
            roster.add_room(&number.to_string());
        }
        assert_eq!(roster.nicks.len(), MAX_NICKS);
        assert_eq!(roster.rooms.len(), MAX_ROOMS);
    }
}
