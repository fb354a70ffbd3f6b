//! What a peer asks, as a parser hands it to the hub. Names and texts are borrowed from the input, trimmed of blanks (names)
//! and otherwise unchecked. Grammar is the dialects', rules are the hub's; neither is here.

use crate::protocol::refusal::Refusal;
use bstr::BStr;

/// What a peer asks. Names and texts are as they came: trimmed of blanks (names), otherwise untouched and unchecked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// Take this name and enter the lobby.
    Register {
        /// The name.
        nick: &'a BStr,
        /// What stood behind the first `:`.
        password: Option<&'a BStr>,
    },
    /// Take this name, and behave as a client does that can't ask for anything else.
    Enter {
        /// The name.
        nick: &'a BStr,
        /// How.
        quirks: Quirks,
    },
    /// Say in the current room what came with a name in front. Where that is one's own, `text` is said.
    SayAs {
        /// The name in front; empty where there was none.
        nick: &'a BStr,
        /// What stood behind it.
        text: &'a BStr,
        /// What is said where the name isn't one's own; `None`: nothing.
        whole: Option<&'a BStr>,
        /// Where this isn't `None`, whoever has no name yet, or a guest's, takes the one in front if that can be.
        enter: Option<Quirks>,
    },
    /// End the connection, if this is one's own name.
    QuitAs {
        /// The name.
        nick: &'a BStr,
    },
    /// Take another name.
    Rename {
        /// The new name.
        nick: &'a BStr,
    },
    /// Tell `text` to each of a comma-separated list.
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
    /// Who is in a room, or on the server.
    Who(Scope<'a>),
    /// Which rooms there are.
    Rooms,
    /// Answer the token.
    Ping {
        /// What to answer, possibly nothing.
        token: &'a BStr,
    },
    /// Say what can be asked.
    Help,
    /// End the connection.
    Quit {
        /// What the others are told, possibly nothing.
        message: &'a BStr,
    },
    /// Operators: tell everyone who is registered.
    Announce {
        /// The message; may be empty, which the hub refuses.
        text: &'a BStr,
    },
    /// Operators: end somebody's connection.
    Kick {
        /// Whose.
        nick: &'a BStr,
        /// Why, possibly nothing.
        reason: &'a BStr,
    },
    /// Operators: what the server counts.
    Stats,
    /// Operators: stop the server.
    Shutdown,
}

/// How a client behaves that was written for another server. The default is how the line protocol behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quirks {
    /// It enters the lobby with its name; otherwise it is in no room, ever.
    pub auto_join: bool,
    /// It hears its own coming and what it says itself.
    pub echo: bool,
    /// It hears of others of its kind who come however large the lobby is.
    pub always_notified: bool,
    /// It says its name once, so a refusal of that is the end.
    pub close_if_refused: bool,
}

impl Default for Quirks {
    fn default() -> Self {
        Quirks { auto_join: true, echo: false, always_notified: false, close_if_refused: false }
    }
}

/// Whose names `/who` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// The current room.
    Current,
    /// That room.
    Room(&'a BStr),
    /// Everyone who is registered.
    Everyone,
}

/// What a parser makes of one message. The parser knows the grammar, the hub the world: a refusal here is one that can
/// be told from the message and [`Rank`] alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// Nothing to do: an empty line.
    Nothing,
    /// A request for the hub.
    Request(Request<'a>),
    /// Not a request; answered by this.
    Refused(Refusal<'a>),
}

/// Who is asking, as far as a parser may care: it decides which of several refusals comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rank {
    /// Not registered.
    Unregistered,
    /// Registered.
    Member,
    /// May give the operators' commands, and ask who is there without a name.
    Operator {
        /// Whether it has one.
        registered: bool,
    },
}

impl Rank {
    /// Whether there is a name.
    #[must_use]
    pub fn is_registered(self) -> bool {
        matches!(self, Rank::Member | Rank::Operator { registered: true })
    }

    /// Whether the operators' commands are obeyed.
    #[must_use]
    pub fn is_operator(self) -> bool {
        matches!(self, Rank::Operator { .. })
    }
}
