//! Refusals in words: one table from the protocol's codes to sentences. The code stays visible behind each, for whoever
//! looks it up or asks for help.

use super::line::{Refusal, cut};

/// Code and sentence; `{}` stands for the refusal's details, `{1}` for their first word where the server may explain
/// itself behind it. The third column stands there when there are none.
const SENTENCES: [(&str, &str, &str); 27] = [
    ("line-too-long", "that line is too long: at most {1} bytes go into one", "a few thousand"),
    ("bad-byte", "that line holds a byte that no text has", ""),
    ("register-first", "you need a name first", ""),
    ("unknown-command", "there is no command {1}; /help lists them", "of that name"),
    ("denied", "only operators may do that", ""),
    ("usage", "that is not quite the form: {}", "see /help"),
    ("empty-text", "there is nothing in that message", ""),
    ("too-many-targets", "too many names before the colon: at most 16 at once", ""),
    (
        "nick-invalid",
        "that can't be a name: up to 32 letters of one script, digits, - _ . with a letter or digit first",
        "",
    ),
    ("nick-reserved", "the name {1} is reserved", "you chose"),
    ("nick-taken", "somebody has the name {1} already, or one that looks like it", "you chose"),
    (
        "room-invalid",
        "that can't be a room: up to 32 letters of one script, digits, - _ . with a letter or digit first",
        "",
    ),
    ("no-such-room", "there is no room {}; &NAME makes one", "of that name"),
    ("not-in-room", "you are not in that room, or in none; &NAME enters one", ""),
    ("too-many-rooms", "there are too many rooms already; /leave one first", ""),
    ("no-such-user", "{} is not here", "nobody of that name"),
    (
        "recipient-full",
        "{} is not reading just now, so that was not delivered; try again later",
        "the recipient",
    ),
    ("no-accounts", "this server keeps no accounts; give the name without a password", ""),
    ("password-required", "the name {1} is protected; write it as NAME:PASSWORD", "you chose"),
    ("password-wrong", "that is not the password of {1}", "this name"),
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
            let (details, first) = match details {
                "" => (*stand_in, *stand_in),
                details => (details, cut(details).0),
            };
            // The details last: they may hold anything.
            format!("{} ({code})", sentence.replacen("{1}", first, 1).replacen("{}", details, 1))
        }
        None if details.is_empty() => code.to_owned(),
        None => format!("{code} {details}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_that_names_something_has_a_stand_in() {
        for (code, sentence, stand_in) in SENTENCES {
            assert_eq!(sentence.contains('{'), !stand_in.is_empty(), "{code}");
        }
    }
}
