//! The books of a load: what each sender has sent, and what each ear must hear next. Every line that comes is held
//! against the very bytes that it should have; only one that differs is taken apart, to say what is wrong with it. No
//! socket and no clock here: the generator brings bytes and times.

use super::payload::{self, NAME, Payload};
use bstr::ByteSlice;
use std::fmt;

/// Who talks to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Members 2i and 2i + 1 to each other.
    Pairs,
    /// The first so many to everyone in the room.
    Room {
        /// Who talk.
        senders: usize,
        /// How many, from the last, don't read. Nobody waits for them.
        stalled: usize,
    },
}

/// What stands on the wire. Of both kinds equally many bytes go in and out for each message of a pair; in a room `limit`
/// is sent what our line adds, since it adds nothing itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// Lines of the protocol; a recipient reads the sender's name where the sender wrote the recipient's.
    Server,
    /// Bytes that come out as they went in.
    Limit,
}

/// What is wrong with a message, and who found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    what: What,
    ear: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Lost { sender: usize, sequence: u32, instead: Option<u32> },
    Doubled { sender: usize, sequence: u32 },
    Reordered { sender: usize, sequence: u32, behind: u32 },
    Damaged { expected: Option<(usize, u32)>, line: Vec<u8> },
    Misdelivered { sender: usize, sequence: u32, recipient: Option<usize> },
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ear = payload::name(self.ear);
        match &self.what {
            What::Lost { sender, sequence, instead } => {
                write!(f, "lost: message {sequence} of {} did not reach {ear}", payload::name(*sender))?;
                instead.map_or(Ok(()), |instead| write!(f, "; {instead} came in its place"))
            }
            What::Doubled { sender, sequence } => {
                write!(f, "doubled: message {sequence} of {} reached {ear} again", payload::name(*sender))
            }
            What::Reordered { sender, sequence, behind } => write!(
                f,
                "reordered: message {sequence} of {} reached {ear} behind {behind}",
                payload::name(*sender)
            ),
            What::Damaged { expected, line } => {
                write!(f, "damaged: {ear} got {:?}", line[..line.len().min(120)].as_bstr())?;
                let (sender, sequence) = match expected {
                    Some(expected) => expected,
                    None => return Ok(()),
                };
                write!(f, " where message {sequence} of {} was due", payload::name(*sender))
            }
            What::Misdelivered { sender, sequence, recipient } => {
                let sender = payload::name(*sender);
                let to = recipient.map_or("the room".to_owned(), payload::name);
                write!(f, "misdelivered: message {sequence} of {sender} to {to} reached {ear}")
            }
        }
    }
}

/// What one read has brought.
#[derive(Debug, Default)]
pub struct Seen {
    /// When messages had been sent, and how many of them at that time, in the order in which they came.
    pub sent: Vec<(u64, u64)>,
    /// Senders who may send again.
    pub ready: Vec<usize>,
}

/// One sender.
#[derive(Debug)]
struct Lane {
    /// The next sequence.
    next: u32,
    /// So many more may be sent now.
    credit: u32,
    /// For each message of the window, by its sequence modulo that: the line as it is to be heard, when it was sent, and
    /// how many have still to hear it.
    lines: Vec<u8>,
    times: Vec<u64>,
    due: Vec<u32>,
}

/// The books.
#[derive(Debug)]
pub struct Ledger {
    shape: Shape,
    wire: Wire,
    members: usize,
    /// Bytes of a payload.
    size: usize,
    /// Messages of one sender that may be on their way.
    window: u32,
    /// Bytes of a line that is heard, its LF included.
    heard: usize,
    lanes: Vec<Lane>,
    /// The sequence that is due next, by ear, and in a room by lane within.
    due: Vec<u32>,
    /// Messages that were heard as they should be.
    verified: u64,
    /// Lines that begin with `*` are passed over: somebody else's server may tell what it likes.
    pub notices: bool,
}

impl Ledger {
    /// Nothing is sent yet; every sender may send a whole window.
    #[must_use]
    pub fn new(shape: Shape, wire: Wire, members: usize, size: usize, window: usize) -> Ledger {
        let (lanes, sigils, dues) = match shape {
            Shape::Pairs => (members / 2 * 2, "@:\n".len(), members),
            Shape::Room { senders, .. } => (senders, ": \n".len(), members * senders),
        };
        let heard = NAME + sigils + size;
        let lane = || Lane {
            next: 0,
            credit: window as u32,
            lines: vec![0; heard * window],
            times: vec![0; window],
            due: vec![0; window],
        };
        Ledger {
            shape,
            wire,
            members,
            size,
            window: window as u32,
            heard,
            lanes: (0..lanes).map(|_| lane()).collect(),
            due: vec![0; dues],
            verified: 0,
            notices: false,
        }
    }

    /// How many send.
    #[must_use]
    pub fn senders(&self) -> usize {
        self.lanes.len()
    }

    /// Deliveries that were as they should be.
    #[must_use]
    pub fn verified(&self) -> u64 {
        self.verified
    }

    /// Writes down all that a sender may send now, behind `out`. The first sequence of it, for [`Ledger::stamp`].
    pub fn write(&mut self, sender: usize, out: &mut Vec<u8>) -> u32 {
        let ears = self.ears(sender);
        let Ledger { shape, wire, size, window, heard, ref mut lanes, .. } = *self;
        let lane = &mut lanes[sender];
        let first = lane.next;
        for sequence in first..first + std::mem::take(&mut lane.credit) {
            let slot = (sequence % window) as usize;
            let start = out.len();
            let recipient = match shape {
                Shape::Pairs => {
                    out.push(b'@');
                    push_name(sender ^ 1, out);
                    out.push(b':');
                    Some(sender ^ 1)
                }
                Shape::Room { .. } => {
                    if wire == Wire::Limit {
                        push_name(sender, out);
                        out.extend_from_slice(b": ");
                    }
                    None
                }
            };
            Payload { sender, recipient, sequence }.encode(size, out);
            out.push(b'\n');
            let line = &mut lane.lines[slot * heard..][..heard];
            let sent = &out[start..];
            // What the engine writes in front is written here once; all else is what was sent.
            line[heard - sent.len()..].copy_from_slice(sent);
            match (shape, wire) {
                (_, Wire::Limit) => {}
                (Shape::Pairs, Wire::Server) => put_name(sender, &mut line[1..]),
                (Shape::Room { .. }, Wire::Server) => {
                    put_name(sender, line);
                    line[NAME..][..2].copy_from_slice(b": ");
                }
            }
            lane.due[slot] = ears;
            lane.next = sequence + 1;
        }
        first
    }

    /// Says when the messages from `first` on were handed to the kernel.
    pub fn stamp(&mut self, sender: usize, first: u32, now: u64) {
        let lane = &mut self.lanes[sender];
        for sequence in first..lane.next {
            lane.times[(sequence % self.window) as usize] = now;
        }
    }

    /// Holds what one ear was given against what was due; how many bytes of it are whole lines.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn read(&mut self, ear: usize, input: &[u8], seen: &mut Seen) -> Result<usize, Wrong> {
        let mut at = 0;
        while at < input.len() {
            let rest = &input[at..];
            match self.expected(ear, rest) {
                Some((sender, slot))
                    if rest.starts_with(&self.lanes[sender].lines[slot * self.heard..][..self.heard]) =>
                {
                    self.hear(ear, sender, slot, seen);
                    at += self.heard;
                }
                _ => {
                    let Some(end) = rest.find_byte(b'\n') else { break };
                    if !(self.notices && rest.starts_with(b"* ")) {
                        return Err(Wrong { what: self.explain(ear, &rest[..=end], &rest[end + 1..]), ear });
                    }
                    at += end + 1;
                }
            }
        }
        Ok(at)
    }

    /// A message that was sent and that somebody has not heard, if there is one: for when nothing comes any more.
    #[must_use]
    pub fn missing(&self) -> Option<Wrong> {
        let listening = self.members
            - match self.shape {
                Shape::Pairs => 0,
                Shape::Room { stalled, .. } => stalled,
            };
        (0..listening).find_map(|ear| {
            let mut senders = match self.shape {
                Shape::Pairs => ear ^ 1..(ear ^ 1) + 1,
                Shape::Room { senders, .. } => 0..senders,
            };
            let sender = senders.find(|sender| {
                *sender != ear
                    && self.lanes.get(*sender).is_some_and(|lane| self.due_at(ear, *sender) < lane.next)
            })?;
            let what = What::Lost { sender, sequence: self.due_at(ear, sender), instead: None };
            Some(Wrong { what, ear })
        })
    }

    /// How many have to hear each message of that sender.
    fn ears(&self, sender: usize) -> u32 {
        match self.shape {
            Shape::Pairs => 1,
            Shape::Room { stalled, .. } => {
                let listening = self.members - stalled;
                (listening - usize::from(sender < listening)) as u32
            }
        }
    }

    /// Whose line stands there by its looks, and the slot of the one that is due from them; `None` where none is.
    fn expected(&self, ear: usize, line: &[u8]) -> Option<(usize, usize)> {
        let sender = match self.shape {
            Shape::Pairs => ear ^ 1,
            Shape::Room { senders, .. } => {
                payload::member(line.get(..NAME)?).filter(|sender| *sender < senders && *sender != ear)?
            }
        };
        let due = self.due_at(ear, sender);
        // What isn't sent yet has no line; its slot holds one that is a whole window older.
        (due < self.lanes.get(sender)?.next).then_some((sender, (due % self.window) as usize))
    }

    fn due_at(&self, ear: usize, sender: usize) -> u32 {
        self.due[self.due_place(ear, sender)]
    }

    fn due_place(&self, ear: usize, sender: usize) -> usize {
        match self.shape {
            Shape::Pairs => ear,
            Shape::Room { senders, .. } => ear * senders + sender,
        }
    }

    fn hear(&mut self, ear: usize, sender: usize, slot: usize, seen: &mut Seen) {
        let place = self.due_place(ear, sender);
        self.due[place] += 1;
        self.verified += 1;
        let lane = &mut self.lanes[sender];
        lane.due[slot] -= 1;
        if lane.due[slot] == 0 {
            lane.credit += 1;
            if seen.ready.last() != Some(&sender) {
                seen.ready.push(sender);
            }
        }
        match seen.sent.last_mut() {
            Some((time, count)) if *time == lane.times[slot] => *count += 1,
            _ => seen.sent.push((lane.times[slot], 1)),
        }
    }

    /// What is wrong with a line that isn't the one that was due. `behind` is what has come after it.
    fn explain(&self, ear: usize, line: &[u8], behind: &[u8]) -> What {
        let expected = self.expected(ear, line).map(|(sender, _)| (sender, self.due_at(ear, sender)));
        let damaged = || What::Damaged { expected, line: line.to_vec() };
        let Some((named, told)) = self.take_apart(line) else { return damaged() };
        let Payload { sender, recipient, sequence } = told;
        let addressed = recipient.is_none_or(|recipient| recipient == ear) && sender != ear;
        if !addressed || recipient.is_none() == (self.shape == Shape::Pairs) {
            return What::Misdelivered { sender, sequence, recipient };
        }
        let by = if (self.shape, self.wire) == (Shape::Pairs, Wire::Limit) { ear } else { sender };
        if named != by || sender >= self.lanes.len() || line.len() != self.heard {
            return damaged();
        }
        let due = self.due_at(ear, sender);
        if sequence == due || sequence >= self.lanes[sender].next {
            return damaged();
        }
        if sequence < due {
            return What::Doubled { sender, sequence };
        }
        let follows = behind.lines_with_terminator().any(|line| {
            self.take_apart(line).is_some_and(|(_, told)| told.sender == sender && told.sequence == due)
        });
        match follows {
            true => What::Reordered { sender, sequence: due, behind: sequence },
            false => What::Lost { sender, sequence: due, instead: Some(sequence) },
        }
    }

    /// The member whose name stands in front, and the payload.
    fn take_apart(&self, line: &[u8]) -> Option<(usize, Payload)> {
        let line = line.strip_suffix(b"\n")?;
        let (name, text) = match self.shape {
            Shape::Pairs => line.strip_prefix(b"@")?.split_once_str(":")?,
            Shape::Room { .. } => line.split_once_str(": ")?,
        };
        Some((payload::member(name)?, Payload::decode(text)?))
    }
}

fn push_name(member: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(b"user0000");
    put_name(member, &mut out[start..]);
}

/// The same as [`payload::name`], in place.
fn put_name(member: usize, place: &mut [u8]) {
    let digit = |scale: usize| b'0' + (member / scale % 10) as u8;
    place[..NAME].copy_from_slice(&[b'u', b's', b'e', b'r', digit(1000), digit(100), digit(10), digit(1)]);
}
