//! Tests of `src/server/admission.rs`.

use redpoll::limits::{Limits, MAX_REJECTED};
use redpoll::protocol::{PeerAddr, Refusal};
use redpoll::server::admission::*;

fn admission(max: usize, trusted: &[&str]) -> Admission {
    let trusted = trusted.iter().map(|net| net.parse().unwrap()).collect();
    Admission::new(&Limits { max_per_address: Some(max), trusted, ..Limits::default() })
}

fn admit(admission: &mut Admission, address: &str) -> Result<Option<AddressId>, TooMany> {
    admission.admit(address.parse().unwrap())
}

#[test]
fn address_limit_frees_with_its_connections() {
    let mut admission = admission(2, &[]);
    let first = admit(&mut admission, "192.0.2.1").unwrap().unwrap();
    let second = admit(&mut admission, "192.0.2.1").unwrap().unwrap();
    assert_eq!(admit(&mut admission, "192.0.2.1"), Err(TooMany));
    let other = admit(&mut admission, "192.0.2.2").unwrap().unwrap();
    assert_eq!(admission.addresses(), 2);
    admission.leave(first);
    let third = admit(&mut admission, "192.0.2.1").unwrap().unwrap();
    assert_eq!(admit(&mut admission, "192.0.2.1"), Err(TooMany));
    [second, third, other].into_iter().for_each(|id| admission.leave(id));
    admission.invariants();
    assert_eq!(admission.addresses(), 0, "no entry is left");
}

#[test]
fn full_server_rejects_and_then_drops() {
    let limits = Limits { max_connections: 10, ..Limits::default() };
    let mut admission = Admission::new(&limits);
    let from = PeerAddr::Inet(([192, 0, 2, 1], 1).into());
    let mut verdict = |others, closing| admission.verdict(others, closing, &limits, from);
    assert!(matches!(verdict(9, 0), Verdict::Admit(Some(_))));
    assert_eq!(verdict(10, 0), Verdict::Reject(Refusal::ServerFull));
    assert!(matches!(verdict(10, 1), Verdict::Admit(Some(_))), "closing connections aren't counted");
    assert_eq!(verdict(10 + MAX_REJECTED, MAX_REJECTED), Verdict::Drop(Refusal::ServerFull));
    assert_eq!(admission.verdict(0, 0, &limits, PeerAddr::Unix), Verdict::Admit(None));
    assert_eq!(admission.admit_source(10, &limits, [192, 0, 2, 1].into()), None);
}

#[test]
fn ipv6_counts_by_slash_64() {
    let mut admission = admission(1, &[]);
    assert!(admit(&mut admission, "2001:db8:0:1::1").is_ok());
    assert_eq!(admit(&mut admission, "2001:db8:0:1:ffff::2"), Err(TooMany));
    assert!(admit(&mut admission, "2001:db8:0:2::1").is_ok());
    assert!(admit(&mut admission, "::ffff:192.0.2.1").is_ok());
    assert_eq!(admit(&mut admission, "192.0.2.1"), Err(TooMany));
    assert!(admit(&mut admission, "::ffff:192.0.2.2").is_ok(), "the two share a /64 as written");
}

#[test]
fn loopback_and_trusted_are_exempt() {
    let mut admission = admission(1, &["10.0.0.0/8", "2001:db8::/32"]);
    for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "10.1.2.3", "2001:db8::9"] {
        assert_eq!((0..3).map(|_| admit(&mut admission, address)).next(), Some(Ok(None)), "{address}");
    }
    assert_eq!(admission.addresses(), 0);
    let mut none = Admission::new(&Limits { max_per_address: None, ..Limits::default() });
    assert_eq!(admit(&mut none, "192.0.2.1"), Ok(None));
}

#[test]
fn address_id_takes_four_bytes() {
    assert_eq!(size_of::<Option<AddressId>>(), 4);
}
