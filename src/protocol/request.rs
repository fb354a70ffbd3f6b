//! Requests, as a parser passes them to the hub. The grammar is in the dialects, the rules are in the hub.

use crate::protocol::refusal::Refusal;
use bstr::BStr;

/// A request of a peer. Names and texts are as received: names trimmed of blanks, otherwise unchanged and unchecked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// Register this name and enter the lobby.
    Register {
        /// The name.
        nick: &'a BStr,
        /// The text after the first `:`.
        password: Option<&'a BStr>,
    },
    /// Register this name, with the quirks of a client that can't request them.
    Enter {
        /// The name.
        nick: &'a BStr,
        /// Its quirks.
        quirks: Quirks,
    },
    /// Say in the current room a line that begins with a name. If it is the sender's own, `text` is said.
    SayAs {
        /// The name; empty if the line has none.
        nick: &'a BStr,
        /// The text after the name.
        text: &'a BStr,
        /// What is said if the name isn't the sender's own; `None`: nothing.
        whole: Option<&'a BStr>,
        /// If this isn't `None`, an unregistered sender or a guest first takes the name, if that is possible.
        enter: Option<Quirks>,
    },
    /// End the connection, if this is the sender's own name.
    QuitAs {
        /// The name.
        nick: &'a BStr,
    },
    /// Take another name.
    Rename {
        /// The new name.
        nick: &'a BStr,
    },
    /// Send `text` to each user of a comma-separated list.
    Direct {
        /// The list as written; blanks around a name are not part of it.
        to: &'a BStr,
        /// The message; may be empty, which the hub refuses.
        text: &'a BStr,
    },
    /// Say `text` in a room.
    Say {
        /// The room's name; `None` is the current one.
        room: Option<&'a BStr>,
        /// The message; may be empty, which the hub refuses.
        text: &'a BStr,
    },
    /// Enter a room and make it the current one.
    Join {
        /// The room's name.
        room: &'a BStr,
    },
    /// Leave a room.
    Leave {
        /// The room's name; `None` is the current one.
        room: Option<&'a BStr>,
    },
    /// List the users in a room, or on the server.
    Who(Scope<'a>),
    /// List the rooms.
    Rooms,
    /// Answer the token.
    Ping {
        /// The token; may be empty.
        token: &'a BStr,
    },
    /// List the commands.
    Help,
    /// End the connection.
    Quit {
        /// The message to members of shared rooms; may be empty.
        message: &'a BStr,
    },
    /// Operators: send a message to all registered users.
    Announce {
        /// The message; may be empty, which the hub refuses.
        text: &'a BStr,
    },
    /// Operators: end a user's connection.
    Kick {
        /// The user's nick.
        nick: &'a BStr,
        /// The reason; may be empty.
        reason: &'a BStr,
    },
    /// Operators: list the server's counters.
    Stats,
    /// Operators: stop the server.
    Shutdown,
}

/// Quirks of a client that was written for another server. The default is the line protocol, without any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quirks {
    /// It enters the lobby when it registers; otherwise it is never in a room.
    pub auto_join: bool,
    /// It receives its own presence and its own messages in rooms.
    pub echo: bool,
    /// It receives the presence of others with this quirk however large the lobby is.
    pub always_notified: bool,
    /// It sends its name once, so the connection is closed if that is refused.
    pub close_if_refused: bool,
}

impl Default for Quirks {
    fn default() -> Self {
        Quirks { auto_join: true, echo: false, always_notified: false, close_if_refused: false }
    }
}

/// The users that `/who` lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// The current room.
    Current,
    /// The room of this name.
    Room(&'a BStr),
    /// All registered users.
    Everyone,
}

/// The result of parsing one message. A refusal here depends on nothing but the message and [`Rank`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// Nothing to do: an empty line.
    Nothing,
    /// A request for the hub.
    Request(Request<'a>),
    /// Not a request; this is the answer.
    Refused(Refusal<'a>),
}

/// The rank of a connection. A parser needs it to choose which of several refusals comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rank {
    /// Not registered.
    Unregistered,
    /// Registered.
    Member,
    /// May make the requests of operators, and list users while unregistered.
    Operator {
        /// Whether it is registered.
        registered: bool,
    },
}

impl Rank {
    /// Returns whether a connection of this rank is registered.
    #[must_use]
    pub fn is_registered(self) -> bool {
        matches!(self, Rank::Member | Rank::Operator { registered: true })
    }

    /// Returns whether the requests of operators are permitted.
    #[must_use]
    pub fn is_operator(self) -> bool {
        matches!(self, Rank::Operator { .. })
    }
}
