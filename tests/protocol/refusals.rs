//! Tests of `src/protocol/refusal.rs`.

use bstr::BStr;
use redpoll::limits::MAX_TARGETS;
use redpoll::protocol::{Refusal, Subject};

/// The refusal after `refusal`, in the order of the enum: the compiler demands a new one here.
fn next(refusal: Refusal<'static>) -> Option<Refusal<'static>> {
    let typed: &BStr = "x".into();
    Some(match refusal {
        Refusal::LineTooLong(_) => Refusal::BadByte,
        Refusal::BadByte => Refusal::RegisterFirst,
        Refusal::RegisterFirst => Refusal::UnknownCommand(typed),
        Refusal::UnknownCommand(_) => Refusal::Denied,
        Refusal::Denied => Refusal::Usage("#name"),
        Refusal::Usage(_) => Refusal::EmptyText,
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
        };
        let blank = if row.advice.is_empty() { "" } else { " " };
        let expected = format!("| `!{}{subject}{blank}{}`", row.code, row.advice);
        let table = if row.closes { closing } else { answers };
        assert!(table.lines().any(|line| line.starts_with(&expected)), "no row begins {expected}");
        refusal = next(now);
    }
}

#[test]
fn advice_names_the_bound_of_targets() {
    assert_eq!(Refusal::TooManyTargets.row().advice, format!("at most {MAX_TARGETS} names"));
}
