//! Parses a line from the server by its first byte (protocol.md, "Server to client"). There is no state here and no
//! text for the user: `session` handles the parsed lines, and `view` formats them.

use crate::protocol::name::MAX_CHARS;

/// The room that a user joins by registering, case-folded. Its messages name no room.
pub const LOBBY: &str = "lobby";

/// One line from the server. A line that matches no form of the protocol is [`Line::Other`], and shown as received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// `+word details`
    Answer(Answer<'a>),
    /// `!code details`
    Refusal(Refusal<'a>),
    /// `* text` about a user: a presence event.
    Presence(Presence<'a>),
    /// Another `* text`: the greeting, an announcement.
    Notice,
    /// `@from:text`
    Direct {
        /// The sender.
        from: &'a str,
        /// The message.
        text: &'a str,
    },
    /// `&room:from:text`, or `from: text` for the lobby.
    Message {
        /// The room; `None` is the lobby.
        room: Option<&'a str>,
        /// The sender.
        from: &'a str,
        /// The message.
        text: &'a str,
    },
    /// Anything else: the line as received.
    Other(&'a str),
}

/// The answer to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<'a> {
    /// `+nick alice`: the name of this user from now on.
    Nick(&'a str),
    /// `+room dev 5`: this user is in the room, which is the current one; and its count of members.
    Room(&'a str, &'a str),
    /// `+left dev`
    Left(&'a str),
    /// `+who dev alice bob`: the room or `*`, and names separated by spaces.
    Who(&'a str, &'a str),
    /// `+end who dev 2`: the room or `*`, and the count of users.
    EndWho(&'a str, &'a str),
    /// `+rooms lobby:12 dev:2`
    Rooms(&'a str),
    /// `+end rooms 2`
    EndRooms(&'a str),
    /// `+help text`
    Help(&'a str),
    /// `+end help`, `+end stats 19`: not shown.
    End,
    /// `+bye`
    Bye,
    /// Another word and its details.
    Other(&'a str, &'a str),
}

/// Why a request was refused, or why the connection is about to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// The stable error code.
    pub code: &'a str,
    /// The text after the code; may be empty.
    pub details: &'a str,
}

/// A presence event: a user joined, left or was renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence<'a> {
    /// `alice joined`, `alice joined &dev`: the user and the room; `None` is the lobby, on registration.
    Joined(&'a str, Option<&'a str>),
    /// `alice left &dev`: the user left the room and is still connected.
    LeftRoom(&'a str, &'a str),
    /// `alice left`, `alice left (reason)`: the user's connection was closed.
    Disconnected(&'a str),
    /// `alice is now alicia`: the old and the new name.
    Renamed(&'a str, &'a str),
}

impl<'a> Line<'a> {
    /// Parses a line without LF. Never fails.
    #[must_use]
    pub fn parse(line: &'a str) -> Line<'a> {
        let parsed = match line.as_bytes().first() {
            Some(b'+') => Some(Line::Answer(Answer::parse(&line[1..]))),
            Some(b'!') => Some(Line::Refusal(Refusal::parse(&line[1..]))),
            Some(b'*') => {
                line.strip_prefix("* ").map(|text| Presence::parse(text).map_or(Line::Notice, Line::Presence))
            }
            Some(b'@') => line[1..].split_once(':').map(|(from, text)| Line::Direct { from, text }),
            Some(b'&') => parse_room_message(&line[1..]),
            _ => line.split_once(": ").map(|(from, text)| Line::Message { room: None, from, text }),
        };
        match parsed {
            Some(Line::Direct { from, .. } | Line::Message { from, .. }) if !is_name(from) => {
                Line::Other(line)
            }
            Some(parsed) => parsed,
            None => Line::Other(line),
        }
    }
}

impl<'a> Answer<'a> {
    fn parse(text: &'a str) -> Answer<'a> {
        let (word, details) = split_word(text);
        let (first, remainder) = split_word(details);
        match word {
            "nick" if is_name(first) => Answer::Nick(first),
            "room" if is_name(first) => Answer::Room(first, remainder),
            "left" if is_name(first) => Answer::Left(first),
            "who" => Answer::Who(first, remainder),
            "end" => match first {
                "who" => {
                    let (room, count) = split_word(remainder);
                    Answer::EndWho(room, count)
                }
                "rooms" => Answer::EndRooms(remainder),
                _ => Answer::End,
            },
            "rooms" => Answer::Rooms(details),
            "help" => Answer::Help(details),
            "bye" => Answer::Bye,
            _ => Answer::Other(word, details),
        }
    }
}

impl<'a> Refusal<'a> {
    fn parse(text: &'a str) -> Refusal<'a> {
        let (code, details) = split_word(text);
        Refusal { code, details }
    }

    /// Returns whether the server closes the connection after this refusal.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        const CLOSING: [&str; 6] = [
            "server-full",
            "too-many-connections",
            "register-timeout",
            "too-slow",
            "kicked",
            "shutting-down",
        ];
        CLOSING.contains(&self.code)
    }
}

impl<'a> Presence<'a> {
    fn parse(text: &'a str) -> Option<Presence<'a>> {
        let (user, event) = split_word(text);
        if !is_name(user) {
            return None;
        }
        match split_word(event) {
            ("joined", "") => Some(Presence::Joined(user, None)),
            ("joined", room) => room.strip_prefix('&').map(|room| Presence::Joined(user, Some(room))),
            ("left", "") => Some(Presence::Disconnected(user)),
            ("left", reason) if reason.starts_with('(') => Some(Presence::Disconnected(user)),
            ("left", room) => room.strip_prefix('&').map(|room| Presence::LeftRoom(user, room)),
            ("is", name) => name.strip_prefix("now ").map(|to| Presence::Renamed(user, to)),
            _ => None,
        }
    }
}

/// Returns whether `text` may be a name: no character that separates parts of a line, and 1 to MAX_CHARS characters
/// ("Names" in protocol.md).
#[must_use]
pub fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.contains(|c: char| c.is_whitespace() || "#@&/!+*:,".contains(c))
        && text.chars().nth(MAX_CHARS).is_none()
}

/// Splits `text` into its first word and the text after the space.
#[must_use]
pub fn split_word(text: &str) -> (&str, &str) {
    text.split_once(' ').unwrap_or((text, ""))
}

fn parse_room_message(text: &str) -> Option<Line<'_>> {
    let (room, text) = text.split_once(':')?;
    let (from, text) = text.split_once(':')?;
    is_name(room).then_some(Line::Message { room: Some(room), from, text })
}
