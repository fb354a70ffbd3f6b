//! Who else there is while people chat: those who come and go, those who don't read, and those who send garbage. Each is
//! a script of steps, drawn from the seed; how it is played is in `peer.rs`.

use super::peer::{FLOOD_ROOM, Role, Step};
use fastrand::Rng;
use redpoll::limits::KIB;
use std::time::Duration;

/// How often somebody of a role comes, and how many of it there are at most.
pub struct Flow {
    /// Who.
    pub role: Role,
    /// Time between two who come.
    pub every: Duration,
    /// Whoever would be one more waits until another one is gone.
    pub at_once: usize,
}

/// Together they keep a server of the release build far below half a processor.
pub const FLOWS: [Flow; 3] = [
    Flow { role: Role::Churner, every: Duration::from_millis(40), at_once: 40 },
    Flow { role: Role::Staller, every: Duration::from_millis(250), at_once: 8 },
    Flow { role: Role::Garbage, every: Duration::from_millis(100), at_once: 80 },
];

/// Rooms for those who come and go: few, so that they meet there, and many enough that rooms come and go too.
const ROOMS: usize = 8;
/// What it is to read late, in milliseconds: some are back before their queues are full, some long after they were given
/// up.
const LATE: std::ops::Range<usize> = 500..14_000;

/// What the `number`th peer does, and its name.
pub fn script(role: Role, number: u32, rng: &mut Rng) -> (String, Vec<Step>) {
    match role {
        Role::Churner => churner(number, rng),
        Role::Staller => staller(number, rng),
        Role::Garbage => garbage(number, rng),
    }
}

/// Connects, takes a name, enters a room, says something there, and leaves: in each of the four ways there are.
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

/// Goes where much is said and doesn't read for a while; if it was not given up by then, it has lost nothing.
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

/// One of the ways to be a bad client. Those who have a name are in a room of their own, so that nothing of it is said
/// where every line is known.
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
        // Whoever knocks and goes.
        6 => Vec::new(),
        7 => vec![Step::Reset],
        // Whoever never gives a name, in silence or with much ado.
        8 => vec![Step::Await("!register-timeout ".into()), Step::End],
        _ => vec![Step::Send(b"/ping\nwho is there?\n#\n".repeat(20)), Step::End],
    };
    (name, steps)
}

/// Any bytes but `#`: none of this may take a name, and with it a place among those who chat.
fn bytes(rng: &mut Rng, count: usize) -> Vec<u8> {
    (0..count).map(|_| rng.usize(..256) as u8).map(|byte| if byte == b'#' { b'$' } else { byte }).collect()
}

/// A name, then lines of whatever, each of them text: more than may come at once, so that it isn't read for a while.
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
