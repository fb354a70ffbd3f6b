//! The state of a user's session (name, rooms, stage of registration) across connections, and the effects of a received
//! or typed line. There is no I/O, no clock and no thread here: `network` and `terminal` carry the effects out, and
//! tests call the session without either.

use super::line::{Answer, LOBBY, Line, Presence, Refusal};
use super::roster::{MAX_ROOMS, Roster, fold};

/// The error for a line that is typed while there is no connection.
pub const NOT_CONNECTED: &str = "not sent: not connected; send it again after reconnecting";

/// Maximum retries of a name that is taken, possibly by the lost connection of this user.
pub const MAX_TAKEN_RETRIES: u32 = 8;

/// The session of one user, across connections.
#[derive(Debug, Default)]
pub struct Session {
    stage: Stage,
    /// NAME or NAME:PASSWORD to register with; `None` if not chosen yet or refused.
    credentials: Option<String>,
    /// The name that the server last confirmed; `None` before the first registration.
    nick: Option<String>,
    /// True once a room was joined: from then on lines are read, also while reconnecting.
    has_joined: bool,
    /// The current room.
    room: Option<String>,
    /// The rooms that the user is in, in the order of joining; at most MAX_ROOMS.
    rooms: Vec<String>,
    /// The rooms to join again after reconnecting; kept until the server has answered for all of them.
    rejoin: Option<Rejoin>,
    /// Case-folded rooms with an automatic `/who` whose answer is awaited and not shown; at most MAX_ROOMS.
    hidden_who: Vec<String>,
    /// Consecutive refusals of the name as taken; at most MAX_TAKEN_RETRIES.
    taken_retries: u32,
    roster: Roster,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    Offline,
    Unregistered,
    Registering,
    Registered,
}

#[derive(Debug)]
struct Rejoin {
    rooms: Vec<String>,
    /// The current room when the connection was lost.
    room: Option<String>,
    /// Rooms that the server has not answered for yet.
    awaited: usize,
}

/// What the session is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaiting {
    /// The user types a name to register with.
    Name,
    /// The server answers.
    Server,
    /// The user types a line.
    Line,
}

/// The effects of a received line.
#[derive(Debug, PartialEq, Eq)]
pub struct Effects {
    /// Show the line to the user.
    pub show: bool,
    /// Lines to send.
    pub send: Vec<String>,
    /// What to do after that.
    pub action: Action,
}

/// What to do after a received line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Go on.
    Continue,
    /// Registration succeeded: reset the backoff.
    ResetBackoff,
    /// Close the connection and reconnect after a delay.
    Reconnect,
    /// Ask the user for another name: the former one is now refused.
    AskName,
    /// Close the connection and don't reconnect.
    Stop,
}

/// The effect of a typed line.
#[derive(Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// Nothing: the line is empty.
    Empty,
    /// Send the line.
    Send(&'a str),
    /// Quit the client, after sending this line.
    Quit(&'a str),
    /// Show this error and don't send the line.
    Reject(&'static str),
}

impl Session {
    /// Creates a session without a connection. `nick` is NAME or NAME:PASSWORD, if already chosen.
    #[must_use]
    pub fn new(nick: Option<String>) -> Session {
        Session { credentials: nick, ..Session::default() }
    }

    /// Returns what the session is waiting for.
    #[must_use]
    pub fn awaiting(&self) -> Awaiting {
        match self.credentials {
            None => Awaiting::Name,
            Some(_) if !self.has_joined => Awaiting::Server,
            Some(_) => Awaiting::Line,
        }
    }

    /// Returns the known users and rooms, for completion.
    #[must_use]
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Returns the user's own name; empty before registration.
    #[must_use]
    pub fn nick(&self) -> &str {
        self.nick.as_deref().unwrap_or_default()
    }

    /// Returns the current room.
    #[must_use]
    pub fn room(&self) -> Option<&str> {
        self.room.as_deref()
    }

    /// Returns the prompt: the room that receives plain text.
    #[must_use]
    pub fn prompt(&self) -> String {
        match (self.stage, &self.room) {
            (Stage::Registered, Some(room)) => format!("{room}> "),
            (Stage::Registered, None) => "(in no room)> ".to_owned(),
            _ => "(not connected)> ".to_owned(),
        }
    }

    /// Handles a new connection. Returns the first line to send.
    pub fn connected(&mut self) -> Option<String> {
        self.stage = if self.credentials.is_some() { Stage::Registering } else { Stage::Unregistered };
        self.credentials.as_ref().map(|credentials| format!("#{credentials}"))
    }

    /// Handles the loss of the connection. Keeps the rooms for the next one.
    pub fn lost(&mut self) {
        self.stage = Stage::Offline;
        self.hidden_who.clear();
        self.roster.clear_nicks();
        let (rooms, room) = (std::mem::take(&mut self.rooms), self.room.take());
        if self.nick.is_some() && self.rejoin.is_none() {
            self.rejoin = Some(Rejoin { rooms, room, awaited: 1 });
        }
    }

    /// Sets the name that the user chose. Returns the line to send, if there is a connection.
    pub fn choose_nick(&mut self, name: &str) -> Option<String> {
        self.credentials = Some(name.trim_start_matches('#').trim().to_owned());
        self.taken_retries = 0;
        if self.stage == Stage::Offline { None } else { self.connected() }
    }

    /// Returns what to do with a line that the user typed.
    #[must_use]
    pub fn handle_typed<'a>(&self, line: &'a str) -> Input<'a> {
        if line.is_empty() {
            return Input::Empty;
        }
        match line.trim() {
            "exit" | "quit" => return Input::Quit("/quit"),
            quit if quit == "/quit" || quit.starts_with("/quit ") => return Input::Quit(quit),
            _ => {}
        }
        match self.stage {
            Stage::Registered if line.starts_with('#') => {
                Input::Reject("not sent: you are registered already; /nick NAME changes your name")
            }
            Stage::Registered => Input::Send(line),
            Stage::Offline => Input::Reject(NOT_CONNECTED),
            Stage::Unregistered | Stage::Registering => {
                Input::Reject("not sent: not registered; choose a name first")
            }
        }
    }

    /// Handles a line from the server.
    pub fn handle_line(&mut self, line: &Line<'_>) -> Effects {
        let mut effects = Effects { show: true, send: Vec::new(), action: Action::Continue };
        match *line {
            Line::Answer(answer) => self.handle_answer(answer, &mut effects),
            Line::Refusal(refusal) => self.handle_refusal(refusal, &mut effects),
            Line::Presence(event) => self.handle_presence(event),
            Line::Direct { from, .. } | Line::Message { from, .. } => self.roster.add_nick(from),
            Line::Notice | Line::Other(_) => {}
        }
        effects
    }

    fn handle_answer(&mut self, answer: Answer<'_>, effects: &mut Effects) {
        match answer {
            Answer::Nick(nick) => self.handle_nick(nick, effects),
            Answer::Room(room, _) => {
                self.handle_joined(room);
                if !self.hidden_who.contains(&fold(room)) && self.hidden_who.len() < MAX_ROOMS {
                    self.hidden_who.push(fold(room));
                    effects.send.push(format!("/who {room}"));
                }
            }
            Answer::Left(room) => self.handle_left(room),
            Answer::Who(room, names) => {
                names.split_whitespace().for_each(|nick| self.roster.add_nick(nick));
                effects.show = !self.hidden_who.contains(&fold(room));
            }
            Answer::EndWho(room, _) => effects.show = !self.take_hidden_who(room),
            Answer::Rooms(rooms) => {
                let names = rooms.split_whitespace().filter_map(|room| room.split(':').next());
                names.for_each(|room| self.roster.add_room(room));
            }
            Answer::EndRooms(_) | Answer::Help(_) | Answer::End | Answer::Bye | Answer::Other(..) => {}
        }
    }

    fn handle_nick(&mut self, nick: &str, effects: &mut Effects) {
        let requested =
            self.credentials.as_deref().and_then(|text| text.split(':').next()).unwrap_or_default();
        if fold(requested) != fold(nick) {
            self.credentials = Some(nick.to_owned());
        }
        self.nick = Some(nick.to_owned());
        if self.stage == Stage::Registering {
            self.stage = Stage::Registered;
            self.taken_retries = 0;
            effects.action = Action::ResetBackoff;
            effects.send = self.rejoin.as_mut().map(Rejoin::requests).unwrap_or_default();
        }
    }

    fn handle_joined(&mut self, room: &str) {
        self.has_joined = true;
        self.roster.add_room(room);
        if self.rooms.len() < MAX_ROOMS && !self.rooms.iter().any(|known| fold(known) == fold(room)) {
            self.rooms.push(room.to_owned());
        }
        self.room = Some(room.to_owned());
        self.count_rejoin_answer();
    }

    fn handle_left(&mut self, room: &str) {
        self.rooms.retain(|known| fold(known) != fold(room));
        if self.room.as_deref().map(fold) == Some(fold(room)) {
            self.room = self.rooms.iter().find(|known| fold(known) == LOBBY).cloned();
        }
    }

    fn handle_refusal(&mut self, refusal: Refusal<'_>, effects: &mut Effects) {
        match (self.stage, refusal.code) {
            (Stage::Registering, "nick-taken")
                if self.nick.is_some() && self.taken_retries < MAX_TAKEN_RETRIES =>
            {
                self.taken_retries += 1;
                effects.action = Action::Reconnect;
            }
            (Stage::Registering, code) if code == "kicked" || !refusal.is_closing() => {
                self.credentials = None;
                self.stage = Stage::Unregistered;
                effects.action = if self.nick.is_some() { Action::AskName } else { Action::Continue };
            }
            (Stage::Registered, "kicked") => effects.action = Action::Stop,
            (_, "no-such-room" | "not-in-room") => effects.show = !self.take_hidden_who(refusal.details),
            (_, "too-many-rooms" | "room-invalid") => self.count_rejoin_answer(),
            _ => {}
        }
    }

    fn handle_presence(&mut self, event: Presence<'_>) {
        match event {
            Presence::Joined(nick, room) => {
                self.roster.add_nick(nick);
                if let Some(room) = room {
                    self.roster.add_room(room);
                }
            }
            Presence::Disconnected(nick) => self.roster.remove_nick(nick),
            Presence::Renamed(from, to) => {
                self.roster.remove_nick(from);
                self.roster.add_nick(to);
            }
            Presence::LeftRoom(..) => {}
        }
    }

    /// Returns whether an automatic `/who` of this room is awaited, and removes it: the next answer is to the user.
    fn take_hidden_who(&mut self, room: &str) -> bool {
        let found = self.hidden_who.iter().position(|hidden| *hidden == fold(room));
        found.map(|index| self.hidden_who.remove(index)).is_some()
    }

    /// Counts one answer of the server to joining a room again.
    fn count_rejoin_answer(&mut self) {
        if let Some(rejoin) = &mut self.rejoin {
            rejoin.awaited = rejoin.awaited.saturating_sub(1);
            if rejoin.awaited == 0 {
                self.rejoin = None;
            }
        }
    }
}

impl Rejoin {
    /// Returns the lines that restore the rooms after a registration, which joins only the lobby. The current room is
    /// last, so that it becomes current again.
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
    fn rooms_and_requests_are_bounded() {
        let mut session = Session::new(Some("alice".to_owned()));
        session.connected();
        let mut receive = |line: &str| session.handle_line(&Line::parse(line)).send.len();
        for line in ["+nick alice", "+room lobby 3", "+end who lobby 3"] {
            receive(line);
        }
        let sent: usize = (0..2 * MAX_ROOMS)
            .map(|number| receive(&format!("+room r{number} 1")) + receive("+room dev 1"))
            .sum();
        assert_eq!((session.rooms.len(), session.hidden_who.len(), sent), (MAX_ROOMS, MAX_ROOMS, MAX_ROOMS));
    }
}
