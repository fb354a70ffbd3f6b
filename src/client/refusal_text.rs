//! The text that is shown for a refusal: one table from the protocol's error codes to messages. Each message ends with
//! its code, so that the user can look it up.

use super::line::{Refusal, split_word};

/// Code, message, and the default for missing details. `{}` is replaced by the details of the refusal, and `{1}` by
/// their first word, where the server may add an explanation after it.
const MESSAGES: [(&str, &str, &str); 27] = [
    ("line-too-long", "the line is too long: send at most {1} bytes a line", "a few thousand"),
    ("bad-byte", "the line contains a NUL byte; remove it", ""),
    ("register-first", "not registered; choose a name first", ""),
    ("unknown-command", "there is no command {1}; /help lists the commands", "with that name"),
    ("denied", "only operators may use this command", ""),
    ("usage", "not understood: {}", "see /help"),
    ("empty-text", "the message is empty; write a text", ""),
    ("too-many-targets", "too many names before the colon; give at most 16", ""),
    (
        "nick-invalid",
        "not a valid name: use up to 32 letters of one script, digits, - _ . and begin with a letter or digit",
        "",
    ),
    ("nick-reserved", "{1} is reserved; choose another", "the name"),
    ("nick-taken", "{1} is taken, or looks like a taken name; choose another", "the name"),
    (
        "room-invalid",
        "not a valid room: use up to 32 letters of one script, digits, - _ . and begin with a letter or digit",
        "",
    ),
    ("no-such-room", "there is no room {}; &NAME creates one", "with that name"),
    ("not-in-room", "you are not in the room, or in no room; &NAME joins one", ""),
    ("too-many-rooms", "there are too many rooms; /leave one first", ""),
    ("no-such-user", "{} is not here", "the user"),
    (
        "recipient-full",
        "not delivered, because {} does not read fast enough; try again later",
        "the recipient",
    ),
    ("no-accounts", "this server has no accounts; give the name without a password", ""),
    ("password-required", "the name {1} is protected; write it as NAME:PASSWORD", "you chose"),
    ("password-wrong", "wrong password for {1}; try again", "the name"),
    ("needs-tls", "this server accepts passwords only over an encrypted connection", ""),
    ("server-full", "the server is full; try again later", ""),
    ("too-many-connections", "too many connections from your address; close one first", ""),
    ("register-timeout", "no name was chosen in time; connect again", ""),
    ("too-slow", "the client received too slowly, and the server closed the connection", ""),
    ("kicked", "you were kicked: {}", "no reason given"),
    ("shutting-down", "the server is shutting down", ""),
];

/// Returns the message for `refusal` with its code at the end. An unknown refusal is returned as received.
///
/// Example: `bob is not here (no-such-user)`.
#[must_use]
pub fn message(refusal: Refusal<'_>) -> String {
    let Refusal { code, details } = refusal;
    match MESSAGES.iter().find(|(known, ..)| *known == code) {
        Some((_, message, default)) => {
            let (details, first) = match details {
                "" => (*default, *default),
                details => (details, split_word(details).0),
            };
            // Details are inserted last, because they may contain `{1}`.
            format!("{} ({code})", message.replacen("{1}", first, 1).replacen("{}", details, 1))
        }
        None if details.is_empty() => code.to_owned(),
        None => format!("{code} {details}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_with_details_have_a_default() {
        for (code, message, default) in MESSAGES {
            assert_eq!(message.contains('{'), !default.is_empty(), "{code}");
        }
    }
}
