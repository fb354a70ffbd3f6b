//! Tests of `src/subnet.rs`.

use redpoll::subnet::*;

fn contains(net: &str, address: &str) -> bool {
    net.parse::<Subnet>().unwrap().contains(address.parse().unwrap())
}

#[test]
fn subnet_contains_its_addresses() {
    assert!(contains("10.0.0.0/8", "10.255.0.1") && !contains("10.0.0.0/8", "11.0.0.0"));
    assert!(contains("192.0.2.128/25", "192.0.2.129") && !contains("192.0.2.128/25", "192.0.2.127"));
    assert!(contains("192.0.2.7", "192.0.2.7") && !contains("192.0.2.7", "192.0.2.6"));
    assert!(contains("0.0.0.0/0", "203.0.113.9") && !contains("0.0.0.0/0", "2001:db8::1"));
    assert!(contains("2001:db8::/33", "2001:db8:7fff::1") && !contains("2001:db8::/33", "2001:db8:8000::1"));
    assert!(contains("2001:db8::1", "2001:db8::1") && !contains("2001:db8::1", "2001:db8::2"));
    assert!(contains("::/0", "2001:db8::1") && !contains("::/0", "10.0.0.1"));
}

#[test]
fn mapped_ipv4_matches_ipv4() {
    assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
    assert!(contains("::ffff:10.0.0.0/104", "10.1.2.3") && contains("::ffff:10.0.0.1", "10.0.0.1"));
    assert!(!contains("::ffff:10.0.0.0/104", "11.0.0.1"));
}

#[test]
fn invalid_subnet_suggests_the_right_one() {
    let why = |text: &str| text.parse::<Subnet>().unwrap_err();
    assert_eq!(why("10.1.2.3/8"), "that has bits behind the net; the net is 10.0.0.0/8");
    assert_eq!(why("2001:db8::1/64"), "that has bits behind the net; the net is 2001:db8::/64");
    assert_eq!(why("10.0.0.0/33"), "`33` is not a number of bits: 0 to 32");
    assert_eq!(why("::/129"), "`129` is not a number of bits: 0 to 128");
    for text in ["", "/8", "10/8", "example.org", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8/8", " 10.0.0.1"] {
        assert!(text.parse::<Subnet>().is_err(), "{text:?}");
    }
}
