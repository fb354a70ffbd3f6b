//! What can be wrong with a message, in words: which sender, which sequence, who found it.

use super::payload;
use bstr::ByteSlice;
use std::fmt;

/// Bytes of a line that are shown.
const SHOWN: usize = 120;

/// What is wrong with a message, and who found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Who got it, or should have.
    pub receiver: usize,
    /// What is wrong.
    pub kind: Kind,
}

/// What can be wrong. Members go by their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// It didn't come; a later one did, or nothing.
    Lost { sender: usize, sequence: u32, instead: Option<u32> },
    /// It came before.
    Doubled { sender: usize, sequence: u32 },
    /// A later one came first.
    Reordered { sender: usize, sequence: u32, after: u32 },
    /// A line came that nobody has sent, where that message was due by the looks of it.
    Damaged { expected: Option<(usize, u32)>, line: Vec<u8> },
    /// It was for somebody else; `None` for a room.
    Misdelivered { sender: usize, sequence: u32, recipient: Option<usize> },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let receiver = payload::name(self.receiver);
        match &self.kind {
            Kind::Lost { sender, sequence, instead } => {
                write!(f, "lost: message {sequence} of {} did not reach {receiver}", payload::name(*sender))?;
                instead.map_or(Ok(()), |instead| write!(f, "; {instead} came in its place"))
            }
            Kind::Doubled { sender, sequence } => {
                write!(
                    f,
                    "doubled: message {sequence} of {} reached {receiver} again",
                    payload::name(*sender)
                )
            }
            Kind::Reordered { sender, sequence, after } => write!(
                f,
                "reordered: message {sequence} of {} reached {receiver} behind {after}",
                payload::name(*sender)
            ),
            Kind::Damaged { expected, line } => {
                write!(f, "damaged: {receiver} got {:?}", line[..line.len().min(SHOWN)].as_bstr())?;
                let (sender, sequence) = match expected {
                    Some(expected) => expected,
                    None => return Ok(()),
                };
                write!(f, " where message {sequence} of {} was due", payload::name(*sender))
            }
            Kind::Misdelivered { sender, sequence, recipient } => {
                let sender = payload::name(*sender);
                let to = recipient.map_or("the room".to_owned(), payload::name);
                write!(f, "misdelivered: message {sequence} of {sender} to {to} reached {receiver}")
            }
        }
    }
}
