//! The other peers of a soak: peers that connect and leave, stall, or send garbage. Each has a script of steps, drawn
//! from the seed; `peer.rs` runs it.

use super::peer::{FLOOD_ROOM, Role, Step};
use fastrand::Rng;
use redpoll::limits::KIB;
use std::time::Duration;

/// The arrivals of one role: interval and maximum number.
pub struct Flow {
    /// The role of the peers.
    pub role: Role,
    /// Interval between connects.
    pub every: Duration,
    /// Maximum number of peers at once; a peer above it is skipped.
    pub at_once: usize,
}

/// All flows together keep a release build of the server far below half a processor.
pub const FLOWS: [Flow; 3] = [
    Flow { role: Role::Churner, every: Duration::from_millis(40), at_once: 40 },
    Flow { role: Role::Staller, every: Duration::from_millis(250), at_once: 8 },
    Flow { role: Role::Garbage, every: Duration::from_millis(100), at_once: 80 },
];

/// Rooms of churning peers: few enough for the peers to meet, and many enough for rooms to be created and removed.
const ROOMS: usize = 8;
/// Stall times in milliseconds. Some stalled peers read again before their queues are full, some long after they were
/// closed.
const LATE: std::ops::Range<usize> = 500..14_000;

/// Returns name and script of the `number`th peer.
pub fn script(role: Role, number: u32, rng: &mut Rng) -> (String, Vec<Step>) {
    match role {
        Role::Churner => churner(number, rng),
        Role::Staller => staller(number, rng),
        Role::Garbage => garbage(number, rng),
    }
}

/// Connects, registers, enters a room, sends a line there, and leaves in one of four ways.
fn churner(number: u32, rng: &mut Rng) -> (String, Vec<Step>) {
    let (name, room) = (format!("c{number:07}"), rng.usize(..ROOMS));
    let mut steps = vec![
        Step::Send(format!("#{name}\n&room{room}\nhello all\n/ping said\n").into_bytes()),
        Step::Await(format!("+nick {name}")),
        Step::Await("+room lobby ".into()),
        Step::Await(format!("+room room{room} ")),
        Step::Await("+pong said".into()),
        Step::Wait(Duration::from_millis(rng.usize(..500) as u64)),
    ];
    match rng.usize(..4) {
        0 => steps.extend([Step::Send(b"/quit bye\n".to_vec()), Step::Await("+bye".into()), Step::End]),
        1 => steps.extend([Step::HalfClose, Step::End]),
        2 => steps.push(Step::Reset),
        _ => {}
    }
    (name, steps)
}

/// Joins the flood room and stalls. A peer that was not closed by then has lost nothing.
fn staller(number: u32, rng: &mut Rng) -> (String, Vec<Step>) {
    let name = format!("s{number:07}");
    let late = LATE.start + rng.usize(..LATE.len());
    let steps = vec![
        Step::Send(format!("#{name}\n&{FLOOD_ROOM}\n/ping in\n").into_bytes()),
        Step::Await("+pong in".into()),
        Step::Stall(Duration::from_millis(late as u64)),
        Step::Send(b"/ping back\n".to_vec()),
        Step::Await("+pong back".into()),
        Step::Send(b"/quit\n".to_vec()),
        Step::Await("+bye".into()),
        Step::End,
    ];
    (name, steps)
}

/// One kind of a bad client. The registered ones are in their own room, so that their lines don't reach rooms in which
/// every line is verified.
fn garbage(number: u32, rng: &mut Rng) -> (String, Vec<Step>) {
    let name = format!("g{number:07}");
    let join = format!("#{name}\n&junk\n");
    let wait = Step::Wait(Duration::from_millis(20 + rng.usize(..100) as u64));
    let steps = match rng.usize(..10) {
        0 => vec![
            Step::Send(bytes(rng, 4 * KIB)),
            wait,
            Step::Send(bytes(rng, KIB)),
            Step::HalfClose,
            Step::End,
        ],
        1 => endless(&join),
        2 => vec![Step::Send([join.as_bytes(), &[0; 300], b"\nx\0y\n"].concat()), wait, Step::Reset],
        3 => vec![Step::Send(text(rng, &join)), wait, Step::HalfClose, Step::End],
        4 => vec![Step::Send(format!("{join}half a li").into_bytes()), wait, Step::Reset],
        5 => byte_by_byte(&format!("{join}one at a time\n/quit\n")),
        // Connects and closes at once.
        6 => Vec::new(),
        7 => vec![Step::Reset],
        // Never registers: silent, or with many lines.
        8 => vec![Step::Await("!register-timeout ".into()), Step::End],
        _ => vec![Step::Send(b"/ping\nwho is there?\n#\n".repeat(20)), Step::End],
    };
    (name, steps)
}

/// Returns any bytes but `#`, so that none of them registers a peer that would join the lobby.
fn bytes(rng: &mut Rng, count: usize) -> Vec<u8> {
    (0..count).map(|_| rng.usize(..256) as u8).map(|byte| if byte == b'#' { b'$' } else { byte }).collect()
}

/// Returns a registration, then lines of random text: more lines than the rate allows, so that they are blocked for a
/// while.
fn text(rng: &mut Rng, join: &str) -> Vec<u8> {
    let mut out = join.as_bytes().to_vec();
    for _ in 0..220 {
        out.push(b'x');
        let count = rng.usize(..40);
        out.extend(bytes(rng, count).into_iter().filter(|byte| *byte != b'\n'));
        out.push(b'\n');
    }
    out
}

fn endless(join: &str) -> Vec<Step> {
    let mut steps = vec![Step::Send(join.as_bytes().to_vec())];
    for _ in 0..16 {
        steps.extend([Step::Send(vec![b'x'; 4 * KIB]), Step::Wait(Duration::from_millis(10))]);
    }
    steps.extend([Step::Send(b"\n/quit\n".to_vec()), Step::Await("+bye".into()), Step::End]);
    steps
}

fn byte_by_byte(line: &str) -> Vec<Step> {
    let each = line.bytes().flat_map(|byte| [Step::Send(vec![byte]), Step::Wait(Duration::from_millis(5))]);
    each.chain([Step::Await("+bye".into()), Step::End]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_gives_same_scripts() {
        let play = |seed| {
            let mut rng = Rng::with_seed(seed);
            let roles = std::iter::repeat_n(Role::Garbage, 200).chain([Role::Staller, Role::Churner]);
            roles.map(|role| script(role, 0, &mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(play(3), play(3));
        assert_ne!(play(3), play(4));
    }

    #[test]
    fn unregistered_garbage_registers_no_name() {
        let mut rng = Rng::with_seed(0);
        assert!(!bytes(&mut rng, 100_000).contains(&b'#'));
        assert_eq!(text(&mut rng, "#g\n").iter().filter(|byte| **byte == b'#').count(), 1);
    }
}
