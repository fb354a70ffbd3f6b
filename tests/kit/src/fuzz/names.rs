//! The fuzz body for names: it asserts for any bytes what `src/protocol/name/mod.rs` promises.

use super::grammar::{self, ServerLine};
use super::hubs::Recorder;
use bstr::ByteSlice;
use redpoll::hub::Hub;
use redpoll::limits::Limits;
use redpoll::protocol::dialect::{Context, Dialect};
use redpoll::protocol::name::{EVERY_SCRIPT, MAX_CHARS, Name, Skeletons, fold, is_reserved};
use redpoll::protocol::text;
use redpoll::protocol::{CloseReason, ConnId, Event, Parsed, Rank, Request};

/// For any bytes:
///
/// - nothing panics, and [`Name::new`] and [`fold`] agree on what is a name and how it folds;
/// - folding is idempotent, and the folded form is a name itself, reserved if and only if the name is;
/// - the shown form is the input, and as input it is the same name again;
/// - both forms have 1 to 32 characters, hold no sigil, separator, white space or control character, and leave
///   [`text::push_safe`] as they came;
/// - both survive a round trip through the protocol: typed after `#`, `@`, `&` and a command they are the name of the
///   request, and in the server's lines they are the name that a client parses;
/// - an ASCII name in capitals, and, in a build that takes every script, in full width, is the same name;
/// - both forms are of one script, by a simpler implementation of TR39 section 5.1 than the program's;
/// - of two names, with an LF between them, the second is refused after the first if and only if the first is refused
///   after the second, in any spelling. They are refused if they are equal or confusable; two ASCII names only if
///   equal.
///
/// # Panics
/// If one of these doesn't hold.
pub fn check_name(data: &[u8]) {
    if let Some((one, other)) = data.split_once_str("\n") {
        check_name(one);
        check_name(other);
        if let (Ok(one), Ok(other)) = (Name::new(one), Name::new(other)) {
            check_pair(&one, &other);
        }
    }
    let folded = fold(data);
    let Ok(name) = Name::new(data) else {
        assert!(folded.is_err(), "{folded:?} is a key without a name");
        return;
    };
    assert_eq!(folded.as_deref(), Ok(name.folded()), "the key of {name:?}");
    assert_eq!(name.shown().as_bytes(), data, "{name:?} is shown unchanged");
    assert_eq!(name.is_folded(), name.shown() == name.folded(), "{name:?}");

    for form in [name.shown(), name.folded()] {
        assert_form(form);
        assert!(is_of_one_script(form), "{form:?} is of several scripts");
    }
    assert_same(&name, name.shown());
    assert_same(&name, name.folded());
    assert_parsed(name.shown());
    if !name.is_folded() {
        assert_parsed(name.folded());
    }
    assert_encoded(&name);
    if name.shown().is_ascii() {
        assert_same(&name, &name.shown().to_ascii_uppercase());
        if EVERY_SCRIPT {
            assert_same(&name, &full_width(name.shown()));
        }
    }
}

/// Asserts that the order of two names and their spelling don't matter.
fn check_pair(one: &Name, other: &Name) {
    if is_reserved(one) || is_reserved(other) {
        return;
    }
    let are_ascii = one.folded().is_ascii() && other.folded().is_ascii();
    let clash = one == other || Skeletons::of(one).is_confusable_with(&Skeletons::of(other));
    assert!(!are_ascii || clash == (one == other), "{one:?} and {other:?} are different ASCII names");
    for (first, second) in [(one, other), (other, one)] {
        for (first, second) in [
            (first.shown(), second.shown()),
            (first.folded(), second.shown()),
            (first.shown(), second.folded()),
        ] {
            let mut hub = Hub::new(&Limits::default());
            let mut out = Recorder::default();
            for (id, nick) in [(0, first), (1, second)] {
                let request = Request::Register { nick: nick.into(), password: None };
                hub.handle(ConnId(id), &request, &mut out);
            }
            let refused = out.received[1].starts_with(format!("!nick-taken {second} ").as_bytes());
            assert_eq!(hub.registered(), 2 - usize::from(refused), "{first:?} and {second:?}");
            assert_eq!(refused, clash, "{second:?} after {first:?}");
            hub.leave(ConnId(0), CloseReason::EndOfStream, b"", &mut out);
            hub.invariants();
        }
    }
}

/// Returns whether all characters have a script in common (TR39 section 5.1), with the writing systems of several
/// scripts counted as scripts. Common and Inherited characters are in all.
fn is_of_one_script(form: &str) -> bool {
    use unicode_script::{Script, UnicodeScript};
    let used_in = |c: char| {
        let mut scripts: Vec<&str> = c.script_extension().iter().map(Script::short_name).collect();
        for (system, parts) in [
            ("Hanb", &["Hani", "Bopo"][..]),
            ("Jpan", &["Hani", "Hira", "Kana"]),
            ("Kore", &["Hani", "Hang"]),
        ] {
            if scripts.iter().any(|script| parts.contains(script)) {
                scripts.push(system);
            }
        }
        scripts
    };
    let all: Vec<_> =
        form.chars().map(used_in).filter(|used| used != &["Zyyy"] && used != &["Zinh"]).collect();
    all.first().is_none_or(|first| first.iter().any(|script| all.iter().all(|used| used.contains(script))))
}

/// Asserts that `form` may be sent to any peer, between any two separators.
fn assert_form(form: &str) {
    let count = form.chars().count();
    assert!((1..=MAX_CHARS).contains(&count), "{form:?} has {count} characters");
    let stray = |c: char| "#@&/!+*:,".contains(c) || c.is_whitespace() || c.is_control();
    assert!(!form.contains(stray), "{form:?} could forge a line");
    assert!(form.starts_with(char::is_alphanumeric), "{form:?} begins with no letter or digit");

    let mut safe = Vec::new();
    text::push_safe(form.as_bytes(), &mut safe);
    assert_eq!(safe, form.as_bytes(), "{form:?} is safe to show");
}

/// Asserts that `spelling` is the same name.
fn assert_same(name: &Name, spelling: &str) {
    let other = Name::new(spelling.as_bytes());
    assert_eq!(other.as_ref(), Ok(name), "{name:?} spelled as {spelling:?}");
    assert_eq!(fold(spelling.as_bytes()).as_deref(), Ok(name.folded()), "{name:?} spelled as {spelling:?}");
    assert_eq!(other.as_ref().is_ok_and(is_reserved), is_reserved(name), "{name:?} spelled as {spelling:?}");
}

/// Asserts that each request of the line protocol with `form` has exactly this name.
fn assert_parsed(form: &str) {
    let (nick, text) = (form.into(), "x".into());
    for (line, rank, request) in [
        (format!("#{form}"), Rank::Unregistered, Request::Register { nick, password: None }),
        (format!("# {form}\t:x"), Rank::Unregistered, Request::Register { nick, password: Some(text) }),
        (format!("@{form}:x"), Rank::Member, Request::Direct { to: nick, text }),
        (format!("/msg {form} x"), Rank::Member, Request::Direct { to: nick, text }),
        (format!("&{form}"), Rank::Member, Request::Join { room: nick }),
        (format!("&{form}:x"), Rank::Member, Request::Say { room: Some(nick), text }),
        (format!("/nick {form}"), Rank::Member, Request::Rename { nick }),
    ] {
        assert_eq!(Dialect::Native.parse(line.as_bytes(), rank), Parsed::Request(request), "{line:?}");
    }
}

/// Asserts that a recipient can separate `name` from the text around it.
fn assert_encoded(name: &Name) {
    let (shown, text) = (name.shown(), b": #x".as_bstr());
    let message = |room| Event::Said { room, from: name, text };
    for (event, expected) in [
        (Event::Named { nick: name }, ServerLine::Answer { word: "nick", details: shown }),
        (Event::Direct { from: name, text }, ServerLine::Direct { from: shown, text: ": #x" }),
        (message(None), ServerLine::Message { room: "lobby", from: shown, text: ": #x" }),
        (message(Some(name)), ServerLine::Message { room: shown, from: shown, text: ": #x" }),
    ] {
        let mut line = Vec::new();
        Dialect::Native.encode(event, &Context { max_line: 4096 }, &mut line);
        let line = line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok());
        assert_eq!(line.and_then(grammar::from_server), Some(expected), "{line:?}");
    }
}

/// Returns `form` with its printable ASCII characters mapped to U+FF01 to U+FF5E, which have the same order.
fn full_width(form: &str) -> String {
    form.chars().map(|c| char::from_u32(u32::from(c) - 0x21 + 0xFF01).unwrap_or(c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words by xorshift64 (Marsaglia 2003): the same seed gives the same words on every machine.
    struct Words(u64);

    impl Words {
        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 32) as usize % bound
        }

        fn one_of(&mut self, range: (u32, u32)) -> char {
            let code = range.0 + self.below((range.1 - range.0 + 1) as usize) as u32;
            char::from_u32(code).unwrap_or('x')
        }

        /// Returns a word, mostly of one or two blocks, so that many are names; sometimes not UTF-8.
        fn next(&mut self) -> Vec<u8> {
            let blocks = [
                BLOCKS[self.below(BLOCKS.len())],
                BLOCKS[self.below(BLOCKS.len())],
                ('.' as u32, '9' as u32),
            ];
            let kinds = 1 + self.below(blocks.len());
            let longest = if self.below(4) == 0 { 40 } else { 6 };
            let word = (0..=self.below(longest)).map(|_| self.below(kinds)).collect::<Vec<_>>();
            let mut bytes =
                word.into_iter().map(|kind| self.one_of(blocks[kind])).collect::<String>().into_bytes();
            if self.below(16) == 0 {
                let at = self.below(bytes.len());
                bytes[at] = self.below(256) as u8;
            }
            bytes
        }
    }

    const BLOCKS: [(u32, u32); 30] = [
        (0x00, 0x7F),
        (0x2D, 0x39),
        (0x41, 0x5A),
        (0x61, 0x7A),
        (0x80, 0x24F),
        (0x250, 0x36F),
        (0x370, 0x3FF),
        (0x400, 0x52F),
        (0x530, 0x58F),
        (0x590, 0x5FF),
        (0x600, 0x6FF),
        (0x700, 0x7BF),
        (0x900, 0x97F),
        (0x980, 0xDFF),
        (0xE00, 0xEFF),
        (0xF00, 0xFFF),
        (0x1000, 0x10FF),
        (0x1100, 0x11FF),
        (0x13A0, 0x13FF),
        (0x1E00, 0x1FFF),
        (0x2000, 0x206F),
        (0x2100, 0x214F),
        (0x3040, 0x30FF),
        (0x4E00, 0x9FFF),
        (0xAB30, 0xABBF),
        (0xAC00, 0xD7FF),
        (0xF900, 0xFDFF),
        (0xFE00, 0xFFFF),
        (0x10000, 0x10FFF),
        (0x1D000, 0x2FFFF),
    ];

    #[test]
    fn random_names_keep_every_promise() {
        let mut words = Words(0x7265_6470_6F6C_6C21);
        let (mut names, mut last) = (0, b"x".to_vec());
        for _ in 0..100_000 {
            let word = words.next();
            // A failure prints its word: call `check_name` with it for a replay.
            check_name(&word);
            if Name::new(&word).is_ok() {
                names += 1;
                // A pair takes a hundred times as long as a single name.
                if names % 32 == 0 {
                    check_name(&[&last[..], b"\n", &word].concat());
                    last.clone_from(&word);
                }
            }
        }
        assert!(names > 5_000, "only {names} words are names");
    }

    #[test]
    fn former_failures_keep_every_promise() {
        for word in [
            "",
            "Guest-1",
            "ROOT",
            "A.-_z",
            "ΝΙΚΟΣ",
            "Ꭰ",
            "\u{AB70}",
            "İ",
            "ｶﾞ",
            "ނާއިރު",
            "مُحَمَّد",
            "＃a",
            "a\u{200D}",
            "раура\npaypa",
            "bob\nВОВ",
            "user1\nuserl",
            "Zoë1\nZoël",
            "ｍodem\nmodern",
            "straße\nstrasse",
        ] {
            check_name(word.as_bytes());
        }
        check_name(&[b'a'; 129]);
        check_name(b"\xFF\xFE");
    }
}
