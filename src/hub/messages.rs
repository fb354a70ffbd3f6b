//! Messages: to one user, to several, to a room, to all registered users.

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
        // The common case is one name as it is shown; a list never matches.
        if let Some(id) = self.roster.find_spelled(to) {
            return route(sender, to, id, text, out);
        }
        if !to.contains(&b',') {
            return route(sender, to, self.user_named(to)?, text, out);
        }
        if to.split_str(",").count() > MAX_TARGETS {
            return Err(Refusal::TooManyTargets);
        }
        let mut sent = [None; MAX_TARGETS];
        for target in to.split_str(",") {
            let target = trim_blanks(target).as_bstr();
            let done = match self.user_named(target) {
                Ok(id) if sent.contains(&Some(id)) => Ok(()),
                Ok(id) => {
                    self.extra_cost += Kind::Direct.rule().each * u64::from(sent[0].is_some());
                    sent.iter_mut().find(|slot| slot.is_none()).into_iter().for_each(|slot| *slot = Some(id));
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
        let message = Event::Said { room: (id != LOBBY).then_some(&room.name), from: &sender.name, text };
        let except = (!sender.echo).then_some(from);
        out.send_all(Audience { members: &room.members, except }, message);
        if id == LOBBY && !self.observers.is_empty() {
            out.send_all(Audience { members: &self.observers, except: None }, message);
        }
        Ok(())
    }

    /// Handles a line with a name in front: see `Request::SayAs`.
    pub(super) fn say_as<'a>(
        &mut self,
        from: ConnId,
        nick: &'a BStr,
        text: &'a BStr,
        whole: Option<&'a BStr>,
        enter: Option<Quirks>,
        out: &mut impl Outbox,
    ) -> Result<(), Refusal<'a>> {
        let may_rename = self.roster.user(from).is_none_or(|user| user.guest);
        if let Some(quirks) = enter
            && may_rename
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

    /// Returns whether `nick`, as typed, is the name of `from`.
    pub(super) fn is_own(&self, from: ConnId, nick: &[u8]) -> bool {
        self.roster.find_user(nick) == Ok(Some(from))
    }

    /// Sends an announcement to all registered users; returns their number.
    pub fn announce(&mut self, text: &[u8], out: &mut impl Outbox) -> usize {
        let recipients: Vec<ConnId> = self.roster.registered_ids().collect();
        let audience = Audience { members: &recipients, except: None };
        out.send_all(audience, Event::Announcement { text: text.as_bstr() });
        recipients.len()
    }
}

/// Sends a direct message to one recipient, unless its queue has no room.
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
