//! Tests of `src/server/timers.rs`.

use redpoll::protocol::{ConnId, Time};
use redpoll::server::timers::*;

fn all_due(timers: &mut Timers, now: u64) -> Vec<u32> {
    std::iter::from_fn(|| timers.due(Time(now))).map(|(_, id)| id.0).collect()
}

#[test]
fn deadlines_fire_in_order() {
    let mut timers = Timers::default();
    timers.arm(Time(30), Deadline::Register, ConnId(3));
    timers.arm(Time(10), Deadline::Drain, ConnId(1));
    timers.arm(Time(20), Deadline::Register, ConnId(2));
    timers.arm(Time(20), Deadline::Register, ConnId(4));
    assert_eq!(timers.next(), Some(Time(10)));
    assert!(all_due(&mut timers, 9).is_empty());
    assert_eq!(all_due(&mut timers, 20), [1, 2, 4]);
    assert_eq!(timers.next(), Some(Time(30)));
    assert_eq!(all_due(&mut timers, 1000), [3]);
    assert_eq!(timers.next(), None);
}

#[test]
fn cancelled_deadline_never_fires() {
    for cancelled in 0..3 {
        let mut timers = Timers::default();
        let mut ids: Vec<_> =
            (0..3).map(|i| timers.arm(Time(10 + u64::from(i)), Deadline::TooSlow, ConnId(i))).collect();
        timers.cancel(ids.remove(cancelled as usize));
        let remaining: Vec<u32> = (0..3).filter(|i| *i != cancelled).collect();
        assert_eq!(all_due(&mut timers, 100), remaining);
    }
}

#[test]
fn never_keeps_its_rank_without_firing() {
    let mut timers = Timers::default();
    let ids = [3, 1, 2].map(|id| timers.arm(Time::NEVER, Deadline::Register, ConnId(id)));
    assert_eq!((timers.next(), timers.count(Deadline::Register)), (None, 3));
    assert_eq!(timers.first(Deadline::Register), Some(ConnId(3)));
    assert_eq!(timers.get(&ids[1]), (Deadline::Register, Time::NEVER));
    ids.into_iter().take(1).for_each(|id| timers.cancel(id));
    assert_eq!((timers.first(Deadline::Register), timers.count(Deadline::Register)), (Some(ConnId(1)), 2));
    assert_eq!(timers.count(Deadline::Drain), 0);
}
