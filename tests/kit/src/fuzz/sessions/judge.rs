//! What each line that a peer receives may be, in a story of [`super::check_session`]: of which grammar, which connection can have sent it,
//! to which peer, and after what. Nothing is sent or read here.

use super::Story;
use crate::fuzz::grammar::{self, CLOSING, Heard, Notice};
use crate::fuzz::person::To;
use redpoll::limits::MAX_SHORT_MESSAGE;
use redpoll::protocol::name;
use redpoll::protocol::scheme::Scheme;

impl Story {
    pub(super) fn judge_bytes(&mut self, listener: usize, line: &[u8]) {
        let line = std::str::from_utf8(line).expect("the server speaks UTF-8");
        assert!(!line.is_empty(), "an empty message");
        assert!(grammar::may_be_shown(line), "not safe to show: {line:?}");
        let door = self.people[listener].door;
        if !self.people[listener].speaks_lines() {
            return self.judge_shown(listener, door, line);
        }
        let heard = grammar::heard(line);
        assert!(heard.is_some(), "the protocol knows no {line:?}");
        heard.into_iter().for_each(|heard| self.judge(listener, line, heard));
    }

    /// What a tutorial's client was sent.
    fn judge_shown(&mut self, listener: usize, door: Scheme, line: &str) {
        let heard = grammar::shown(door, line);
        let person = &mut self.people[listener];
        assert_eq!(person.farewell, None, "{listener} heard {line:?} behind the last line");
        person.lines += 1;
        let before = person.lines - 1;
        let is_closing = matches!(heard, Some(Heard::Refused { code, .. }) if CLOSING.contains(&code));
        match door {
            // Whatever another wrote to it is all of the line, and so may read like anything.
            Scheme::Classic if before > 0 && self.may_be_text(line) => {
                self.people[listener].assert_room_for_direct(listener, line);
                self.people[listener].maybe_kicked |= is_closing;
                return;
            }
            Scheme::Classic => assert!(
                is_closing || (before == 0) == matches!(heard, Some(Heard::Notice(Notice::Connected))),
                "{line:?} is line {before} to {listener}"
            ),
            Scheme::Nickname => assert!(is_closing || before > 0, "{line:?} is the first to {listener}"),
            _ => {}
        }
        assert!(heard.is_some(), "a {door:?} client knows no {line:?}");
        match heard {
            Some(Heard::Answer { word: "nick", details }) => {
                assert!(self.people[listener].claims(details), "{line:?}");
            }
            Some(Heard::Answer { word: "ok", .. }) => assert!(self.people[listener].may_have_said("L ")),
            Some(Heard::Answer { word: "exit", .. }) => assert!(self.people[listener].may_have_said("Q ")),
            Some(Heard::Answer { .. }) | None => {}
            Some(Heard::Refused { code: "denied" | "register-first", .. }) => {
                assert!(door == Scheme::Classic, "{line:?}: nobody can ask for that");
            }
            Some(Heard::Refused { code, details }) if is_closing => {
                let person = &mut self.people[listener];
                assert!(code != "too-slow" || person.balked || self.faulty, "{listener} did read");
                // A name that is refused for a while, to a connection that stays open; one without a stream always does.
                let is_name = code == "kicked" && door == Scheme::Classic && !details.is_empty();
                let goes_on = door == Scheme::Udp || is_name && person.claims(details);
                if !goes_on {
                    person.farewell = Some(line.to_owned());
                }
            }
            Some(Heard::Refused { .. }) => {}
            Some(Heard::Notice(notice)) => self.judge_notice(listener, notice),
            Some(Heard::Direct { from, text }) => {
                self.people[listener].assert_room_for_direct(listener, line);
                let text = Text { text, cut: is_cut(line) };
                self.source(listener, from, text, |to| matches!(to, To::People(_)));
            }
            Some(Heard::Said { from, text, .. }) => {
                let text = Text { text, cut: is_cut(line) };
                let to_us = |to: &To| {
                    matches!(to, To::Room(None)) || matches!(to, To::Room(Some(key)) if key == "lobby")
                };
                let (by, _) = self.source(listener, from, text, to_us);
                assert!(door != Scheme::Udp || by != Some(listener), "{listener} hears itself: {line:?}");
            }
        }
        if let Some(Heard::Refused { code: "shutting-down", .. }) = heard {
            assert!(self.was_stopped(), "nobody asked it to stop");
        }
    }

    /// Returns whether a peer sent this to one user.
    fn may_be_text(&self, line: &str) -> bool {
        let text = Text { text: line, cut: is_cut(line) };
        self.people.iter().any(|person| match person.door {
            Scheme::Line | Scheme::Unix => {
                person.said.iter().any(|said| matches!(said.to, To::People(_)) && text.is_of(&said.text))
            }
            Scheme::Classic => person.may_have_said_as("", line),
            Scheme::Nickname | Scheme::Relay | Scheme::Udp => false,
        })
    }

    fn judge(&mut self, listener: usize, line: &str, heard: Heard<'_>) {
        let person = &mut self.people[listener];
        assert_eq!(person.farewell, None, "{listener} heard {line:?} behind the last line");
        assert!(is_timely(person.lines, heard), "{line:?} is line {} to {listener}", person.lines);
        person.lines += 1;
        match heard {
            Heard::Answer { word: "pong", .. }
            | Heard::Answer { word: "end", details: "help" }
            | Heard::Refused { code: "line-too-long" | "bad-byte", .. } => person.answer(listener, line),
            Heard::Answer { word: "bye", .. } => {
                assert!(person.quit, "{listener} never asked to go");
                person.farewell = Some(line.to_owned());
            }
            Heard::Answer { word: "nick", details } => assert!(person.names.contains(details), "{line:?}"),
            Heard::Answer { word: "room", details } => {
                let room = details.split(' ').next().unwrap_or("");
                assert!(person.enters(&folded(room)), "{listener} never entered: {line:?}");
            }
            Heard::Answer { word: "announced" | "kicked" | "stats" | "shutdown", .. } => {
                assert!(person.door == Scheme::Unix, "{listener} is no operator: {line:?}");
                assert!(!line.starts_with("+shutdown") || person.shutdown, "{listener} never asked for it");
            }
            Heard::Answer { word: "end", details } if details.starts_with("stats ") => {
                assert!(person.door == Scheme::Unix && person.stats, "{listener} is no operator: {line:?}");
            }
            Heard::Answer { .. } => {}
            Heard::Refused { code: "denied", .. } => {
                assert!(person.door == Scheme::Line, "{listener} is an operator: {line:?}");
            }
            Heard::Refused { code: "kicked", details } if person.names.contains(details) => {
                // The name may be refused for a while, or that was the reason for ending the connection.
                person.maybe_kicked = true;
            }
            Heard::Refused { code, .. } if CLOSING.contains(&code) => {
                assert!(code != "too-slow" || person.balked || self.faulty, "{listener} did read");
                person.farewell = Some(line.to_owned());
                assert!(code != "shutting-down" || self.was_stopped(), "nobody asked it to stop");
            }
            Heard::Refused { .. } => {}
            Heard::Notice(notice) => self.judge_notice(listener, notice),
            Heard::Direct { from, text } => {
                let person = &self.people[listener];
                person.assert_room_for_direct(listener, line);
                let to_me = |to: &To| matches!(to, To::People(keys) if keys.iter().any(|key| person.keys.contains(key)));
                let text = Text { text, cut: false };
                let (by, passed) = self.source(listener, from, text, to_me);
                self.people[listener].pass(by, passed);
            }
            Heard::Said { room, from, text } => {
                let room = folded(room);
                assert!(self.people[listener].enters(&room), "{listener} never entered: {line:?}");
                let to_us = |to: &To| {
                    matches!(to, To::Room(None)) || matches!(to, To::Room(Some(key)) if *key == room)
                };
                let text = Text { text, cut: false };
                let (by, passed) = self.source(listener, from, text, to_us);
                assert!(by != Some(listener), "{listener} hears itself: {line:?}");
                self.people[listener].pass(by, passed);
            }
        }
    }

    fn judge_notice(&mut self, listener: usize, notice: Notice<'_>) {
        let claims = |name: &str| self.people.iter().any(|person| person.claims(name));
        let by_operators = |text: &str, fits: fn(&To) -> bool, cut: bool| {
            let mut said = self.people.iter().flat_map(|person| &person.said);
            said.any(|said| fits(&said.to) && Text { text, cut }.is_of(&said.text))
        };
        match notice {
            Notice::Connected | Notice::HowToBegin => {}
            Notice::Announced { text } => {
                let cut = !self.people[listener].speaks_lines() && text.len() + 32 > MAX_SHORT_MESSAGE;
                let said = by_operators(text, |to| matches!(to, To::Everyone), cut);
                assert!(said, "no operator announced {text:?}");
            }
            Notice::Arrived { who } => assert!(claims(who), "nobody is {who}"),
            Notice::Joined { who, room } | Notice::Parted { who, room } => {
                let room = folded(room);
                assert!(self.people[listener].enters(&room), "{listener} was never in {room}");
                let mut people = self.people.iter();
                assert!(people.any(|person| person.claims(who) && person.enters(&room)), "{who}, {room}");
            }
            Notice::Renamed { from, to } => {
                let mut people = self.people.iter();
                let renamed = people.any(|person| person.claims(from) && person.claims(to));
                assert!(renamed, "nobody is both {from} and {to}");
            }
            Notice::Gone { who, reason: None } => assert!(claims(who), "nobody is {who}"),
            Notice::Gone { who, reason: Some(reason) } => {
                let known = match reason {
                    "too slow" => self.faulty || self.people.iter().any(|person| person.balked),
                    "connection lost" => self.people.iter().any(|person| person.reset),
                    "silent" => self.people.len() > self.connected,
                    "kicked" => by_operators("", |to| matches!(to, To::Kicked), false),
                    _ => by_operators(reason, |to| matches!(to, To::Kicked), false),
                };
                if known && claims(who) {
                    assert!(claims(who), "nobody is {who}");
                } else {
                    let reason = Text { text: reason, cut: false };
                    let (by, passed) = self.source(listener, who, reason, |to| matches!(to, To::Company));
                    self.people[listener].pass(by, passed);
                }
            }
        }
    }

    /// Returns the sender of `text` with the name `from` to recipients that it `fits`, and how much of what they said that is. If several
    /// claimed the name, it may be any of them, and nothing is known of the order.
    fn source(
        &self,
        listener: usize,
        from: &str,
        text: Text<'_>,
        fits: impl Fn(&To) -> bool,
    ) -> (Option<usize>, usize) {
        let claimants: Vec<usize> =
            (0..self.people.len()).filter(|at| self.people[*at].claims(from)).collect();
        let said_by = |at: usize, passed: usize| {
            let mut said = self.people[at].said.iter().enumerate().skip(passed);
            said.find(|(_, said)| text.is_of(&said.text) && fits(&said.to)).map(|(place, _)| place + 1)
        };
        if let [only] = claimants[..]
            && self.people[only].speaks_lines()
        {
            let passed = self.people[listener].passed.get(only).copied().unwrap_or(0);
            let said = said_by(only, passed);
            assert!(
                said.is_some(),
                "{from} never said {:?} to {listener} behind their line {passed}",
                text.text
            );
            return (Some(only), said.unwrap_or(passed));
        }
        assert!(
            claimants.iter().any(|at| {
                let person = &self.people[*at];
                said_by(*at, 0).is_some() || person.may_have_said_as(from, text.text)
            }),
            "{from} never said {:?} to {listener}",
            text.text
        );
        (if let [only] = claimants[..] { Some(only) } else { None }, 0)
    }
}

/// What is heard of a text: all, or its beginning.
#[derive(Clone, Copy)]
struct Text<'a> {
    text: &'a str,
    cut: bool,
}

impl Text<'_> {
    fn is_of(self, said: &str) -> bool {
        said == self.text || self.cut && said.starts_with(self.text)
    }
}

/// Whether what a tutorial's client was sent may have been longer: there was no room for a character more.
fn is_cut(line: &str) -> bool {
    line.len() + "\n".len() + 3 >= MAX_SHORT_MESSAGE
}

/// A newcomer is told first where it comes from, then how to begin, unless it is turned away.
fn is_timely(lines_before: usize, heard: Heard<'_>) -> bool {
    match heard {
        Heard::Notice(Notice::Connected) => lines_before == 0,
        Heard::Notice(Notice::HowToBegin) => lines_before == 1,
        Heard::Refused { code, .. } if CLOSING.contains(&code) => true,
        _ => lines_before > 1,
    }
}

fn folded(name: &str) -> String {
    name::fold(name.as_bytes()).map_or(String::new(), |key| key.into_owned())
}
