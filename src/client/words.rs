//! Refusals in words: one table from the protocol's codes to sentences. The code stays visible behind each, for whoever
//! looks it up or asks for help.

use super::line::Refusal;

/// Code and sentence; `{}` stands for the refusal's details. The third column does where there are none.
const SENTENCES: [(&str, &str, &str); 27] = [
    ("line-too-long", "that line is too long: at most {} bytes go into one", "a few thousand bytes"),
    ("bad-byte", "that line holds a byte that no text has", ""),
    ("register-first", "you need a name first", ""),
    ("unknown-command", "there is no command {}; /help lists them", "of that name"),
    ("denied", "only operators may do that", ""),
    ("usage", "that is incomplete; it goes like this: {}", "see /help"),
    ("empty-text", "there is nothing in that message", ""),
    ("too-many-targets", "too many names before the colon: at most 16 at once", ""),
    (
        "nick-invalid",
        "{} can't be a name: use up to 32 letters, digits, - _ . and begin with a letter or digit",
        "that",
    ),
    ("nick-reserved", "the name {} is reserved", "you chose"),
    ("nick-taken", "somebody has the name {} already", "you chose"),
    (
        "room-invalid",
        "{} can't be a room: use up to 32 letters, digits, - _ . and begin with a letter or digit",
        "that",
    ),
    ("no-such-room", "there is no room {}; &NAME makes one", "of that name"),
    ("not-in-room", "you are not in {}; &NAME enters a room", "a room"),
    ("too-many-rooms", "there are too many rooms already; /leave one first", ""),
    ("no-such-user", "{} is not here", "nobody of that name"),
    (
        "recipient-full",
        "{} is not reading just now, so that was not delivered; try again later",
        "the recipient",
    ),
    ("no-accounts", "this server keeps no accounts; give the name without a password", ""),
    ("password-required", "the name {} is protected; write it as NAME:PASSWORD", "you chose"),
    ("password-wrong", "that is not the password of {}", "this name"),
    ("needs-tls", "this server takes passwords over an encrypted connection only", ""),
    ("server-full", "the server is full; try again later", ""),
    ("too-many-connections", "there are too many connections from your address", ""),
    ("register-timeout", "you took too long to choose a name", ""),
    ("too-slow", "the server gave up on this connection: too much was left unread", ""),
    ("kicked", "you were kicked: {}", "no reason given"),
    ("shutting-down", "the server is shutting down", ""),
];

/// A sentence for `refusal`, its code behind it; an unknown one as it is.
///
/// Shape: `bob is not here (no-such-user)`.
#[must_use]
pub fn sentence(refusal: Refusal<'_>) -> String {
    let Refusal { code, details } = refusal;
    match SENTENCES.iter().find(|(known, ..)| *known == code) {
        Some((_, sentence, stand_in)) => {
            let details = if details.is_empty() { stand_in } else { details };
            format!("{} ({code})", sentence.replacen("{}", details, 1))
        }
        None if details.is_empty() => code.to_owned(),
        None => format!("{code} {details}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_words_with_its_code() {
        for (code, details, told) in [
            ("no-such-user", "bob", "bob is not here (no-such-user)"),
            ("kicked", "", "you were kicked: no reason given (kicked)"),
            ("denied", "/kick", "only operators may do that (denied)"),
            ("usage", "/msg NICK TEXT", "that is incomplete; it goes like this: /msg NICK TEXT (usage)"),
        ] {
            assert_eq!(sentence(Refusal { code, details }), told);
        }
    }

    #[test]
    fn an_unknown_code_is_shown_as_it_is() {
        assert_eq!(sentence(Refusal { code: "new-rule", details: "x y" }), "new-rule x y");
        assert_eq!(sentence(Refusal { code: "new-rule", details: "" }), "new-rule");
    }

    #[test]
    fn a_sentence_that_names_something_has_a_stand_in() {
        for (code, sentence, stand_in) in SENTENCES {
            assert_eq!(sentence.contains("{}"), !stand_in.is_empty(), "{code}");
        }
    }
}
