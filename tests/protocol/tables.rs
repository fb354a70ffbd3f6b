//! The tables of schemes and refusals hold every variant (docs/protocol.md has the same rows of refusals); rounding of
//! times; relations between limits.

use bstr::BStr;
use redpoll::limits::{Limits, MAX_TARGETS, MIN_MAX_LINE, MIN_QUEUE};
use redpoll::protocol::dialect::Dialect;
use redpoll::protocol::scheme::{Framing, Scheme, Socket, TABLE};
use redpoll::protocol::{Refusal, Subject, Time};
use std::time::Duration;

/// The scheme after `scheme`, in the order of the enum: the compiler demands a new one here.
fn next_scheme(scheme: Scheme) -> Option<Scheme> {
    match scheme {
        Scheme::Line => Some(Scheme::Unix),
        Scheme::Unix => Some(Scheme::Classic),
        Scheme::Classic => Some(Scheme::Nickname),
        Scheme::Nickname => Some(Scheme::Relay),
        Scheme::Relay => Some(Scheme::Udp),
        Scheme::Udp => None,
    }
}

#[test]
fn every_scheme_has_one_row() {
    let all: Vec<Scheme> = std::iter::successors(Some(Scheme::Line), |scheme| next_scheme(*scheme)).collect();
    assert_eq!(TABLE.map(|row| row.scheme).to_vec(), all, "rows are in the order of the enum");
    for row in &TABLE {
        assert_eq!(Scheme::named(row.name), Some(row.scheme), "no other scheme has the name {}", row.name);
        assert!(!row.help.is_empty(), "{}", row.name);
        let dialect = row.language.map(|language| language.dialect);
        assert!(
            dialect.is_none_or(|dialect| Dialect::ALL.get(dialect.index()) == Some(&dialect)),
            "{}",
            row.name
        );
        let datagrams = row.language.is_some_and(|language| language.framing == Framing::Datagrams);
        assert_eq!(datagrams, row.socket == Socket::Udp, "{}", row.name);
    }
}

/// The refusal after `refusal`, in the order of the enum: the compiler demands a new one here.
fn next_refusal(refusal: Refusal<'static>) -> Option<Refusal<'static>> {
    let typed: &BStr = "x".into();
    Some(match refusal {
        Refusal::LineTooLong(_) => Refusal::BadByte,
        Refusal::BadByte => Refusal::RegisterFirst,
        Refusal::RegisterFirst => Refusal::UnknownCommand(typed),
        Refusal::UnknownCommand(_) => Refusal::Denied,
        Refusal::Denied => Refusal::Usage("#name"),
        Refusal::Usage(_) => Refusal::HiddenSigil('\u{200B}', '@'),
        Refusal::HiddenSigil(..) => Refusal::EmptyText,
        Refusal::EmptyText => Refusal::TooManyTargets,
        Refusal::TooManyTargets => Refusal::NickInvalid(typed),
        Refusal::NickInvalid(_) => Refusal::NickReserved(typed),
        Refusal::NickReserved(_) => Refusal::NickTaken(typed),
        Refusal::NickTaken(_) => Refusal::NickKicked(typed),
        Refusal::NickKicked(_) => Refusal::RoomInvalid(typed),
        Refusal::RoomInvalid(_) => Refusal::NoSuchRoom(typed),
        Refusal::NoSuchRoom(_) => Refusal::NotInRoom(Some(typed)),
        Refusal::NotInRoom(Some(_)) => Refusal::NotInRoom(None),
        Refusal::NotInRoom(None) => Refusal::TooManyRooms,
        Refusal::TooManyRooms => Refusal::NoSuchUser(typed),
        Refusal::NoSuchUser(_) => Refusal::RecipientFull(typed),
        Refusal::RecipientFull(_) => Refusal::NoAccounts,
        Refusal::NoAccounts => Refusal::Kicked(typed),
        Refusal::Kicked(_) => Refusal::ServerFull,
        Refusal::ServerFull => Refusal::TooManyConnections,
        Refusal::TooManyConnections => Refusal::RegisterTimeout,
        Refusal::RegisterTimeout => Refusal::TooSlow,
        Refusal::TooSlow => Refusal::ShuttingDown,
        Refusal::ShuttingDown => return None,
    })
}

#[test]
fn docs_list_every_refusal() {
    let page = include_str!("../../docs/protocol.md");
    let (answers, closing) =
        page.split_once("These come before the server closes").expect("the page has two tables");
    let mut refusal = Some(Refusal::LineTooLong(4096));
    while let Some(now) = refusal {
        let row = now.row();
        let subject = match row.subject {
            Subject::None => String::new(),
            Subject::Typed(_) if row.closes => String::new(),
            Subject::Typed(_) => " <x>".into(),
            Subject::Number(number) => format!(" {number}"),
            Subject::Hidden(c, sigil) => format!(" U+{:04X} in front of {sigil}", u32::from(c)),
        };
        let blank = if row.advice.is_empty() { "" } else { " " };
        let expected = format!("| `!{}{subject}{blank}{}`", row.code, row.advice);
        let table = if row.closes { closing } else { answers };
        assert!(table.lines().any(|line| line.starts_with(&expected)), "no row begins {expected}");
        refusal = next_refusal(now);
    }
}

#[test]
fn advice_states_the_target_limit() {
    assert_eq!(Refusal::TooManyTargets.row().advice, format!("at most {MAX_TARGETS} names"));
}

#[test]
fn deadlines_round_up() {
    assert_eq!(Time(5) + Duration::from_micros(1), Time(6));
    assert_eq!(Time(5) + Duration::MAX, Time(u64::MAX));
    assert_eq!(Time(9).until(Time(5)), Duration::ZERO);
}

#[test]
fn sent_line_fits_worst_text() {
    let limits = Limits::default();
    let names = 2 * 4 * 32;
    assert!(limits.max_sent_line() >= 3 * limits.max_line + names + "&::\n".len());
}

#[test]
fn half_least_queue_fits_an_answer() {
    let least = Limits { queue: MIN_QUEUE, max_line: MIN_MAX_LINE, ..Limits::default() };
    assert!(least.half_queue() > least.max_sent_line());
}
