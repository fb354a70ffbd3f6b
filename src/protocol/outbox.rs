//! Where the hub puts what it has to say, and how a connection's time with it ends.

use crate::protocol::connection::ConnId;
use crate::protocol::event::Event;
use crate::protocol::name::Name;
use bstr::BStr;

/// How somebody's time with the hub ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parting<'a> {
    /// It said so, with a message for the others.
    Quit(&'a BStr),
    /// Its stream ended.
    Ended,
    /// Its connection broke, or was reset.
    Lost,
    /// It didn't read what it was sent.
    TooSlow,
    /// It speaks by datagrams, and has sent none for long.
    Silent,
    /// It gave no name in time.
    RegisterTimeout,
    /// An operator ended it, perhaps for a reason.
    Kicked {
        /// The operator.
        by: ConnId,
        /// Why, as typed.
        reason: &'a BStr,
    },
}

impl<'a> Parting<'a> {
    /// What those who stay are told of it; empty where they are told no more than that somebody left.
    #[must_use]
    pub fn told(self) -> &'a BStr {
        BStr::new(match self {
            Parting::Quit(message) => return message,
            Parting::Kicked { reason, .. } if !reason.is_empty() => return reason,
            Parting::Kicked { .. } => "kicked",
            Parting::Lost => "connection lost",
            Parting::TooSlow => "too slow",
            Parting::Silent => "silent",
            Parting::Ended | Parting::RegisterTimeout => "",
        })
    }
}

/// What the hub does that whoever runs the server wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note<'a> {
    /// Somebody has a name.
    Registered {
        /// The connection.
        id: ConnId,
        /// The name.
        nick: &'a Name,
    },
    /// Somebody is no longer in the hub.
    Left {
        /// The connection.
        id: ConnId,
        /// Its name, if it had one.
        nick: Option<&'a Name>,
        /// How.
        how: Parting<'a>,
    },
    /// An operator has told everyone something.
    Announced {
        /// The operator.
        by: ConnId,
        /// How many were told.
        count: usize,
    },
    /// An operator has the server stop.
    Shutdown {
        /// The operator.
        by: ConnId,
    },
}

/// Those who hear an event: all of `members` but `except`.
#[derive(Debug, Clone, Copy)]
pub struct Audience<'a> {
    /// Who hears it.
    pub members: &'a [ConnId],
    /// Who among them doesn't: its sender.
    pub except: Option<ConnId>,
}

/// Where the hub puts what it has to say. It never fails and never waits: what can't be sent now is queued within
/// limits, and who is beyond them is dealt with later, by the reactor.
pub trait Outbox {
    /// True while direct messages to `to` are accepted: at most half of its queue is in use.
    fn has_room(&self, to: ConnId) -> bool;
    /// One recipient.
    fn send(&mut self, to: ConnId, event: Event<'_>);
    /// Many recipients; encoded once per dialect.
    fn send_all(&mut self, to: Audience<'_>, event: Event<'_>);
    /// True when enough was put here that it should be flushed before the next request is handled.
    fn wants_flush(&self) -> bool;
    /// Ends a connection that has left the hub, once everything that was put here for it is flushed. Nothing that it
    /// has sent since is obeyed.
    fn close(&mut self, id: ConnId);
    /// Has the server stop.
    fn stop(&mut self);
    /// Something for the log.
    fn note(&mut self, note: Note<'_>);
    /// What is counted below the hub, each with the name that `/stats` shows.
    fn figures(&self, tell: &mut dyn FnMut(&str, u64));
}
