//! What falls to a world by its seed: the limits of the server, how often each fault happens, and how often each deed is
//! done. Each seed leaves some faults and deeds out and does others all the more, so that what seldom meets does meet
//! (Groce et al. 2012, "Swarm testing").

use crate::actor::MAX_NAMED;
use redpoll::limits::{KIB, Limits, MIN_MAX_LINE};
use redpoll_kit::rng::Rng;
use redpoll_kit::{Fault, Faults};
use std::fmt;
use std::time::Duration;

/// What is done in a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Somebody connects and means to stay.
    Arrive,
    /// Several knock who will say nothing, or nothing that gives them a name.
    Knock,
    /// Somebody asks for something.
    Ask,
    /// Somebody asks for very much at once.
    Flood,
    /// A message of a tutorial's client that no LF ends.
    Mumble,
    /// Somebody reads only so much more.
    Stall,
    /// Somebody reads again.
    ReadOn,
    /// Time passes, and the server does what is due.
    Pass,
    /// Time passes, and the server does nothing: its machine is busy, or asleep.
    Oversleep,
    /// Somebody says `/quit`.
    Quit,
    /// Somebody shuts its sending side.
    End,
    /// Somebody breaks its connection, wherever that is by now.
    Reset,
    /// The operator ends somebody's connection.
    Kick,
    /// The operator tells everyone.
    Announce,
    /// The server is asked to stop.
    Stop,
}

impl Deed {
    /// All of them, and how often each is done, compared with the others.
    pub const ALL: [(Deed, usize); 15] = [
        (Deed::Arrive, 80),
        (Deed::Knock, 20),
        (Deed::Ask, 500),
        (Deed::Flood, 50),
        (Deed::Mumble, 20),
        (Deed::Stall, 50),
        (Deed::ReadOn, 40),
        (Deed::Pass, 30),
        (Deed::Oversleep, 20),
        (Deed::Quit, 8),
        (Deed::End, 12),
        (Deed::Reset, 12),
        (Deed::Kick, 8),
        (Deed::Announce, 15),
        (Deed::Stop, 3),
    ];
}

/// What is drawn for a world.
pub struct Lot {
    pub limits: Limits,
    pub faults: Faults,
    /// How often each of [`Deed::ALL`] is done.
    pub deeds: [usize; Deed::ALL.len()],
    /// What the kernel of somebody who reads takes between two waits.
    pub window: usize,
    /// Of a hundred newcomers, so many come by a tutorial's door.
    pub tutorials: usize,
    /// Of a hundred, so many come from one address that has a limit.
    pub strangers: usize,
}

impl fmt::Display for Lot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = self.deeds.iter().zip(Deed::ALL).filter(|(weight, _)| **weight > 0);
        let deeds: Vec<String> = done.map(|(weight, (deed, _))| format!("{deed:?} {weight}")).collect();
        writeln!(f, "{:?}", self.limits)?;
        writeln!(f, "faults, in a thousand: {:?}", self.faults)?;
        writeln!(f, "deeds: {}", deeds.join(", "))?;
        write!(f, "window {}, tutorials {} %, strangers {} %", self.window, self.tutorials, self.strangers)
    }
}

impl Lot {
    pub fn draw(rng: &mut Rng) -> Lot {
        let limits = draw_limits(rng);
        let mut faults = Faults::none(rng.number());
        // A world without any is the strictest.
        if rng.chance(85) {
            for (fault, most) in FAULTS {
                let weight = if rng.chance(50) { 0 } else { 1 + rng.below(most) };
                faults = faults.with(fault, weight as u16);
            }
        }
        let deeds = Deed::ALL.map(|(deed, weight)| match rng.below(10) {
            0..4 if !matches!(deed, Deed::Arrive | Deed::Ask) => 0,
            9 => 4 * weight,
            _ => weight,
        });
        // Where a read may come too late, messages that end by a pause end anywhere.
        let mut tutorials = if rng.chance(40) { 0 } else { rng.below(100) };
        if rng.chance(50) {
            faults = faults.with(Fault::EmptyRead, 0).with(Fault::Late, 0);
        }
        if faults.weight(Fault::EmptyRead) + faults.weight(Fault::Late) > 0 {
            tutorials = 0;
        }
        let window = if rng.chance(70) { usize::MAX } else { 1 << (7 + rng.below(10)) };
        let strangers = if rng.chance(60) { 0 } else { rng.below(100) };
        Lot { limits, faults, deeds, window, tutorials, strangers }
    }

    /// Which deed is done next.
    pub fn deed(&self, rng: &mut Rng) -> Deed {
        let mut at = rng.below(self.deeds.iter().sum());
        let chosen = self.deeds.iter().zip(Deed::ALL).find(|(weight, _)| {
            let is_it = at < **weight;
            at = at.saturating_sub(**weight);
            is_it
        });
        chosen.map_or(Deed::Ask, |(_, (deed, _))| deed)
    }

    /// Whether every room tells who comes and goes, however many are there.
    pub fn tells_all(&self) -> bool {
        self.limits.quiet_above.is_none_or(|most| most > MAX_NAMED)
    }

    /// Whether what the server sends may be held up though its reader reads.
    pub fn hinders_sending(&self) -> bool {
        self.hinders(&[Fault::ShortSend, Fault::BlockedSend, Fault::Late]) || self.window != usize::MAX
    }

    /// Whether so little may be unsent in all that one may go for the others.
    pub fn is_tight(&self) -> bool {
        self.limits.queue_total < TIGHT * self.limits.queue
    }

    fn hinders(&self, by: &[Fault]) -> bool {
        by.iter().any(|fault| self.faults.weight(*fault) > 0)
    }
}

/// A total of so many queues is never reached.
const TIGHT: usize = 1024;

/// How often each fault happens at most, in a thousand.
const FAULTS: [(Fault, usize); Fault::ALL.len()] = [
    (Fault::CutRead, 900),
    (Fault::EmptyRead, 300),
    (Fault::ShortSend, 900),
    (Fault::BlockedSend, 700),
    (Fault::Late, 500),
    (Fault::Spurious, 500),
    (Fault::Shuffled, 1000),
    (Fault::ResetInRead, 10),
    (Fault::ResetInSend, 10),
    (Fault::Unwatched, 20),
    (Fault::NoMemory, 500),
    (Fault::NoDescriptor, 300),
    (Fault::NoSpare, 500),
    (Fault::Aborted, 200),
    (Fault::StubbornListener, 500),
    (Fault::LateTimer, 500),
];

fn draw_limits(rng: &mut Rng) -> Limits {
    let mut one_of = |values: &[usize]| values[rng.below(values.len())];
    let queue = one_of(&[8, 8, 8, 16, 64, 256]) * KIB;
    let seconds = |seconds: usize| Duration::from_secs(seconds as u64);
    let or_none = |limit: usize| (limit > 0).then_some(limit);
    Limits {
        max_line: one_of(&[MIN_MAX_LINE, KIB, 4 * KIB, 4 * KIB]),
        queue,
        queue_total: queue * one_of(&[1, 2, 4, TIGHT, TIGHT, TIGHT]),
        // The witness makes three beside the lobby.
        max_rooms: Some(one_of(&[4, 1024])),
        max_rooms_per_connection: Some(one_of(&[4, 64])),
        quiet_above: or_none(one_of(&[0, 256, 256, 256, 1, 3, 6])),
        max_connections: one_of(&[3, 6, 1024, 1024, 1024]),
        // Some come from an address that isn't this machine's.
        max_per_address: or_none(one_of(&[0, 2, 64])),
        rate: or_none(one_of(&[0, 0, 200, 20])).map(|rate| rate as u32),
        burst: one_of(&[10, 200]) as u32,
        register_timeout: or_none(one_of(&[0, 1, 60, 60])).map(seconds),
        drain: seconds(one_of(&[0, 1, 5, 5])),
        ..Limits::default()
    }
}
