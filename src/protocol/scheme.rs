//! The schemes of `--listen`: one row each in [`TABLE`]. The command line reads names and help from it, the engine the
//! kind of socket, the server the framing and the dialect.

use crate::protocol::dialect::Dialect;
use crate::protocol::frame::{Frame, LineFrame};

/// The scheme of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// The line protocol over TCP.
    Line,
    /// The same over a Unix socket, for operators.
    Unix,
    /// The clients of a tutorial: see [`Dialect::Classic`].
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
    /// Connections over a Unix socket.
    File,
    /// Datagrams.
    Udp,
}

/// How the end of a message is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// At LF.
    Lines,
    /// At LF, or after `--pause` without input.
    LinesAndTimeouts,
    /// With the datagram.
    Datagrams,
}

/// The framing and the dialect of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Language {
    /// Where a message ends.
    pub framing: Framing,
    /// What it means.
    pub dialect: Dialect,
}

impl Language {
    /// Creates the frame of a new connection.
    #[must_use]
    pub fn frame(self) -> Frame {
        match self.framing {
            Framing::Lines => Frame::Line(LineFrame::default()),
            Framing::LinesAndTimeouts => Frame::Line(LineFrame::with_timeout()),
            Framing::Datagrams => Frame::Datagram,
        }
    }
}

/// A row of the table of schemes.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Its scheme.
    pub scheme: Scheme,
    /// Its name in a URL.
    pub name: &'static str,
    /// The kind of socket that listens.
    pub socket: Socket,
    /// `None` if connections of the scheme don't chat.
    pub language: Option<Language>,
    /// Its connections have the rank of an operator: the permissions of the socket file restrict access.
    pub for_operators: bool,
    /// Its connections receive the messages of the lobby before they register.
    pub observes_lobby: bool,
    /// Its text in `--help`. Adjacent schemes with the same text are shown together.
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
        language: Some(Language { framing: Framing::LinesAndTimeouts, dialect }),
        for_operators: false,
        observes_lobby: false,
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
        observes_lobby: false,
        help: "the protocol of `redpoll chat`, nc and telnet",
    },
    Row {
        scheme: Scheme::Unix,
        name: "unix",
        socket: Socket::File,
        language: Some(Language { framing: Framing::Lines, dialect: Dialect::Native }),
        for_operators: true,
        observes_lobby: false,
        help: "the same for operators, who may also /announce, /kick, /stats and /shutdown; a socket file of mode 0600",
    },
    tutorial(Scheme::Classic, "classic", Dialect::Classic),
    tutorial(Scheme::Nickname, "nickname", Dialect::Nickname),
    Row { observes_lobby: true, ..tutorial(Scheme::Relay, "relay", Dialect::Relay) },
    Row {
        socket: Socket::Udp,
        language: Some(Language { framing: Framing::Datagrams, dialect: Dialect::Udp }),
        ..tutorial(Scheme::Udp, "udp", Dialect::Udp)
    },
];

impl Scheme {
    /// All schemes, in the order of their rows.
    pub const ALL: [Scheme; TABLE.len()] = {
        let mut all = [Scheme::Line; TABLE.len()];
        let mut index = 0;
        while index < TABLE.len() {
            all[index] = TABLE[index].scheme;
            index += 1;
        }
        all
    };

    /// Returns its row.
    #[must_use]
    pub fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// Returns its name in a URL.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Returns the scheme of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Scheme> {
        TABLE.iter().find(|row| row.name == name).map(|row| row.scheme)
    }
}
