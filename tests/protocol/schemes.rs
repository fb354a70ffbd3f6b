//! Tests of `src/protocol/scheme.rs`.

use redpoll::protocol::dialect::Dialect;
use redpoll::protocol::scheme::*;

/// The scheme after `scheme`, in the order of the enum: the compiler demands a new one here.
fn next(scheme: Scheme) -> Option<Scheme> {
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
fn every_scheme_has_a_row_of_its_own() {
    let all: Vec<Scheme> = std::iter::successors(Some(Scheme::Line), |scheme| next(*scheme)).collect();
    assert_eq!(TABLE.map(|row| row.scheme).to_vec(), all, "rows stand in the order of the enum");
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
