//! Refusals in words.

use redpoll::client::line::Refusal;
use redpoll::client::words::sentence;

#[test]
fn a_refusal_is_told_in_words_with_its_code() {
    for (code, details, told) in [
        ("no-such-user", "bob", "bob is not here (no-such-user)"),
        ("kicked", "", "you were kicked: no reason given (kicked)"),
        ("denied", "/kick", "only operators may do that (denied)"),
        ("usage", "/msg nick text", "that is not quite the form: /msg nick text (usage)"),
        ("nick-reserved", "root is reserved", "the name root is reserved (nick-reserved)"),
        ("nick-taken", "", "somebody has the name you chose already, or one that looks like it (nick-taken)"),
    ] {
        assert_eq!(sentence(Refusal { code, details }), told);
    }
}

#[test]
fn an_unknown_code_is_shown_as_it_is() {
    assert_eq!(sentence(Refusal { code: "new-rule", details: "x y" }), "new-rule x y");
    assert_eq!(sentence(Refusal { code: "new-rule", details: "" }), "new-rule");
}
