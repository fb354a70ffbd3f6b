//! Close reasons, one row each: the word in the log, and the text that members of shared rooms receive.

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer requested it.
    Quit,
    /// The peer ended its stream.
    EndOfStream,
    /// The connection is broken, or was reset.
    Lost,
    /// The peer didn't read what it was sent.
    TooSlow,
    /// The peer of the UDP dialect has sent no datagram for a long time.
    Silent,
    /// The connection did not register in time.
    RegisterTimeout,
    /// An operator kicked the user.
    Kicked,
}

impl CloseReason {
    /// Returns the stable word in the log.
    #[must_use]
    pub fn word(self) -> &'static str {
        self.row().0
    }

    /// Returns the text for members of shared rooms if neither peer nor operator gave one; may be empty.
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
