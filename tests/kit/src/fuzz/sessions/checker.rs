//! The checks of each line that a client receives in a session of [`super::check_session`]: its grammar, its possible
//! senders and recipients, and its order. There is no input or output here.

use super::Session;
use crate::fuzz::client::Recipients;
use crate::fuzz::grammar::{self, CLOSING, Info, ServerLine};
use redpoll::limits::MAX_SHORT_MESSAGE;
use redpoll::protocol::name;
use redpoll::protocol::scheme::Scheme;

impl Session {
    pub(super) fn check_bytes(&mut self, recipient: usize, line: &[u8]) {
        let line = std::str::from_utf8(line).expect("the server sends UTF-8");
        assert!(!line.is_empty(), "an empty message");
        assert!(grammar::may_be_shown(line), "not safe to show: {line:?}");
        let scheme = self.clients[recipient].scheme;
        if !self.clients[recipient].uses_line_protocol() {
            return self.check_tutorial(recipient, scheme, line);
        }
        let parsed = grammar::from_server(line);
        assert!(parsed.is_some(), "the protocol has no {line:?}");
        parsed.into_iter().for_each(|parsed| self.check_line(recipient, line, parsed));
    }

    /// Checks a line to a tutorial's client.
    fn check_tutorial(&mut self, recipient: usize, scheme: Scheme, line: &str) {
        let parsed = grammar::to_tutorial(scheme, line);
        let client = &mut self.clients[recipient];
        assert_eq!(client.final_line, None, "{recipient} received {line:?} after the final line");
        client.lines += 1;
        let before = client.lines - 1;
        let is_closing = matches!(parsed, Some(ServerLine::Refused { code, .. }) if CLOSING.contains(&code));
        match scheme {
            // A direct message is the whole line, so it may look like any other.
            Scheme::Classic if before > 0 && self.may_be_text(line) => {
                self.clients[recipient].assert_room_for_direct(recipient, line);
                self.clients[recipient].maybe_kicked |= is_closing;
                return;
            }
            Scheme::Classic => assert!(
                is_closing || (before == 0) == matches!(parsed, Some(ServerLine::Info(Info::Connected))),
                "{line:?} is line {before} to {recipient}"
            ),
            Scheme::Nickname => assert!(is_closing || before > 0, "{line:?} is the first to {recipient}"),
            _ => {}
        }
        assert!(parsed.is_some(), "the table has no {line:?} for {scheme:?}");
        match parsed {
            Some(ServerLine::Answer { word: "nick", details }) => {
                assert!(self.clients[recipient].claims(details), "{line:?}");
            }
            Some(ServerLine::Answer { word: "ok", .. }) => {
                assert!(self.clients[recipient].may_have_sent("L "))
            }
            Some(ServerLine::Answer { word: "exit", .. }) => {
                assert!(self.clients[recipient].may_have_sent("Q "))
            }
            Some(ServerLine::Answer { .. }) | None => {}
            Some(ServerLine::Refused { code: "denied" | "register-first", .. }) => {
                assert!(scheme == Scheme::Classic, "{line:?}: the dialect has no such request");
            }
            Some(ServerLine::Refused { code, details }) if is_closing => {
                let client = &mut self.clients[recipient];
                assert!(code != "too-slow" || client.has_stalled || self.faulty, "{recipient} was reading");
                // A connection stays open if only its name is blocked for a while, or if it has no stream.
                let is_name = code == "kicked" && scheme == Scheme::Classic && !details.is_empty();
                let stays_open = scheme == Scheme::Udp || is_name && client.claims(details);
                if !stays_open {
                    client.final_line = Some(line.to_owned());
                }
            }
            Some(ServerLine::Refused { .. }) => {}
            Some(ServerLine::Info(info)) => self.check_info(recipient, info),
            Some(ServerLine::Direct { from, text }) => {
                self.clients[recipient].assert_room_for_direct(recipient, line);
                let text = Text { text, cut: is_cut(line) };
                self.source(recipient, from, text, |to| matches!(to, Recipients::Users(_)));
            }
            Some(ServerLine::Message { from, text, .. }) => {
                let text = Text { text, cut: is_cut(line) };
                let to_us = |to: &Recipients| {
                    matches!(to, Recipients::Room(None))
                        || matches!(to, Recipients::Room(Some(key)) if key == "lobby")
                };
                let (by, _) = self.source(recipient, from, text, to_us);
                assert!(
                    scheme != Scheme::Udp || by != Some(recipient),
                    "{recipient} received its own line: {line:?}"
                );
            }
        }
        if let Some(ServerLine::Refused { code: "shutting-down", .. }) = parsed {
            assert!(self.was_stopped(), "no stop was requested");
        }
    }

    /// Returns whether a client may have sent this as a direct message.
    fn may_be_text(&self, line: &str) -> bool {
        let text = Text { text: line, cut: is_cut(line) };
        self.clients.iter().any(|client| match client.scheme {
            Scheme::Line | Scheme::Unix => {
                let mut messages = client.messages.iter();
                messages.any(|sent| matches!(sent.to, Recipients::Users(_)) && text.is_of(&sent.text))
            }
            Scheme::Classic => client.may_have_sent_as("", line),
            Scheme::Nickname | Scheme::Relay | Scheme::Udp => false,
        })
    }

    fn check_line(&mut self, recipient: usize, line: &str, parsed: ServerLine<'_>) {
        let client = &mut self.clients[recipient];
        assert_eq!(client.final_line, None, "{recipient} received {line:?} after the final line");
        assert!(is_in_order(client.lines, parsed), "{line:?} is line {} to {recipient}", client.lines);
        client.lines += 1;
        match parsed {
            ServerLine::Answer { word: "pong", .. }
            | ServerLine::Answer { word: "end", details: "help" }
            | ServerLine::Refused { code: "line-too-long" | "bad-byte", .. } => {
                client.check_answer(recipient, line)
            }
            ServerLine::Answer { word: "bye", .. } => {
                assert!(client.quit, "{recipient} has not quit");
                client.final_line = Some(line.to_owned());
            }
            ServerLine::Answer { word: "nick", details } => {
                assert!(client.names.contains(details), "{line:?}")
            }
            ServerLine::Answer { word: "room", details } => {
                let room = details.split(' ').next().unwrap_or("");
                assert!(client.has_joined(&folded(room)), "{recipient} has not joined: {line:?}");
            }
            ServerLine::Answer { word: "announced" | "kicked" | "stats" | "shutdown", .. } => {
                assert!(client.scheme == Scheme::Unix, "{recipient} is no operator: {line:?}");
                assert!(
                    !line.starts_with("+shutdown") || client.shutdown,
                    "{recipient} has not requested it"
                );
            }
            ServerLine::Answer { word: "end", details } if details.starts_with("stats ") => {
                assert!(
                    client.scheme == Scheme::Unix && client.stats,
                    "{recipient} is no operator: {line:?}"
                );
            }
            ServerLine::Answer { .. } => {}
            ServerLine::Refused { code: "denied", .. } => {
                assert!(client.scheme == Scheme::Line, "{recipient} is an operator: {line:?}");
            }
            ServerLine::Refused { code: "kicked", details } if client.names.contains(details) => {
                // Either the name is blocked for a while, or it is the reason of a kick.
                client.maybe_kicked = true;
            }
            ServerLine::Refused { code, .. } if CLOSING.contains(&code) => {
                assert!(code != "too-slow" || client.has_stalled || self.faulty, "{recipient} was reading");
                client.final_line = Some(line.to_owned());
                assert!(code != "shutting-down" || self.was_stopped(), "no stop was requested");
            }
            ServerLine::Refused { .. } => {}
            ServerLine::Info(info) => self.check_info(recipient, info),
            ServerLine::Direct { from, text } => {
                let client = &self.clients[recipient];
                client.assert_room_for_direct(recipient, line);
                let is_mine = |key: &String| client.keys.contains(key);
                let to_me =
                    |to: &Recipients| matches!(to, Recipients::Users(keys) if keys.iter().any(is_mine));
                let text = Text { text, cut: false };
                let (by, count) = self.source(recipient, from, text, to_me);
                self.clients[recipient].note_delivered(by, count);
            }
            ServerLine::Message { room, from, text } => {
                let room = folded(room);
                assert!(self.clients[recipient].has_joined(&room), "{recipient} has not joined: {line:?}");
                let to_us = |to: &Recipients| {
                    matches!(to, Recipients::Room(None))
                        || matches!(to, Recipients::Room(Some(key)) if *key == room)
                };
                let text = Text { text, cut: false };
                let (by, count) = self.source(recipient, from, text, to_us);
                assert!(by != Some(recipient), "{recipient} received its own line: {line:?}");
                self.clients[recipient].note_delivered(by, count);
            }
        }
    }

    fn check_info(&mut self, recipient: usize, info: Info<'_>) {
        let claims = |name: &str| self.clients.iter().any(|client| client.claims(name));
        let by_operators = |text: &str, fits: fn(&Recipients) -> bool, cut: bool| {
            let mut messages = self.clients.iter().flat_map(|client| &client.messages);
            messages.any(|sent| fits(&sent.to) && Text { text, cut }.is_of(&sent.text))
        };
        match info {
            Info::Connected | Info::Hint => {}
            Info::Announced { text } => {
                let cut =
                    !self.clients[recipient].uses_line_protocol() && text.len() + 32 > MAX_SHORT_MESSAGE;
                let is_sent = by_operators(text, |to| matches!(to, Recipients::All), cut);
                assert!(is_sent, "no operator announced {text:?}");
            }
            Info::Registered { user } => assert!(claims(user), "{user} is unknown"),
            Info::Joined { user, room } | Info::Left { user, room } => {
                let room = folded(room);
                assert!(self.clients[recipient].has_joined(&room), "{recipient} was never in {room}");
                let mut clients = self.clients.iter();
                assert!(
                    clients.any(|client| client.claims(user) && client.has_joined(&room)),
                    "{user}, {room}"
                );
            }
            Info::Renamed { from, to } => {
                let mut clients = self.clients.iter();
                let renamed = clients.any(|client| client.claims(from) && client.claims(to));
                assert!(renamed, "no client has both {from} and {to}");
            }
            Info::Closed { user, reason: None } => assert!(claims(user), "{user} is unknown"),
            Info::Closed { user, reason: Some(reason) } => {
                let known = match reason {
                    "too slow" => self.faulty || self.clients.iter().any(|client| client.has_stalled),
                    "connection lost" => self.clients.iter().any(|client| client.reset),
                    "silent" => self.clients.len() > self.connected,
                    "kicked" => by_operators("", |to| matches!(to, Recipients::Kicked), false),
                    _ => by_operators(reason, |to| matches!(to, Recipients::Kicked), false),
                };
                // Any other reason is a message of `/quit`.
                if !(known && claims(user)) {
                    let reason = Text { text: reason, cut: false };
                    let (by, count) =
                        self.source(recipient, user, reason, |to| matches!(to, Recipients::SharedRooms));
                    self.clients[recipient].note_delivered(by, count);
                }
            }
        }
    }

    /// Returns the client with the name `from` that sent `text` to recipients that `fits` accepts, and the number of
    /// its messages up to this one. If several clients have requested the name, it may be any, and the order is
    /// unknown.
    fn source(
        &self,
        recipient: usize,
        from: &str,
        text: Text<'_>,
        fits: impl Fn(&Recipients) -> bool,
    ) -> (Option<usize>, usize) {
        let candidates: Vec<usize> =
            (0..self.clients.len()).filter(|at| self.clients[*at].claims(from)).collect();
        let sent_by = |at: usize, count: usize| {
            let mut messages = self.clients[at].messages.iter().enumerate().skip(count);
            messages.find(|(_, sent)| text.is_of(&sent.text) && fits(&sent.to)).map(|(index, _)| index + 1)
        };
        if let [only] = candidates[..]
            && self.clients[only].uses_line_protocol()
        {
            let count = self.clients[recipient].delivered.get(only).copied().unwrap_or(0);
            let sent = sent_by(only, count);
            assert!(
                sent.is_some(),
                "{from} has not sent {:?} to {recipient} after message {count}",
                text.text
            );
            return (Some(only), sent.unwrap_or(count));
        }
        assert!(
            candidates.iter().any(|at| {
                let client = &self.clients[*at];
                sent_by(*at, 0).is_some() || client.may_have_sent_as(from, text.text)
            }),
            "{from} has not sent {:?} to {recipient}",
            text.text
        );
        (if let [only] = candidates[..] { Some(only) } else { None }, 0)
    }
}

/// A received text: complete, or the beginning.
#[derive(Clone, Copy)]
struct Text<'a> {
    text: &'a str,
    cut: bool,
}

impl Text<'_> {
    fn is_of(self, sent: &str) -> bool {
        sent == self.text || self.cut && sent.starts_with(self.text)
    }
}

/// Returns whether a line to a tutorial's client may have been cut: there is no room for another character.
fn is_cut(line: &str) -> bool {
    line.len() + "\n".len() + 3 >= MAX_SHORT_MESSAGE
}

/// Returns whether a line is in order: the peer's address is first and the hint is second, unless it is rejected.
fn is_in_order(lines_before: usize, parsed: ServerLine<'_>) -> bool {
    match parsed {
        ServerLine::Info(Info::Connected) => lines_before == 0,
        ServerLine::Info(Info::Hint) => lines_before == 1,
        ServerLine::Refused { code, .. } if CLOSING.contains(&code) => true,
        _ => lines_before > 1,
    }
}

fn folded(name: &str) -> String {
    name::fold(name.as_bytes()).map_or(String::new(), |key| key.into_owned())
}
