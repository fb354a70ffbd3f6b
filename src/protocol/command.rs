//! The table of requests, for all dialects: the ranks that may make each kind, and what it costs. A dialect gives a
//! request its words, the hub its effect.

use crate::protocol::request::{Rank, Request};

/// The kinds of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the kind of the request of that name")]
pub enum Kind {
    Register,
    Enter,
    SayAs,
    QuitAs,
    Rename,
    Direct,
    Say,
    Join,
    Leave,
    Who,
    Rooms,
    Ping,
    Help,
    Quit,
    Announce,
    Kick,
    Stats,
    Shutdown,
}

/// The ranks that may make a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum May {
    /// Every connection.
    Anyone,
    /// Registered connections.
    Members,
    /// Registered connections, and unregistered operators.
    MembersAndOperators,
    /// Operators.
    Operators,
}

impl May {
    /// Returns whether a connection of this rank may make the request.
    #[must_use]
    pub fn includes(self, rank: Rank) -> bool {
        match self {
            May::Anyone => true,
            May::Members => rank.is_registered(),
            May::MembersAndOperators => rank.is_registered() || rank.is_operator(),
            May::Operators => rank.is_operator(),
        }
    }
}

/// The ranks that may make a request, and its cost in tokens of the sender's bucket (docs/protocol.md, "Promises").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The ranks that may make it.
    pub may: May,
    /// Tokens for the request itself.
    pub cost: u64,
    /// Tokens for each recipient after the first, or for each line of an answer that is a list.
    pub each: u64,
}

impl Kind {
    /// Returns its row of the table.
    #[must_use]
    pub const fn rule(self) -> Rule {
        let (may, cost, each) = match self {
            Kind::Register | Kind::Enter | Kind::SayAs | Kind::QuitAs => (May::Anyone, 1, 0),
            Kind::Ping | Kind::Help | Kind::Quit => (May::Anyone, 1, 0),
            Kind::Rename | Kind::Say | Kind::Join | Kind::Leave => (May::Members, 1, 0),
            Kind::Direct => (May::Members, 1, 1),
            Kind::Who | Kind::Rooms => (May::MembersAndOperators, 1, 1),
            Kind::Announce | Kind::Kick | Kind::Stats | Kind::Shutdown => (May::Operators, 1, 0),
        };
        Rule { may, cost, each }
    }
}

impl Request<'_> {
    /// Returns the kind of the request.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Request::Register { .. } => Kind::Register,
            Request::Enter { .. } => Kind::Enter,
            Request::SayAs { .. } => Kind::SayAs,
            Request::QuitAs { .. } => Kind::QuitAs,
            Request::Rename { .. } => Kind::Rename,
            Request::Direct { .. } => Kind::Direct,
            Request::Say { .. } => Kind::Say,
            Request::Join { .. } => Kind::Join,
            Request::Leave { .. } => Kind::Leave,
            Request::Who(_) => Kind::Who,
            Request::Rooms => Kind::Rooms,
            Request::Ping { .. } => Kind::Ping,
            Request::Help => Kind::Help,
            Request::Quit { .. } => Kind::Quit,
            Request::Announce { .. } => Kind::Announce,
            Request::Kick { .. } => Kind::Kick,
            Request::Stats => Kind::Stats,
            Request::Shutdown => Kind::Shutdown,
        }
    }
}
