//! Users, rooms, and the recipients of each event. Requests come in, events go out through an [`Outbox`]; nothing here
//! knows bytes, queues or sockets. The hub is the authority on every rule of protocol.md that isn't grammar.

mod effect;
mod index;
mod lists;
mod messages;
mod nicks;
mod rooms;
mod roster;
#[cfg(feature = "unicode")]
mod skeletons;

use crate::limits::{Limits, MAX_KICKED, MAX_WHO, VEC_GROWTH};
use crate::protocol::Time;
use crate::protocol::command::May;
use crate::protocol::name::{Name, Skeletons};
use crate::protocol::{Audience, CloseReason, ConnId, Event, Outbox, Quirks, Rank, Refusal, Request};
use bstr::BStr;
pub use effect::Effect;
use roster::Roster;
use std::collections::VecDeque;

/// The users and rooms of a server.
#[derive(Debug)]
pub struct Hub {
    roster: Roster,
    quiet_above: Option<usize>,
    max_rooms: Option<usize>,
    max_rooms_per_connection: Option<usize>,
    /// Connections with the rank of an operator; few, since each look-up scans them.
    operators: Vec<ConnId>,
    /// Unregistered connections that receive the messages of the lobby.
    observers: Vec<ConnId>,
    /// No guest number below this one is free.
    next_guest: u32,
    /// Names that are refused after a kick, in the order in which they are free again.
    kicked: VecDeque<Kicked>,
    /// Tokens that requests have cost beyond their own cost since [`Hub::take_extra_cost`].
    extra_cost: u64,
    /// Effects that the server has yet to act on, oldest first.
    effects: VecDeque<Effect>,
    now: Time,
}

/// The name of a kicked user.
#[derive(Debug)]
struct Kicked {
    until: Time,
    name: Name,
    skeletons: Skeletons,
}

/// Returns the maximum number of rooms of one connection; `None` if unlimited.
fn max_memberships(limits: &Limits) -> Option<usize> {
    limits.max_rooms_per_connection.into_iter().chain(limits.max_rooms).min()
}

/// What happens to a connection after its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterRequest {
    /// It stays open.
    Stay,
    /// It has left the hub and is to be closed once its queue is flushed.
    Close,
}

impl Hub {
    /// Maximum memory, in bytes, of a connection that is in the lobby alone: its user, and its entries in the lists of
    /// operators and of observers.
    pub const MAX_BYTES_PER_CONNECTION: usize =
        Roster::MAX_BYTES_PER_USER + Roster::MAX_BYTES_PER_MEMBERSHIP + 2 * VEC_GROWTH * size_of::<ConnId>();
    /// Maximum memory, in bytes, of the names of kicked users.
    pub const MAX_BYTES_KICKED: usize =
        MAX_KICKED * (VEC_GROWTH * size_of::<Kicked>() + Name::MAX_HEAP_BYTES + Skeletons::MAX_HEAP_BYTES);

    /// Returns the maximum memory, in bytes, of the memberships of one connection; `None` if unlimited.
    #[must_use]
    pub fn max_membership_bytes(limits: &Limits) -> Option<usize> {
        Some(Roster::MEMBERSHIP_LIST_BYTES + max_memberships(limits)? * Roster::MAX_BYTES_PER_MEMBERSHIP)
    }

    /// Returns the maximum number of rooms with this number of connections; `None` if unlimited.
    #[must_use]
    pub fn max_rooms(limits: &Limits, connections: usize) -> Option<usize> {
        let made = max_memberships(limits)?.saturating_mul(connections);
        // One more for the lobby, which may be empty.
        Some(limits.max_rooms.map_or(made, |max| made.min(max)) + 1)
    }

    /// Returns the maximum memory, in bytes, of this number of rooms.
    #[must_use]
    pub fn max_room_bytes(rooms: usize) -> usize {
        rooms.saturating_mul(Roster::MAX_BYTES_PER_ROOM)
    }

    /// Returns the maximum number of items of one list, the answer to `/rooms` or to `/who`, with this number of rooms.
    #[must_use]
    pub fn max_listed(rooms: usize) -> usize {
        rooms.max(MAX_WHO)
    }

    /// Creates a hub with these limits, without users.
    #[must_use]
    pub fn new(limits: &Limits) -> Hub {
        let lobby = Name::new(b"lobby").expect("`lobby` is a valid name");
        Hub {
            roster: Roster::new(lobby),
            quiet_above: limits.quiet_above,
            max_rooms: limits.max_rooms,
            max_rooms_per_connection: limits.max_rooms_per_connection,
            operators: Vec::new(),
            observers: Vec::new(),
            next_guest: 1,
            kicked: VecDeque::new(),
            extra_cost: 0,
            effects: VecDeque::new(),
            now: Time::default(),
        }
    }

    /// Sets the current time.
    pub fn set_now(&mut self, now: Time) {
        self.now = now;
    }

    /// Takes the extra cost of the last request, in tokens: see [`Rule::each`](crate::protocol::command::Rule::each).
    pub fn take_extra_cost(&mut self) -> u64 {
        std::mem::take(&mut self.extra_cost)
    }

    /// Returns whether there is an effect to act on.
    #[must_use]
    pub fn has_effects(&self) -> bool {
        !self.effects.is_empty()
    }

    /// Takes the oldest effect.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Frees memory that is not in use.
    pub fn trim(&mut self) {
        self.effects.shrink_to_fit();
    }

    /// Gives a new connection the rank of an operator.
    pub fn make_operator(&mut self, id: ConnId) {
        self.operators.push(id);
    }

    /// Makes a new connection receive the messages of the lobby until it registers.
    pub fn make_observer(&mut self, id: ConnId) {
        self.observers.push(id);
    }

    /// Returns the rank of a connection.
    #[must_use]
    pub fn rank(&self, id: ConnId) -> Rank {
        let registered = self.roster.user(id).is_some();
        match registered {
            _ if !self.operators.is_empty() && self.operators.contains(&id) => Rank::Operator { registered },
            true => Rank::Member,
            false => Rank::Unregistered,
        }
    }

    /// Returns the number of rooms, the lobby included.
    #[must_use]
    pub fn open_rooms(&self) -> usize {
        self.roster.rooms().len()
    }

    /// Returns the number of registered connections.
    #[must_use]
    pub fn registered(&self) -> usize {
        self.roster.registered()
    }

    /// Returns the name of a registered connection.
    #[must_use]
    pub fn nick(&self, id: ConnId) -> Option<&Name> {
        self.roster.user(id).map(|user| &user.name)
    }

    /// Handles or refuses one request of `from`; the answers go to `out`. The request is borrowed: moving it in memory
    /// costs more than parsing a short message.
    pub fn handle(&mut self, from: ConnId, request: &Request<'_>, out: &mut impl Outbox) -> AfterRequest {
        match self.dispatch(from, request, out) {
            Ok(next) => next,
            Err(refusal) => {
                out.send(from, Event::Refused(refusal));
                match *request {
                    Request::Enter { quirks: Quirks { close_if_refused: true, .. }, .. } => {
                        AfterRequest::Close
                    }
                    _ => AfterRequest::Stay,
                }
            }
        }
    }

    /// Removes a connection, registered or not, and sends members of shared rooms `text`, by default that of `reason`.
    pub fn leave(&mut self, id: ConnId, reason: CloseReason, text: &[u8], out: &mut impl Outbox) {
        self.remove(id, reason, text, None, out);
    }

    fn remove(
        &mut self,
        id: ConnId,
        reason: CloseReason,
        text: &[u8],
        operator: Option<ConnId>,
        out: &mut impl Outbox,
    ) {
        self.operators.retain(|operator| *operator != id);
        self.observers.retain(|observer| *observer != id);
        let shared_members = self.roster.shared_members(id, self.quiet_above);
        let user = self.roster.remove_user(id);
        if let Some(user) = &user {
            self.next_guest = self.next_guest.min(user.guest_number().unwrap_or(u32::MAX));
            let text = if text.is_empty() { reason.presence_text().as_bytes() } else { text };
            let gone = Event::Gone { who: &user.name, reason: BStr::new(text) };
            out.send_all(Audience { members: &shared_members, except: None }, gone);
        }
        self.roster.reclaim(shared_members);
        self.effects.push_back(Effect::Left { id, name: user.map(|user| user.name), reason, operator });
        self.check();
    }

    /// Panics if an invariant does not hold; for tests, debug builds and fuzzing.
    pub fn invariants(&self) {
        self.roster.invariants();
    }

    /// Checks the invariants in debug builds, while the server is small enough for that to be affordable.
    fn check(&self) {
        if cfg!(debug_assertions) && self.registered() <= 16 {
            self.invariants();
        }
    }

    fn dispatch<'a>(
        &mut self,
        from: ConnId,
        request: &Request<'a>,
        out: &mut impl Outbox,
    ) -> Result<AfterRequest, Refusal<'a>> {
        match *request {
            // Most requests by far; both check by themselves whether the sender is registered.
            Request::Direct { to, text } => self.direct(from, to, text, out)?,
            Request::Say { room, text } => self.say(from, room, text, out)?,
            _ if !self.may(from, request) => return Err(self.denial(from, request)),
            Request::Ping { token } => out.send(from, Event::Pong { token }),
            Request::Help => out.send(from, Event::Help { operator: self.rank(from).is_operator() }),
            Request::Quit { message } => return Ok(self.quit(from, message, out)),
            Request::QuitAs { nick } if self.is_own(from, nick) => {
                return Ok(self.quit(from, BStr::new(""), out));
            }
            Request::QuitAs { .. } => {}
            Request::Register { nick, password } => self.register(from, nick, password, out)?,
            Request::Enter { nick, .. } if self.rank(from).is_registered() => self.rename(from, nick, out)?,
            Request::Enter { nick, quirks } => {
                let name = self.free_nick(from, nick)?;
                self.admit(from, name, quirks, out);
            }
            Request::SayAs { nick, text, whole, enter } => {
                self.say_as(from, nick, text, whole, enter, out)?
            }
            Request::Rename { nick } => self.rename(from, nick, out)?,
            Request::Join { room } => self.join(from, room, out)?,
            Request::Leave { room } => self.part(from, room, out)?,
            Request::Who(scope) => self.who(from, scope, out)?,
            Request::Rooms => self.rooms(from, out),
            Request::Announce { text } if text.is_empty() => return Err(Refusal::EmptyText),
            Request::Announce { text } => {
                let count = self.announce(text, out);
                self.effects.push_back(Effect::Announced { operator: from, count });
                out.send(from, Event::Announced { count });
            }
            Request::Kick { nick, reason } => self.kick(from, nick, reason, out)?,
            Request::Stats => self.effects.push_back(Effect::Stats { to: from }),
            Request::Shutdown => {
                out.send(from, Event::Shutdown);
                self.effects.push_back(Effect::Stop { operator: from });
            }
        }
        Ok(AfterRequest::Stay)
    }

    /// Returns whether the rank of `from` permits this request.
    fn may(&self, from: ConnId, request: &Request<'_>) -> bool {
        request.kind().rule().may.includes(self.rank(from))
    }

    /// Returns the refusal of a request that the rank of `from` does not permit.
    fn denial(&self, from: ConnId, request: &Request<'_>) -> Refusal<'static> {
        match request.kind().rule().may {
            May::Operators if self.rank(from).is_registered() => Refusal::Denied,
            _ => Refusal::RegisterFirst,
        }
    }

    fn quit(&mut self, from: ConnId, message: &BStr, out: &mut impl Outbox) -> AfterRequest {
        self.leave(from, CloseReason::Quit, message, out);
        out.send(from, Event::Bye);
        AfterRequest::Close
    }
}
