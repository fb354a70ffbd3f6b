//! Formats rows for the terminal: received lines, the local echo of typed lines, errors and the client's status
//! messages, each after its time. Colours are set only here. All other text has passed `text::push_safe` before.

use super::line::{Answer, LOBBY, Line, split_word};
use super::refusal_text;
use super::roster::fold;
use std::time::{SystemTime, UNIX_EPOCH};
use tz::TimeZone;

/// Colours of names, from the 256-colour cube. Each has enough contrast on a white and on a black background.
const PALETTE: [u8; 12] = [28, 30, 32, 62, 64, 94, 97, 99, 126, 130, 133, 166];

/// Colours of names on terminals with few colours: green, magenta, cyan.
const PLAIN_PALETTE: [u8; 3] = [32, 35, 36];

/// The format of rows.
#[derive(Debug)]
pub struct View {
    colours: Colours,
    zone: TimeZone,
}

/// Which colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// None, as `NO_COLOR` asks for (no-color.org).
    None,
    /// The basic colours.
    Few,
    /// The 256-colour cube.
    Many,
}

/// The local echo of a typed line, shown when the line is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo<'a> {
    /// The room (`None` is the lobby) and the message.
    Message(Option<&'a str>, &'a str),
    /// The recipients and the direct message.
    Direct(&'a str, &'a str),
    /// A command, as typed.
    Command(&'a str),
}

impl View {
    /// Reads the format from `NO_COLOR`, `COLORTERM`, `TERM`, and `TZ` or /etc/localtime; the default zone is UTC.
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

    /// Creates a view with these colours and times in `zone`.
    #[must_use]
    pub fn new(colours: Colours, zone: TimeZone) -> View {
        View { colours, zone }
    }

    /// Returns the row for `line`, received as `raw`; `None` if it is not shown.
    #[must_use]
    pub fn line(&self, at: SystemTime, raw: &str, line: &Line<'_>) -> Option<String> {
        let text = match line {
            Line::Message { room, from, text } => {
                format!("{}{}: {text}", self.room(*room), self.name(from, ""))
            }
            Line::Direct { from, text } => format!("{}: {text}", self.name(from, "@")),
            Line::Answer(answer) => format!("+ {}", answer_text(answer)?),
            Line::Refusal(refusal) => return Some(self.error(at, &refusal_text::message(*refusal))),
            Line::Notice => raw.to_owned(),
            // Without the `?`, it could look like a status message or a local echo.
            Line::Other(_) => format!("? {raw}"),
            Line::Presence(_) => self.dim(raw),
        };
        Some(self.with_time(at, &text))
    }

    /// Returns the row for the local echo, in the format of received messages.
    #[must_use]
    pub fn echo(&self, at: SystemTime, nick: &str, echo: &Echo<'_>) -> String {
        let text = match echo {
            Echo::Message(room, text) => format!("{}{}: {text}", self.room(*room), self.name(nick, "")),
            Echo::Direct(to, text) => format!("{} -> @{to}: {text}", self.name(nick, "")),
            Echo::Command(text) => self.dim(text),
        };
        self.with_time(at, &text)
    }

    /// Returns the row for an error.
    #[must_use]
    pub fn error(&self, at: SystemTime, text: &str) -> String {
        let red = match self.colours {
            Colours::None => return self.with_time(at, &format!("! {text}")),
            Colours::Few => "\x1b[31m",
            Colours::Many => "\x1b[38;5;160m",
        };
        self.with_time(at, &format!("{red}! {text}\x1b[0m"))
    }

    /// Returns the row for a status message of the client.
    #[must_use]
    pub fn status(&self, at: SystemTime, text: &str) -> String {
        self.with_time(at, &self.dim(&format!("- {text}")))
    }

    fn with_time(&self, at: SystemTime, text: &str) -> String {
        format!("{} {text}", self.dim(&format_time(at, &self.zone)))
    }

    fn dim(&self, text: &str) -> String {
        if self.colours == Colours::None { text.to_owned() } else { format!("\x1b[2m{text}\x1b[0m") }
    }

    fn room(&self, room: Option<&str>) -> String {
        room.map_or_else(String::new, |room| format!("{} ", self.dim(&format!("&{room}"))))
    }

    /// Returns the name in its colour, which depends only on the case-folded name.
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

/// Returns the text of an answer; `None` if it adds nothing to the lines before it.
fn answer_text(answer: &Answer<'_>) -> Option<String> {
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

/// Returns the time as `12:03` in `zone`.
fn format_time(at: SystemTime, zone: &TimeZone) -> String {
    let seconds =
        at.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0));
    let offset = zone.find_local_time_type(seconds).map_or(0, tz::LocalTimeType::ut_offset);
    let minutes = (seconds + i64::from(offset)).div_euclid(60);
    format!("{:02}:{:02}", minutes.div_euclid(60).rem_euclid(24), minutes.rem_euclid(60))
}

/// FNV-1a: small, and the same on every machine and in every version, so that the colour of a name never changes.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811C_9DC5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Returns the local echo of a typed line; `room` is the current room.
#[must_use]
pub fn local_echo<'a>(typed: &'a str, room: Option<&'a str>) -> Echo<'a> {
    let message = |room: &'a str, text| Echo::Message((fold(room) != LOBBY).then_some(room), text);
    let command = Echo::Command(typed);
    let split = |text: &'a str| text.split_once(':').map(|(name, text)| (name.trim(), text));
    match typed.as_bytes().first() {
        Some(b'@') => split(&typed[1..]).map_or(command, |(to, text)| Echo::Direct(to, text.trim_start())),
        Some(b'&') => split(&typed[1..]).map_or(command, |(room, text)| message(room, text.trim_start())),
        Some(b'/') => match (split_word(&typed[1..]), room) {
            (("say", text), Some(room)) => message(room, text),
            (("msg", details), _) => Echo::Direct(split_word(details).0, split_word(details).1),
            _ => command,
        },
        _ => room.map_or(command, |room| message(room, typed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// 12:03 UTC.
    fn noon() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(12 * 3600 + 3 * 60)
    }

    #[test]
    fn colour_ignores_case() {
        let view = View::new(Colours::Many, TimeZone::utc());
        let colour = |name| view.name(name, "").split('m').next().unwrap().to_owned();
        assert_eq!(colour("Alice"), colour("alice"));
        let distinct: std::collections::BTreeSet<_> =
            ["alice", "bob", "carol", "dave", "erin"].map(colour).into();
        assert!(distinct.len() > 2, "{distinct:?}");
    }

    #[test]
    fn colours_contrast_with_both_backgrounds() {
        for colour in PALETTE.into_iter().chain([160]) {
            let light = luminance(colour);
            // WCAG 2.1 requires a contrast of at least 3.
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
        assert_eq!(format_time(noon(), &berlin), "13:03");
        let summer = UNIX_EPOCH + Duration::from_secs(1_750_000_000);
        assert_eq!(format_time(summer, &TimeZone::utc()), "15:06");
        assert_eq!(format_time(summer, &berlin), "17:06");
        assert_eq!(format_time(UNIX_EPOCH, &TimeZone::from_posix_tz("XYZ5").unwrap()), "19:00");
    }
}
