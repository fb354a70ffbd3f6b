//! Answers that are lists, told in lines of bounded length.

use super::Hub;
use crate::limits::MAX_WHO;
use crate::protocol::{ConnId, Event, Outbox, Refusal, Scope};

impl Hub {
    pub(super) fn who<'a>(
        &mut self,
        from: ConnId,
        scope: Scope<'a>,
        out: &mut impl Outbox,
    ) -> Result<(), Refusal<'a>> {
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
        let mut answers = 1;
        let say = |names: &str| {
            answers += 1;
            out.send(from, Event::Who { room: title, names });
        };
        match room.map(|id| self.roster.room(id)) {
            Some(room) => {
                let users = room.members.iter().filter_map(|member| self.roster.user(*member));
                lines.pack(users.map(|user| (user.name.shown(), None)).take(MAX_WHO), say);
            }
            None => lines.pack(self.roster.users().map(|user| (user.name.shown(), None)).take(MAX_WHO), say),
        }
        out.send(from, Event::EndWho { room: title, count });
        self.surcharge += answers;
        Ok(())
    }

    pub(super) fn rooms(&mut self, from: ConnId, out: &mut impl Outbox) {
        let lines = Lines { list: &mut self.list, most: self.max_list };
        let rooms = self.roster.rooms().map(|room| (room.name.shown(), Some(room.members.len())));
        let mut answers = 1;
        lines.pack(rooms, |rooms| {
            answers += 1;
            out.send(from, Event::Rooms { rooms });
        });
        out.send(from, Event::EndRooms { count: self.roster.rooms().len() });
        self.surcharge += answers;
    }

    pub(super) fn stats(&mut self, from: ConnId, out: &mut impl Outbox) {
        let mut figures: Vec<(String, u64)> = vec![
            ("users".into(), self.roster.registered() as u64),
            ("rooms".into(), self.roster.rooms().len() as u64),
        ];
        out.figures(&mut |key, value| figures.push((key.to_owned(), value)));
        figures.iter().for_each(|(key, value)| out.send(from, Event::Stat { key, value: *value }));
        out.send(from, Event::EndStats { count: figures.len() });
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
