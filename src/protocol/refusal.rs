//! Why something is not done: the stable codes of docs/protocol.md, in one table.

use bstr::BStr;

/// Why something is not done. [`Refusal::code`] is stable; the details are for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal<'a> {
    /// The line is longer than this many bytes, its CR and LF included.
    LineTooLong(usize),
    /// The message holds NUL.
    BadByte,
    /// Only for those who have a name.
    RegisterFirst,
    /// There is no command of this name.
    UnknownCommand(&'a BStr),
    /// Not for you.
    Denied,
    /// The form was incomplete; this is how it goes.
    Usage(&'static str),
    /// There is nothing in the message.
    EmptyText,
    /// More recipients than [`MAX_TARGETS`](crate::limits::MAX_TARGETS).
    TooManyTargets,
    /// That can't be a nick.
    NickInvalid(&'a BStr),
    /// That nick is not for users.
    NickReserved(&'a BStr),
    /// Somebody has that nick.
    NickTaken(&'a BStr),
    /// That can't be a room's name.
    RoomInvalid(&'a BStr),
    /// There is no such room.
    NoSuchRoom(&'a BStr),
    /// You are not in that room; where it is `None`, in no current room.
    NotInRoom(Option<&'a BStr>),
    /// You, or the server, can't have more rooms.
    TooManyRooms,
    /// Nobody has that nick.
    NoSuchUser(&'a BStr),
    /// That recipient's queue is half full.
    RecipientFull(&'a BStr),
    /// The server keeps no accounts, so a name has no password.
    NoAccounts,
    /// Closing, and of a name for a while: an operator ended its connection, for this reason.
    Kicked(&'a BStr),
    /// Closing: as many connections as there may be.
    ServerFull,
    /// Closing: as many connections of that address as there may be.
    TooManyConnections,
    /// Closing: no name was given in time, or too many others have none either.
    RegisterTimeout,
    /// Closing: what was sent wasn't read.
    TooSlow,
    /// Closing: the server stops.
    ShuttingDown,
}

impl Refusal<'_> {
    /// The stable word for it (protocol.md).
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::LineTooLong(_) => "line-too-long",
            Refusal::BadByte => "bad-byte",
            Refusal::RegisterFirst => "register-first",
            Refusal::UnknownCommand(_) => "unknown-command",
            Refusal::Denied => "denied",
            Refusal::Usage(_) => "usage",
            Refusal::EmptyText => "empty-text",
            Refusal::TooManyTargets => "too-many-targets",
            Refusal::NickInvalid(_) => "nick-invalid",
            Refusal::NickReserved(_) => "nick-reserved",
            Refusal::NickTaken(_) => "nick-taken",
            Refusal::RoomInvalid(_) => "room-invalid",
            Refusal::NoSuchRoom(_) => "no-such-room",
            Refusal::NotInRoom(_) => "not-in-room",
            Refusal::TooManyRooms => "too-many-rooms",
            Refusal::NoSuchUser(_) => "no-such-user",
            Refusal::RecipientFull(_) => "recipient-full",
            Refusal::NoAccounts => "no-accounts",
            Refusal::Kicked(_) => "kicked",
            Refusal::ServerFull => "server-full",
            Refusal::TooManyConnections => "too-many-connections",
            Refusal::RegisterTimeout => "register-timeout",
            Refusal::TooSlow => "too-slow",
            Refusal::ShuttingDown => "shutting-down",
        }
    }
}
