//! Entering and leaving rooms, and the presence events of both.

use super::Hub;
use super::roster::{LOBBY, RoomId};
use crate::protocol::name::Name;
use crate::protocol::{Audience, ConnId, Event, Outbox, Refusal};
use bstr::BStr;

impl Hub {
    pub(super) fn join<'a>(
        &mut self,
        from: ConnId,
        room: &'a BStr,
        out: &mut impl Outbox,
    ) -> Result<(), Refusal<'a>> {
        let found = self.roster.find_room(room).map_err(|_| Refusal::RoomInvalid(room))?;
        if let Some(id) = found
            && self.roster.is_in(from, id)
        {
            self.roster.set_current(from, Some(id));
            self.send_entered(from, id, out);
            return Ok(());
        }
        let mine = self.max_rooms_per_connection.is_some_and(|max| self.roster.memberships(from) >= max);
        let all = found.is_none() && self.max_rooms.is_some_and(|max| self.roster.rooms().len() >= max);
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

    /// Adds `from` to a room, answers it, and sends the other members the event that `presence` makes.
    pub(super) fn enter(
        &mut self,
        from: ConnId,
        id: RoomId,
        presence: for<'n> fn(&'n Name, &'n Name) -> Event<'n>,
        out: &mut impl Outbox,
    ) {
        self.roster.join(from, id);
        self.roster.set_current(from, Some(id));
        self.send_presence(from, id, presence, out);
        self.send_entered(from, id, out);
        self.check();
    }

    pub(super) fn part<'a>(
        &mut self,
        from: ConnId,
        room: Option<&'a BStr>,
        out: &mut impl Outbox,
    ) -> Result<(), Refusal<'a>> {
        let id = self.membership(from, room)?;
        let was_current = self.current(from) == Some(id);
        out.send(from, Event::Left { room: &self.roster.room(id).name });
        self.send_presence(from, id, |who, room| Event::Parted { who, room }, out);
        self.roster.part(from, id);
        if was_current {
            let lobby = self.roster.is_in(from, LOBBY).then_some(LOBBY);
            self.roster.set_current(from, lobby);
        }
        self.check();
        Ok(())
    }

    pub(super) fn send_entered(&self, to: ConnId, id: RoomId, out: &mut impl Outbox) {
        let room = self.roster.room(id);
        out.send(to, Event::Entered { room: &room.name, members: room.members.len() });
    }

    /// Sends the other members of a room a presence event of `from`, which is a member still. A room with more than
    /// `quiet_above` members sends none.
    pub(super) fn send_presence(
        &self,
        from: ConnId,
        id: RoomId,
        presence: for<'n> fn(&'n Name, &'n Name) -> Event<'n>,
        out: &mut impl Outbox,
    ) {
        let (room, Some(user)) = (self.roster.room(id), self.roster.user(from)) else { return };
        let event = presence(&user.name, &room.name);
        let except = (!user.echo).then_some(from);
        if self.quiet_above.is_none_or(|max| room.members.len() <= max) {
            out.send_all(Audience { members: &room.members, except }, event);
        } else if user.always_notified {
            // The exception: members that are always notified receive each other's presence.
            let is_notified = |id: &&ConnId| self.roster.user(**id).is_some_and(|user| user.always_notified);
            let members: Vec<ConnId> = room.members.iter().filter(is_notified).copied().collect();
            out.send_all(Audience { members: &members, except }, event);
        }
    }

    pub(super) fn current(&self, id: ConnId) -> Option<RoomId> {
        self.roster.user(id)?.current.map(Into::into)
    }

    pub(super) fn room_named<'a>(&self, room: &'a BStr) -> Result<RoomId, Refusal<'a>> {
        self.roster.find_room(room).map_err(|_| Refusal::RoomInvalid(room))?.ok_or(Refusal::NoSuchRoom(room))
    }

    /// Returns the room of that name, or the current one for `None`, provided that `from` is in it.
    pub(super) fn membership<'a>(&self, from: ConnId, room: Option<&'a BStr>) -> Result<RoomId, Refusal<'a>> {
        match room {
            None => self.current(from).ok_or(Refusal::NotInRoom(None)),
            Some(typed) => {
                let id = self.room_named(typed)?;
                if self.roster.is_in(from, id) { Ok(id) } else { Err(Refusal::NotInRoom(Some(typed))) }
            }
        }
    }
}
