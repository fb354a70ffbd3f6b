//! Messages for refusals.

use redpoll::client::line::Refusal;
use redpoll::client::refusal_text::message;

#[test]
fn message_ends_with_the_code() {
    for (code, details, expected) in [
        ("no-such-user", "bob", "bob is not here (no-such-user)"),
        ("kicked", "", "you were kicked: no reason given (kicked)"),
        ("denied", "/kick", "only operators may use this command (denied)"),
        ("usage", "/msg nick text", "not understood: /msg nick text (usage)"),
        ("nick-reserved", "root is reserved", "root is reserved; choose another (nick-reserved)"),
        ("nick-taken", "", "the name is taken, or looks like a taken name; choose another (nick-taken)"),
    ] {
        assert_eq!(message(Refusal { code, details }), expected);
    }
}

#[test]
fn unknown_refusal_is_unchanged() {
    assert_eq!(message(Refusal { code: "new-rule", details: "x y" }), "new-rule x y");
    assert_eq!(message(Refusal { code: "new-rule", details: "" }), "new-rule");
}
