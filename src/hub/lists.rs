//! The answers that are lists, to `/who` and `/rooms`. A dialect packs them into lines.

use super::Hub;
use super::roster::{Room, User};
use crate::limits::MAX_WHO;
use crate::protocol::command::Kind;
use crate::protocol::{ConnId, Event, List, ListItem, Outbox, Refusal, Scope};

impl Hub {
    pub(super) fn who<'a>(
        &mut self,
        from: ConnId,
        scope: Scope<'a>,
        out: &mut impl Outbox,
    ) -> Result<(), Refusal<'a>> {
        let room = match scope {
            Scope::Current => Some(self.membership(from, None)?),
            Scope::Room(room) => Some(self.room_named(room)?),
            Scope::Everyone => None,
        };
        let (title, count, lines) = match room.map(|id| self.roster.room(id)) {
            Some(Room { name, members, .. }) => {
                let items = members.iter().filter_map(|member| self.roster.user(*member)).map(listed_user);
                let list = List::Who { room: name.shown() };
                (name.shown(), members.len(), out.send_list(from, list, items.take(MAX_WHO)))
            }
            None => {
                let items = self.roster.users().map(listed_user);
                let lines = out.send_list(from, List::Who { room: "*" }, items.take(MAX_WHO));
                ("*", self.roster.registered(), lines)
            }
        };
        out.send(from, Event::EndWho { room: title, count });
        self.charge_lines(Kind::Who, lines);
        Ok(())
    }

    pub(super) fn rooms(&mut self, from: ConnId, out: &mut impl Outbox) {
        let lines = out.send_list(from, List::Rooms, self.roster.rooms().map(listed_room));
        out.send(from, Event::EndRooms { count: self.roster.rooms().len() });
        self.charge_lines(Kind::Rooms, lines);
    }

    /// Adds the cost of a list of `lines` lines and of the line that ends it.
    fn charge_lines(&mut self, kind: Kind, lines: usize) {
        self.extra_cost += kind.rule().each * (lines as u64 + 1);
    }
}

fn listed_user(user: &User) -> ListItem<'_> {
    ListItem { name: &user.name, count: None }
}

fn listed_room(room: &Room) -> ListItem<'_> {
    ListItem { name: &room.name, count: Some(room.members.len()) }
}
