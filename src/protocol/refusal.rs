//! Refusals. The code of each, whether it closes the connection, and its details are in [`Refusal::row`] alone;
//! docs/protocol.md has the same table, and a test compares the two.

use bstr::BStr;

/// Why a request is not done, or why the server closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal<'a> {
    /// The line is longer than this many bytes, its CR and LF included.
    LineTooLong(usize),
    /// The message contains NUL.
    BadByte,
    /// The request needs a registered connection.
    RegisterFirst,
    /// No command has this name.
    UnknownCommand(&'a BStr),
    /// Only operators may make the request.
    Denied,
    /// The request is incomplete; this is its form.
    Usage(&'static str),
    /// Only characters without a visible form, of which this is the first, precede a sigil, the second.
    HiddenSigil(char, char),
    /// The message has no text.
    EmptyText,
    /// More recipients than [`MAX_TARGETS`](crate::limits::MAX_TARGETS).
    TooManyTargets,
    /// The text can't be a nick.
    NickInvalid(&'a BStr),
    /// The nick is reserved.
    NickReserved(&'a BStr),
    /// Another connection has the nick, or one confusable with it.
    NickTaken(&'a BStr),
    /// A user of the nick, or of one confusable with it, was kicked a short time ago.
    NickKicked(&'a BStr),
    /// The text can't be a room's name.
    RoomInvalid(&'a BStr),
    /// No room has this name.
    NoSuchRoom(&'a BStr),
    /// The user is not in this room; `None`: it has no current room.
    NotInRoom(Option<&'a BStr>),
    /// The user or the server has its maximum number of rooms.
    TooManyRooms,
    /// No user has that nick.
    NoSuchUser(&'a BStr),
    /// The recipient's queue is more than half full.
    RecipientFull(&'a BStr),
    /// The server keeps no accounts, so a name has no password.
    NoAccounts,
    /// An operator kicked the user, for this reason.
    Kicked(&'a BStr),
    /// The server has its maximum number of connections.
    ServerFull,
    /// The address has its maximum number of connections.
    TooManyConnections,
    /// The connection did not register in time, or too many others are unregistered.
    RegisterTimeout,
    /// The peer didn't read what it was sent.
    TooSlow,
    /// The server is stopping.
    ShuttingDown,
}

/// What is between the code and the advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// Nothing.
    None,
    /// Text as the peer wrote it, unchecked.
    Typed(&'a BStr),
    /// A bound.
    Number(usize),
    /// A character without a visible form, and the sigil after it.
    Hidden(char, char),
}

/// A row of the table of refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<'a> {
    /// The stable code.
    pub code: &'static str,
    /// Whether the server closes the connection after it.
    pub closes: bool,
    /// What it is about.
    pub subject: Subject<'a>,
    /// What to do, for users; may be empty.
    pub advice: &'static str,
}

impl<'a> Refusal<'a> {
    /// Returns the stable code (docs/protocol.md).
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.row().code
    }

    /// Returns its row of the table.
    #[must_use]
    pub fn row(&self) -> Row<'a> {
        use Subject::{Hidden, None, Number, Typed};
        const NICK: &str = "is not a name: 1 to 32 letters of one script, digits, - _ .";
        const ROOM: &str = "is not a room's name: 1 to 32 letters of one script, digits, - _ .";
        let answer = |code, subject, advice| Row { code, closes: false, subject, advice };
        let closing = |code, subject, advice| Row { code, closes: true, subject, advice };
        match *self {
            Refusal::LineTooLong(max) => answer("line-too-long", Number(max), ""),
            Refusal::BadByte => answer("bad-byte", None, "the line holds a NUL byte"),
            Refusal::RegisterFirst => answer("register-first", None, "say #name to take a name"),
            Refusal::UnknownCommand(word) => answer("unknown-command", Typed(word), "see /help"),
            Refusal::Denied => answer("denied", None, "only operators may do that"),
            Refusal::Usage(form) => answer("usage", None, form),
            Refusal::HiddenSigil(hidden, sigil) => answer("usage", Hidden(hidden, sigil), ""),
            Refusal::EmptyText => answer("empty-text", None, "there is nothing to say"),
            Refusal::TooManyTargets => answer("too-many-targets", None, TARGETS_LISTED),
            Refusal::NickInvalid(nick) => answer("nick-invalid", Typed(nick), NICK),
            Refusal::NickReserved(nick) => answer("nick-reserved", Typed(nick), "is reserved"),
            Refusal::NickTaken(nick) => answer("nick-taken", Typed(nick), "is taken"),
            Refusal::NickKicked(nick) => answer("kicked", Typed(nick), ""),
            Refusal::RoomInvalid(room) => answer("room-invalid", Typed(room), ROOM),
            Refusal::NoSuchRoom(room) => answer("no-such-room", Typed(room), ""),
            Refusal::NotInRoom(Some(room)) => answer("not-in-room", Typed(room), ""),
            Refusal::NotInRoom(Option::None) => answer("not-in-room", None, "enter one with &room"),
            Refusal::TooManyRooms => answer("too-many-rooms", None, "leave one first"),
            Refusal::NoSuchUser(nick) => answer("no-such-user", Typed(nick), ""),
            Refusal::RecipientFull(nick) => answer("recipient-full", Typed(nick), ""),
            Refusal::NoAccounts => {
                answer("no-accounts", None, "names have no passwords here, say #name alone")
            }
            Refusal::Kicked(reason) => closing("kicked", Typed(reason), ""),
            Refusal::ServerFull => closing("server-full", None, "try again later"),
            Refusal::TooManyConnections => closing("too-many-connections", None, "from your address"),
            Refusal::RegisterTimeout => closing("register-timeout", None, "no name was given in time"),
            Refusal::TooSlow => closing("too-slow", None, "what was sent to you was not read"),
            Refusal::ShuttingDown => closing("shutting-down", None, "the server stops"),
        }
    }
}

/// States [`MAX_TARGETS`](crate::limits::MAX_TARGETS).
const TARGETS_LISTED: &str = "at most 16 names";
