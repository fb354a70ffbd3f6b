//! The words that all layers share: what a peer asks ([`Request`]), what happens ([`Event`]), what is refused
//! ([`Refusal`]), who is told ([`Audience`]) and by what ([`Outbox`]). Nothing here knows bytes on a wire, sockets or
//! rooms; everything here is borrowed for the length of one call.

use crate::name::Name;
use bstr::BStr;
use std::net::SocketAddr;

/// A connection: the index of its slot in the reactor. A slot is used again once its former owner is gone everywhere,
/// so an id is only meaningful while its connection is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u32);

impl ConnId {
    /// The slot, as an index.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

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
        manners: Manners,
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
        enter: Option<Manners>,
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
pub struct Manners {
    /// It enters the lobby with its name; otherwise it is in no room, ever.
    pub lobby: bool,
    /// It hears its own coming and what it says itself.
    pub own: bool,
    /// It hears of others of its kind who come however large the lobby is.
    pub heralded: bool,
    /// It says its name once, so a refusal of that is the end.
    pub one_try: bool,
}

impl Default for Manners {
    fn default() -> Self {
        Manners { lobby: true, own: false, heralded: false, one_try: false }
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
pub enum Meaning<'a> {
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
    Stranger,
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

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// An address of the internet protocols. A v4-mapped IPv6 address is held as the IPv4 address that it is.
    Inet(SocketAddr),
    /// This machine, through the operators' socket.
    Unix,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Inet(address) => address.fmt(f),
            Origin::Unix => f.write_str("unix"),
        }
    }
}

/// What happens to somebody: an answer, a notice, something said, a refusal. A dialect writes it down or, where its
/// clients wouldn't understand it, writes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// The connection was accepted.
    Connected {
        /// Where from.
        from: Origin,
    },
    /// Answer: this is your name now.
    Named {
        /// The name.
        nick: &'a Name,
    },
    /// Answer: you are in this room, and it is the current one.
    Entered {
        /// The room.
        room: &'a Name,
        /// Its members, you included.
        members: usize,
    },
    /// Answer: you are no longer in this room.
    Left {
        /// The room.
        room: &'a Name,
    },
    /// Answer: some of the names asked for.
    Who {
        /// The room's name, or `*`.
        room: &'a str,
        /// Names with blanks between; at most a line of them.
        names: &'a str,
    },
    /// Answer: that was all of [`Event::Who`].
    EndWho {
        /// The room's name, or `*`.
        room: &'a str,
        /// How many there are, told or not.
        count: usize,
    },
    /// Answer: some of the rooms.
    Rooms {
        /// `name:members` with blanks between; at most a line of them.
        rooms: &'a str,
    },
    /// Answer: that was all of [`Event::Rooms`].
    EndRooms {
        /// How many there are.
        count: usize,
    },
    /// Answer to a ping.
    Pong {
        /// The token as it came.
        token: &'a BStr,
    },
    /// Answer: what can be asked.
    Help {
        /// The operators' commands too.
        operator: bool,
    },
    /// Answer: the connection ends as you wished.
    Bye,
    /// Answer: so many were told.
    Announced {
        /// The operator among them, if registered.
        count: usize,
    },
    /// Answer: that connection ends.
    Kicked {
        /// Whose it was.
        who: &'a Name,
    },
    /// Answer: one of the things that the server counts.
    Stat {
        /// Which.
        key: &'a str,
        /// How many.
        value: u64,
    },
    /// Answer: that was all of [`Event::Stat`].
    EndStats {
        /// How many there were.
        count: usize,
    },
    /// Answer: the server stops.
    Shutdown,
    /// Notice: from whoever runs the server, to everyone.
    Announcement {
        /// What, as it came.
        text: &'a BStr,
    },
    /// Notice: somebody registered and entered the lobby.
    Arrived {
        /// Who.
        who: &'a Name,
    },
    /// Notice: somebody's connection ended.
    Gone {
        /// Who.
        who: &'a Name,
        /// Why; empty where nothing is known or said.
        reason: &'a BStr,
    },
    /// Notice: somebody entered a room.
    Joined {
        /// Who.
        who: &'a Name,
        /// Which room.
        room: &'a Name,
    },
    /// Notice: somebody left a room and is still connected.
    Parted {
        /// Who.
        who: &'a Name,
        /// Which room.
        room: &'a Name,
    },
    /// Notice: somebody has another name.
    Renamed {
        /// The former name.
        from: &'a Name,
        /// The new one.
        to: &'a Name,
    },
    /// A message for you alone.
    Direct {
        /// Who wrote it.
        from: &'a Name,
        /// What, as it came.
        text: &'a BStr,
    },
    /// A message for a room.
    Said {
        /// The room; `None` is the lobby.
        room: Option<&'a Name>,
        /// Who said it.
        from: &'a Name,
        /// What, as it came.
        text: &'a BStr,
    },
    /// What you asked was not done, or the connection is about to be closed.
    Refused(Refusal<'a>),
}

impl Event<'_> {
    /// Whether this may be sent a little later, together with what its recipients are sent then: who came, went or was
    /// renamed. It is never overtaken by what is said to the same recipient behind it.
    #[must_use]
    pub fn may_wait(&self) -> bool {
        match self {
            Event::Arrived { .. }
            | Event::Gone { .. }
            | Event::Joined { .. }
            | Event::Parted { .. }
            | Event::Renamed { .. } => true,
            Event::Connected { .. }
            | Event::Named { .. }
            | Event::Entered { .. }
            | Event::Left { .. }
            | Event::Who { .. }
            | Event::EndWho { .. }
            | Event::Rooms { .. }
            | Event::EndRooms { .. }
            | Event::Pong { .. }
            | Event::Help { .. }
            | Event::Bye
            | Event::Announced { .. }
            | Event::Kicked { .. }
            | Event::Stat { .. }
            | Event::EndStats { .. }
            | Event::Shutdown
            | Event::Announcement { .. }
            | Event::Direct { .. }
            | Event::Said { .. }
            | Event::Refused(_) => false,
        }
    }
}

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
