//! Which names are confusable (docs/protocol.md, "Names"; Unicode TR39 section 4).

use redpoll::protocol::name::{Name, Skeletons};

fn name(written: &str) -> Name {
    Name::new(written.as_bytes()).unwrap_or_else(|_| panic!("{written:?} is a name"))
}

fn confusable(one: &str, other: &str) -> bool {
    let (one, other) = (Skeletons::of(&name(one)), Skeletons::of(&name(other)));
    assert_eq!(one.is_confusable_with(&other), other.is_confusable_with(&one), "the relation is symmetric");
    one.is_confusable_with(&other)
}

#[test]
fn other_scripts_are_confusable_with_ascii() {
    for (one, other) in [
        ("раура", "paypa"),
        ("РАУРА", "Paypa"),
        ("Раура", "PAYPA"),
        // In capitals only.
        ("вов", "bob"),
        ("нет", "het"),
        // After one capital only.
        ("νονα", "Nova"),
        ("ΝΟΝΑ", "nova"),
        // A capital I among small letters.
        ("аІех", "alex"),
        ("ѕсоре", "sc0pe"),
        ("ɡoogle", "google"),
        ("ｍɑin", "main"),
        ("ıan", "ian"),
        ("ᎪᎠᎪ", "ada"),
    ] {
        assert!(confusable(one, other), "{one} and {other}");
    }
}

#[test]
fn non_ascii_names_can_be_confusable() {
    for (one, other) in
        [("сор", "ⲥⲟⲣ"), ("zoë1", "Zoël"), ("zoë0", "ZoëO"), ("ñorn", "ñom"), ("ZoëI", "zoël")]
    {
        assert!(confusable(one, other), "{one} and {other}");
    }
}

#[test]
fn ascii_names_are_never_confusable() {
    for (one, other) in
        [("user1", "userl"), ("user0", "usero"), ("modern", "modem"), ("Iain", "lain"), ("a", "a")]
    {
        assert!(!confusable(one, other), "{one} and {other}");
    }
    assert!(!confusable("user1", "ＵＳＥＲＬ"), "full width is folded");
}

#[test]
fn distinct_names_are_not_confusable() {
    for (one, other) in [
        ("Ольга", "olga"),
        ("наталья0001", "наталья0002"),
        ("анна", "ана"),
        ("zoë", "zoe"),
        ("straße", "strasse"),
        ("世界", "世间"),
        ("한국", "한글"),
        ("רותי", "דותי"),
        ("алиса", "alice"),
    ] {
        assert!(!confusable(one, other), "{one} and {other}");
    }
}
