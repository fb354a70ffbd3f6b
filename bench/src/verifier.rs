//! The books of a load: what each sender has sent, and what each ear must hear next. Every line that comes is held
//! against the very bytes that it should have; only one that differs is taken apart, to say what is wrong with it. No
//! socket and no clock here: the generator brings bytes and times.

use super::payload::{self, NAME, Payload};
use super::violation::{Kind, Violation};
use bstr::ByteSlice;

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
    Baseline,
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
struct Sender {
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
pub struct Verifier {
    shape: Shape,
    wire: Wire,
    members: usize,
    /// Bytes of a payload.
    size: usize,
    /// Messages of one sender that may be on their way.
    window: u32,
    /// Bytes of a line that is heard, its LF included.
    received: usize,
    senders: Vec<Sender>,
    /// The sequence that is due next, by ear, and in a room by lane within.
    due: Vec<u32>,
    /// Messages that were heard as they should be.
    verified: u64,
    /// Lines that begin with `*` are passed over: somebody else's server may tell what it likes.
    pub allow_presence: bool,
}

impl Verifier {
    /// Nothing is sent yet; every sender may send a whole window.
    #[must_use]
    pub fn new(shape: Shape, wire: Wire, members: usize, size: usize, window: usize) -> Verifier {
        let (senders, sigils, dues) = match shape {
            Shape::Pairs => (members / 2 * 2, "@:\n".len(), members),
            Shape::Room { senders, .. } => (senders, ": \n".len(), members * senders),
        };
        let received = NAME + sigils + size;
        let sender = || Sender {
            next: 0,
            credit: window as u32,
            lines: vec![0; received * window],
            times: vec![0; window],
            due: vec![0; window],
        };
        Verifier {
            shape,
            wire,
            members,
            size,
            window: window as u32,
            received,
            senders: (0..senders).map(|_| sender()).collect(),
            due: vec![0; dues],
            verified: 0,
            allow_presence: false,
        }
    }

    /// How many send.
    #[must_use]
    pub fn senders(&self) -> usize {
        self.senders.len()
    }

    /// How many, from the first, read.
    #[must_use]
    pub fn readers(&self) -> usize {
        match self.shape {
            Shape::Pairs => self.members,
            Shape::Room { stalled, .. } => self.members - stalled,
        }
    }

    /// Whether somebody doesn't read.
    #[must_use]
    pub fn has_stalled(&self) -> bool {
        self.readers() < self.members
    }

    /// Deliveries that were as they should be.
    #[must_use]
    pub fn verified(&self) -> u64 {
        self.verified
    }

    /// Writes down all that a sender may send now, behind `out`. The first sequence of it, for [`Verifier::stamp`].
    pub fn write(&mut self, sender: usize, out: &mut Vec<u8>) -> u32 {
        let receivers = self.receivers(sender);
        let Verifier { shape, wire, size, window, received, ref mut senders, .. } = *self;
        let state = &mut senders[sender];
        let first = state.next;
        for sequence in first..first + std::mem::take(&mut state.credit) {
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
                    if wire == Wire::Baseline {
                        push_name(sender, out);
                        out.extend_from_slice(b": ");
                    }
                    None
                }
            };
            Payload { sender, recipient, sequence }.encode(size, out);
            out.push(b'\n');
            let line = &mut state.lines[slot * received..][..received];
            let sent = &out[start..];
            // What the engine writes in front is written here once; all else is what was sent.
            line[received - sent.len()..].copy_from_slice(sent);
            match (shape, wire) {
                (_, Wire::Baseline) => {}
                (Shape::Pairs, Wire::Server) => put_name(sender, &mut line[1..]),
                (Shape::Room { .. }, Wire::Server) => {
                    put_name(sender, line);
                    line[NAME..][..2].copy_from_slice(b": ");
                }
            }
            state.due[slot] = receivers;
            state.next = sequence + 1;
        }
        first
    }

    /// Says when the messages from `first` on were handed to the kernel.
    pub fn stamp(&mut self, sender: usize, first: u32, now: u64) {
        let state = &mut self.senders[sender];
        for sequence in first..state.next {
            state.times[(sequence % self.window) as usize] = now;
        }
    }

    /// Holds what one ear was given against what was due; how many bytes of it are whole lines.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn read(&mut self, receiver: usize, input: &[u8], seen: &mut Seen) -> Result<usize, Violation> {
        let mut at = 0;
        while at < input.len() {
            let rest = &input[at..];
            match self.expected(receiver, rest) {
                Some((sender, slot))
                    if rest.starts_with(
                        &self.senders[sender].lines[slot * self.received..][..self.received],
                    ) =>
                {
                    self.record(receiver, sender, slot, seen);
                    at += self.received;
                }
                _ => {
                    let Some(end) = rest.find_byte(b'\n') else { break };
                    if !(self.allow_presence && rest.starts_with(b"* ")) {
                        return Err(Violation {
                            kind: self.explain(receiver, &rest[..=end], &rest[end + 1..]),
                            receiver,
                        });
                    }
                    at += end + 1;
                }
            }
        }
        Ok(at)
    }

    /// A message that was sent and that somebody has not heard, if there is one: for when nothing comes any more.
    #[must_use]
    pub fn missing(&self) -> Option<Violation> {
        (0..self.readers()).find_map(|receiver| {
            let mut senders = match self.shape {
                Shape::Pairs => receiver ^ 1..(receiver ^ 1) + 1,
                Shape::Room { senders, .. } => 0..senders,
            };
            let sender = senders.find(|sender| {
                *sender != receiver
                    && self
                        .senders
                        .get(*sender)
                        .is_some_and(|state| self.due_at(receiver, *sender) < state.next)
            })?;
            let kind = Kind::Lost { sender, sequence: self.due_at(receiver, sender), instead: None };
            Some(Violation { kind, receiver })
        })
    }

    /// How many have to hear each message of that sender.
    fn receivers(&self, sender: usize) -> u32 {
        match self.shape {
            Shape::Pairs => 1,
            Shape::Room { .. } => (self.readers() - usize::from(sender < self.readers())) as u32,
        }
    }

    /// Whose line stands there by its looks, and the slot of the one that is due from them; `None` where none is.
    fn expected(&self, receiver: usize, line: &[u8]) -> Option<(usize, usize)> {
        let sender = match self.shape {
            Shape::Pairs => receiver ^ 1,
            Shape::Room { senders, .. } => payload::member(line.get(..NAME)?)
                .filter(|sender| *sender < senders && *sender != receiver)?,
        };
        let due = self.due_at(receiver, sender);
        // What isn't sent yet has no line; its slot holds one that is a whole window older.
        (due < self.senders.get(sender)?.next).then_some((sender, (due % self.window) as usize))
    }

    fn due_at(&self, receiver: usize, sender: usize) -> u32 {
        self.due[self.due_index(receiver, sender)]
    }

    fn due_index(&self, receiver: usize, sender: usize) -> usize {
        match self.shape {
            Shape::Pairs => receiver,
            Shape::Room { senders, .. } => receiver * senders + sender,
        }
    }

    fn record(&mut self, receiver: usize, sender: usize, slot: usize, seen: &mut Seen) {
        let index = self.due_index(receiver, sender);
        self.due[index] += 1;
        self.verified += 1;
        let state = &mut self.senders[sender];
        state.due[slot] -= 1;
        if state.due[slot] == 0 {
            state.credit += 1;
            if seen.ready.last() != Some(&sender) {
                seen.ready.push(sender);
            }
        }
        match seen.sent.last_mut() {
            Some((time, count)) if *time == state.times[slot] => *count += 1,
            _ => seen.sent.push((state.times[slot], 1)),
        }
    }

    /// What is wrong with a line that isn't the one that was due. `behind` is what has come after it.
    fn explain(&self, receiver: usize, line: &[u8], rest: &[u8]) -> Kind {
        let expected =
            self.expected(receiver, line).map(|(sender, _)| (sender, self.due_at(receiver, sender)));
        let damaged = || Kind::Damaged { expected, line: line.to_vec() };
        let Some((named, payload)) = self.take_apart(line) else { return damaged() };
        let Payload { sender, recipient, sequence } = payload;
        let addressed = recipient.is_none_or(|recipient| recipient == receiver) && sender != receiver;
        if !addressed || recipient.is_none() == (self.shape == Shape::Pairs) {
            return Kind::Misdelivered { sender, sequence, recipient };
        }
        let by = if (self.shape, self.wire) == (Shape::Pairs, Wire::Baseline) { receiver } else { sender };
        if named != by || sender >= self.senders.len() || line.len() != self.received {
            return damaged();
        }
        let due = self.due_at(receiver, sender);
        if sequence == due || sequence >= self.senders[sender].next {
            return damaged();
        }
        if sequence < due {
            return Kind::Doubled { sender, sequence };
        }
        let follows = rest.lines_with_terminator().any(|line| {
            self.take_apart(line)
                .is_some_and(|(_, payload)| payload.sender == sender && payload.sequence == due)
        });
        match follows {
            true => Kind::Reordered { sender, sequence: due, after: sequence },
            false => Kind::Lost { sender, sequence: due, instead: Some(sequence) },
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
fn put_name(member: usize, out: &mut [u8]) {
    let digit = |scale: usize| b'0' + (member / scale % 10) as u8;
    out[..NAME].copy_from_slice(&[b'u', b's', b'e', b'r', digit(1000), digit(100), digit(10), digit(1)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = payload::MIN_SIZE + 8;

    /// What an engine that makes no mistake writes to one who hears it.
    fn delivered(verifier: &mut Verifier, sender: usize) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        verifier.write(sender, &mut sent);
        let name = payload::name(sender).into_bytes();
        let lines = sent.lines_with_terminator().map(|line| match (verifier.shape, verifier.wire) {
            (_, Wire::Baseline) => line.to_vec(),
            (Shape::Pairs, Wire::Server) => [b"@", &name[..], &line["@user0000".len()..]].concat(),
            (Shape::Room { .. }, Wire::Server) => [&name[..], b": ", line].concat(),
        });
        lines.collect()
    }

    fn room(members: usize, stalled: usize) -> Verifier {
        Verifier::new(Shape::Room { senders: 2, stalled }, Wire::Server, members, SIZE, 4)
    }

    fn pairs(wire: Wire) -> Verifier {
        Verifier::new(Shape::Pairs, wire, 4, SIZE, 4)
    }

    /// What is said of these bytes.
    fn violation(verifier: &mut Verifier, receiver: usize, lines: &[&[u8]]) -> String {
        let read = verifier.read(receiver, &lines.concat(), &mut Seen::default());
        read.expect_err("a violation").to_string()
    }

    #[test]
    fn correct_lines_renew_the_window() {
        for wire in [Wire::Server, Wire::Baseline] {
            let mut verifier = pairs(wire);
            let lines = delivered(&mut verifier, 2);
            assert!(lines.len() == 4 && delivered(&mut verifier, 2).is_empty(), "the window is full");
            verifier.stamp(2, 0, 77);
            let mut seen = Seen::default();
            assert_eq!(verifier.read(3, &lines.concat(), &mut seen), Ok(lines.concat().len()));
            assert_eq!((verifier.verified(), seen.sent, seen.ready), (4, vec![(77, 4)], vec![2]));
            assert_eq!(delivered(&mut verifier, 2).len(), 4);
        }
    }

    #[test]
    fn last_room_receiver_renews_window() {
        let mut verifier = room(5, 1);
        let lines = delivered(&mut verifier, 0).concat();
        for receiver in 1..4 {
            let mut seen = Seen::default();
            verifier.read(receiver, &lines, &mut seen).unwrap();
            assert_eq!(seen.ready.is_empty(), receiver < 3);
        }
        assert_eq!((verifier.verified(), verifier.missing()), (12, None));
    }

    #[test]
    fn lines_may_be_cut_anywhere() {
        let mut verifier = pairs(Wire::Server);
        let bytes = delivered(&mut verifier, 0).concat();
        for end in 0..bytes.len() / 4 {
            assert_eq!(verifier.read(1, &bytes[..end], &mut Seen::default()), Ok(0), "{end}");
        }
        assert_eq!(
            verifier.read(1, &bytes[..bytes.len() / 2 + 1], &mut Seen::default()),
            Ok(bytes.len() / 2)
        );
        assert_eq!(verifier.verified(), 2);
    }

    #[test]
    fn lost_message_is_caught() {
        let mut verifier = pairs(Wire::Server);
        let lines = delivered(&mut verifier, 0);
        assert_eq!(
            violation(&mut verifier, 1, &[&lines[0], &lines[2]]),
            "lost: message 1 of user0000 did not reach user0001; 2 came in its place"
        );
        let mut verifier = room(3, 0);
        let lines = delivered(&mut verifier, 1);
        assert!(violation(&mut verifier, 0, &[&lines[1]]).starts_with("lost: message 0 of user0001"));
    }

    #[test]
    fn missing_message_is_reported() {
        for mut verifier in [room(3, 0), pairs(Wire::Server)] {
            let lines = delivered(&mut verifier, 0);
            assert_eq!(verifier.read(1, &lines[..3].concat(), &mut Seen::default()), Ok(3 * lines[0].len()));
            let missing = verifier.missing().expect("one is missing").to_string();
            assert_eq!(missing, "lost: message 3 of user0000 did not reach user0001");
        }
    }

    #[test]
    fn doubled_message_is_caught() {
        let mut verifier = pairs(Wire::Server);
        let lines = delivered(&mut verifier, 0);
        let doubled = "doubled: message 0 of user0000 reached user0001 again";
        assert_eq!(violation(&mut verifier, 1, &[&lines[0], &lines[0]]), doubled);
        // A whole window later, too, while nothing else is on its way.
        assert!(verifier.read(1, &lines[1..].concat(), &mut Seen::default()).is_ok());
        assert_eq!(violation(&mut verifier, 1, &[&lines[0]]), doubled);
        delivered(&mut verifier, 0);
        assert_eq!(violation(&mut verifier, 1, &[&lines[0]]), doubled);
    }

    #[test]
    fn reordered_message_is_caught() {
        let mut verifier = room(3, 0);
        let lines = delivered(&mut verifier, 0);
        assert_eq!(
            violation(&mut verifier, 2, &[&lines[1], &lines[0]]),
            "reordered: message 0 of user0000 reached user0002 behind 1"
        );
    }

    #[test]
    fn damage_is_caught_at_every_byte() {
        for mut verifier in [room(3, 0), pairs(Wire::Server), pairs(Wire::Baseline)] {
            let line = delivered(&mut verifier, 0).swap_remove(0);
            for index in 0..line.len() - 1 {
                let mut damaged = line.clone();
                damaged[index] ^= 1;
                assert!(verifier.read(1, &damaged, &mut Seen::default()).is_err(), "{index}");
                damaged.remove(index);
                assert!(verifier.read(1, &damaged, &mut Seen::default()).is_err(), "{index}");
            }
            let mut damaged = line.clone();
            damaged[line.len() - 2] ^= 1;
            let found = violation(&mut verifier, 1, &[&damaged]);
            assert!(found.starts_with("damaged: user0001 got"), "{found}");
            assert!(found.ends_with("where message 0 of user0000 was due"), "{found}");
            assert!(violation(&mut verifier, 1, &[b"!too-slow\n"]).starts_with("damaged"));
        }
    }

    #[test]
    fn misdelivered_message_is_caught() {
        for wire in [Wire::Server, Wire::Baseline] {
            let mut verifier = pairs(wire);
            let lines = delivered(&mut verifier, 0);
            for receiver in [0, 2, 3] {
                let found = violation(&mut verifier, receiver, &[&lines[0]]);
                assert_eq!(
                    found,
                    format!("misdelivered: message 0 of user0000 to user0001 reached user000{receiver}")
                );
            }
        }
        let mut verifier = room(3, 0);
        let lines = delivered(&mut verifier, 0);
        let found = violation(&mut verifier, 0, &[&lines[0]]);
        assert_eq!(found, "misdelivered: message 0 of user0000 to the room reached user0000");
    }

    #[test]
    fn forged_sender_name_is_caught() {
        let mut verifier = room(4, 0);
        let (of_0, of_1) = (delivered(&mut verifier, 0), delivered(&mut verifier, 1));
        let forged = [&of_1[0][..NAME], &of_0[0][NAME..]].concat();
        assert!(violation(&mut verifier, 2, &[&forged]).starts_with("damaged"));
    }

    #[test]
    fn presence_is_skipped_where_allowed() {
        let mut verifier = room(3, 0);
        assert!(violation(&mut verifier, 1, &[b"* somebody joined\n"]).starts_with("damaged"));
        verifier.allow_presence = true;
        let lines = [b"* somebody joined\n".to_vec(), delivered(&mut verifier, 0).concat()].concat();
        assert_eq!(verifier.read(1, &lines, &mut Seen::default()), Ok(lines.len()));
        assert_eq!(verifier.verified(), 4);
    }

    #[test]
    fn both_wires_carry_equal_bytes() {
        let bytes = |shape, wire| {
            let mut verifier = Verifier::new(shape, wire, 4, SIZE, 1);
            let mut sent = Vec::new();
            verifier.write(0, &mut sent);
            (sent.len(), verifier.received)
        };
        let both = |shape| (bytes(shape, Wire::Server), bytes(shape, Wire::Baseline));
        let (server, baseline) = both(Shape::Pairs);
        assert!(server == baseline && server.0 == server.1);
        let (server, baseline) = both(Shape::Room { senders: 1, stalled: 0 });
        assert!(server.1 == baseline.1 && baseline.0 == baseline.1 && server.0 + NAME + 2 == baseline.0);
    }
}
