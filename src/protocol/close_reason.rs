//! Why a connection ends. One row each: the word in the log, and what those who shared a room with it are told.

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer asked for it.
    Quit,
    /// The peer ended its stream.
    EndOfStream,
    /// The connection is broken, or was reset.
    Lost,
    /// The peer didn't read what it was sent.
    TooSlow,
    /// The peer speaks by datagrams, and has sent none for a long time.
    Silent,
    /// No name was given in time.
    RegisterTimeout,
    /// An operator ended it.
    Kicked,
}

impl CloseReason {
    /// The stable word in the log.
    #[must_use]
    pub fn word(self) -> &'static str {
        self.row().0
    }

    /// What the members of shared rooms are told where neither peer nor operator gave a text; may be empty.
    #[must_use]
    pub fn presence_text(self) -> &'static str {
        self.row().1
    }

    fn row(self) -> (&'static str, &'static str) {
        match self {
            CloseReason::Quit => ("quit", ""),
            CloseReason::EndOfStream => ("end of stream", ""),
            CloseReason::Lost => ("connection lost", "connection lost"),
            CloseReason::TooSlow => ("too slow", "too slow"),
            CloseReason::Silent => ("silent", "silent"),
            CloseReason::RegisterTimeout => ("register timeout", ""),
            CloseReason::Kicked => ("kicked", "kicked"),
        }
    }
}
