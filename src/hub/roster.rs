//! Who is in which room: users, rooms, and the seats that tie them, kept consistent from both sides. What anybody is
//! told of it is decided in `hub/mod.rs`; nothing here speaks.

use super::index::NameIndex;
#[cfg(feature = "unicode")]
use super::looks::LookIndex;
use crate::limits::{ALLOCATION, GROWN, SLACK, TABLE};
use crate::protocol::name::{Invalid, Name};
use crate::protocol::{ConnId, Manners};
use slab::Slab;

/// A room: its slot. The lobby is always there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RoomId(u32);

/// The room that everyone enters first.
pub(super) const LOBBY: RoomId = RoomId(0);

/// A room and who is in it.
#[derive(Debug)]
pub(super) struct Room {
    /// As its first member wrote it.
    pub name: Name,
    /// In no order that means anything.
    pub members: Vec<ConnId>,
}

/// A registered connection. There may be ten thousands, most of them in the lobby alone: see `a_user_is_small`.
#[derive(Debug)]
pub(super) struct User {
    pub name: Name,
    /// Always one of the seats' rooms, or none.
    pub current: Option<RoomSlot>,
    /// See [`Manners::own`].
    pub own: bool,
    /// See [`Manners::heralded`].
    pub heralded: bool,
    /// It has a name that it didn't choose.
    pub guest: bool,
    /// The last [`Roster::company`] that counted this user.
    counted: u32,
    seats: Seats,
}

impl User {
    /// The number of a guest: it is free again once the guest is gone or has chosen a name.
    pub fn guest_number(&self) -> Option<u32> {
        let number = self.name.shown().strip_prefix("guest-").filter(|_| self.guest)?;
        number.parse().ok()
    }
}

/// A room's slot plus one, so that `Option` costs nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RoomSlot(std::num::NonZeroU32);

impl From<RoomId> for RoomSlot {
    fn from(room: RoomId) -> Self {
        RoomSlot(std::num::NonZeroU32::MIN.saturating_add(room.0))
    }
}

impl From<RoomSlot> for RoomId {
    fn from(slot: RoomSlot) -> Self {
        RoomId(slot.0.get() - 1)
    }
}

/// That a user is in `room`, at `members[place]`.
#[derive(Debug, Clone, Copy)]
struct Seat {
    room: RoomId,
    place: u32,
}

/// The seats of one user. The first needs no allocation; a boxed vector is one word where there are no more.
#[derive(Debug, Default)]
struct Seats {
    first: Option<(RoomSlot, u32)>,
    #[expect(clippy::box_collection, reason = "8 bytes instead of 24 in each of ten thousand users")]
    more: Option<Box<Vec<Seat>>>,
}

impl Seats {
    fn iter(&self) -> impl Iterator<Item = Seat> + '_ {
        let first = self.first.map(|(room, place)| Seat { room: room.into(), place });
        first.into_iter().chain(self.more.iter().flat_map(|more| more.iter().copied()))
    }

    /// One of the rooms, if there is one.
    fn any(&self) -> Option<RoomId> {
        self.iter().next().map(|seat| seat.room)
    }

    fn place(&self, room: RoomId) -> Option<u32> {
        self.iter().find(|seat| seat.room == room).map(|seat| seat.place)
    }

    fn add(&mut self, seat: Seat) {
        if self.first.is_none() {
            self.first = Some((seat.room.into(), seat.place));
        } else {
            self.more.get_or_insert_default().push(seat);
        }
    }

    fn move_to(&mut self, room: RoomId, place: u32) {
        if let Some((slot, first)) = &mut self.first
            && RoomId::from(*slot) == room
        {
            *first = place;
        } else if let Some(seat) = self.more.iter_mut().flat_map(|m| m.iter_mut()).find(|s| s.room == room) {
            seat.place = place;
        }
    }

    fn remove(&mut self, room: RoomId) {
        if self.first.is_some_and(|(slot, _)| RoomId::from(slot) == room) {
            self.first = None;
        } else if let Some(more) = &mut self.more {
            more.retain(|seat| seat.room != room);
            if more.is_empty() {
                self.more = None;
            }
        }
    }
}

/// Users and rooms.
#[derive(Debug)]
pub(super) struct Roster {
    /// By connection; `None` while a connection is not registered.
    users: Vec<Option<User>>,
    registered: usize,
    nicks: NameIndex,
    #[cfg(feature = "unicode")]
    looks: LookIndex,
    rooms: Slab<Room>,
    room_names: NameIndex,
    /// Counts the calls of [`Roster::company`].
    count: u32,
    /// What [`Roster::company`] finds goes here; empty while it is lent.
    company: Vec<ConnId>,
}

impl Roster {
    /// The most memory that one user takes, but for its seats: itself, its name, its entries under two spellings and
    /// three looks, and twice a place in a company.
    pub const OF_A_USER: usize = GROWN * size_of::<Option<User>>()
        + Name::OF_ONE
        + 2 * NameIndex::OF_AN_ENTRY
        + 3 * (size_of::<[u32; 2]>() + 1) * TABLE
        + 2 * GROWN * size_of::<ConnId>();
    /// That of one seat, on its user's list and on its room's.
    pub const OF_A_SEAT: usize = GROWN * size_of::<Seat>() + SLACK * size_of::<ConnId>();
    /// That of a user's list of seats, where there is one.
    pub const OF_SEATS: usize = size_of::<Vec<Seat>>() + 2 * ALLOCATION;
    /// That of one room, but for the seats in it.
    pub const OF_A_ROOM: usize = GROWN * size_of::<Room>()
        + Name::OF_ONE
        + 2 * NameIndex::OF_AN_ENTRY
        + SLACK * size_of::<ConnId>()
        + ALLOCATION;

    /// Nobody, and a lobby of that name.
    pub fn new(lobby: Name) -> Roster {
        let mut roster = Roster {
            users: Vec::new(),
            registered: 0,
            nicks: NameIndex::default(),
            #[cfg(feature = "unicode")]
            looks: LookIndex::default(),
            rooms: Slab::new(),
            room_names: NameIndex::default(),
            count: 0,
            company: Vec::new(),
        };
        let made = roster.make_room(lobby);
        debug_assert_eq!(made, LOBBY);
        roster
    }

    pub fn user(&self, id: ConnId) -> Option<&User> {
        self.users.get(id.index())?.as_ref()
    }

    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users.iter().flatten()
    }

    /// Everyone who is registered.
    pub fn everyone(&self) -> impl Iterator<Item = ConnId> {
        (0..).zip(&self.users).filter(|(_, user)| user.is_some()).map(|(id, _)| ConnId(id))
    }

    pub fn registered(&self) -> usize {
        self.registered
    }

    /// Who has a nick that is shown, or folds, exactly like this.
    pub fn find_spelled(&self, typed: &[u8]) -> Option<ConnId> {
        self.nicks.find(typed, &|id| name_of(&self.users, id)).map(ConnId)
    }

    /// Who has the nick that was typed like this.
    pub fn find_user(&self, typed: &[u8]) -> Result<Option<ConnId>, Invalid> {
        Ok(self.nicks.look_up(typed, |id| name_of(&self.users, id))?.map(ConnId))
    }

    /// Who has this nick, in any spelling.
    pub fn holder(&self, nick: &Name) -> Option<ConnId> {
        self.nicks.holder(nick, |id| name_of(&self.users, id)).map(ConnId)
    }

    /// Whether this nick can be taken for that of somebody other than `id`.
    #[cfg(feature = "unicode")]
    pub fn is_mistakable(&mut self, id: ConnId, nick: &Name) -> bool {
        let Roster { looks, users, .. } = self;
        let names = || (0..).zip(users.iter()).filter_map(|(id, user)| Some((id, &user.as_ref()?.name)));
        looks.is_mistakable(id.0, nick, names, |id| name_of(users, id))
    }

    /// A name of plain ASCII can't be taken for another.
    #[cfg(not(feature = "unicode"))]
    pub fn is_mistakable(&mut self, _: ConnId, _: &Name) -> bool {
        false
    }

    /// Enters a user under a nick that nobody has.
    pub fn add_user(&mut self, id: ConnId, name: Name, manners: Manners) {
        if self.users.len() <= id.index() {
            self.users.resize_with(id.index() + 1, || None);
        }
        debug_assert!(self.users[id.index()].is_none());
        self.users[id.index()] = Some(User {
            name: name.clone(),
            current: None,
            own: manners.own,
            heralded: manners.heralded,
            guest: false,
            counted: self.count,
            seats: Seats::default(),
        });
        self.enter_nick(id, &name);
        self.registered += 1;
    }

    /// Gives a user another nick, which nobody else has, and returns the former.
    pub fn rename(&mut self, id: ConnId, name: Name) -> Option<Name> {
        let user = self.users.get_mut(id.index())?.as_mut()?;
        self.nicks.remove(id.0, &user.name);
        #[cfg(feature = "unicode")]
        self.looks.remove(id.0, &user.name);
        let former = std::mem::replace(&mut user.name, name.clone());
        self.enter_nick(id, &name);
        Some(former)
    }

    /// Enters a user's new nick, under which it is known already.
    fn enter_nick(&mut self, id: ConnId, name: &Name) {
        self.nicks.insert(id.0, name, |id| name_of(&self.users, id));
        #[cfg(feature = "unicode")]
        self.looks.insert(id.0, name, |id| name_of(&self.users, id));
    }

    /// Takes a user out of the server and of all rooms.
    pub fn remove_user(&mut self, id: ConnId) -> Option<User> {
        while let Some(room) = self.user(id)?.seats.any() {
            self.part(id, room);
        }
        let user = self.users.get_mut(id.index())?.take()?;
        self.nicks.remove(id.0, &user.name);
        #[cfg(feature = "unicode")]
        self.looks.remove(id.0, &user.name);
        self.registered -= 1;
        Some(user)
    }

    pub fn room(&self, room: RoomId) -> &Room {
        &self.rooms[room.0 as usize]
    }

    pub fn rooms(&self) -> impl ExactSizeIterator<Item = &Room> {
        self.rooms.iter().map(|(_, room)| room)
    }

    /// The room of the name that was typed like this.
    pub fn find_room(&self, typed: &[u8]) -> Result<Option<RoomId>, Invalid> {
        Ok(self.room_names.look_up(typed, |id| &self.rooms[id as usize].name)?.map(RoomId))
    }

    /// A new, empty room of a name that no other room has.
    pub fn make_room(&mut self, name: Name) -> RoomId {
        let id = self.rooms.insert(Room { name: name.clone(), members: Vec::new() }) as u32;
        self.room_names.insert(id, &name, |id| &self.rooms[id as usize].name);
        RoomId(id)
    }

    pub fn is_in(&self, id: ConnId, room: RoomId) -> bool {
        self.user(id).is_some_and(|user| user.seats.place(room).is_some())
    }

    /// In how many rooms a user is.
    pub fn seats(&self, id: ConnId) -> usize {
        self.user(id).map_or(0, |user| user.seats.iter().count())
    }

    /// Whether the user has a name that it didn't choose.
    pub fn set_guest(&mut self, id: ConnId, guest: bool) {
        if let Some(user) = self.users.get_mut(id.index()).and_then(Option::as_mut) {
            user.guest = guest;
        }
    }

    /// Makes `room` the user's current one; `None` for none.
    pub fn set_current(&mut self, id: ConnId, room: Option<RoomId>) {
        if let Some(user) = self.users.get_mut(id.index()).and_then(Option::as_mut) {
            user.current = room.map(Into::into);
        }
    }

    /// Seats a user in a room that it isn't in.
    pub fn join(&mut self, id: ConnId, room: RoomId) {
        debug_assert!(!self.is_in(id, room));
        let Some(user) = self.users.get_mut(id.index()).and_then(Option::as_mut) else { return };
        let members = &mut self.rooms[room.0 as usize].members;
        user.seats.add(Seat { room, place: members.len() as u32 });
        members.push(id);
    }

    /// Takes a user's seat in a room away, and the room with it where nobody is left in it.
    pub fn part(&mut self, id: ConnId, room: RoomId) {
        let Some(user) = self.users.get_mut(id.index()).and_then(Option::as_mut) else { return };
        let Some(place) = user.seats.place(room) else { return };
        user.seats.remove(room);
        if user.current == Some(room.into()) {
            user.current = None;
        }
        let members = &mut self.rooms[room.0 as usize].members;
        members.swap_remove(place as usize);
        // Whoever has gone leaves no room behind that is as large as it once was, or a few could keep many such.
        if members.capacity() / SLACK > members.len() {
            members.shrink_to(2 * members.len());
        }
        if let Some(moved) = members.get(place as usize)
            && let Some(user) = self.users.get_mut(moved.index()).and_then(Option::as_mut)
        {
            user.seats.move_to(room, place);
        }
        if members.is_empty() && room != LOBBY {
            let empty = self.rooms.remove(room.0 as usize);
            self.room_names.remove(room.0, &empty.name);
        }
    }

    /// Those who share a room with this user, itself left out, each once however many rooms they share. Rooms with
    /// more members than `quiet_above` don't count. The list is lent: see [`Roster::give_back`].
    pub fn company(&mut self, id: ConnId, quiet_above: Option<usize>) -> Vec<ConnId> {
        let mut company = std::mem::take(&mut self.company);
        company.clear();
        self.count = self.count.wrapping_add(1);
        if self.count == 0 {
            self.users.iter_mut().flatten().for_each(|user| user.counted = 0);
            self.count = 1;
        }
        let Some(user) = self.users.get_mut(id.index()).and_then(Option::as_mut) else { return company };
        user.counted = self.count;
        let rooms: Seats = Seats { first: user.seats.first, more: user.seats.more.clone() };
        for seat in rooms.iter() {
            let members = &self.rooms[seat.room.0 as usize].members;
            if quiet_above.is_some_and(|most| members.len() > most) {
                continue;
            }
            for &member in members {
                if let Some(other) = self.users[member.index()].as_mut()
                    && other.counted != self.count
                {
                    other.counted = self.count;
                    company.push(member);
                }
            }
        }
        company
    }

    /// The list that was lent, for the next time.
    pub fn give_back(&mut self, company: Vec<ConnId>) {
        self.company = company;
    }

    /// Checks what must always be true of the whole, at a cost that is for tests and debug builds.
    pub fn invariants(&self) {
        assert_eq!(self.registered, self.users().count());
        #[cfg(feature = "unicode")]
        self.looks
            .invariants((0..).zip(&self.users).filter_map(|(id, user)| Some((id, &user.as_ref()?.name))));
        for (slot, room) in &self.rooms {
            let id = RoomId(slot as u32);
            assert!(id == LOBBY || !room.members.is_empty(), "an empty room is gone");
            // A vector's least capacity is four.
            assert!(
                room.members.capacity() <= SLACK * room.members.len().max(1) + SLACK,
                "as large as need be"
            );
            for (place, member) in room.members.iter().enumerate() {
                let user = self.user(*member).expect("members are registered");
                assert_eq!(user.seats.place(id), Some(place as u32), "both sides of a seat agree");
            }
        }
        for user in self.users() {
            assert_eq!(
                self.holder(&user.name).and_then(|id| self.user(id)).map(|u| &u.name),
                Some(&user.name)
            );
            for seat in user.seats.iter() {
                assert!(self.rooms.contains(seat.room.0 as usize));
            }
            assert!(
                user.current.is_none_or(|room| user.seats.place(room.into()).is_some()),
                "one sits in the current room"
            );
        }
    }
}

/// The name behind an id of the index of nicks.
fn name_of(users: &[Option<User>], id: u32) -> &Name {
    &users[id as usize].as_ref().expect("the index holds registered users only").name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_small() {
        assert!(size_of::<Option<User>>() <= 56, "{}", size_of::<Option<User>>());
    }

    #[test]
    fn emptied_room_releases_its_memory() {
        let mut roster = Roster::new(Name::new(b"lobby").unwrap());
        for i in 0..1000 {
            roster.add_user(ConnId(i), Name::new(format!("n{i}").as_bytes()).unwrap(), Manners::default());
            roster.join(ConnId(i), LOBBY);
        }
        (1..1000).for_each(|i| roster.part(ConnId(i), LOBBY));
        roster.invariants();
        assert!(roster.room(LOBBY).members.capacity() <= 2 * SLACK);
    }

    #[test]
    fn memberships_stay_consistent_after_leaving() {
        let mut roster = Roster::new(Name::new(b"lobby").unwrap());
        let dev = roster.make_room(Name::new(b"dev").unwrap());
        for id in 0..5 {
            let name = Name::new(format!("u{id}").as_bytes()).unwrap();
            roster.add_user(ConnId(id), name, Manners::default());
            roster.join(ConnId(id), LOBBY);
            roster.join(ConnId(id), dev);
        }
        for id in [0, 4, 2, 1, 3] {
            roster.invariants();
            assert_eq!(roster.company(ConnId(id), None).len(), roster.registered() - 1, "each once");
            roster.part(ConnId(id), dev);
            roster.invariants();
            roster.remove_user(ConnId(id));
        }
        roster.invariants();
        assert_eq!(roster.rooms().len(), 1, "the lobby stays, the empty room is gone");
    }
}
