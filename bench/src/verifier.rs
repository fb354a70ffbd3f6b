//! The verifier of a load: what each sender has sent, and what each receiver must receive next. Each received line is
//! compared with its expected bytes; only a line that differs is parsed, to describe the violation. No sockets or
//! clocks here: the generator passes bytes and times.

use super::payload::{self, NAME, Payload};
use super::violation::{Kind, Violation};
use bstr::ByteSlice;

/// Which members send to which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Members 2i and 2i + 1 to each other.
    Pairs,
    /// The first `senders` members to all members of the room.
    Room {
        /// Number of senders.
        senders: usize,
        /// Number of members, from the last, that don't read. No sender waits for them.
        stalled: usize,
    },
}

/// The format of messages. With both formats equally many bytes go in and out for each message of a pair. In a room the
/// baseline is sent the bytes that the server would add, because it adds none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// Lines of the protocol: a recipient reads the sender's name where the sender wrote the recipient's.
    Server,
    /// Bytes that are delivered unchanged.
    Baseline,
}

/// The results of one read.
#[derive(Debug, Default)]
pub struct Seen {
    /// Send times of the received messages with the number of messages of each, in the order of arrival.
    pub sent: Vec<(u64, u64)>,
    /// Senders with a window that has opened.
    pub ready: Vec<usize>,
}

/// The state of one sender.
#[derive(Debug)]
struct Sender {
    /// The sequence of the next message.
    next: u32,
    /// How many messages may be sent now.
    credit: u32,
    /// For each message of the window, by sequence modulo window: the line as it must arrive, its send time, and the
    /// number of receivers that have not received it.
    lines: Vec<u8>,
    times: Vec<u64>,
    due: Vec<u32>,
}

/// The expected messages of a load.
#[derive(Debug)]
pub struct Verifier {
    shape: Shape,
    wire: Wire,
    members: usize,
    /// Bytes of a payload.
    size: usize,
    /// Maximum number of messages of one sender in flight.
    window: u32,
    /// Bytes of a line as it arrives, with its LF.
    line_len: usize,
    senders: Vec<Sender>,
    /// The next sequence, by receiver; in a room by receiver and sender.
    due: Vec<u32>,
    /// Deliveries that were correct.
    verified: u64,
    /// Whether lines that begin with `*` are skipped; a foreign server may send any presence.
    pub allow_presence: bool,
}

impl Verifier {
    /// Starts with nothing sent; every sender may send a whole window.
    #[must_use]
    pub fn new(shape: Shape, wire: Wire, members: usize, size: usize, window: usize) -> Verifier {
        let (senders, sigils, dues) = match shape {
            Shape::Pairs => (members / 2 * 2, "@:\n".len(), members),
            Shape::Room { senders, .. } => (senders, ": \n".len(), members * senders),
        };
        let line_len = NAME + sigils + size;
        let sender = || Sender {
            next: 0,
            credit: window as u32,
            lines: vec![0; line_len * window],
            times: vec![0; window],
            due: vec![0; window],
        };
        Verifier {
            shape,
            wire,
            members,
            size,
            window: window as u32,
            line_len,
            senders: (0..senders).map(|_| sender()).collect(),
            due: vec![0; dues],
            verified: 0,
            allow_presence: false,
        }
    }

    /// Returns the number of senders.
    #[must_use]
    pub fn senders(&self) -> usize {
        self.senders.len()
    }

    /// Returns the number of members, from the first, that read.
    #[must_use]
    pub fn readers(&self) -> usize {
        match self.shape {
            Shape::Pairs => self.members,
            Shape::Room { stalled, .. } => self.members - stalled,
        }
    }

    /// Returns whether a member doesn't read.
    #[must_use]
    pub fn has_stalled(&self) -> bool {
        self.readers() < self.members
    }

    /// Returns the number of correct deliveries.
    #[must_use]
    pub fn verified(&self) -> u64 {
        self.verified
    }

    /// Appends all messages that a sender may send now to `out`. Returns the first sequence, for [`Verifier::stamp`].
    pub fn write(&mut self, sender: usize, out: &mut Vec<u8>) -> u32 {
        let receivers = self.receivers(sender);
        let Verifier { shape, wire, size, window, line_len, ref mut senders, .. } = *self;
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
            let line = &mut state.lines[slot * line_len..][..line_len];
            let sent = &out[start..];
            // The prefix that the engine adds is written once; all other bytes are those that were sent.
            line[line_len - sent.len()..].copy_from_slice(sent);
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

    /// Records when the messages from `first` on were passed to the kernel.
    pub fn stamp(&mut self, sender: usize, first: u32, now: u64) {
        let state = &mut self.senders[sender];
        for sequence in first..state.next {
            state.times[(sequence % self.window) as usize] = now;
        }
    }

    /// Compares the input of one receiver with the expected lines. Returns how many bytes form complete lines.
    ///
    /// # Errors
    /// The first violation.
    pub fn read(&mut self, receiver: usize, input: &[u8], seen: &mut Seen) -> Result<usize, Violation> {
        let mut at = 0;
        while at < input.len() {
            let rest = &input[at..];
            match self.expected(receiver, rest) {
                Some((sender, slot))
                    if rest.starts_with(
                        &self.senders[sender].lines[slot * self.line_len..][..self.line_len],
                    ) =>
                {
                    self.record(receiver, sender, slot, seen);
                    at += self.line_len;
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

    /// Returns a message that was sent and has not reached a receiver, if there is one; for use after a timeout.
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

    /// Returns how many members must receive each message of a sender.
    fn receivers(&self, sender: usize) -> u32 {
        match self.shape {
            Shape::Pairs => 1,
            Shape::Room { .. } => (self.readers() - usize::from(sender < self.readers())) as u32,
        }
    }

    /// Returns the sender of a line, and the slot of the sender's next line for this receiver; `None` if no line is
    /// due.
    fn expected(&self, receiver: usize, line: &[u8]) -> Option<(usize, usize)> {
        let sender = match self.shape {
            Shape::Pairs => receiver ^ 1,
            Shape::Room { senders, .. } => payload::member(line.get(..NAME)?)
                .filter(|sender| *sender < senders && *sender != receiver)?,
        };
        let due = self.due_at(receiver, sender);
        // A message that wasn't sent has no line: its slot holds the line of a whole window before.
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

    /// Describes what is wrong with a line that differs from the expected one. `rest` is the input after the line.
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
        if named != by || sender >= self.senders.len() || line.len() != self.line_len {
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

    /// Parses the name at the start of a line, and the payload.
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

/// Writes the same as [`payload::name`] into `out`.
fn put_name(member: usize, out: &mut [u8]) {
    let digit = |scale: usize| b'0' + (member / scale % 10) as u8;
    out[..NAME].copy_from_slice(&[b'u', b's', b'e', b'r', digit(1000), digit(100), digit(10), digit(1)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = payload::MIN_SIZE + 8;

    /// Returns the lines that a correct engine writes to a receiver.
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

    /// Returns the description of the violation in these lines.
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
        // Also after a whole window, while no other message is in flight.
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
            (sent.len(), verifier.line_len)
        };
        let both = |shape| (bytes(shape, Wire::Server), bytes(shape, Wire::Baseline));
        let (server, baseline) = both(Shape::Pairs);
        assert!(server == baseline && server.0 == server.1);
        let (server, baseline) = both(Shape::Room { senders: 1, stalled: 0 });
        assert!(server.1 == baseline.1 && baseline.0 == baseline.1 && server.0 + NAME + 2 == baseline.0);
    }
}
