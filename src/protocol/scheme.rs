//! The schemes of `--listen`: one row each in [`TABLE`]. The command line reads names and help from it, the engine which
//! socket to open, the server what is spoken there.

use crate::protocol::dialect::Dialect;
use crate::protocol::frame::{Frame, LineFrame};

/// What a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// The line protocol over TCP.
    Line,
    /// The same over a socket file, for operators.
    Unix,
    /// A tutorial's clients: see [`Dialect::Classic`].
    Classic,
    /// See [`Dialect::Nickname`].
    Nickname,
    /// See [`Dialect::Relay`].
    Relay,
    /// See [`Dialect::Udp`].
    Udp,
}

/// A kind of socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Socket {
    /// Connections over TCP.
    Tcp,
    /// Connections over a socket file.
    File,
    /// Datagrams.
    Udp,
}

/// Where a message ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// At LF.
    Lines,
    /// At LF, or when nothing has come for `--pause`.
    LinesAndPauses,
    /// With the datagram.
    Datagrams,
}

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Language {
    /// Where a message ends.
    pub framing: Framing,
    /// What it means.
    pub dialect: Dialect,
}

impl Language {
    /// The frame of a new connection.
    #[must_use]
    pub fn frame(self) -> Frame {
        match self.framing {
            Framing::Lines => Frame::Line(LineFrame::default()),
            Framing::LinesAndPauses => Frame::Line(LineFrame::by_pause()),
            Framing::Datagrams => Frame::Datagram,
        }
    }
}

/// A row of the table of schemes.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Which scheme it is for.
    pub scheme: Scheme,
    /// Its name in a URL.
    pub name: &'static str,
    /// What listens.
    pub socket: Socket,
    /// What is spoken, of schemes whose connections chat.
    pub language: Option<Language>,
    /// Its connections are operators': the permissions of the socket file say who may connect.
    pub for_operators: bool,
    /// Its connections hear the lobby before they are registered.
    pub hears_lobby: bool,
    /// What `--help` says of it. Schemes next to each other with the same text are shown together.
    pub help: &'static str,
}

const TUTORIALS: &str = "\
the unmodified clients of four Python chat tutorials: #name and @name:text over select(); a thread per client
that is asked NICKNAME; the same without being asked; datagrams L, C and Q";

const fn tutorial(scheme: Scheme, name: &'static str, dialect: Dialect) -> Row {
    Row {
        scheme,
        name,
        socket: Socket::Tcp,
        language: Some(Language { framing: Framing::LinesAndPauses, dialect }),
        for_operators: false,
        hears_lobby: false,
        help: TUTORIALS,
    }
}

/// Every scheme.
pub const TABLE: [Row; 6] = [
    Row {
        scheme: Scheme::Line,
        name: "line",
        socket: Socket::Tcp,
        language: Some(Language { framing: Framing::Lines, dialect: Dialect::Native }),
        for_operators: false,
        hears_lobby: false,
        help: "the protocol of `redpoll chat`, nc and telnet",
    },
    Row {
        scheme: Scheme::Unix,
        name: "unix",
        socket: Socket::File,
        language: Some(Language { framing: Framing::Lines, dialect: Dialect::Native }),
        for_operators: true,
        hears_lobby: false,
        help: "the same for operators, who may also /announce, /kick, /stats and /shutdown; a socket file of mode 0600",
    },
    tutorial(Scheme::Classic, "classic", Dialect::Classic),
    tutorial(Scheme::Nickname, "nickname", Dialect::Nickname),
    Row { hears_lobby: true, ..tutorial(Scheme::Relay, "relay", Dialect::Relay) },
    Row {
        socket: Socket::Udp,
        language: Some(Language { framing: Framing::Datagrams, dialect: Dialect::Udp }),
        ..tutorial(Scheme::Udp, "udp", Dialect::Udp)
    },
];

impl Scheme {
    /// All of them, in the order of their rows.
    pub const ALL: [Scheme; TABLE.len()] = {
        let mut all = [Scheme::Line; TABLE.len()];
        let mut index = 0;
        while index < TABLE.len() {
            all[index] = TABLE[index].scheme;
            index += 1;
        }
        all
    };

    /// Its row.
    #[must_use]
    pub fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// Its name in a URL.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The scheme of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Scheme> {
        TABLE.iter().find(|row| row.name == name).map(|row| row.scheme)
    }
}
