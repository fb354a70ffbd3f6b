//! Nicks: which are free, registration, renaming, and names that are refused after a kick.

use super::roster::{LOBBY, User};
use super::{Effect, Hub, Kicked};
use crate::limits::{KICKED_FOR, MAX_KICKED};
use crate::protocol::name::{self, Name, Skeletons};
use crate::protocol::{Audience, CloseReason, ConnId, Event, Outbox, Quirks, Refusal};
use bstr::BStr;

impl Hub {
    pub(super) fn register<'a>(
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
        self.admit(from, name, Quirks::default(), out);
        Ok(())
    }

    /// Registers a connection under a free name.
    pub(super) fn admit(&mut self, from: ConnId, name: Name, quirks: Quirks, out: &mut impl Outbox) {
        self.observers.retain(|observer| *observer != from);
        self.roster.add_user(from, name, quirks);
        if let Some(user) = self.roster.user(from) {
            out.send(from, Event::Named { nick: &user.name });
        }
        self.effects.push_back(Effect::Registered { id: from });
        if quirks.auto_join {
            self.enter(from, LOBBY, |who, _| Event::Arrived { who }, out);
        }
        self.check();
    }

    pub(super) fn admit_guest(&mut self, from: ConnId, quirks: Quirks, out: &mut impl Outbox) {
        let guest = (self.next_guest..).find_map(|number| {
            let name = Name::new(format!("guest-{number}").as_bytes()).ok()?;
            self.roster.holder(&name).is_none().then_some((number, name))
        });
        if let Some((number, name)) = guest {
            self.next_guest = number + 1;
            self.admit(from, name, quirks, out);
            self.roster.set_guest(from, true);
        }
    }

    pub(super) fn rename<'a>(
        &mut self,
        from: ConnId,
        nick: &'a BStr,
        out: &mut impl Outbox,
    ) -> Result<(), Refusal<'a>> {
        let name = self.free_nick(from, nick)?;
        if let Some(number) = self.roster.user(from).and_then(User::guest_number) {
            self.next_guest = self.next_guest.min(number);
        }
        let Some(former) = self.roster.rename(from, name.clone()) else { return Err(Refusal::RegisterFirst) };
        self.roster.set_guest(from, false);
        out.send(from, Event::Named { nick: &name });
        if former.shown() != name.shown() {
            let shared_members = self.roster.shared_members(from, self.quiet_above);
            let renamed = Event::Renamed { from: &former, to: &name };
            out.send_all(Audience { members: &shared_members, except: None }, renamed);
            self.roster.reclaim(shared_members);
        }
        self.check();
        Ok(())
    }

    /// Returns the name if `from` may take it, which includes other spellings of its own name and confusable ones.
    pub(super) fn free_nick<'a>(&mut self, from: ConnId, nick: &'a BStr) -> Result<Name, Refusal<'a>> {
        let name = Name::new(nick).map_err(|_| Refusal::NickInvalid(nick))?;
        if name::is_reserved(&name) {
            return Err(Refusal::NickReserved(nick));
        }
        if self.is_kicked(&name) {
            return Err(Refusal::NickKicked(nick));
        }
        let holder = self.roster.holder(&name);
        if holder.is_some_and(|holder| holder != from) || self.roster.is_confusable(from, &name) {
            return Err(Refusal::NickTaken(nick));
        }
        Ok(name)
    }

    /// Returns whether `name` is that of a user kicked less than [`KICKED_FOR`] ago, or confusable with it.
    fn is_kicked(&self, name: &Name) -> bool {
        let mut kicked = self.kicked.iter().filter(|kicked| kicked.until > self.now).peekable();
        // The common case: no name is refused.
        if kicked.peek().is_none() {
            return false;
        }
        let skeletons = Skeletons::of(name);
        kicked.any(|kicked| kicked.name == *name || kicked.skeletons.is_confusable_with(&skeletons))
    }

    pub(super) fn kick<'a>(
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
        self.kicked.retain(|kicked| kicked.until > self.now);
        let skeletons = Skeletons::of(&name);
        self.kicked.push_back(Kicked { until: self.now + KICKED_FOR, name: name.clone(), skeletons });
        out.send(from, Event::Kicked { who: &name });
        out.send(id, Event::Refused(Refusal::Kicked(reason)));
        self.remove(id, CloseReason::Kicked, reason, Some(from), out);
        self.effects.push_back(Effect::Close { id });
        Ok(())
    }
}
