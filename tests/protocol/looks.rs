//! Which names look alike (docs/protocol.md, "Names"; Unicode TR39 section 4).

use redpoll::protocol::name::{Name, Skeletons};

fn name(written: &str) -> Name {
    Name::new(written.as_bytes()).unwrap_or_else(|_| panic!("{written:?} is a name"))
}

fn is_confusable_with(one: &str, other: &str) -> bool {
    let (one, other) = (Skeletons::of(&name(one)), Skeletons::of(&name(other)));
    assert_eq!(one.is_confusable_with(&other), other.is_confusable_with(&one), "it goes both ways");
    one.is_confusable_with(&other)
}

#[test]
fn a_name_of_another_script_can_pass_for_an_ascii_one_in_some_case() {
    for (one, other) in [
        ("раура", "paypa"),
        ("РАУРА", "Paypa"),
        ("Раура", "PAYPA"),
        // In capitals only.
        ("вов", "bob"),
        ("нет", "het"),
        // Behind one capital only.
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
        assert!(is_confusable_with(one, other), "{one} and {other}");
    }
}

#[test]
fn two_names_beyond_ascii_can_pass_for_each_other() {
    for (one, other) in
        [("сор", "ⲥⲟⲣ"), ("zoë1", "Zoël"), ("zoë0", "ZoëO"), ("ñorn", "ñom"), ("ZoëI", "zoël")]
    {
        assert!(is_confusable_with(one, other), "{one} and {other}");
    }
}

#[test]
fn the_false_friends_of_ascii_are_friends() {
    for (one, other) in
        [("user1", "userl"), ("user0", "usero"), ("modern", "modem"), ("Iain", "lain"), ("a", "a")]
    {
        assert!(!is_confusable_with(one, other), "{one} and {other}");
    }
    assert!(!is_confusable_with("user1", "ＵＳＥＲＬ"), "widths are not told apart");
}

#[test]
fn names_that_look_different_are_different() {
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
        assert!(!is_confusable_with(one, other), "{one} and {other}");
    }
}
