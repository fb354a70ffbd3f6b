//! The history of a server, as the witness has heard it: what was said, who came and went, in one order. From it follows
//! who was in which room at any time, and what each of them must have heard.

/// The rooms, the lobby first; the witness makes the others, so they are shown like this however they are spelled.
pub const ROOMS: [&str; 4] = ["lobby", "r1", "r2", "r3"];

/// The lobby's place among them.
pub const LOBBY: usize = 0;

/// Something that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'h> {
    /// The `number`-th request of `who` was said.
    Said {
        room: usize,
        who: &'h str,
        number: usize,
    },
    /// With a name, into the lobby.
    Arrived {
        who: &'h str,
    },
    Joined {
        who: &'h str,
        room: usize,
    },
    Parted {
        who: &'h str,
        room: usize,
    },
    /// The connection ended; the reason without its brackets.
    Gone {
        who: &'h str,
        reason: &'h str,
    },
    Announced {
        text: &'h str,
    },
    /// The operator was told that this connection ends; others aren't.
    Kicked {
        who: &'h str,
    },
    /// The server was asked to stop; nothing follows.
    Stopping,
}

/// Something that happened, as a line shows it.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'h> {
    pub event: Event<'h>,
    pub line: &'h str,
    /// What was known before the line in bytes of history.
    pub at: usize,
}

/// What the witness heard, as entries; its other answers are left out.
pub fn read(heard: &str) -> Vec<Entry<'_>> {
    let mut at = 0;
    let mut entries = Vec::new();
    for line in heard.lines() {
        if let Some(event) = event(line) {
            entries.push(Entry { event, line, at });
        }
        at += line.len() + 1;
    }
    entries
}

/// What a line of the line protocol tells of; `None` for answers.
pub fn event(line: &str) -> Option<Event<'_>> {
    match line.as_bytes().first() {
        Some(b'!') if line.starts_with("!shutting-down") => Some(Event::Stopping),
        Some(b'+') => line.strip_prefix("+kicked ").map(|who| Event::Kicked { who }),
        Some(b'!' | b'@') | None => None,
        Some(b'*') => Some(notice(line)),
        Some(b'&') => {
            let (room, said) = line[1..].split_once(':').expect("a room and what is said there");
            let (who, number) = numbered(said).unwrap_or_else(|| panic!("{said:?} has no number"));
            Some(Event::Said { room: room_of(room), who, number })
        }
        _ => {
            let (who, number) = numbered(line).unwrap_or_else(|| panic!("{line:?} has no number"));
            Some(Event::Said { room: LOBBY, who, number })
        }
    }
}

fn notice(line: &str) -> Event<'_> {
    let words = &line[2..];
    if let Some(text) = words.strip_prefix("administrator: ") {
        return Event::Announced { text };
    }
    let (who, rest) = words.split_once(' ').expect("somebody does something");
    match rest.split_once(" &") {
        None if rest == "joined" => Event::Arrived { who },
        Some(("joined", room)) => Event::Joined { who, room: room_of(room) },
        Some(("left", room)) => Event::Parted { who, room: room_of(room) },
        _ => {
            let reason = rest.strip_prefix("left").expect("there is no other notice");
            let reason =
                reason.strip_prefix(" (").and_then(|reason| reason.strip_suffix(')')).unwrap_or(reason);
            Event::Gone { who, reason }
        }
    }
}

/// A room by its name.
pub fn room_of(name: &str) -> usize {
    ROOMS.iter().position(|room| *room == name).expect("there is no other room")
}

/// Nick and number of `nick:nick-12 xxx`, in the lobby with a blank behind the colon.
pub fn numbered(line: &str) -> Option<(&str, usize)> {
    let (nick, text) = line.split_once(':')?;
    let (by, number) = by_and_number(text.trim_start())?;
    assert_eq!(nick, by, "{line:?} is told as somebody else's");
    Some((nick, number))
}

/// The same of the text alone.
pub fn by_and_number(text: &str) -> Option<(&str, usize)> {
    let (by, number) = text.split(' ').next()?.split_once('-')?;
    Some((by, number.parse().ok()?))
}

/// Who is in which room.
#[derive(Debug, Default)]
pub struct Rooms<'h> {
    members: [Vec<&'h str>; ROOMS.len()],
}

impl<'h> Rooms<'h> {
    pub fn after(history: &[Entry<'h>]) -> Rooms<'h> {
        let mut rooms = Rooms::default();
        history.iter().for_each(|entry| rooms.follow(entry.event));
        rooms
    }

    pub fn members(&self, room: usize) -> &[&'h str] {
        &self.members[room]
    }

    pub fn is_in(&self, room: usize, who: &str) -> bool {
        self.members[room].contains(&who)
    }

    pub fn has_seat(&self, who: &str) -> bool {
        (0..ROOMS.len()).any(|room| self.is_in(room, who))
    }

    /// Whether two share a room.
    fn are_together(&self, one: &str, other: &str) -> bool {
        (0..ROOMS.len()).any(|room| self.is_in(room, one) && self.is_in(room, other))
    }

    /// Whether somebody who is registered hears of what happens next, by the rules of the line protocol.
    pub fn hears(&self, nick: &str, event: Event<'h>) -> bool {
        match event {
            Event::Said { room, who, .. } => who != nick && self.is_in(room, nick),
            Event::Arrived { who } => who != nick && self.is_in(LOBBY, nick),
            Event::Joined { who, room } | Event::Parted { who, room } => {
                who != nick && self.is_in(room, nick)
            }
            // The witness shares a room with everyone who is in any; others only those of their own rooms.
            Event::Gone { who, .. } => who != nick && self.are_together(nick, who),
            Event::Announced { .. } => true,
            Event::Kicked { .. } | Event::Stopping => false,
        }
    }

    pub fn follow(&mut self, event: Event<'h>) {
        match event {
            Event::Arrived { who } => self.members[LOBBY].push(who),
            Event::Joined { who, room } => self.members[room].push(who),
            Event::Parted { who, room } => self.members[room].retain(|member| *member != who),
            Event::Gone { who, .. } => {
                self.members.iter_mut().for_each(|members| members.retain(|member| *member != who));
            }
            Event::Said { .. } | Event::Announced { .. } | Event::Kicked { .. } | Event::Stopping => {}
        }
    }
}
