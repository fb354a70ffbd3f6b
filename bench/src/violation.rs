//! Descriptions of wrong messages: kind of violation, sender, sequence and receiver.

use super::payload;
use bstr::ByteSlice;
use std::fmt;

/// Maximum number of bytes of a line that are shown.
const SHOWN: usize = 120;

/// A wrong message and its receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The member that received it, or should have.
    pub receiver: usize,
    /// The kind of violation.
    pub kind: Kind,
}

/// The kinds of violations. Members are given by their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// It did not arrive; `instead` is a later message that did.
    Lost { sender: usize, sequence: u32, instead: Option<u32> },
    /// It arrived again.
    Doubled { sender: usize, sequence: u32 },
    /// It arrived after a later one.
    Reordered { sender: usize, sequence: u32, after: u32 },
    /// A line arrived that was not sent; `expected` is the message that was due from that sender.
    Damaged { expected: Option<(usize, u32)>, line: Vec<u8> },
    /// It was for another member; `None` for a room.
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
