//! The log on standard error: one line per event, as text or JSON. The events are in `server/log_events.rs`; here is
//! how they are written. Neither a flood of events nor a reader that has stopped reading can hurt the server.

use crate::cli::{LogFormat, LogLevel};
use crate::limits::{LOG_LINES, LOG_TEXT, LOG_VALUE, LOG_WINDOW};
use crate::protocol::text::push_safe;
use log::kv::{Error, Key, Value, VisitSource, VisitValue};
use log::{Level, LevelFilter, Log, Metadata, Record};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::borrow::Cow;
use std::fmt::{self, Write};
use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The logger of the process.
static BACKEND: OnceLock<Backend> = OnceLock::new();

/// Installs the logger, for events of `level` and more severe ones.
pub(super) fn install(level: LogLevel, format: LogFormat) {
    let backend = BACKEND.get_or_init(|| Backend { format, counters: Mutex::default() });
    // If another logger is installed already, the server uses that.
    if log::set_logger(backend).is_ok() {
        log::set_max_level(match level {
            LogLevel::Error => LevelFilter::Error,
            LogLevel::Warn => LevelFilter::Warn,
            LogLevel::Info => LevelFilter::Info,
            LogLevel::Debug => LevelFilter::Debug,
        });
    }
}

#[derive(Debug)]
struct Backend {
    format: LogFormat,
    counters: Mutex<Counters>,
}

/// The lines that were written, suppressed and lost.
#[derive(Debug, Default)]
struct Counters {
    events: Vec<EventCounter>,
    /// Lines that standard error has refused since it last accepted one.
    lost: u64,
    /// The last bytes written are a part of a line.
    is_mid_line: bool,
}

/// The lines of one event.
#[derive(Debug)]
struct EventCounter {
    event: Box<str>,
    level: Level,
    window_start: Instant,
    /// Lines written in the window; `written <= LOG_LINES`.
    written: u32,
    /// Lines beyond that, not reported yet.
    suppressed: u64,
}

impl Log for Backend {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        // The macros of `log` have checked the level already.
        true
    }

    fn log(&self, record: &Record<'_>) {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        self.write_suppressed(&mut counters, now, false);
        if counters.has_room(record.target(), record.level(), now) {
            self.write_lost(&mut counters);
            counters.write(&self.line(record));
        }
    }

    fn flush(&self) {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        self.write_suppressed(&mut counters, Instant::now(), true);
    }
}

impl Backend {
    /// Writes the number of suppressed lines of each event with an expired window; of every event if `all`.
    fn write_suppressed(&self, counters: &mut Counters, now: Instant, all: bool) {
        for index in 0..counters.events.len() {
            let counter = &mut counters.events[index];
            let Some((level, more, seconds)) = counter.take_suppressed(now, all) else { continue };
            let event = counter.event.clone();
            let values = [("of", Value::from(&*event)), ("count", more.into()), ("seconds", seconds.into())];
            let text = format_args!("{more} more lines of {event} in {seconds} s");
            counters.write(&self.own_line(level, "suppressed", &values, text));
        }
    }

    /// Writes the number of lines that standard error has refused, if it accepts this one.
    fn write_lost(&self, counters: &mut Counters) {
        let lost = counters.lost;
        if lost == 0 {
            return;
        }
        let values = [("count", Value::from(lost))];
        let text = format_args!("{lost} lines were dropped: standard error did not accept them");
        if counters.try_write(&self.own_line(Level::Warn, "lines-dropped", &values, text)) {
            counters.lost = 0;
        }
    }

    /// A line about the log itself.
    fn own_line(
        &self,
        level: Level,
        event: &str,
        values: &[(&str, Value<'_>)],
        text: fmt::Arguments<'_>,
    ) -> Vec<u8> {
        self.line(&Record::builder().level(level).target(event).key_values(&values).args(text).build())
    }

    fn line(&self, record: &Record<'_>) -> Vec<u8> {
        match self.format {
            LogFormat::Text => text(record),
            LogFormat::Json => json(record, SystemTime::now()),
        }
        .into_bytes()
    }
}

impl Counters {
    fn write(&mut self, line: &[u8]) {
        self.lost += u64::from(!self.try_write(line));
    }

    /// Writes a line to standard error unless that would block; returns false if the line is lost. The descriptor is
    /// polled and not set to non-blocking, since other processes may share it: what poll(2) calls writable accepts
    /// [`LOG_LINE`](crate::limits::LOG_LINE) bytes at once (pipe(7), PIPE_BUF). A file may accept a part of a line (a
    /// full disk, a limit of its size): that line is lost too, and the next one begins on a line of its own.
    fn try_write(&mut self, line: &[u8]) -> bool {
        let stderr = io::stderr();
        let mut polled = [PollFd::new(&stderr, PollFlags::OUT)];
        let ready = poll(&mut polled, Some(&Timespec::default())).is_ok_and(|ready| ready > 0);
        if !ready || !polled[0].revents().contains(PollFlags::OUT) {
            return false;
        }
        let line = if self.is_mid_line { Cow::from([b"\n", line].concat()) } else { Cow::from(line) };
        let written = rustix::io::write(&stderr, &line).unwrap_or(0);
        self.is_mid_line = written < line.len() && (written > 0 || self.is_mid_line);
        written == line.len()
    }

    /// Counts one line of an event; returns whether it may be written, which an error always may.
    fn has_room(&mut self, event: &str, level: Level, now: Instant) -> bool {
        if level == Level::Error {
            return true;
        }
        let counter = match self.events.iter().position(|counter| *counter.event == *event) {
            Some(index) => &mut self.events[index],
            None => {
                let event = event.into();
                self.events.push(EventCounter { event, level, window_start: now, written: 0, suppressed: 0 });
                let last = self.events.len() - 1;
                &mut self.events[last]
            }
        };
        if now.duration_since(counter.window_start) >= LOG_WINDOW {
            (counter.window_start, counter.written) = (now, 0);
        }
        let has_room = counter.written < LOG_LINES;
        counter.written += u32::from(has_room);
        counter.suppressed += u64::from(!has_room);
        has_room
    }
}

impl EventCounter {
    /// Takes the suppressed lines once their report is due: their level, their number, and the seconds they took.
    fn take_suppressed(&mut self, now: Instant, all: bool) -> Option<(Level, u64, u64)> {
        let time = now.duration_since(self.window_start);
        if self.suppressed == 0 || !all && time < LOG_WINDOW {
            return None;
        }
        let seconds = time.min(LOG_WINDOW).as_secs_f64().ceil() as u64;
        Some((self.level, std::mem::take(&mut self.suppressed), seconds.max(1)))
    }
}

/// Formats `redpoll: LEVEL: MESSAGE`. An error has no level there, as is usual for the final error of a program.
fn text(record: &Record<'_>) -> String {
    let mut line = String::from("redpoll: ");
    if record.level() != Level::Error {
        line.push_str(level_name(record.level()));
        line.push_str(": ");
    }
    line.push_str(&safe(record.args(), LOG_TEXT));
    line.push('\n');
    line
}

/// Formats one JSON object per line: time, level, event, the values of the event, and the message of the text format.
fn json(record: &Record<'_>, now: SystemTime) -> String {
    let mut line = String::from("{");
    push_pair("time", &timestamp(now), &mut line);
    push_pair("level", level_name(record.level()), &mut line);
    push_pair("event", &safe(&record.target(), LOG_VALUE), &mut line);
    // Neither the visitor nor a write to a `String` fails.
    let _ = record.key_values().visit(&mut Pairs(&mut line));
    push_pair("message", &safe(record.args(), LOG_TEXT), &mut line);
    line.push_str("}\n");
    line
}

/// Appends pairs of key and value to a line, except for keys without a value.
struct Pairs<'a>(&'a mut String);

impl<'kvs> VisitSource<'kvs> for Pairs<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        value.visit(PairWriter { key: key.as_str(), line: self.0 })
    }
}

struct PairWriter<'a> {
    key: &'a str,
    line: &'a mut String,
}

/// Strings and whole numbers: `server/log_events.rs` has no others, and code for those would be 2 % of the program.
impl<'v> VisitValue<'v> for PairWriter<'_> {
    fn visit_any(&mut self, _: Value<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn visit_str(&mut self, value: &str) -> Result<(), Error> {
        push_pair(self.key, &safe(&value, LOG_VALUE), self.line);
        Ok(())
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), Error> {
        push_key(self.key, self.line);
        write!(self.line, "{value}")?;
        Ok(())
    }
}

fn push_pair(key: &str, value: &str, line: &mut String) {
    push_key(key, line);
    push_quoted(value, line);
}

fn push_key(key: &str, line: &mut String) {
    if !line.ends_with('{') {
        line.push(',');
    }
    push_quoted(key, line);
    line.push(':');
}

/// Appends a JSON string (RFC 8259 section 7).
fn push_quoted(text: &str, line: &mut String) {
    line.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => line.extend(['\\', c]),
            '\0'..='\u{1F}' => {
                // A write to a `String` can't fail.
                let _ = write!(line, "\\u{:04x}", u32::from(c));
            }
            _ => line.push(c),
        }
    }
    line.push('"');
}

/// Returns a text without control characters, of at most `max` bytes.
fn safe(value: &impl fmt::Display, max: usize) -> String {
    let mut bytes = Vec::new();
    push_safe(value.to_string().as_bytes(), &mut bytes);
    let mut text = String::from_utf8(bytes).unwrap_or_default();
    let cut = (0..=max.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text.truncate(cut.unwrap_or_default());
    text
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug | Level::Trace => "debug",
    }
}

/// Formats a time as in RFC 3339, in UTC, with milliseconds.
fn timestamp(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (mut days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let mut year = 1970;
    while days >= days_of(year) {
        days -= days_of(year);
        year += 1;
    }
    let february = days_of(year) - 337;
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute) = (second / 3600, second / 60 % 60);
    let (day, ms) = (days + 1, since.subsec_millis());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}.{ms:03}Z", second % 60)
}

fn days_of(year: u64) -> u64 {
    let leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    365 + u64::from(leap)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LOG_LINE;
    use log::kv::ToValue;
    use std::time::Duration;

    /// Formats a message as a line of JSON.
    fn line(message: &str, values: &[(&str, Value<'_>)]) -> String {
        let mut record = Record::builder();
        record.level(Level::Info).target("test").key_values(&values);
        json(&record.args(format_args!("{message}")).build(), UNIX_EPOCH)
    }

    #[test]
    fn json_strings_survive_a_parser() {
        let mut all: Vec<String> =
            (0..=0x2FFF).filter_map(char::from_u32).map(|c| format!("a{c}b{c}")).collect();
        all.extend(["", "\"\\\"", "\\u0041", "\u{10FFFF}\u{FFFD}", "{\"a\":1}\n"].map(String::from));
        for text in all {
            let mut quoted = String::new();
            push_quoted(&text, &mut quoted);
            assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text);
        }
    }

    #[test]
    fn json_line_keeps_value_types() {
        let no_nick = None::<&str>.to_value();
        let line = line("a\nb \"c\"", &[("n", 7_u64.into()), ("s", "x\r\"".into()), ("nick", no_nick)]);
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        let wanted = serde_json::json!({
            "time": "1970-01-01T00:00:00.000Z", "level": "info", "event": "test",
            "n": 7, "s": "x\u{FFFD}\"", "message": "a\u{FFFD}b \"c\"",
        });
        assert_eq!(object, wanted);
        assert_eq!(line.matches('\n').count(), 1);
    }

    #[test]
    fn longest_line_fits_one_write() {
        let long = "\"".repeat(2 * LOG_LINE);
        let values = ["a", "b", "c"].map(|key| (key, Value::from(&*long)));
        let line = line(&long, &values);
        assert!(line.len() <= LOG_LINE, "{}", line.len());
        assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok());
    }

    #[test]
    fn timestamps_follow_the_calendar() {
        let at = |seconds: u64| timestamp(UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 7));
        assert_eq!(at(0), "1970-01-01T00:00:00.007Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59.007Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.007Z");
        assert_eq!(at(1_709_251_199), "2024-02-29T23:59:59.007Z");
        assert_eq!(at(1_735_689_599), "2024-12-31T23:59:59.007Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00.007Z");
    }

    #[test]
    fn flood_suppresses_only_its_own_event() {
        let (mut counters, start) = (Counters::default(), Instant::now());
        let room =
            |counters: &mut Counters, event, after| counters.has_room(event, Level::Warn, start + after);
        let written = (0..10 * LOG_LINES).filter(|_| room(&mut counters, "flood", Duration::ZERO)).count();
        assert_eq!(written, LOG_LINES as usize);
        assert!(room(&mut counters, "other", Duration::ZERO));
        assert!(counters.has_room("flood", Level::Error, start), "an error is never suppressed");

        let flood = &mut counters.events[0];
        assert_eq!(flood.take_suppressed(start + LOG_WINDOW / 2, false), None, "the window is not over");
        let report = Some((Level::Warn, u64::from(9 * LOG_LINES), LOG_WINDOW.as_secs()));
        assert_eq!(flood.take_suppressed(start + LOG_WINDOW, false), report);
        assert_eq!(flood.take_suppressed(start + LOG_WINDOW, true), None, "lines are reported once");
        assert!(room(&mut counters, "flood", LOG_WINDOW), "a new window has room again");
    }
}
