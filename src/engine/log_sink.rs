//! Where the log goes: standard error, one line an event, as text or as JSON. The events are in `server/log_events.rs`; here
//! is how they are written, and that neither a flood of them nor a reader that has stopped reading can hurt the server.

use crate::cli::{LogFormat, LogLevel};
use crate::limits::{LOG_LINES, LOG_TEXT, LOG_VALUE, LOG_WINDOW};
use crate::protocol::text::push_safe;
use log::kv::{Error, Key, Value, VisitSource, VisitValue};
use log::{Level, LevelFilter, Log, Metadata, Record};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fmt::{self, Write};
use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// What the program writes its log with.
static BACKEND: OnceLock<Backend> = OnceLock::new();

/// Has everything from now on logged that is at least so grave.
pub(super) fn install(level: LogLevel, format: LogFormat) {
    let backend = BACKEND.get_or_init(|| Backend { format, book: Mutex::default() });
    // Another logger, that was there before us, is no reason not to serve.
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
    book: Mutex<Book>,
}

/// What was written of each kind of event, and what wasn't.
#[derive(Debug, Default)]
struct Book {
    kinds: Vec<Kind>,
    /// Lines that standard error didn't take since it last took one.
    lost: u64,
}

/// A kind of event that occurred.
#[derive(Debug)]
struct Kind {
    event: Box<str>,
    level: Level,
    /// When its window began.
    since: Instant,
    /// Lines in that window, at most [`LOG_LINES`].
    lines: u32,
    /// Those beyond, of which nothing was said yet.
    more: u64,
}

impl Log for Backend {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        // The facade has asked for the level already.
        true
    }

    fn log(&self, record: &Record<'_>) {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        self.write_suppressed(&mut book, now, false);
        if book.has_room(record.target(), record.level(), now) {
            self.write_lost(&mut book);
            book.write(&self.line(record));
        }
    }

    fn flush(&self) {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        self.write_suppressed(&mut book, Instant::now(), true);
    }
}

impl Backend {
    /// Says how many lines were not written, of each kind whose window is over; of all where nothing goes on.
    fn write_suppressed(&self, book: &mut Book, now: Instant, all: bool) {
        for index in 0..book.kinds.len() {
            let Some((level, more, seconds)) = book.kinds[index].take_more(now, all) else { continue };
            let event = book.kinds[index].event.clone();
            let values = [("of", Value::from(&*event)), ("count", more.into()), ("seconds", seconds.into())];
            let text = format_args!("{more} more lines of {event} in {seconds} s");
            book.write(&self.own_line(level, "suppressed", &values, text));
        }
    }

    /// Says how many lines standard error didn't take, now that it may take this one.
    fn write_lost(&self, book: &mut Book) {
        let lost = book.lost;
        if lost == 0 {
            return;
        }
        let values = [("count", Value::from(lost))];
        let text = format_args!("{lost} lines were dropped, since standard error was not read");
        if put(&self.own_line(Level::Warn, "lines-dropped", &values, text)) {
            book.lost = 0;
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

impl Book {
    fn write(&mut self, line: &[u8]) {
        self.lost += u64::from(!put(line));
    }

    /// Whether one line more of that kind may be written; if not, it is counted. Errors always may.
    fn has_room(&mut self, event: &str, level: Level, now: Instant) -> bool {
        if level == Level::Error {
            return true;
        }
        let kind = match self.kinds.iter().position(|kind| *kind.event == *event) {
            Some(index) => &mut self.kinds[index],
            None => {
                self.kinds.push(Kind { event: event.into(), level, since: now, lines: 0, more: 0 });
                let last = self.kinds.len() - 1;
                &mut self.kinds[last]
            }
        };
        if now.duration_since(kind.since) >= LOG_WINDOW {
            (kind.since, kind.lines) = (now, 0);
        }
        let room = kind.lines < LOG_LINES;
        kind.lines += u32::from(room);
        kind.more += u64::from(!room);
        room
    }
}

impl Kind {
    /// What there is to say of lines that were not written: their level, how many, in how many seconds.
    fn take_more(&mut self, now: Instant, all: bool) -> Option<(Level, u64, u64)> {
        let time = now.duration_since(self.since);
        if self.more == 0 || !all && time < LOG_WINDOW {
            return None;
        }
        let seconds = time.min(LOG_WINDOW).as_secs_f64().ceil() as u64;
        Some((self.level, std::mem::take(&mut self.more), seconds.max(1)))
    }
}

/// Writes a line to standard error, unless that would block; false if it is lost. Whoever shares the terminal or the pipe
/// with us would have to live with a descriptor that doesn't block, so it is asked instead: what poll(2) calls writable
/// takes [`LOG_LINE`](crate::limits::LOG_LINE) bytes at once (pipe(7), PIPE_BUF).
fn put(line: &[u8]) -> bool {
    let stderr = io::stderr();
    let mut asked = [PollFd::new(&stderr, PollFlags::OUT)];
    let ready = poll(&mut asked, Some(&Timespec::default())).is_ok_and(|ready| ready > 0);
    ready && asked[0].revents().contains(PollFlags::OUT) && rustix::io::write(&stderr, line).is_ok()
}

/// `redpoll: LEVEL: MESSAGE`, for an error without its level: that is how any program says why it ends.
fn text(record: &Record<'_>) -> String {
    let mut line = String::from("redpoll: ");
    if record.level() != Level::Error {
        line.push_str(word(record.level()));
        line.push_str(": ");
    }
    line.push_str(&safe(record.args(), LOG_TEXT));
    line.push('\n');
    line
}

/// One object a line: time, level, event, what belongs to it, and the message of the text.
fn json(record: &Record<'_>, now: SystemTime) -> String {
    let mut line = String::from("{");
    push_pair("time", &timestamp(now), &mut line);
    push_pair("level", word(record.level()), &mut line);
    push_pair("event", &safe(&record.target(), LOG_VALUE), &mut line);
    // Neither the visitor nor a `String` fails.
    let _ = record.key_values().visit(&mut Pairs(&mut line));
    push_pair("message", &safe(record.args(), LOG_TEXT), &mut line);
    line.push_str("}\n");
    line
}

/// Puts keys and values behind each other, those without a value left out.
struct Pairs<'a>(&'a mut String);

impl<'kvs> VisitSource<'kvs> for Pairs<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        value.visit(PairOf { key: key.as_str(), line: self.0 })
    }
}

struct PairOf<'a> {
    key: &'a str,
    line: &'a mut String,
}

/// Strings and whole numbers: `server/log_events.rs` has no other values, and writing the others is a fiftieth of the
/// program.
impl<'v> VisitValue<'v> for PairOf<'_> {
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

/// A string of RFC 8259 section 7.
fn push_quoted(text: &str, line: &mut String) {
    line.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => line.extend(['\\', c]),
            '\0'..='\u{1F}' => {
                // A `String` takes all.
                let _ = write!(line, "\\u{:04x}", u32::from(c));
            }
            _ => line.push(c),
        }
    }
    line.push('"');
}

/// What is said, without control characters, and not longer than so many bytes.
fn safe(what: &impl fmt::Display, most: usize) -> String {
    let mut bytes = Vec::new();
    push_safe(what.to_string().as_bytes(), &mut bytes);
    let mut text = String::from_utf8(bytes).unwrap_or_default();
    let cut = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text.truncate(cut.unwrap_or_default());
    text
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug | Level::Trace => "debug",
    }
}

/// A time of RFC 3339, in UTC, to the millisecond.
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

    /// A line of JSON about this message.
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
        let nobody = None::<&str>.to_value();
        let line = line("a\nb \"c\"", &[("n", 7_u64.into()), ("s", "x\r\"".into()), ("nick", nobody)]);
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
        let (mut book, start) = (Book::default(), Instant::now());
        let room = |book: &mut Book, event, after| book.has_room(event, Level::Warn, start + after);
        let written = (0..10 * LOG_LINES).filter(|_| room(&mut book, "flood", Duration::ZERO)).count();
        assert_eq!(written, LOG_LINES as usize);
        assert!(room(&mut book, "other", Duration::ZERO));
        assert!(book.has_room("flood", Level::Error, start), "an error is never held back");

        let kind = &mut book.kinds[0];
        assert_eq!(kind.take_more(start + LOG_WINDOW / 2, false), None, "it may go on");
        let more = u64::from(9 * LOG_LINES);
        assert_eq!(
            kind.take_more(start + LOG_WINDOW, false),
            Some((Level::Warn, more, LOG_WINDOW.as_secs()))
        );
        assert_eq!(kind.take_more(start + LOG_WINDOW, true), None, "it is said once");
        assert!(room(&mut book, "flood", LOG_WINDOW), "and a new window has room again");
    }
}
