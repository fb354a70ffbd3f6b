//! A line from the server, told apart by its first byte (protocol.md, "Server to client"). No state and no words for
//! people here: the session draws its conclusions from these, and the view shows them.

use crate::protocol::name::MAX_CHARS;

/// The room that everyone enters by registering; its lines carry no room. In its folded form.
pub const LOBBY: &str = "lobby";

/// One line from the server. What matches no form of the protocol is [`Line::Other`] and shown as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// `+word details`
    Answer(Answer<'a>),
    /// `!code details`
    Refusal(Refusal<'a>),
    /// `* text`
    Notice(Notice<'a>),
    /// `@from:text`
    Direct {
        /// Who wrote it.
        from: &'a str,
        /// What.
        text: &'a str,
    },
    /// `&room:from:text`, or `from: text` for the lobby.
    Said {
        /// Where; `None` is the lobby.
        room: Option<&'a str>,
        /// Who said it.
        from: &'a str,
        /// What.
        text: &'a str,
    },
    /// Anything else, the line as it came.
    Other(&'a str),
}

/// The answer to something that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<'a> {
    /// `+nick alice`: that's your name now.
    Nick(&'a str),
    /// `+room dev 5`: you are in it, it is the current one, and so many are there.
    Room(&'a str, &'a str),
    /// `+left dev`
    Left(&'a str),
    /// `+who dev alice bob`: the room or `*`, and names with blanks between.
    Who(&'a str, &'a str),
    /// `+end who dev 2`: the room or `*`, and how many.
    EndWho(&'a str, &'a str),
    /// `+rooms lobby:12 dev:2`
    Rooms(&'a str),
    /// `+end rooms 2`
    EndRooms(&'a str),
    /// `+help text`
    Help(&'a str),
    /// `+end help`, `+end stats 19`: nothing that a person needs.
    End,
    /// `+bye`
    Bye,
    /// Another word and its details.
    Other(&'a str, &'a str),
}

/// Why something was not done, or the connection is about to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// The stable word.
    pub code: &'a str,
    /// What stands behind it; may be empty.
    pub details: &'a str,
}

/// Who came, went or was renamed, or another notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice<'a> {
    /// `alice joined`, `alice joined &dev`: the room, or `None` for having arrived in the lobby.
    Joined(&'a str, Option<&'a str>),
    /// `alice left &dev`: still connected.
    Parted(&'a str, &'a str),
    /// `alice left`, `alice left (reason)`: her connection ended.
    Gone(&'a str),
    /// `alice is now alicia`
    Renamed(&'a str, &'a str),
    /// A greeting, an announcement.
    Other,
}

impl<'a> Line<'a> {
    /// Parses a line without its LF. Never fails.
    #[must_use]
    pub fn parse(line: &'a str) -> Line<'a> {
        let parsed = match line.as_bytes().first() {
            Some(b'+') => Some(Line::Answer(Answer::parse(&line[1..]))),
            Some(b'!') => Some(Line::Refusal(Refusal::parse(&line[1..]))),
            Some(b'*') => line.strip_prefix("* ").map(|text| Line::Notice(Notice::parse(text))),
            Some(b'@') => line[1..].split_once(':').map(|(from, text)| Line::Direct { from, text }),
            Some(b'&') => said_in_room(&line[1..]),
            _ => line.split_once(": ").map(|(from, text)| Line::Said { room: None, from, text }),
        };
        match parsed {
            Some(Line::Direct { from, .. } | Line::Said { from, .. }) if !is_name(from) => Line::Other(line),
            Some(parsed) => parsed,
            None => Line::Other(line),
        }
    }
}

impl<'a> Answer<'a> {
    fn parse(text: &'a str) -> Answer<'a> {
        let (word, details) = cut(text);
        let (first, rest) = cut(details);
        match word {
            "nick" if is_name(first) => Answer::Nick(first),
            "room" if is_name(first) => Answer::Room(first, rest),
            "left" if is_name(first) => Answer::Left(first),
            "who" => Answer::Who(first, rest),
            "end" => match first {
                "who" => {
                    let (room, count) = cut(rest);
                    Answer::EndWho(room, count)
                }
                "rooms" => Answer::EndRooms(rest),
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
        let (code, details) = cut(text);
        Refusal { code, details }
    }

    /// True if the server closes the connection after this one.
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

impl<'a> Notice<'a> {
    fn parse(text: &'a str) -> Notice<'a> {
        let (who, what) = cut(text);
        if !is_name(who) {
            return Notice::Other;
        }
        match cut(what) {
            ("joined", "") => Notice::Joined(who, None),
            ("joined", room) => {
                room.strip_prefix('&').map_or(Notice::Other, |room| Notice::Joined(who, Some(room)))
            }
            ("left", "") => Notice::Gone(who),
            ("left", reason) if reason.starts_with('(') => Notice::Gone(who),
            ("left", room) => room.strip_prefix('&').map_or(Notice::Other, |room| Notice::Parted(who, room)),
            ("is", now) => now.strip_prefix("now ").map_or(Notice::Other, |to| Notice::Renamed(who, to)),
            _ => Notice::Other,
        }
    }
}

/// True for what may be a name: nothing that could be mistaken for another part of a line, and no longer than a name is
/// ("Names" in protocol.md).
#[must_use]
pub fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.contains(|c: char| c.is_whitespace() || "#@&/!+*:,".contains(c))
        && text.chars().nth(MAX_CHARS).is_none()
}

/// The first word and the rest behind its blank.
#[must_use]
pub fn cut(text: &str) -> (&str, &str) {
    text.split_once(' ').unwrap_or((text, ""))
}

fn said_in_room(text: &str) -> Option<Line<'_>> {
    let (room, text) = text.split_once(':')?;
    let (from, text) = text.split_once(':')?;
    is_name(room).then_some(Line::Said { room: Some(room), from, text })
}
