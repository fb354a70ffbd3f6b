//! A model of the hub by protocol.md: plain lists, without indices and derived state. It is an oracle for the fuzz body
//! of the hub, with which it shares only the folding and the skeletons of names.

use super::grammar::{safe, targets};
use bstr::BStr;
use redpoll::limits::{Limits, MAX_TARGETS};
use redpoll::protocol::name::{self, Name, Skeletons};
use redpoll::protocol::{Request, Scope};
use std::collections::BTreeSet;

/// A part of the output that a connection must receive.
#[derive(Debug)]
pub(super) enum Due {
    Line(String),
    /// A refusal with its code and subject; the text after that is for users.
    Refusal(String),
    /// Lines that begin like this, with these words in any order.
    Words(String, Vec<String>),
    /// Any number of `+help` lines.
    Help,
}

/// Number of connections in a model.
pub(super) const CONNECTIONS: u32 = 8;

/// A registered connection.
pub(super) struct User {
    id: u32,
    pub shown: String,
    key: String,
    /// The key of the current room.
    current: Option<String>,
}

/// A room. The first one is the lobby.
struct Room {
    shown: String,
    key: String,
    members: Vec<u32>,
}

/// The state of the modelled hub.
pub(super) struct Model {
    pub users: Vec<User>,
    rooms: Vec<Room>,
    /// The connections with half-full queues.
    pub full: [bool; CONNECTIONS as usize],
    quiet_above: usize,
    max_rooms: usize,
    max_rooms_per_connection: usize,
    /// The output due to each connection, until the caller takes it.
    pub due: [Vec<Due>; CONNECTIONS as usize],
}

/// A refusal: its code and its subject.
type Refused = (&'static str, Vec<u8>);

fn refused<T>(code: &'static str, subject: &[u8]) -> Result<T, Refused> {
    Err((code, subject.to_vec()))
}

impl Model {
    pub fn new(limits: &Limits) -> Model {
        Model {
            users: Vec::new(),
            rooms: vec![Room { shown: "lobby".into(), key: "lobby".into(), members: Vec::new() }],
            full: [false; CONNECTIONS as usize],
            quiet_above: limits.quiet_above.unwrap_or(usize::MAX),
            max_rooms: limits.max_rooms.unwrap_or(usize::MAX),
            max_rooms_per_connection: limits.max_rooms_per_connection.unwrap_or(usize::MAX),
            due: Default::default(),
        }
    }

    pub fn user(&self, id: u32) -> Option<&User> {
        self.users.iter().find(|user| user.id == id)
    }

    fn user_mut(&mut self, id: u32) -> &mut User {
        self.users.iter_mut().find(|user| user.id == id).expect("the user is registered")
    }

    fn shown(&self, id: u32) -> String {
        self.user(id).map(|user| user.shown.clone()).expect("the user is registered")
    }

    fn send(&mut self, to: u32, line: String) {
        self.due[to as usize].push(Due::Line(line));
    }

    fn send_others(&mut self, id: u32, to: impl IntoIterator<Item = u32>, line: &str) {
        to.into_iter().filter(|to| *to != id).for_each(|to| self.send(to, line.to_owned()));
    }

    fn refuse(&mut self, to: u32, (code, subject): Refused) {
        let subject = if subject.is_empty() { String::new() } else { format!(" {}", safe(&subject)) };
        self.due[to as usize].push(Due::Refusal(format!("!{code}{subject}")));
    }

    pub fn handle(&mut self, from: u32, request: Request<'_>) {
        if let Err(refusal) = self.dispatch(from, request) {
            self.refuse(from, refusal);
        }
    }

    fn dispatch(&mut self, from: u32, request: Request<'_>) -> Result<(), Refused> {
        match request {
            Request::Ping { token } if token.is_empty() => self.send(from, "+pong".into()),
            Request::Ping { token } => self.send(from, format!("+pong {}", safe(token))),
            Request::Help => {
                self.due[from as usize].push(Due::Help);
                self.send(from, "+end help".into());
            }
            Request::Quit { message } => {
                self.leave(from, message);
                self.send(from, "+bye".into());
            }
            Request::Register { nick, password } => self.register(from, nick, password)?,
            _ if self.user(from).is_none() => return refused("register-first", b""),
            Request::Rename { nick } => self.rename(from, nick)?,
            Request::Direct { to, text } => self.direct(from, to, text)?,
            Request::Say { room, text } => self.say(from, room, text)?,
            Request::Join { room } => self.join(from, room)?,
            Request::Leave { room } => self.leave_room(from, room)?,
            Request::Who(scope) => self.who(from, scope)?,
            Request::Enter { .. }
            | Request::SayAs { .. }
            | Request::QuitAs { .. }
            | Request::Announce { .. }
            | Request::Kick { .. }
            | Request::Stats
            | Request::Shutdown => unreachable!("no action requests it"),
            Request::Rooms => {
                let count = |room: &Room| format!("{}:{}", room.shown, room.members.len());
                let rooms = self.rooms.iter().map(count).collect();
                self.send_words(from, "+rooms ".into(), rooms);
                self.send(from, format!("+end rooms {}", self.rooms.len()));
            }
        }
        Ok(())
    }

    fn send_words(&mut self, to: u32, start: String, mut words: Vec<String>) {
        words.sort();
        self.due[to as usize].push(Due::Words(start, words));
    }

    /// Returns the recipients of a user's presence: each once, however many rooms are shared.
    fn shared_members(&self, id: u32) -> BTreeSet<u32> {
        let rooms = self.rooms.iter().filter(|room| room.members.contains(&id));
        let announcing = rooms.filter(|room| room.members.len() <= self.quiet_above);
        announcing.flat_map(|room| room.members.iter().copied()).filter(|member| *member != id).collect()
    }

    pub fn leave(&mut self, id: u32, reason: &[u8]) {
        if self.user(id).is_none() {
            return;
        }
        let reason = if reason.is_empty() { String::new() } else { format!(" ({})", safe(reason)) };
        self.send_others(id, self.shared_members(id), &format!("* {} left{reason}", self.shown(id)));
        self.users.retain(|user| user.id != id);
        self.rooms.iter_mut().for_each(|room| room.members.retain(|member| *member != id));
        self.remove_empty();
    }

    /// Removes the rooms without members, except the lobby.
    fn remove_empty(&mut self) {
        self.rooms.retain(|room| room.key == "lobby" || !room.members.is_empty());
    }

    fn free_nick(&self, from: u32, nick: &BStr) -> Result<(String, String), Refused> {
        let Ok(name) = Name::new(nick) else { return refused("nick-invalid", nick) };
        let (key, skeletons) = (name.folded(), Skeletons::of(&name));
        let is_confusable = |other: &str| {
            Name::new(other.as_bytes())
                .is_ok_and(|other| skeletons.is_confusable_with(&Skeletons::of(&other)))
        };
        let guest = key.strip_prefix("guest-").is_some_and(|n| n.bytes().all(|byte| byte.is_ascii_digit()));
        let reserved = ["administrator", "admin", "operator", "root", "server", "lobby", "redpoll"];
        if reserved.contains(&key) || reserved.into_iter().any(is_confusable) || (guest && key != "guest-") {
            return refused("nick-reserved", nick);
        }
        let mut others = self.users.iter().filter(|user| user.id != from);
        if others.any(|user| user.key == key || is_confusable(&user.key)) {
            return refused("nick-taken", nick);
        }
        Ok((nick.to_string(), key.to_owned()))
    }

    fn register(&mut self, from: u32, nick: &BStr, password: Option<&BStr>) -> Result<(), Refused> {
        if self.user(from).is_some() {
            return refused("usage", b"");
        }
        let (shown, key) = self.free_nick(from, nick)?;
        if password.is_some() {
            return refused("no-accounts", b"");
        }
        self.send(from, format!("+nick {shown}"));
        let joined = format!("* {shown} joined");
        self.users.push(User { id: from, shown, key, current: None });
        self.enter(from, "lobby", &joined);
        Ok(())
    }

    /// Adds a user to an existing room.
    fn enter(&mut self, from: u32, key: &str, presence: &str) {
        self.user_mut(from).current = Some(key.to_owned());
        let room = self.rooms.iter_mut().find(|room| room.key == key).expect("the room exists");
        room.members.push(from);
        let (shown, members) = (room.shown.clone(), room.members.clone());
        self.send(from, format!("+room {shown} {}", members.len()));
        if members.len() <= self.quiet_above {
            self.send_others(from, members, presence);
        }
    }

    fn rename(&mut self, from: u32, nick: &BStr) -> Result<(), Refused> {
        let (shown, key) = self.free_nick(from, nick)?;
        let former = self.shown(from);
        self.send(from, format!("+nick {shown}"));
        if former != shown {
            self.send_others(from, self.shared_members(from), &format!("* {former} is now {shown}"));
        }
        let user = self.user_mut(from);
        (user.shown, user.key) = (shown, key);
        Ok(())
    }

    fn direct(&mut self, from: u32, to: &BStr, text: &BStr) -> Result<(), Refused> {
        if text.is_empty() {
            return refused("empty-text", b"");
        }
        let targets: Vec<&BStr> = targets(to).collect();
        if targets.len() > MAX_TARGETS {
            return refused("too-many-targets", b"");
        }
        let mut named = Vec::new();
        for target in targets {
            let found = match name::fold(target) {
                Err(_) => refused("nick-invalid", target),
                Ok(key) => match self.users.iter().find(|user| user.key == key) {
                    None => refused("no-such-user", target),
                    Some(user) if named.contains(&user.id) => continue,
                    Some(user) => Ok(user.id),
                },
            };
            named.extend(found.as_ref().ok());
            match found {
                Err(refusal) => self.refuse(from, refusal),
                Ok(to) if self.full[to as usize] => self.refuse(from, ("recipient-full", target.to_vec())),
                Ok(to) => self.send(to, format!("@{}:{}", self.shown(from), safe(text))),
            }
        }
        Ok(())
    }

    /// Returns the key of an existing room.
    fn room(&self, room: &BStr) -> Result<String, Refused> {
        let Ok(key) = name::fold(room) else { return refused("room-invalid", room) };
        match self.rooms.iter().any(|room| room.key == key) {
            true => Ok(key.into_owned()),
            false => refused("no-such-room", room),
        }
    }

    /// Returns the key of the named or current room, of which `from` is a member.
    fn membership(&self, from: u32, room: Option<&BStr>) -> Result<String, Refused> {
        let key = match (room, self.user(from).and_then(|user| user.current.clone())) {
            (Some(room), _) => self.room(room)?,
            (None, Some(current)) => current,
            (None, None) => return refused("not-in-room", b""),
        };
        match self.members(&key).contains(&from) {
            true => Ok(key),
            false => refused("not-in-room", room.unwrap_or_default()),
        }
    }

    fn members(&self, key: &str) -> Vec<u32> {
        self.rooms.iter().find(|room| room.key == key).map_or(Vec::new(), |room| room.members.clone())
    }

    fn shown_room(&self, key: &str) -> String {
        self.rooms.iter().find(|room| room.key == key).map_or(String::new(), |room| room.shown.clone())
    }

    fn say(&mut self, from: u32, room: Option<&BStr>, text: &BStr) -> Result<(), Refused> {
        if text.is_empty() {
            return refused("empty-text", b"");
        }
        let key = self.membership(from, room)?;
        let head = match key.as_str() {
            "lobby" => format!("{}: ", self.shown(from)),
            _ => format!("&{}:{}:", self.shown_room(&key), self.shown(from)),
        };
        self.send_others(from, self.members(&key), &format!("{head}{}", safe(text)));
        Ok(())
    }

    fn join(&mut self, from: u32, room: &BStr) -> Result<(), Refused> {
        let Ok(key) = name::fold(room) else { return refused("room-invalid", room) };
        let members = self.members(&key);
        if members.contains(&from) {
            self.send(from, format!("+room {} {}", self.shown_room(&key), members.len()));
            self.user_mut(from).current = Some(key.into_owned());
            return Ok(());
        }
        let is_new = self.rooms.iter().all(|room| room.key != key);
        let joined = self.rooms.iter().filter(|room| room.members.contains(&from)).count();
        if joined >= self.max_rooms_per_connection || (is_new && self.rooms.len() >= self.max_rooms) {
            return refused("too-many-rooms", b"");
        }
        if is_new {
            self.rooms.push(Room { shown: room.to_string(), key: key.to_string(), members });
        }
        let presence = format!("* {} joined &{}", self.shown(from), self.shown_room(&key));
        self.enter(from, &key, &presence);
        Ok(())
    }

    fn leave_room(&mut self, from: u32, room: Option<&BStr>) -> Result<(), Refused> {
        let key = self.membership(from, room)?;
        let (shown, members) = (self.shown_room(&key), self.members(&key));
        self.send(from, format!("+left {shown}"));
        if members.len() <= self.quiet_above {
            self.send_others(from, members, &format!("* {} left &{shown}", self.shown(from)));
        }
        let left = self.rooms.iter_mut().filter(|room| room.key == key);
        left.for_each(|room| room.members.retain(|member| *member != from));
        if self.user(from).is_some_and(|user| user.current.as_ref() == Some(&key)) {
            let lobby = self.members("lobby").contains(&from);
            self.user_mut(from).current = lobby.then(|| "lobby".to_owned());
        }
        self.remove_empty();
        Ok(())
    }

    fn who(&mut self, from: u32, scope: Scope<'_>) -> Result<(), Refused> {
        let (title, members): (String, Vec<u32>) = match scope {
            Scope::Everyone => ("*".into(), self.users.iter().map(|user| user.id).collect()),
            Scope::Current => {
                let key = self.membership(from, None)?;
                (self.shown_room(&key), self.members(&key))
            }
            Scope::Room(room) => {
                let key = self.room(room)?;
                (self.shown_room(&key), self.members(&key))
            }
        };
        let names = members.iter().map(|id| self.shown(*id)).collect();
        self.send_words(from, format!("+who {title} "), names);
        self.send(from, format!("+end who {title} {}", members.len()));
        Ok(())
    }
}
