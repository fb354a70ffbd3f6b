//! The history of a server, parsed from the input of the witness: messages and presence, in one order. It determines
//! the members of each room at any time, and what each member must receive.

/// The rooms, the lobby first. The witness creates the others, so events have this spelling, whatever a request has.
pub const ROOMS: [&str; 4] = ["lobby", "r1", "r2", "r3"];

/// Index of the lobby in [`ROOMS`].
pub const LOBBY: usize = 0;

/// An event of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'h> {
    /// The `number`-th request of `user` was sent to a room.
    Message {
        room: usize,
        user: &'h str,
        number: usize,
    },
    /// Into the lobby.
    Registered {
        user: &'h str,
    },
    Joined {
        user: &'h str,
        room: usize,
    },
    Left {
        user: &'h str,
        room: usize,
    },
    /// The connection was closed; the reason is without brackets.
    Closed {
        user: &'h str,
        reason: &'h str,
    },
    Announced {
        text: &'h str,
    },
    /// The operator was sent the answer to its `/kick`; others aren't.
    Kicked {
        user: &'h str,
    },
    /// The server was asked to stop; no event follows.
    Stopping,
}

/// An event with its line.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'h> {
    pub event: Event<'h>,
    pub line: &'h str,
    /// Bytes of history before the line.
    pub at: usize,
}

/// Parses the input of the witness; its other answers are omitted.
pub fn read(received: &str) -> Vec<Entry<'_>> {
    let mut at = 0;
    let mut entries = Vec::new();
    for line in received.lines() {
        if let Some(event) = event(line) {
            entries.push(Entry { event, line, at });
        }
        at += line.len() + 1;
    }
    entries
}

/// Parses a line of the line protocol; `None` for answers.
pub fn event(line: &str) -> Option<Event<'_>> {
    match line.as_bytes().first() {
        Some(b'!') if line.starts_with("!shutting-down") => Some(Event::Stopping),
        Some(b'+') => line.strip_prefix("+kicked ").map(|user| Event::Kicked { user }),
        Some(b'!' | b'@') | None => None,
        Some(b'*') => Some(presence_or_announcement(line)),
        Some(b'&') => {
            let (room, text) = line[1..].split_once(':').expect("a room and a text");
            let (user, number) = numbered(text).unwrap_or_else(|| panic!("{text:?} has no number"));
            Some(Event::Message { room: room_of(room), user, number })
        }
        _ => {
            let (user, number) = numbered(line).unwrap_or_else(|| panic!("{line:?} has no number"));
            Some(Event::Message { room: LOBBY, user, number })
        }
    }
}

fn presence_or_announcement(line: &str) -> Event<'_> {
    let words = &line[2..];
    if let Some(text) = words.strip_prefix("administrator: ") {
        return Event::Announced { text };
    }
    let (user, rest) = words.split_once(' ').expect("a user and an event");
    match rest.split_once(" &") {
        None if rest == "joined" => Event::Registered { user },
        Some(("joined", room)) => Event::Joined { user, room: room_of(room) },
        Some(("left", room)) => Event::Left { user, room: room_of(room) },
        _ => {
            let reason = rest.strip_prefix("left").expect("there is no other presence");
            let reason =
                reason.strip_prefix(" (").and_then(|reason| reason.strip_suffix(')')).unwrap_or(reason);
            Event::Closed { user, reason }
        }
    }
}

/// Returns the index of a room by its name.
pub fn room_of(name: &str) -> usize {
    ROOMS.iter().position(|room| *room == name).expect("there is no other room")
}

/// Returns nick and number of `nick:nick-12 xxx`; in the lobby a space follows the colon.
pub fn numbered(line: &str) -> Option<(&str, usize)> {
    let (nick, text) = line.split_once(':')?;
    let (by, number) = by_and_number(text.trim_start())?;
    assert_eq!(nick, by, "{line:?} has the nick of another sender");
    Some((nick, number))
}

/// Returns nick and number of the text alone.
pub fn by_and_number(text: &str) -> Option<(&str, usize)> {
    let (by, number) = text.split(' ').next()?.split_once('-')?;
    Some((by, number.parse().ok()?))
}

/// The members of each room.
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

    pub fn is_in(&self, room: usize, user: &str) -> bool {
        self.members[room].contains(&user)
    }

    pub fn has_membership(&self, user: &str) -> bool {
        (0..ROOMS.len()).any(|room| self.is_in(room, user))
    }

    /// Whether two users share a room.
    fn share_a_room(&self, first: &str, second: &str) -> bool {
        (0..ROOMS.len()).any(|room| self.is_in(room, first) && self.is_in(room, second))
    }

    /// Whether the registered user `nick` receives the next event, by the rules of the line protocol.
    pub fn receives(&self, nick: &str, event: Event<'h>) -> bool {
        match event {
            Event::Message { room, user, .. } => user != nick && self.is_in(room, nick),
            Event::Registered { user } => user != nick && self.is_in(LOBBY, nick),
            Event::Joined { user, room } | Event::Left { user, room } => {
                user != nick && self.is_in(room, nick)
            }
            // The witness is in every room. Other users receive this only from members of their own rooms.
            Event::Closed { user, .. } => user != nick && self.share_a_room(nick, user),
            Event::Announced { .. } => true,
            Event::Kicked { .. } | Event::Stopping => false,
        }
    }

    pub fn follow(&mut self, event: Event<'h>) {
        match event {
            Event::Registered { user } => self.members[LOBBY].push(user),
            Event::Joined { user, room } => self.members[room].push(user),
            Event::Left { user, room } => self.members[room].retain(|member| *member != user),
            Event::Closed { user, .. } => {
                self.members.iter_mut().for_each(|members| members.retain(|member| *member != user));
            }
            Event::Message { .. } | Event::Announced { .. } | Event::Kicked { .. } | Event::Stopping => {}
        }
    }
}
