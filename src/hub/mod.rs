//! Who is here and who hears what. Requests come in, events go out through an [`Outbox`]; nothing here knows bytes,
//! queues or sockets. The hub is the authority on every rule of protocol.md that isn't grammar.

mod index;
mod roster;

use crate::limits::{KICKED_FOR, Limits, MAX_KICKED, MAX_TARGETS, MAX_WHO};
use crate::message::{Audience, ConnId, Event, Manners, Outbox, Rank, Refusal, Request, Scope};
use crate::name::{self, Name};
use crate::text::trim_blanks;
use crate::timers::Time;
use bstr::{BStr, ByteSlice};
use roster::{LOBBY, RoomId, Roster, User};
use std::collections::VecDeque;

/// The users and rooms of a server.
#[derive(Debug)]
pub struct Hub {
    roster: Roster,
    quiet_above: Option<usize>,
    max_rooms: Option<usize>,
    max_rooms_per_connection: Option<usize>,
    /// Bytes that the names of one `+who` or `+rooms` line may take.
    max_list: usize,
    /// Where such a line is put together.
    list: String,
    /// Connections whose rank is that of an operator: a few.
    operators: Vec<ConnId>,
    /// Connections without a name that hear what is said in the lobby.
    listeners: Vec<ConnId>,
    /// No guest has a number below this one.
    next_guest: u32,
    /// Names, folded, that are refused until then; in the order of these times.
    kicked: VecDeque<(Time, Box<str>)>,
    now: Time,
}

/// What becomes of a connection after its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It goes on.
    Stay,
    /// It has left the hub and is to be closed once everything was flushed.
    Close,
}

impl Hub {
    /// An empty server within these limits.
    #[must_use]
    pub fn new(limits: &Limits) -> Hub {
        let lobby = Name::new(b"lobby").expect("the lobby's name is a name");
        Hub {
            roster: Roster::new(lobby),
            quiet_above: limits.quiet_above,
            max_rooms: limits.max_rooms,
            max_rooms_per_connection: limits.max_rooms_per_connection,
            // A line within the limit of those that a client may send holds the word, a room's name and these.
            max_list: limits.max_line.saturating_sub("+who ".len() + 4 * name::MAX_CHARS + " \n".len()),
            list: String::new(),
            operators: Vec::new(),
            listeners: Vec::new(),
            next_guest: 1,
            kicked: VecDeque::new(),
            now: Time::default(),
        }
    }

    /// What time it is from now on.
    pub fn set_now(&mut self, now: Time) {
        self.now = now;
    }

    /// Makes a new connection an operator's.
    pub fn make_operator(&mut self, id: ConnId) {
        self.operators.push(id);
    }

    /// Has a new connection hear what is said in the lobby, until it enters it.
    pub fn make_listener(&mut self, id: ConnId) {
        self.listeners.push(id);
    }

    /// What a connection may do.
    #[must_use]
    pub fn rank(&self, id: ConnId) -> Rank {
        let registered = self.roster.user(id).is_some();
        match registered {
            _ if self.operators.contains(&id) => Rank::Operator { registered },
            true => Rank::Member,
            false => Rank::Stranger,
        }
    }

    /// How many are registered.
    #[must_use]
    pub fn registered(&self) -> usize {
        self.roster.registered()
    }

    /// The name of a registered connection.
    #[must_use]
    pub fn nick(&self, id: ConnId) -> Option<&Name> {
        self.roster.user(id).map(|user| &user.name)
    }

    /// Obeys or refuses one request of `from`; everything that is to be said about it goes to `out`.
    pub fn handle(&mut self, from: ConnId, request: Request<'_>, out: &mut impl Outbox) -> Next {
        match self.obey(from, request, out) {
            Ok(next) => next,
            Err(refusal) => {
                out.send(from, Event::Refused(refusal));
                match request {
                    Request::Enter { manners: Manners { one_try: true, .. }, .. } => Next::Close,
                    _ => Next::Stay,
                }
            }
        }
    }

    /// Tells everyone who is registered; how many they are.
    pub fn announce(&mut self, text: &[u8], out: &mut impl Outbox) -> usize {
        let everyone: Vec<ConnId> = self.roster.everyone().collect();
        let audience = Audience { members: &everyone, except: None };
        out.send_all(audience, Event::Announcement { text: text.as_bstr() });
        everyone.len()
    }

    /// Takes a connection out, registered or not, and tells those who shared a room with it.
    pub fn leave(&mut self, id: ConnId, reason: &[u8], out: &mut impl Outbox) {
        self.operators.retain(|operator| *operator != id);
        self.listeners.retain(|listener| *listener != id);
        let company = self.roster.company(id, self.quiet_above).to_vec();
        if let Some(user) = self.roster.remove_user(id) {
            self.next_guest = self.next_guest.min(user.guest_number().unwrap_or(u32::MAX));
            let gone = Event::Gone { who: &user.name, reason: reason.as_bstr() };
            out.send_all(Audience { members: &company, except: None }, gone);
        }
        self.check();
    }

    /// Panics if the books are wrong; for tests, debug builds and fuzzing.
    pub fn invariants(&self) {
        self.roster.invariants();
    }

    /// In debug builds, where the server is small enough for it to be affordable.
    fn check(&self) {
        if cfg!(debug_assertions) && self.registered() <= 16 {
            self.invariants();
        }
    }

    fn obey<'a>(
        &mut self,
        from: ConnId,
        request: Request<'a>,
        out: &mut impl Outbox,
    ) -> Result<Next, Refusal<'a>> {
        let rank = self.rank(from);
        match request {
            Request::Ping { token } => out.send(from, Event::Pong { token }),
            Request::Help => out.send(from, Event::Help { operator: rank.is_operator() }),
            Request::Quit { message } => {
                self.leave(from, message, out);
                out.send(from, Event::Bye);
                return Ok(Next::Close);
            }
            Request::Register { nick, password } => self.register(from, nick, password, out)?,
            Request::Enter { nick, .. } if rank.is_registered() => self.rename(from, nick, out)?,
            Request::Enter { nick, manners } => self.admit(from, self.free_nick(from, nick)?, manners, out),
            Request::SayAs { nick, text, whole, enter } => {
                self.say_as(from, nick, text, whole, enter, out)?
            }
            Request::QuitAs { nick } => {
                if self.is_own(from, nick) {
                    return self.obey(from, Request::Quit { message: BStr::new("") }, out);
                }
            }
            Request::Announce { .. } | Request::Kick { .. } | Request::Stats | Request::Shutdown
                if !rank.is_operator() =>
            {
                return Err(if rank.is_registered() { Refusal::Denied } else { Refusal::RegisterFirst });
            }
            Request::Announce { text } if text.is_empty() => return Err(Refusal::EmptyText),
            Request::Announce { text } => {
                let count = self.announce(text, out);
                out.send(from, Event::Announced { count });
            }
            Request::Kick { nick, reason } => self.kick(from, nick, reason, out)?,
            Request::Stats => self.stats(from, out),
            Request::Shutdown => {
                out.send(from, Event::Shutdown);
                out.stop();
            }
            Request::Who(scope) if rank.is_operator() => self.who(from, scope, out)?,
            Request::Rooms if rank.is_operator() => self.rooms(from, out),
            _ if !rank.is_registered() => return Err(Refusal::RegisterFirst),
            Request::Direct { to, text } => self.direct(from, to, text, out)?,
            Request::Say { room, text } => self.say(from, room, text, out)?,
            Request::Rename { nick } => self.rename(from, nick, out)?,
            Request::Join { room } => self.join(from, room, out)?,
            Request::Leave { room } => self.part(from, room, out)?,
            Request::Who(scope) => self.who(from, scope, out)?,
            Request::Rooms => self.rooms(from, out),
        }
        Ok(Next::Stay)
    }

    fn register<'a>(
        &mut self,
        from: ConnId,
        nick: &'a BStr,
        password: Option<&'a BStr>,
        out: &mut impl Outbox,
    ) -> Result<(), Refusal<'a>> {
        if self.rank(from).is_registered() {
            return Err(Refusal::Usage("you have a name; /nick name takes another"));
        }
        let name = self.free_nick(from, nick)?;
        if password.is_some() {
            return Err(Refusal::NoAccounts);
        }
        self.admit(from, name, Manners::default(), out);
        Ok(())
    }

    /// Registers a connection under a name that it may have.
    fn admit(&mut self, from: ConnId, name: Name, manners: Manners, out: &mut impl Outbox) {
        self.listeners.retain(|listener| *listener != from);
        self.roster.add_user(from, name, manners);
        if let Some(user) = self.roster.user(from) {
            out.send(from, Event::Named { nick: &user.name });
        }
        if manners.lobby {
            self.enter(from, LOBBY, |who, _| Event::Arrived { who }, out);
        }
        self.check();
    }

    /// A line that came with a name in front: see [`Request::SayAs`].
    fn say_as<'a>(
        &mut self,
        from: ConnId,
        nick: &'a BStr,
        text: &'a BStr,
        whole: Option<&'a BStr>,
        enter: Option<Manners>,
        out: &mut impl Outbox,
    ) -> Result<(), Refusal<'a>> {
        let nameless = self.roster.user(from).is_none_or(|user| user.guest);
        if let Some(manners) = enter
            && nameless
        {
            match (self.free_nick(from, nick), self.rank(from).is_registered()) {
                (Ok(name), false) => self.admit(from, name, manners, out),
                (Ok(_), true) => self.rename(from, nick, out)?,
                (Err(_), false) => self.admit_guest(from, manners, out),
                (Err(_), true) => {}
            }
        }
        match whole {
            _ if self.is_own(from, nick) => self.say(from, None, text, out),
            Some(whole) => self.say(from, None, whole, out),
            None => Ok(()),
        }
    }

    fn admit_guest(&mut self, from: ConnId, manners: Manners, out: &mut impl Outbox) {
        let guest = (self.next_guest..).find_map(|number| {
            let name = Name::new(format!("guest-{number}").as_bytes()).ok()?;
            self.roster.holder(&name).is_none().then_some((number, name))
        });
        if let Some((number, name)) = guest {
            self.next_guest = number + 1;
            self.admit(from, name, manners, out);
            self.roster.set_guest(from, true);
        }
    }

    /// Whether this, as typed, is the name of `from`.
    fn is_own(&self, from: ConnId, nick: &[u8]) -> bool {
        self.roster.find_user(nick) == Ok(Some(from))
    }

    fn rename<'a>(&mut self, from: ConnId, nick: &'a BStr, out: &mut impl Outbox) -> Result<(), Refusal<'a>> {
        let name = self.free_nick(from, nick)?;
        if let Some(number) = self.roster.user(from).and_then(User::guest_number) {
            self.next_guest = self.next_guest.min(number);
        }
        let Some(former) = self.roster.rename(from, name.clone()) else { return Err(Refusal::RegisterFirst) };
        self.roster.set_guest(from, false);
        out.send(from, Event::Named { nick: &name });
        if former.shown() != name.shown() {
            let members = self.roster.company(from, self.quiet_above);
            out.send_all(Audience { members, except: None }, Event::Renamed { from: &former, to: &name });
        }
        self.check();
        Ok(())
    }

    /// The name, if `from` may have it: one may take another spelling of one's own.
    fn free_nick<'a>(&self, from: ConnId, nick: &'a BStr) -> Result<Name, Refusal<'a>> {
        let name = Name::new(nick).map_err(|_| Refusal::NickInvalid(nick))?;
        if name::is_reserved(&name) {
            return Err(Refusal::NickReserved(nick));
        }
        if self.kicked.iter().any(|(until, folded)| *until > self.now && **folded == *name.folded()) {
            return Err(Refusal::Kicked(nick));
        }
        match self.roster.holder(&name) {
            Some(holder) if holder != from => Err(Refusal::NickTaken(nick)),
            _ => Ok(name),
        }
    }

    fn direct<'a>(
        &self,
        from: ConnId,
        to: &'a BStr,
        text: &'a BStr,
        out: &mut impl Outbox,
    ) -> Result<(), Refusal<'a>> {
        if text.is_empty() {
            return Err(Refusal::EmptyText);
        }
        // Most often it is one name as it is shown; a list never is one.
        if let Some(id) = self.roster.find_spelled(to) {
            return self.tell(from, to, id, text, out);
        }
        if !to.contains(&b',') {
            return self.tell(from, to, self.user_named(to)?, text, out);
        }
        if to.split_str(",").count() > MAX_TARGETS {
            return Err(Refusal::TooManyTargets);
        }
        let mut told = [None; MAX_TARGETS];
        for target in to.split_str(",") {
            let target = trim_blanks(target).as_bstr();
            let done = match self.user_named(target) {
                Ok(id) if told.contains(&Some(id)) => Ok(()),
                Ok(id) => {
                    told.iter_mut().find(|slot| slot.is_none()).into_iter().for_each(|slot| *slot = Some(id));
                    self.tell(from, target, id, text, out)
                }
                Err(refusal) => Err(refusal),
            };
            if let Err(refusal) = done {
                out.send(from, Event::Refused(refusal));
            }
        }
        Ok(())
    }

    /// One recipient of a direct message.
    fn tell<'a>(
        &self,
        from: ConnId,
        target: &'a BStr,
        to: ConnId,
        text: &BStr,
        out: &mut impl Outbox,
    ) -> Result<(), Refusal<'a>> {
        let sender = self.roster.user(from).ok_or(Refusal::RegisterFirst)?;
        if !out.has_room(to) {
            return Err(Refusal::RecipientFull(target));
        }
        out.send(to, Event::Direct { from: &sender.name, text });
        Ok(())
    }

    fn user_named<'a>(&self, nick: &'a BStr) -> Result<ConnId, Refusal<'a>> {
        self.roster.find_user(nick).map_err(|_| Refusal::NickInvalid(nick))?.ok_or(Refusal::NoSuchUser(nick))
    }

    fn say<'a>(
        &self,
        from: ConnId,
        room: Option<&'a BStr>,
        text: &BStr,
        out: &mut impl Outbox,
    ) -> Result<(), Refusal<'a>> {
        if text.is_empty() {
            return Err(Refusal::EmptyText);
        }
        let id = self.seat(from, room)?;
        let sender = self.roster.user(from).ok_or(Refusal::RegisterFirst)?;
        let room = self.roster.room(id);
        let said = Event::Said { room: (id != LOBBY).then_some(&room.name), from: &sender.name, text };
        let except = (!sender.own).then_some(from);
        out.send_all(Audience { members: &room.members, except }, said);
        if id == LOBBY && !self.listeners.is_empty() {
            out.send_all(Audience { members: &self.listeners, except: None }, said);
        }
        Ok(())
    }

    fn join<'a>(&mut self, from: ConnId, room: &'a BStr, out: &mut impl Outbox) -> Result<(), Refusal<'a>> {
        let found = self.roster.find_room(room).map_err(|_| Refusal::RoomInvalid(room))?;
        if let Some(id) = found
            && self.roster.is_in(from, id)
        {
            self.roster.set_current(from, Some(id));
            self.tell_entered(from, id, out);
            return Ok(());
        }
        let mine = self.max_rooms_per_connection.is_some_and(|most| self.roster.seats(from) >= most);
        let all = found.is_none() && self.max_rooms.is_some_and(|most| self.roster.rooms().len() >= most);
        if mine || all {
            return Err(Refusal::TooManyRooms);
        }
        let id = match found {
            Some(id) => id,
            None => self.roster.make_room(Name::new(room).map_err(|_| Refusal::RoomInvalid(room))?),
        };
        self.enter(from, id, |who, room| Event::Joined { who, room }, out);
        Ok(())
    }

    /// Seats somebody in a room, answers, and tells the others by the event that `notice` makes.
    fn enter(
        &mut self,
        from: ConnId,
        id: RoomId,
        notice: for<'n> fn(&'n Name, &'n Name) -> Event<'n>,
        out: &mut impl Outbox,
    ) {
        self.roster.join(from, id);
        self.roster.set_current(from, Some(id));
        self.tell_room(from, id, notice, out);
        self.tell_entered(from, id, out);
        self.check();
    }

    fn tell_entered(&self, to: ConnId, id: RoomId, out: &mut impl Outbox) {
        let room = self.roster.room(id);
        out.send(to, Event::Entered { room: &room.name, members: room.members.len() });
    }

    /// Tells the others in a room of somebody's coming or going, while that one is still seated in it; a large room is
    /// told nothing.
    fn tell_room(
        &self,
        from: ConnId,
        id: RoomId,
        notice: for<'n> fn(&'n Name, &'n Name) -> Event<'n>,
        out: &mut impl Outbox,
    ) {
        let (room, Some(user)) = (self.roster.room(id), self.roster.user(from)) else { return };
        let notice = notice(&user.name, &room.name);
        let except = (!user.own).then_some(from);
        if self.quiet_above.is_none_or(|most| room.members.len() <= most) {
            out.send_all(Audience { members: &room.members, except }, notice);
        } else if user.heralded {
            // Its kind hears of its kind, whatever the size of the room.
            let is_heralded = |id: &&ConnId| self.roster.user(**id).is_some_and(|user| user.heralded);
            let members: Vec<ConnId> = room.members.iter().filter(is_heralded).copied().collect();
            out.send_all(Audience { members: &members, except }, notice);
        }
    }

    fn kick<'a>(
        &mut self,
        from: ConnId,
        nick: &'a BStr,
        reason: &'a BStr,
        out: &mut impl Outbox,
    ) -> Result<(), Refusal<'a>> {
        let id = self.user_named(nick)?;
        let Some(name) = self.nick(id).cloned() else { return Err(Refusal::NoSuchUser(nick)) };
        if self.kicked.len() >= MAX_KICKED {
            self.kicked.pop_front();
        }
        self.kicked.retain(|(until, _)| *until > self.now);
        self.kicked.push_back((self.now + KICKED_FOR, name.folded().into()));
        out.send(from, Event::Kicked { who: &name });
        out.send(id, Event::Refused(Refusal::Kicked(reason)));
        self.leave(id, if reason.is_empty() { b"kicked" } else { reason }, out);
        out.close(id);
        Ok(())
    }

    fn stats(&mut self, from: ConnId, out: &mut impl Outbox) {
        let mut figures: Vec<(String, u64)> = vec![
            ("users".into(), self.roster.registered() as u64),
            ("rooms".into(), self.roster.rooms().len() as u64),
        ];
        out.figures(&mut |key, value| figures.push((key.to_owned(), value)));
        figures.iter().for_each(|(key, value)| out.send(from, Event::Stat { key, value: *value }));
        out.send(from, Event::EndStats { count: figures.len() });
    }

    fn part<'a>(
        &mut self,
        from: ConnId,
        room: Option<&'a BStr>,
        out: &mut impl Outbox,
    ) -> Result<(), Refusal<'a>> {
        let id = self.seat(from, room)?;
        let was_current = self.current(from) == Some(id);
        out.send(from, Event::Left { room: &self.roster.room(id).name });
        self.tell_room(from, id, |who, room| Event::Parted { who, room }, out);
        self.roster.part(from, id);
        if was_current {
            let lobby = self.roster.is_in(from, LOBBY).then_some(LOBBY);
            self.roster.set_current(from, lobby);
        }
        self.check();
        Ok(())
    }

    fn current(&self, id: ConnId) -> Option<RoomId> {
        self.roster.user(id)?.current.map(Into::into)
    }

    fn room_named<'a>(&self, room: &'a BStr) -> Result<RoomId, Refusal<'a>> {
        self.roster.find_room(room).map_err(|_| Refusal::RoomInvalid(room))?.ok_or(Refusal::NoSuchRoom(room))
    }

    /// The room meant by a name, or the current one, if `from` is in it.
    fn seat<'a>(&self, from: ConnId, room: Option<&'a BStr>) -> Result<RoomId, Refusal<'a>> {
        match room {
            None => self.current(from).ok_or(Refusal::NotInRoom(None)),
            Some(typed) => {
                let id = self.room_named(typed)?;
                if self.roster.is_in(from, id) { Ok(id) } else { Err(Refusal::NotInRoom(Some(typed))) }
            }
        }
    }

    fn who<'a>(&mut self, from: ConnId, scope: Scope<'a>, out: &mut impl Outbox) -> Result<(), Refusal<'a>> {
        let room = match scope {
            Scope::Current => Some(self.seat(from, None)?),
            Scope::Room(room) => Some(self.room_named(room)?),
            Scope::Everyone => None,
        };
        let (title, count) = match room.map(|id| self.roster.room(id)) {
            Some(room) => (room.name.shown(), room.members.len()),
            None => ("*", self.roster.registered()),
        };
        let lines = Lines { list: &mut self.list, most: self.max_list };
        let say = |names: &str| out.send(from, Event::Who { room: title, names });
        match room.map(|id| self.roster.room(id)) {
            Some(room) => {
                let users = room.members.iter().filter_map(|member| self.roster.user(*member));
                lines.pack(users.map(|user| (user.name.shown(), None)).take(MAX_WHO), say);
            }
            None => lines.pack(self.roster.users().map(|user| (user.name.shown(), None)).take(MAX_WHO), say),
        }
        out.send(from, Event::EndWho { room: title, count });
        Ok(())
    }

    fn rooms(&mut self, from: ConnId, out: &mut impl Outbox) {
        let lines = Lines { list: &mut self.list, most: self.max_list };
        let rooms = self.roster.rooms().map(|room| (room.name.shown(), Some(room.members.len())));
        lines.pack(rooms, |rooms| out.send(from, Event::Rooms { rooms }));
        out.send(from, Event::EndRooms { count: self.roster.rooms().len() });
    }
}

/// Packs words into lines of at most `most` bytes, at least one word each.
struct Lines<'a> {
    list: &'a mut String,
    most: usize,
}

impl Lines<'_> {
    fn pack<'n>(self, words: impl Iterator<Item = (&'n str, Option<usize>)>, mut say: impl FnMut(&str)) {
        /// What `:12` may take.
        const COUNT: usize = 1 + usize::MAX.ilog10() as usize + 1;
        self.list.clear();
        for (word, count) in words {
            if !self.list.is_empty() {
                if self.list.len() + 1 + word.len() + count.map_or(0, |_| COUNT) > self.most {
                    say(self.list);
                    self.list.clear();
                } else {
                    self.list.push(' ');
                }
            }
            self.list.push_str(word);
            if let Some(count) = count {
                self.list.push(':');
                self.list.push_str(&count.to_string());
            }
        }
        if !self.list.is_empty() {
            say(self.list);
        }
    }
}
