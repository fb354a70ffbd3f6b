//! The configuration of a world, drawn from its seed: the limits of the server and the weights of faults and actions.
//! Each seed omits some faults and actions and repeats others more often, so that rare combinations occur too
//! (Groce et al. 2012, "Swarm testing").

use crate::actor::MAX_NAMED;
use redpoll::limits::{KIB, Limits, MIN_MAX_LINE};
use redpoll_kit::rng::Rng;
use redpoll_kit::{Fault, Faults};
use std::fmt;
use std::time::Duration;

/// A step of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A client connects and registers.
    Register,
    /// Several clients connect that never register; some send lines that are refused.
    Connect,
    /// A client sends a request.
    Request,
    /// A client sends many requests at once.
    Flood,
    /// A tutorial's client sends a message without LF.
    Unterminated,
    /// A client stops reading after some more bytes.
    Stall,
    /// A client reads again.
    Resume,
    /// Time passes, and the server runs what is due.
    Pass,
    /// Time passes, and the server doesn't run: its machine is busy or suspended.
    Oversleep,
    /// A client sends `/quit`.
    Quit,
    /// A client shuts down its sending side.
    End,
    /// A client resets its connection, in any phase.
    Reset,
    /// The operator kicks a client.
    Kick,
    /// The operator sends an announcement.
    Announce,
    /// The server is asked to stop.
    Stop,
}

impl Action {
    /// All actions, each with its default weight.
    pub const ALL: [(Action, usize); 15] = [
        (Action::Register, 80),
        (Action::Connect, 20),
        (Action::Request, 500),
        (Action::Flood, 50),
        (Action::Unterminated, 20),
        (Action::Stall, 50),
        (Action::Resume, 40),
        (Action::Pass, 30),
        (Action::Oversleep, 20),
        (Action::Quit, 8),
        (Action::End, 12),
        (Action::Reset, 12),
        (Action::Kick, 8),
        (Action::Announce, 15),
        (Action::Stop, 3),
    ];
}

/// The configuration of a world.
pub struct Config {
    pub limits: Limits,
    pub faults: Faults,
    /// The weight of each of [`Action::ALL`].
    pub actions: [usize; Action::ALL.len()],
    /// Bytes that the kernel of a reading client takes between two waits.
    pub window: usize,
    /// Percentage of new clients that use a tutorial's scheme.
    pub tutorials: usize,
    /// Percentage of clients that connect from the one address to which `max_per_address` applies.
    pub limited: usize,
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = self.actions.iter().zip(Action::ALL).filter(|(weight, _)| **weight > 0);
        let actions: Vec<String> = done.map(|(weight, (action, _))| format!("{action:?} {weight}")).collect();
        writeln!(f, "{:?}", self.limits)?;
        writeln!(f, "faults, per thousand: {:?}", self.faults)?;
        writeln!(f, "actions: {}", actions.join(", "))?;
        write!(f, "window {}, tutorials {} %, limited {} %", self.window, self.tutorials, self.limited)
    }
}

impl Config {
    pub fn draw(rng: &mut Rng) -> Config {
        let limits = draw_limits(rng);
        let mut faults = Faults::none(rng.number());
        // A world without faults is checked most strictly.
        if rng.chance(85) {
            for (fault, max) in FAULTS {
                let weight = if rng.chance(50) { 0 } else { 1 + rng.below(max) };
                faults = faults.with(fault, weight as u16);
            }
        }
        let actions = Action::ALL.map(|(action, weight)| match rng.below(10) {
            0..4 if !matches!(action, Action::Register | Action::Request) => 0,
            9 => 4 * weight,
            _ => weight,
        });
        // If reads may be late, a frame timeout may end a message at any byte.
        let mut tutorials = if rng.chance(40) { 0 } else { rng.below(100) };
        if rng.chance(50) {
            faults = faults.with(Fault::EmptyRead, 0).with(Fault::Late, 0);
        }
        if faults.weight(Fault::EmptyRead) + faults.weight(Fault::Late) > 0 {
            tutorials = 0;
        }
        let window = if rng.chance(70) { usize::MAX } else { 1 << (7 + rng.below(10)) };
        let limited = if rng.chance(60) { 0 } else { rng.below(100) };
        Config { limits, faults, actions, window, tutorials, limited }
    }

    /// Draws the next action.
    pub fn action(&self, rng: &mut Rng) -> Action {
        let mut at = rng.below(self.actions.iter().sum());
        let chosen = self.actions.iter().zip(Action::ALL).find(|(weight, _)| {
            let is_chosen = at < **weight;
            at = at.saturating_sub(**weight);
            is_chosen
        });
        chosen.map_or(Action::Request, |(_, (action, _))| action)
    }

    /// Whether rooms of every size send presence.
    pub fn presence_is_complete(&self) -> bool {
        self.limits.quiet_above.is_none_or(|max| max > MAX_NAMED)
    }

    /// Whether sends may be blocked although the recipient reads.
    pub fn may_block_sends(&self) -> bool {
        self.has_any(&[Fault::ShortSend, Fault::BlockedSend, Fault::Late]) || self.window != usize::MAX
    }

    /// Whether `queue_total` may be reached, so that the largest backlogs are closed.
    pub fn is_tight(&self) -> bool {
        self.limits.queue_total < TIGHT * self.limits.queue
    }

    fn has_any(&self, faults: &[Fault]) -> bool {
        faults.iter().any(|fault| self.faults.weight(*fault) > 0)
    }
}

/// A `queue_total` of this many queues is never reached.
const TIGHT: usize = 1024;

/// Maximum weight of each fault, per thousand calls.
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
        // The witness creates three rooms besides the lobby.
        max_rooms: Some(one_of(&[4, 1024])),
        max_rooms_per_connection: Some(one_of(&[4, 64])),
        quiet_above: or_none(one_of(&[0, 256, 256, 256, 1, 3, 6])),
        max_connections: one_of(&[3, 6, 1024, 1024, 1024]),
        // Applies to the clients that don't connect from loopback.
        max_per_address: or_none(one_of(&[0, 2, 64])),
        rate: or_none(one_of(&[0, 0, 200, 20])).map(|rate| rate as u32),
        burst: one_of(&[10, 200]) as u32,
        register_timeout: or_none(one_of(&[0, 1, 60, 60])).map(seconds),
        drain: seconds(one_of(&[0, 1, 5, 5])),
        ..Limits::default()
    }
}
