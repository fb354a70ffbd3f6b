//! One row for each kind of request: which rank may make it and what it costs, for all dialects. The words for a request
//! are a dialect's; what it does is the hub's.

use crate::protocol::request::{Rank, Request};

/// The kinds of requests, in the order of their rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// [`Request::Register`].
    Register,
    /// [`Request::Enter`].
    Enter,
    /// [`Request::SayAs`].
    SayAs,
    /// [`Request::QuitAs`].
    QuitAs,
    /// [`Request::Rename`].
    Rename,
    /// [`Request::Direct`].
    Direct,
    /// [`Request::Say`].
    Say,
    /// [`Request::Join`].
    Join,
    /// [`Request::Leave`].
    Leave,
    /// [`Request::Who`].
    Who,
    /// [`Request::Rooms`].
    Rooms,
    /// [`Request::Ping`].
    Ping,
    /// [`Request::Help`].
    Help,
    /// [`Request::Quit`].
    Quit,
    /// [`Request::Announce`].
    Announce,
    /// [`Request::Kick`].
    Kick,
    /// [`Request::Stats`].
    Stats,
    /// [`Request::Shutdown`].
    Shutdown,
}

/// Which ranks may make a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum May {
    /// Every connection.
    Anyone,
    /// Registered connections.
    Members,
    /// Registered connections, and operators without a name.
    MembersAndOperators,
    /// Operators.
    Operators,
}

impl May {
    /// Whether a connection of that rank may.
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

/// Which ranks may make a request, and its cost in tokens of the sender's bucket (docs/protocol.md, "Promises").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// What it is for.
    pub kind: Kind,
    /// Which ranks may make it.
    pub may: May,
    /// Tokens of the request itself.
    pub cost: u64,
    /// Tokens of each recipient after the first, or of each line of a list that is the answer.
    pub each: u64,
}

const fn rule(kind: Kind, may: May, cost: u64, each: u64) -> Rule {
    Rule { kind, may, cost, each }
}

const RULES: [Rule; 18] = [
    rule(Kind::Register, May::Anyone, 1, 0),
    rule(Kind::Enter, May::Anyone, 1, 0),
    rule(Kind::SayAs, May::Anyone, 1, 0),
    rule(Kind::QuitAs, May::Anyone, 1, 0),
    rule(Kind::Rename, May::Members, 1, 0),
    rule(Kind::Direct, May::Members, 1, 1),
    rule(Kind::Say, May::Members, 1, 0),
    rule(Kind::Join, May::Members, 1, 0),
    rule(Kind::Leave, May::Members, 1, 0),
    rule(Kind::Who, May::MembersAndOperators, 1, 1),
    rule(Kind::Rooms, May::MembersAndOperators, 1, 1),
    rule(Kind::Ping, May::Anyone, 1, 0),
    rule(Kind::Help, May::Anyone, 1, 0),
    rule(Kind::Quit, May::Anyone, 1, 0),
    rule(Kind::Announce, May::Operators, 1, 0),
    rule(Kind::Kick, May::Operators, 1, 0),
    rule(Kind::Stats, May::Operators, 1, 0),
    rule(Kind::Shutdown, May::Operators, 1, 0),
];

impl Kind {
    /// Its row.
    #[must_use]
    pub fn rule(self) -> &'static Rule {
        &RULES[self as usize]
    }
}

impl Request<'_> {
    /// Which kind of request it is.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_the_order_of_kinds() {
        for (place, rule) in RULES.iter().enumerate() {
            assert_eq!(rule.kind as usize, place, "{:?}", rule.kind);
        }
        assert_eq!(Kind::Shutdown as usize + 1, RULES.len(), "the last kind has a row");
    }
}
