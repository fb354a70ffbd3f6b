//! Who hears what is said: to one, to several, in a room, to everyone.

use super::Hub;
use super::roster::LOBBY;
use crate::limits::MAX_TARGETS;
use crate::protocol::command::Kind;
use crate::protocol::name::Name;
use crate::protocol::text::trim_blanks;
use crate::protocol::{Audience, ConnId, Event, Outbox, Quirks, Refusal};
use bstr::{BStr, ByteSlice};

impl Hub {
    pub(super) fn direct<'a>(
        &mut self,
        from: ConnId,
        to: &'a BStr,
        text: &'a BStr,
        out: &mut impl Outbox,
    ) -> Result<(), Refusal<'a>> {
        let sender = &self.roster.user(from).ok_or(Refusal::RegisterFirst)?.name;
        if text.is_empty() {
            return Err(Refusal::EmptyText);
        }
        // Most often it is one name as it is shown; a list never is one.
        if let Some(id) = self.roster.find_spelled(to) {
            return route(sender, to, id, text, out);
        }
        if !to.contains(&b',') {
            return route(sender, to, self.user_named(to)?, text, out);
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
                    self.extra_cost += Kind::Direct.rule().each * u64::from(told[0].is_some());
                    told.iter_mut().find(|slot| slot.is_none()).into_iter().for_each(|slot| *slot = Some(id));
                    route(sender, target, id, text, out)
                }
                Err(refusal) => Err(refusal),
            };
            if let Err(refusal) = done {
                out.send(from, Event::Refused(refusal));
            }
        }
        Ok(())
    }

    pub(super) fn user_named<'a>(&self, nick: &'a BStr) -> Result<ConnId, Refusal<'a>> {
        self.roster.find_user(nick).map_err(|_| Refusal::NickInvalid(nick))?.ok_or(Refusal::NoSuchUser(nick))
    }

    pub(super) fn say<'a>(
        &self,
        from: ConnId,
        room: Option<&'a BStr>,
        text: &BStr,
        out: &mut impl Outbox,
    ) -> Result<(), Refusal<'a>> {
        let sender = self.roster.user(from).ok_or(Refusal::RegisterFirst)?;
        if text.is_empty() {
            return Err(Refusal::EmptyText);
        }
        let id = self.membership(from, room)?;
        let room = self.roster.room(id);
        let said = Event::Said { room: (id != LOBBY).then_some(&room.name), from: &sender.name, text };
        let except = (!sender.echo).then_some(from);
        out.send_all(Audience { members: &room.members, except }, said);
        if id == LOBBY && !self.listeners.is_empty() {
            out.send_all(Audience { members: &self.listeners, except: None }, said);
        }
        Ok(())
    }

    /// A line that came with a name in front: see [`Request::SayAs`].
    pub(super) fn say_as<'a>(
        &mut self,
        from: ConnId,
        nick: &'a BStr,
        text: &'a BStr,
        whole: Option<&'a BStr>,
        enter: Option<Quirks>,
        out: &mut impl Outbox,
    ) -> Result<(), Refusal<'a>> {
        let nameless = self.roster.user(from).is_none_or(|user| user.guest);
        if let Some(quirks) = enter
            && nameless
        {
            match (self.free_nick(from, nick), self.rank(from).is_registered()) {
                (Ok(name), false) => self.admit(from, name, quirks, out),
                (Ok(_), true) => self.rename(from, nick, out)?,
                (Err(_), false) => self.admit_guest(from, quirks, out),
                (Err(_), true) => {}
            }
        }
        match whole {
            _ if self.is_own(from, nick) => self.say(from, None, text, out),
            Some(whole) => self.say(from, None, whole, out),
            None => Ok(()),
        }
    }

    /// Whether this, as typed, is the name of `from`.
    pub(super) fn is_own(&self, from: ConnId, nick: &[u8]) -> bool {
        self.roster.find_user(nick) == Ok(Some(from))
    }

    /// Tells everyone who is registered; how many they are.
    pub fn announce(&mut self, text: &[u8], out: &mut impl Outbox) -> usize {
        let everyone: Vec<ConnId> = self.roster.everyone().collect();
        let audience = Audience { members: &everyone, except: None };
        out.send_all(audience, Event::Announcement { text: text.as_bstr() });
        everyone.len()
    }
}

/// One recipient of a direct message.
fn route<'a>(
    sender: &Name,
    target: &'a BStr,
    to: ConnId,
    text: &BStr,
    out: &mut impl Outbox,
) -> Result<(), Refusal<'a>> {
    if !out.has_room(to) {
        return Err(Refusal::RecipientFull(target));
    }
    out.send(to, Event::Direct { from: sender, text });
    Ok(())
}
