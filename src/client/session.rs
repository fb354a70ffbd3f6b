//! What is known about this end of the talk (name, rooms, how far registering got) and what follows from a line heard
//! or typed. No I/O, no clock, no threads: the terminal asks and does, so every rule here is told as a story in a test.

use super::line::{Answer, LOBBY, Line, Notice, Refusal};
use super::roster::{MAX_ROOMS, Roster, fold};

/// Why a line is kept while there is no server.
pub const NOT_CONNECTED: &str = "not sent: not connected";

/// How often a name that is still held by one's own lost connection is asked for again.
pub const TAKEN_TRIES: u32 = 8;

/// One user's side of the talk, across connections.
#[derive(Debug, Default)]
pub struct Session {
    stage: Stage,
    /// What to register with, a name or NAME:PASSWORD; `None` once it was refused.
    wish: Option<String>,
    /// The name as the server confirmed it last; `None` until it did once.
    nick: Option<String>,
    /// A room was entered once, so there is something to talk to, now or when the server is back.
    arrived: bool,
    /// The current room.
    room: Option<String>,
    /// The rooms that one is in, in the order of entering.
    rooms: Vec<String>,
    /// The rooms and the current one to be in again; kept until all of them answered.
    back: Option<Back>,
    /// Rooms, folded, whose members were asked for without the user's asking: their answers are not shown.
    quiet: Vec<String>,
    /// How often the name was refused in a row because it is taken.
    taken: u32,
    roster: Roster,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    Offline,
    Naming,
    Registering,
    Chatting,
}

#[derive(Debug)]
struct Back {
    rooms: Vec<String>,
    room: Option<String>,
    /// Answers still to come.
    awaited: usize,
}

/// What the user is to be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wants {
    /// A name to register with.
    Name,
    /// Nothing before the server has answered.
    Patience,
    /// Something to say.
    Line,
}

/// What follows from a line of the server.
#[derive(Debug, PartialEq, Eq)]
pub struct Heard {
    /// The user is to see it.
    pub show: bool,
    /// Lines to send.
    pub send: Vec<String>,
    /// And then.
    pub then: Then,
}

/// How it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// As before.
    GoOn,
    /// Registered; all is well.
    Settled,
    /// Drop this connection and make another after a pause.
    TryAgain,
    /// The name that one had is refused now; another one is needed.
    Rename,
    /// The end, and no way back.
    End,
}

/// What follows from a line typed.
#[derive(Debug, PartialEq, Eq)]
pub enum Typed<'a> {
    /// It was empty.
    Nothing,
    /// Send it.
    Send(&'a str),
    /// Leave, with this line.
    Leave(&'a str),
    /// Don't send it, for this reason.
    Keep(&'static str),
}

impl Session {
    /// Not connected; `nick` is what to register with, if that's known.
    #[must_use]
    pub fn new(nick: Option<String>) -> Session {
        Session { wish: nick, ..Session::default() }
    }

    /// What to ask the user for.
    #[must_use]
    pub fn wants(&self) -> Wants {
        match self.wish {
            None => Wants::Name,
            Some(_) if !self.arrived => Wants::Patience,
            Some(_) => Wants::Line,
        }
    }

    /// Who is here, for completion.
    #[must_use]
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// One's own name; empty before registering.
    #[must_use]
    pub fn nick(&self) -> &str {
        self.nick.as_deref().unwrap_or_default()
    }

    /// The current room.
    #[must_use]
    pub fn room(&self) -> Option<&str> {
        self.room.as_deref()
    }

    /// What stands in front of what is typed: where plain text would go.
    #[must_use]
    pub fn prompt(&self) -> String {
        match (self.stage, &self.room) {
            (Stage::Chatting, Some(room)) => format!("{room}> "),
            (Stage::Chatting, None) => "(in no room)> ".to_owned(),
            _ => "(not connected)> ".to_owned(),
        }
    }

    /// A connection stands: what to send first.
    pub fn connected(&mut self) -> Option<String> {
        self.stage = if self.wish.is_some() { Stage::Registering } else { Stage::Naming };
        self.wish.as_ref().map(|wish| format!("#{wish}"))
    }

    /// The connection is lost. Where one was is remembered for the next.
    pub fn lost(&mut self) {
        self.stage = Stage::Offline;
        self.quiet.clear();
        self.roster.forget_nicks();
        let (rooms, room) = (std::mem::take(&mut self.rooms), self.room.take());
        if self.nick.is_some() && self.back.is_none() {
            self.back = Some(Back { rooms, room, awaited: 1 });
        }
    }

    /// The user chose a name: what to send, unless there is no connection just now.
    pub fn choose(&mut self, name: &str) -> Option<String> {
        self.wish = Some(name.trim_start_matches('#').trim().to_owned());
        self.taken = 0;
        if self.stage == Stage::Offline { None } else { self.connected() }
    }

    /// The user typed a line.
    #[must_use]
    pub fn typed<'a>(&self, line: &'a str) -> Typed<'a> {
        if line.is_empty() {
            return Typed::Nothing;
        }
        match line.trim() {
            "exit" | "quit" => return Typed::Leave("/quit"),
            quit if quit == "/quit" || quit.starts_with("/quit ") => return Typed::Leave(quit),
            _ => {}
        }
        match self.stage {
            Stage::Chatting if line.starts_with('#') => {
                Typed::Keep("not sent: # registers, and you have a name already; /nick NAME changes it")
            }
            Stage::Chatting => Typed::Send(line),
            Stage::Offline => Typed::Keep(NOT_CONNECTED),
            Stage::Naming | Stage::Registering => Typed::Keep("not sent: you have no name yet"),
        }
    }

    /// The server said something.
    pub fn hear(&mut self, line: &Line<'_>) -> Heard {
        let mut heard = Heard { show: true, send: Vec::new(), then: Then::GoOn };
        match *line {
            Line::Answer(answer) => self.answered(answer, &mut heard),
            Line::Refusal(refusal) => self.refused(refusal, &mut heard),
            Line::Notice(notice) => self.noticed(notice),
            Line::Direct { from, .. } | Line::Said { from, .. } => self.roster.add_nick(from),
            Line::Other(_) => {}
        }
        heard
    }

    fn answered(&mut self, answer: Answer<'_>, heard: &mut Heard) {
        match answer {
            Answer::Nick(nick) => self.named(nick, heard),
            Answer::Room(room, _) => {
                self.enter(room);
                if !self.quiet.contains(&fold(room)) && self.quiet.len() < MAX_ROOMS {
                    self.quiet.push(fold(room));
                    heard.send.push(format!("/who {room}"));
                }
            }
            Answer::Left(room) => self.leave(room),
            Answer::Who(room, names) => {
                names.split_whitespace().for_each(|nick| self.roster.add_nick(nick));
                heard.show = !self.quiet.contains(&fold(room));
            }
            Answer::EndWho(room, _) => heard.show = !self.was_quiet(room),
            Answer::Rooms(rooms) => {
                let names = rooms.split_whitespace().filter_map(|room| room.split(':').next());
                names.for_each(|room| self.roster.add_room(room));
            }
            Answer::EndRooms(_) | Answer::Help(_) | Answer::End | Answer::Bye | Answer::Other(..) => {}
        }
    }

    fn named(&mut self, nick: &str, heard: &mut Heard) {
        let wished = self.wish.as_deref().and_then(|wish| wish.split(':').next()).unwrap_or_default();
        if fold(wished) != fold(nick) {
            self.wish = Some(nick.to_owned());
        }
        self.nick = Some(nick.to_owned());
        if self.stage == Stage::Registering {
            self.stage = Stage::Chatting;
            self.taken = 0;
            heard.then = Then::Settled;
            heard.send = self.back.as_mut().map(Back::requests).unwrap_or_default();
        }
    }

    fn enter(&mut self, room: &str) {
        self.arrived = true;
        self.roster.add_room(room);
        if self.rooms.len() < MAX_ROOMS && !self.rooms.iter().any(|known| fold(known) == fold(room)) {
            self.rooms.push(room.to_owned());
        }
        self.room = Some(room.to_owned());
        self.one_is_back();
    }

    fn leave(&mut self, room: &str) {
        self.rooms.retain(|known| fold(known) != fold(room));
        if self.room.as_deref().map(fold) == Some(fold(room)) {
            self.room = self.rooms.iter().find(|known| fold(known) == LOBBY).cloned();
        }
    }

    fn refused(&mut self, refusal: Refusal<'_>, heard: &mut Heard) {
        match (self.stage, refusal.code) {
            (Stage::Registering, "nick-taken") if self.nick.is_some() && self.taken < TAKEN_TRIES => {
                self.taken += 1;
                heard.then = Then::TryAgain;
            }
            (Stage::Registering, code) if code == "kicked" || !refusal.is_closing() => {
                self.wish = None;
                self.stage = Stage::Naming;
                heard.then = if self.nick.is_some() { Then::Rename } else { Then::GoOn };
            }
            (Stage::Chatting, "kicked") => heard.then = Then::End,
            (_, "no-such-room" | "not-in-room") => heard.show = !self.was_quiet(refusal.details),
            (_, "too-many-rooms" | "room-invalid") => self.one_is_back(),
            _ => {}
        }
    }

    fn noticed(&mut self, notice: Notice<'_>) {
        match notice {
            Notice::Joined(who, room) => {
                self.roster.add_nick(who);
                if let Some(room) = room {
                    self.roster.add_room(room);
                }
            }
            Notice::Gone(who) => self.roster.remove_nick(who),
            Notice::Renamed(from, to) => {
                self.roster.remove_nick(from);
                self.roster.add_nick(to);
            }
            Notice::Parted(..) | Notice::Other => {}
        }
    }

    /// True if this room's members were asked for quietly; the next answer about it is the user's.
    fn was_quiet(&mut self, room: &str) -> bool {
        let found = self.quiet.iter().position(|quiet| *quiet == fold(room));
        found.map(|index| self.quiet.remove(index)).is_some()
    }

    /// One of the rooms that one was in has answered.
    fn one_is_back(&mut self) {
        if let Some(back) = &mut self.back {
            back.awaited = back.awaited.saturating_sub(1);
            if back.awaited == 0 {
                self.back = None;
            }
        }
    }
}

impl Back {
    /// What brings one back from a fresh registration, which is in the lobby alone: the current room last, so that it is
    /// the current one again.
    fn requests(&mut self) -> Vec<String> {
        let current = self.room.as_deref().map(fold);
        let is_lobby = |room: &String| fold(room) == LOBBY;
        let others = self.rooms.iter().filter(|room| !is_lobby(room) && Some(fold(room)) != current);
        let mut requests: Vec<String> = others.map(|room| format!("&{room}")).collect();
        match &self.room {
            Some(room) if !is_lobby(room) || !requests.is_empty() => requests.push(format!("&{room}")),
            _ => {}
        }
        self.awaited = 1 + requests.len();
        if !self.rooms.iter().any(is_lobby) {
            requests.push(format!("/leave {LOBBY}"));
        }
        requests
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_names_rooms_without_end_fills_no_memory() {
        let mut session = Session::new(Some("alice".to_owned()));
        session.connected();
        let mut hear = |line: &str| session.hear(&Line::parse(line)).send.len();
        for line in ["+nick alice", "+room lobby 3", "+end who lobby 3"] {
            hear(line);
        }
        let asked: usize =
            (0..2 * MAX_ROOMS).map(|number| hear(&format!("+room r{number} 1")) + hear("+room dev 1")).sum();
        assert_eq!((session.rooms.len(), session.quiet.len(), asked), (MAX_ROOMS, MAX_ROOMS, MAX_ROOMS));
    }
}
