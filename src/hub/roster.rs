//! Users, rooms, and the memberships that tie them, kept consistent from both sides. Nothing here sends an event; the
//! recipients are chosen in the other files of the hub.

use super::index::NameIndex;
#[cfg(feature = "unicode")]
use super::skeletons::SkeletonIndex;
use crate::limits::{ALLOCATION_OVERHEAD, SLACK, TABLE, VEC_GROWTH};
use crate::protocol::name::{Invalid, Name};
use crate::protocol::{ConnId, Quirks};
use slab::Slab;

/// A room, by its slot. The lobby is never removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RoomId(u32);

/// The room that users enter when they register.
pub(super) const LOBBY: RoomId = RoomId(0);

/// A room and its members.
#[derive(Debug)]
pub(super) struct Room {
    /// As its first member typed it.
    pub name: Name,
    /// Each member once, in no particular order.
    pub members: Vec<ConnId>,
}

/// A registered connection. There may be tens of thousands, most of them in the lobby alone, so a test bounds its size.
#[derive(Debug)]
pub(super) struct User {
    pub name: Name,
    /// `None` or the room of one of `memberships`.
    pub current: Option<RoomSlot>,
    /// See [`Quirks::echo`].
    pub echo: bool,
    /// See [`Quirks::always_notified`].
    pub always_notified: bool,
    /// The server chose the name.
    pub guest: bool,
    /// The last pass of [`Roster::shared_members`] that visited this user.
    visited: u32,
    memberships: Memberships,
}

impl User {
    /// Returns the number of a guest; it is free again once the guest leaves or chooses a name.
    pub fn guest_number(&self) -> Option<u32> {
        let number = self.name.shown().strip_prefix("guest-").filter(|_| self.guest)?;
        number.parse().ok()
    }
}

/// A room's slot plus one, so that `Option<RoomSlot>` is no larger.
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

/// A membership of a user, which is `members[index]` of `room`.
#[derive(Debug, Clone, Copy)]
struct Membership {
    room: RoomId,
    index: u32,
}

/// The memberships of one user. The first needs no allocation; the boxed vector is one word while there are no others.
#[derive(Debug, Default)]
struct Memberships {
    first: Option<(RoomSlot, u32)>,
    #[expect(clippy::box_collection, reason = "8 bytes instead of 24 in each of ten thousand users")]
    more: Option<Box<Vec<Membership>>>,
}

impl Memberships {
    fn iter(&self) -> impl Iterator<Item = Membership> + '_ {
        let first = self.first.map(|(room, index)| Membership { room: room.into(), index });
        first.into_iter().chain(self.more.iter().flat_map(|more| more.iter().copied()))
    }

    /// Returns one of the rooms, if there is one.
    fn any(&self) -> Option<RoomId> {
        self.iter().next().map(|membership| membership.room)
    }

    fn index(&self, room: RoomId) -> Option<u32> {
        self.iter().find(|membership| membership.room == room).map(|membership| membership.index)
    }

    fn add(&mut self, membership: Membership) {
        if self.first.is_none() {
            self.first = Some((membership.room.into(), membership.index));
        } else {
            self.more.get_or_insert_default().push(membership);
        }
    }

    fn move_to(&mut self, room: RoomId, index: u32) {
        if let Some((slot, first)) = &mut self.first
            && RoomId::from(*slot) == room
        {
            *first = index;
        } else if let Some(membership) =
            self.more.iter_mut().flat_map(|m| m.iter_mut()).find(|s| s.room == room)
        {
            membership.index = index;
        }
    }

    fn remove(&mut self, room: RoomId) {
        if self.first.is_some_and(|(slot, _)| RoomId::from(slot) == room) {
            self.first = None;
        } else if let Some(more) = &mut self.more {
            more.retain(|membership| membership.room != room);
            if more.is_empty() {
                self.more = None;
            }
        }
    }
}

/// Users and rooms.
#[derive(Debug)]
pub(super) struct Roster {
    /// By slot of the connection; `None` while it is unregistered.
    users: Vec<Option<User>>,
    registered: usize,
    nicks: NameIndex,
    #[cfg(feature = "unicode")]
    skeletons: SkeletonIndex,
    rooms: Slab<Room>,
    room_names: NameIndex,
    /// The number of the last pass of [`Roster::shared_members`].
    pass: u32,
    /// The buffer that [`Roster::shared_members`] lends; empty while it is lent.
    shared_members: Vec<ConnId>,
}

impl Roster {
    /// Maximum memory, in bytes, of one user without its memberships: itself, its name, two entries of the name index
    /// and three of the skeleton index, and two in lists of shared members.
    pub const MAX_BYTES_PER_USER: usize = VEC_GROWTH * size_of::<Option<User>>()
        + Name::MAX_HEAP_BYTES
        + 2 * NameIndex::BYTES_PER_ENTRY
        + 3 * (size_of::<[u32; 2]>() + 1) * TABLE
        + 2 * VEC_GROWTH * size_of::<ConnId>();
    /// The same of one membership, in its user's list and in its room's.
    pub const MAX_BYTES_PER_MEMBERSHIP: usize =
        VEC_GROWTH * size_of::<Membership>() + SLACK * size_of::<ConnId>();
    /// The same of a user's list of memberships, if it has one.
    pub const MEMBERSHIP_LIST_BYTES: usize = size_of::<Vec<Membership>>() + 2 * ALLOCATION_OVERHEAD;
    /// The same of one room without its memberships.
    pub const MAX_BYTES_PER_ROOM: usize = VEC_GROWTH * size_of::<Room>()
        + Name::MAX_HEAP_BYTES
        + 2 * NameIndex::BYTES_PER_ENTRY
        + SLACK * size_of::<ConnId>()
        + ALLOCATION_OVERHEAD;

    /// Creates a roster without users, and a lobby of that name.
    pub fn new(lobby: Name) -> Roster {
        let mut roster = Roster {
            users: Vec::new(),
            registered: 0,
            nicks: NameIndex::default(),
            #[cfg(feature = "unicode")]
            skeletons: SkeletonIndex::default(),
            rooms: Slab::new(),
            room_names: NameIndex::default(),
            pass: 0,
            shared_members: Vec::new(),
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

    /// Returns the ids of all registered connections.
    pub fn registered_ids(&self) -> impl Iterator<Item = ConnId> {
        (0..).zip(&self.users).filter(|(_, user)| user.is_some()).map(|(id, _)| ConnId(id))
    }

    pub fn registered(&self) -> usize {
        self.registered
    }

    /// Returns the user with a nick that, shown or folded, is exactly `typed`.
    pub fn find_spelled(&self, typed: &[u8]) -> Option<ConnId> {
        self.nicks.find(typed, &|id| name_of(&self.users, id)).map(ConnId)
    }

    /// Returns the user with the nick that was typed.
    pub fn find_user(&self, typed: &[u8]) -> Result<Option<ConnId>, Invalid> {
        Ok(self.nicks.look_up(typed, |id| name_of(&self.users, id))?.map(ConnId))
    }

    /// Returns the user with this nick, in any spelling.
    pub fn holder(&self, nick: &Name) -> Option<ConnId> {
        self.nicks.holder(nick, |id| name_of(&self.users, id)).map(ConnId)
    }

    /// Returns whether this nick is confusable with that of a user other than `id`.
    #[cfg(feature = "unicode")]
    pub fn is_confusable(&mut self, id: ConnId, nick: &Name) -> bool {
        let Roster { skeletons, users, .. } = self;
        let names = || (0..).zip(users.iter()).filter_map(|(id, user)| Some((id, &user.as_ref()?.name)));
        skeletons.is_confusable(id.0, nick, names, |id| name_of(users, id))
    }

    /// ASCII names are never treated as confusable.
    #[cfg(not(feature = "unicode"))]
    pub fn is_confusable(&mut self, _: ConnId, _: &Name) -> bool {
        false
    }

    /// Registers a user under a nick that no other user has.
    pub fn add_user(&mut self, id: ConnId, name: Name, quirks: Quirks) {
        if self.users.len() <= id.index() {
            self.users.resize_with(id.index() + 1, || None);
        }
        debug_assert!(self.users[id.index()].is_none());
        self.users[id.index()] = Some(User {
            name: name.clone(),
            current: None,
            echo: quirks.echo,
            always_notified: quirks.always_notified,
            guest: false,
            visited: self.pass,
            memberships: Memberships::default(),
        });
        self.enter_nick(id, &name);
        self.registered += 1;
    }

    /// Gives a user another nick, which no other user has, and returns the former.
    pub fn rename(&mut self, id: ConnId, name: Name) -> Option<Name> {
        let user = self.users.get_mut(id.index())?.as_mut()?;
        self.nicks.remove(id.0, &user.name);
        #[cfg(feature = "unicode")]
        self.skeletons.remove(id.0, &user.name);
        let former = std::mem::replace(&mut user.name, name.clone());
        self.enter_nick(id, &name);
        Some(former)
    }

    /// Indexes a user's new nick; the user has it already.
    fn enter_nick(&mut self, id: ConnId, name: &Name) {
        self.nicks.insert(id.0, name, |id| name_of(&self.users, id));
        #[cfg(feature = "unicode")]
        self.skeletons.insert(id.0, name, |id| name_of(&self.users, id));
    }

    /// Removes a user from the roster and from all rooms, and returns it.
    pub fn remove_user(&mut self, id: ConnId) -> Option<User> {
        while let Some(room) = self.user(id)?.memberships.any() {
            self.part(id, room);
        }
        let user = self.users.get_mut(id.index())?.take()?;
        self.nicks.remove(id.0, &user.name);
        #[cfg(feature = "unicode")]
        self.skeletons.remove(id.0, &user.name);
        self.registered -= 1;
        Some(user)
    }

    pub fn room(&self, room: RoomId) -> &Room {
        &self.rooms[room.0 as usize]
    }

    pub fn rooms(&self) -> impl ExactSizeIterator<Item = &Room> {
        self.rooms.iter().map(|(_, room)| room)
    }

    /// Returns the room with the name that was typed.
    pub fn find_room(&self, typed: &[u8]) -> Result<Option<RoomId>, Invalid> {
        Ok(self.room_names.look_up(typed, |id| &self.rooms[id as usize].name)?.map(RoomId))
    }

    /// Creates an empty room under a name that no other room has.
    pub fn make_room(&mut self, name: Name) -> RoomId {
        let id = self.rooms.insert(Room { name: name.clone(), members: Vec::new() }) as u32;
        self.room_names.insert(id, &name, |id| &self.rooms[id as usize].name);
        RoomId(id)
    }

    pub fn is_in(&self, id: ConnId, room: RoomId) -> bool {
        self.user(id).is_some_and(|user| user.memberships.index(room).is_some())
    }

    /// Returns the number of rooms that a user is in.
    pub fn memberships(&self, id: ConnId) -> usize {
        self.user(id).map_or(0, |user| user.memberships.iter().count())
    }

    /// Sets whether the server chose the user's name.
    pub fn set_guest(&mut self, id: ConnId, guest: bool) {
        if let Some(user) = self.users.get_mut(id.index()).and_then(Option::as_mut) {
            user.guest = guest;
        }
    }

    /// Sets the user's current room; `None` for none.
    pub fn set_current(&mut self, id: ConnId, room: Option<RoomId>) {
        if let Some(user) = self.users.get_mut(id.index()).and_then(Option::as_mut) {
            user.current = room.map(Into::into);
        }
    }

    /// Adds a user to a room that it isn't in.
    pub fn join(&mut self, id: ConnId, room: RoomId) {
        debug_assert!(!self.is_in(id, room));
        let Some(user) = self.users.get_mut(id.index()).and_then(Option::as_mut) else { return };
        let members = &mut self.rooms[room.0 as usize].members;
        user.memberships.add(Membership { room, index: members.len() as u32 });
        members.push(id);
    }

    /// Removes a user from a room, and the room if it is then empty and not the lobby.
    pub fn part(&mut self, id: ConnId, room: RoomId) {
        let Some(user) = self.users.get_mut(id.index()).and_then(Option::as_mut) else { return };
        let Some(index) = user.memberships.index(room) else { return };
        user.memberships.remove(room);
        if user.current == Some(room.into()) {
            user.current = None;
        }
        let members = &mut self.rooms[room.0 as usize].members;
        members.swap_remove(index as usize);
        // Without shrinking, a few users could keep many rooms at their largest size.
        if members.capacity() / SLACK > members.len() {
            members.shrink_to(2 * members.len());
        }
        if let Some(moved) = members.get(index as usize)
            && let Some(user) = self.users.get_mut(moved.index()).and_then(Option::as_mut)
        {
            user.memberships.move_to(room, index);
        }
        if members.is_empty() && room != LOBBY {
            let empty = self.rooms.remove(room.0 as usize);
            self.room_names.remove(room.0, &empty.name);
        }
    }

    /// Returns the users that share a room with this one, each once, this one excluded. Rooms with more members than
    /// `quiet_above` don't count. The list is lent: see [`Roster::reclaim`].
    pub fn shared_members(&mut self, id: ConnId, quiet_above: Option<usize>) -> Vec<ConnId> {
        let mut shared_members = std::mem::take(&mut self.shared_members);
        shared_members.clear();
        self.pass = self.pass.wrapping_add(1);
        if self.pass == 0 {
            self.users.iter_mut().flatten().for_each(|user| user.visited = 0);
            self.pass = 1;
        }
        let Some(user) = self.users.get_mut(id.index()).and_then(Option::as_mut) else {
            return shared_members;
        };
        user.visited = self.pass;
        let rooms: Memberships =
            Memberships { first: user.memberships.first, more: user.memberships.more.clone() };
        for membership in rooms.iter() {
            let members = &self.rooms[membership.room.0 as usize].members;
            if quiet_above.is_some_and(|max| members.len() > max) {
                continue;
            }
            for &member in members {
                if let Some(other) = self.users[member.index()].as_mut()
                    && other.visited != self.pass
                {
                    other.visited = self.pass;
                    shared_members.push(member);
                }
            }
        }
        shared_members
    }

    /// Takes the lent list back for the next call.
    pub fn reclaim(&mut self, shared_members: Vec<ConnId>) {
        self.shared_members = shared_members;
    }

    /// Panics if an invariant does not hold; too slow for release builds.
    pub fn invariants(&self) {
        assert_eq!(self.registered, self.users().count());
        #[cfg(feature = "unicode")]
        self.skeletons
            .invariants((0..).zip(&self.users).filter_map(|(id, user)| Some((id, &user.as_ref()?.name))));
        for (slot, room) in &self.rooms {
            let id = RoomId(slot as u32);
            assert!(id == LOBBY || !room.members.is_empty(), "only the lobby may be empty");
            // The minimum capacity of a vector is four.
            assert!(
                room.members.capacity() <= SLACK * room.members.len().max(1) + SLACK,
                "the list has shrunk"
            );
            for (index, member) in room.members.iter().enumerate() {
                let user = self.user(*member).expect("members are registered");
                assert_eq!(user.memberships.index(id), Some(index as u32), "user and room agree");
            }
        }
        for user in self.users() {
            assert_eq!(
                self.holder(&user.name).and_then(|id| self.user(id)).map(|u| &u.name),
                Some(&user.name)
            );
            for membership in user.memberships.iter() {
                assert!(self.rooms.contains(membership.room.0 as usize));
            }
            assert!(
                user.current.is_none_or(|room| user.memberships.index(room.into()).is_some()),
                "the user is a member of its current room"
            );
        }
    }
}

/// Returns the nick of a registered user, by its id in the indexes.
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
            roster.add_user(ConnId(i), Name::new(format!("n{i}").as_bytes()).unwrap(), Quirks::default());
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
            roster.add_user(ConnId(id), name, Quirks::default());
            roster.join(ConnId(id), LOBBY);
            roster.join(ConnId(id), dev);
        }
        for id in [0, 4, 2, 1, 3] {
            roster.invariants();
            assert_eq!(roster.shared_members(ConnId(id), None).len(), roster.registered() - 1, "each once");
            roster.part(ConnId(id), dev);
            roster.invariants();
            roster.remove_user(ConnId(id));
        }
        roster.invariants();
        assert_eq!(roster.rooms().len(), 1, "only the lobby is left");
    }
}
