//! The books of a load: what each sender has sent, and what each ear must hear next. Every line that comes is held
//! against the very bytes that it should have; only one that differs is taken apart, to say what is wrong with it. No
//! socket and no clock here: the generator brings bytes and times.

use super::payload::{self, NAME, Payload};
use super::wrong::{What, Wrong};
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
    Limit,
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

    /// How many, from the first, read.
    #[must_use]
    pub fn listening(&self) -> usize {
        match self.shape {
            Shape::Pairs => self.members,
            Shape::Room { stalled, .. } => self.members - stalled,
        }
    }

    /// Whether somebody doesn't read.
    #[must_use]
    pub fn has_stalled(&self) -> bool {
        self.listening() < self.members
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
        (0..self.listening()).find_map(|ear| {
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
            Shape::Room { .. } => (self.listening() - usize::from(sender < self.listening())) as u32,
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

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = payload::MIN_SIZE + 8;

    /// What an engine that makes no mistake writes to one who hears it.
    fn delivered(ledger: &mut Ledger, sender: usize) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        ledger.write(sender, &mut sent);
        let name = payload::name(sender).into_bytes();
        let lines = sent.lines_with_terminator().map(|line| match (ledger.shape, ledger.wire) {
            (_, Wire::Limit) => line.to_vec(),
            (Shape::Pairs, Wire::Server) => [b"@", &name[..], &line["@user0000".len()..]].concat(),
            (Shape::Room { .. }, Wire::Server) => [&name[..], b": ", line].concat(),
        });
        lines.collect()
    }

    fn room(members: usize, stalled: usize) -> Ledger {
        Ledger::new(Shape::Room { senders: 2, stalled }, Wire::Server, members, SIZE, 4)
    }

    fn pairs(wire: Wire) -> Ledger {
        Ledger::new(Shape::Pairs, wire, 4, SIZE, 4)
    }

    /// What is said of these bytes.
    fn wrong(ledger: &mut Ledger, ear: usize, lines: &[&[u8]]) -> String {
        let read = ledger.read(ear, &lines.concat(), &mut Seen::default());
        read.expect_err("something is wrong").to_string()
    }

    #[test]
    fn what_is_right_is_heard_and_lets_the_sender_go_on() {
        for wire in [Wire::Server, Wire::Limit] {
            let mut ledger = pairs(wire);
            let lines = delivered(&mut ledger, 2);
            assert!(lines.len() == 4 && delivered(&mut ledger, 2).is_empty(), "the window is full");
            ledger.stamp(2, 0, 77);
            let mut seen = Seen::default();
            assert_eq!(ledger.read(3, &lines.concat(), &mut seen), Ok(lines.concat().len()));
            assert_eq!((ledger.verified(), seen.sent, seen.ready), (4, vec![(77, 4)], vec![2]));
            assert_eq!(delivered(&mut ledger, 2).len(), 4);
        }
    }

    #[test]
    fn a_room_is_heard_when_the_last_who_reads_has_heard() {
        let mut ledger = room(5, 1);
        let lines = delivered(&mut ledger, 0).concat();
        for ear in 1..4 {
            let mut seen = Seen::default();
            ledger.read(ear, &lines, &mut seen).unwrap();
            assert_eq!(seen.ready.is_empty(), ear < 3);
        }
        assert_eq!((ledger.verified(), ledger.missing()), (12, None));
    }

    #[test]
    fn lines_may_be_cut_anywhere() {
        let mut ledger = pairs(Wire::Server);
        let bytes = delivered(&mut ledger, 0).concat();
        for end in 0..bytes.len() / 4 {
            assert_eq!(ledger.read(1, &bytes[..end], &mut Seen::default()), Ok(0), "{end}");
        }
        assert_eq!(ledger.read(1, &bytes[..bytes.len() / 2 + 1], &mut Seen::default()), Ok(bytes.len() / 2));
        assert_eq!(ledger.verified(), 2);
    }

    #[test]
    fn a_lost_message_is_caught() {
        let mut ledger = pairs(Wire::Server);
        let lines = delivered(&mut ledger, 0);
        assert_eq!(
            wrong(&mut ledger, 1, &[&lines[0], &lines[2]]),
            "lost: message 1 of user0000 did not reach user0001; 2 came in its place"
        );
        let mut ledger = room(3, 0);
        let lines = delivered(&mut ledger, 1);
        assert!(wrong(&mut ledger, 0, &[&lines[1]]).starts_with("lost: message 0 of user0001"));
    }

    #[test]
    fn a_message_that_never_comes_is_missed() {
        for mut ledger in [room(3, 0), pairs(Wire::Server)] {
            let lines = delivered(&mut ledger, 0);
            assert_eq!(ledger.read(1, &lines[..3].concat(), &mut Seen::default()), Ok(3 * lines[0].len()));
            let missing = ledger.missing().expect("one is missing").to_string();
            assert_eq!(missing, "lost: message 3 of user0000 did not reach user0001");
        }
    }

    #[test]
    fn a_doubled_message_is_caught() {
        let mut ledger = pairs(Wire::Server);
        let lines = delivered(&mut ledger, 0);
        let doubled = "doubled: message 0 of user0000 reached user0001 again";
        assert_eq!(wrong(&mut ledger, 1, &[&lines[0], &lines[0]]), doubled);
        // A whole window later, too, while nothing else is on its way.
        assert!(ledger.read(1, &lines[1..].concat(), &mut Seen::default()).is_ok());
        assert_eq!(wrong(&mut ledger, 1, &[&lines[0]]), doubled);
        delivered(&mut ledger, 0);
        assert_eq!(wrong(&mut ledger, 1, &[&lines[0]]), doubled);
    }

    #[test]
    fn a_reordered_message_is_caught() {
        let mut ledger = room(3, 0);
        let lines = delivered(&mut ledger, 0);
        assert_eq!(
            wrong(&mut ledger, 2, &[&lines[1], &lines[0]]),
            "reordered: message 0 of user0000 reached user0002 behind 1"
        );
    }

    #[test]
    fn a_damaged_message_is_caught_wherever_it_is_damaged() {
        for mut ledger in [room(3, 0), pairs(Wire::Server), pairs(Wire::Limit)] {
            let line = delivered(&mut ledger, 0).swap_remove(0);
            for place in 0..line.len() - 1 {
                let mut damaged = line.clone();
                damaged[place] ^= 1;
                assert!(ledger.read(1, &damaged, &mut Seen::default()).is_err(), "{place}");
                damaged.remove(place);
                assert!(ledger.read(1, &damaged, &mut Seen::default()).is_err(), "{place}");
            }
            let mut damaged = line.clone();
            damaged[line.len() - 2] ^= 1;
            let said = wrong(&mut ledger, 1, &[&damaged]);
            assert!(said.starts_with("damaged: user0001 got"), "{said}");
            assert!(said.ends_with("where message 0 of user0000 was due"), "{said}");
            assert!(wrong(&mut ledger, 1, &[b"!too-slow\n"]).starts_with("damaged"));
        }
    }

    #[test]
    fn a_misdelivered_message_is_caught() {
        for wire in [Wire::Server, Wire::Limit] {
            let mut ledger = pairs(wire);
            let lines = delivered(&mut ledger, 0);
            for ear in [0, 2, 3] {
                let said = wrong(&mut ledger, ear, &[&lines[0]]);
                assert_eq!(
                    said,
                    format!("misdelivered: message 0 of user0000 to user0001 reached user000{ear}")
                );
            }
        }
        let mut ledger = room(3, 0);
        let lines = delivered(&mut ledger, 0);
        let said = wrong(&mut ledger, 0, &[&lines[0]]);
        assert_eq!(said, "misdelivered: message 0 of user0000 to the room reached user0000");
    }

    #[test]
    fn a_message_under_anothers_name_is_caught() {
        let mut ledger = room(4, 0);
        let (of_0, of_1) = (delivered(&mut ledger, 0), delivered(&mut ledger, 1));
        let forged = [&of_1[0][..NAME], &of_0[0][NAME..]].concat();
        assert!(wrong(&mut ledger, 2, &[&forged]).starts_with("damaged"));
    }

    #[test]
    fn notices_are_passed_over_where_they_may_come() {
        let mut ledger = room(3, 0);
        assert!(wrong(&mut ledger, 1, &[b"* somebody joined\n"]).starts_with("damaged"));
        ledger.notices = true;
        let lines = [b"* somebody joined\n".to_vec(), delivered(&mut ledger, 0).concat()].concat();
        assert_eq!(ledger.read(1, &lines, &mut Seen::default()), Ok(lines.len()));
        assert_eq!(ledger.verified(), 4);
    }

    #[test]
    fn both_wires_carry_equally_many_bytes_for_each_message() {
        let bytes = |shape, wire| {
            let mut ledger = Ledger::new(shape, wire, 4, SIZE, 1);
            let mut sent = Vec::new();
            ledger.write(0, &mut sent);
            (sent.len(), ledger.heard)
        };
        let both = |shape| (bytes(shape, Wire::Server), bytes(shape, Wire::Limit));
        let (server, limit) = both(Shape::Pairs);
        assert!(server == limit && server.0 == server.1);
        let (server, limit) = both(Shape::Room { senders: 1, stalled: 0 });
        assert!(server.1 == limit.1 && limit.0 == limit.1 && server.0 + NAME + 2 == limit.0);
    }
}
