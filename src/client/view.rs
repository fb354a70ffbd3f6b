//! What a person sees: a typed line, or what one said oneself, as a row of text with the time in front. All colours
//! are set here and only here; what they surround came through `text::push_safe` before.

use super::line::{Answer, LOBBY, Line, Notice, cut};
use super::roster::fold;
use super::words;
use std::time::{SystemTime, UNIX_EPOCH};
use tz::TimeZone;

/// Colours of names, from the 256-colour cube: neither light nor dark enough to vanish on a white or a black ground.
const PALETTE: [u8; 12] = [28, 30, 32, 62, 64, 94, 97, 99, 126, 130, 133, 166];

/// The same for terminals with few colours: green, magenta, cyan.
const PLAIN_PALETTE: [u8; 3] = [32, 35, 36];

/// How things are shown, from the environment.
#[derive(Debug)]
pub struct View {
    colours: Colours,
    zone: TimeZone,
}

/// How many colours the terminal has, or shall have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// None: `NO_COLOR` (no-color.org).
    None,
    /// The basic ones.
    Few,
    /// The 256-colour cube.
    Many,
}

/// What the user typed, as it is shown once it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own<'a> {
    /// Said in a room; `None` is the lobby.
    Said(Option<&'a str>, &'a str),
    /// Told to one or several.
    Direct(&'a str, &'a str),
    /// A command, as typed.
    Command(&'a str),
}

impl View {
    /// As the environment asks for: `NO_COLOR`, `TERM`, `TZ` or /etc/localtime (UTC where both say nothing).
    #[must_use]
    pub fn from_env() -> View {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let colours = match (set("NO_COLOR"), set("COLORTERM"), set("TERM")) {
            (Some(_), ..) => Colours::None,
            (_, Some(_), _) => Colours::Many,
            (_, _, Some(term)) if term.contains("256") => Colours::Many,
            _ => Colours::Few,
        };
        let zone = match set("TZ") {
            Some(zone) => TimeZone::from_posix_tz(&zone),
            None => TimeZone::local(),
        };
        View::new(colours, zone.unwrap_or_else(|_| TimeZone::utc()))
    }

    /// With these colours, in that zone.
    #[must_use]
    pub fn new(colours: Colours, zone: TimeZone) -> View {
        View { colours, zone }
    }

    /// The row for `line`, which came as `raw`, or nothing where there is nothing to tell.
    #[must_use]
    pub fn line(&self, at: SystemTime, raw: &str, line: &Line<'_>) -> Option<String> {
        let text = match line {
            Line::Said { room, from, text } => format!("{}{}: {text}", self.room(*room), self.name(from, "")),
            Line::Direct { from, text } => format!("{}: {text}", self.name(from, "@")),
            Line::Answer(answer) => format!("+ {}", answered(answer)?),
            Line::Refusal(refusal) => return Some(self.error(at, &words::sentence(*refusal))),
            Line::Notice(Notice::Other) => raw.to_owned(),
            // Without a sign it could read like a remark of the client, or like what one said oneself.
            Line::Other(_) => format!("? {raw}"),
            Line::Notice(_) => self.dim(raw),
        };
        Some(self.stamped(at, &text))
    }

    /// What one said oneself, in the form in which others' lines are shown.
    #[must_use]
    pub fn own(&self, at: SystemTime, nick: &str, own: &Own<'_>) -> String {
        let text = match own {
            Own::Said(room, text) => format!("{}{}: {text}", self.room(*room), self.name(nick, "")),
            Own::Direct(to, text) => format!("{} -> @{to}: {text}", self.name(nick, "")),
            Own::Command(text) => self.dim(text),
        };
        self.stamped(at, &text)
    }

    /// Something that went wrong.
    #[must_use]
    pub fn error(&self, at: SystemTime, text: &str) -> String {
        let red = match self.colours {
            Colours::None => return self.stamped(at, &format!("! {text}")),
            Colours::Few => "\x1b[31m",
            Colours::Many => "\x1b[38;5;160m",
        };
        self.stamped(at, &format!("{red}! {text}\x1b[0m"))
    }

    /// Something that the client itself has to say.
    #[must_use]
    pub fn remark(&self, at: SystemTime, text: &str) -> String {
        self.stamped(at, &self.dim(&format!("- {text}")))
    }

    fn stamped(&self, at: SystemTime, text: &str) -> String {
        format!("{} {text}", self.dim(&clock(at, &self.zone)))
    }

    fn dim(&self, text: &str) -> String {
        if self.colours == Colours::None { text.to_owned() } else { format!("\x1b[2m{text}\x1b[0m") }
    }

    fn room(&self, room: Option<&str>) -> String {
        room.map_or_else(String::new, |room| format!("{} ", self.dim(&format!("&{room}"))))
    }

    /// The name in its colour, which is the same whenever and wherever it is seen.
    fn name(&self, name: &str, sigil: &str) -> String {
        let hash = hash(&fold(name));
        let pick = |count: usize| hash as usize % count;
        match self.colours {
            Colours::None => format!("{sigil}{name}"),
            Colours::Few => format!("\x1b[{}m{sigil}{name}\x1b[0m", PLAIN_PALETTE[pick(PLAIN_PALETTE.len())]),
            Colours::Many => format!("\x1b[38;5;{}m{sigil}{name}\x1b[0m", PALETTE[pick(PALETTE.len())]),
        }
    }
}

/// An answer in words; nothing where its first lines said it all.
fn answered(answer: &Answer<'_>) -> Option<String> {
    Some(match answer {
        Answer::Nick(nick) => format!("you are {nick}"),
        Answer::Room(room, "1") => format!("you are in {room}, alone so far"),
        Answer::Room(room, count) => format!("you are in {room}, {count} are here"),
        Answer::Left(room) => format!("you left {room}"),
        Answer::Who("*", names) => format!("on this server: {names}"),
        Answer::Who(room, names) => format!("in {room}: {names}"),
        Answer::EndWho("*", count) => format!("{count} on this server"),
        Answer::EndWho(room, count) => format!("{count} in {room}"),
        Answer::Rooms(rooms) => format!("rooms: {}", rooms.replace(' ', ", ").replace(':', " ")),
        Answer::EndRooms(count) => format!("{count} in all"),
        Answer::Help(text) => (*text).to_owned(),
        Answer::End | Answer::Bye => return None,
        Answer::Other(word, "") => (*word).to_owned(),
        Answer::Other(word, details) => format!("{word} {details}"),
    })
}

/// `12:03` in `zone`.
fn clock(at: SystemTime, zone: &TimeZone) -> String {
    let seconds =
        at.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0));
    let offset = zone.find_local_time_type(seconds).map_or(0, tz::LocalTimeType::ut_offset);
    let minutes = (seconds + i64::from(offset)).div_euclid(60);
    format!("{:02}:{:02}", minutes.div_euclid(60).rem_euclid(24), minutes.rem_euclid(60))
}

/// FNV-1a: small, and the same on every machine and in every version, so that a name keeps its colour.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811C_9DC5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// What was typed, as it will be shown. `room` is the current one, if there is one.
#[must_use]
pub fn own_line<'a>(typed: &'a str, room: Option<&'a str>) -> Own<'a> {
    let said = |room: &'a str, text| Own::Said((fold(room) != LOBBY).then_some(room), text);
    let command = Own::Command(typed);
    let split = |text: &'a str| text.split_once(':').map(|(name, text)| (name.trim(), text));
    match typed.as_bytes().first() {
        Some(b'@') => split(&typed[1..]).map_or(command, |(to, text)| Own::Direct(to, text.trim_start())),
        Some(b'&') => split(&typed[1..]).map_or(command, |(room, text)| said(room, text.trim_start())),
        Some(b'/') => match (cut(&typed[1..]), room) {
            (("say", text), Some(room)) => said(room, text),
            (("msg", details), _) => Own::Direct(cut(details).0, cut(details).1),
            _ => command,
        },
        _ => room.map_or(command, |room| said(room, typed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Three minutes past twelve.
    fn noon() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(12 * 3600 + 3 * 60)
    }

    #[test]
    fn a_name_keeps_its_colour_however_it_is_written() {
        let view = View::new(Colours::Many, TimeZone::utc());
        let colour = |name| view.name(name, "").split('m').next().unwrap().to_owned();
        assert_eq!(colour("Alice"), colour("alice"));
        let some: std::collections::BTreeSet<_> =
            ["alice", "bob", "carol", "dave", "erin"].map(colour).into();
        assert!(some.len() > 2, "{some:?}");
    }

    #[test]
    fn the_colours_can_be_read_on_black_and_on_white() {
        for colour in PALETTE.into_iter().chain([160]) {
            let light = luminance(colour);
            // WCAG 2.1 asks for a contrast of 3 at least.
            assert!((light + 0.05) / 0.05 >= 3.0, "{colour} on black");
            assert!(1.05 / (light + 0.05) >= 3.0, "{colour} on white");
        }
    }

    /// Relative luminance of a colour of the 6x6x6 cube (WCAG 2.1).
    fn luminance(colour: u8) -> f64 {
        let cube = colour - 16;
        let channel = |level: u8| {
            let value = [0.0, 95.0, 135.0, 175.0, 215.0, 255.0][usize::from(level)] / 255.0;
            if value <= 0.03928 { value / 12.92 } else { ((value + 0.055) / 1.055_f64).powf(2.4) }
        };
        0.2126 * channel(cube / 36) + 0.7152 * channel(cube / 6 % 6) + 0.0722 * channel(cube % 6)
    }

    #[test]
    fn times_are_local() {
        let berlin = TimeZone::from_posix_tz("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        assert_eq!(clock(noon(), &berlin), "13:03");
        let summer = UNIX_EPOCH + Duration::from_secs(1_750_000_000);
        assert_eq!(clock(summer, &TimeZone::utc()), "15:06");
        assert_eq!(clock(summer, &berlin), "17:06");
        assert_eq!(clock(UNIX_EPOCH, &TimeZone::from_posix_tz("XYZ5").unwrap()), "19:00");
    }
}
