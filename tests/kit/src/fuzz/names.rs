//! The fuzz body for names: any bytes in, every promise of `name.rs` asserted.

use super::grammar::{self, Heard};
use super::hubs::Recorder;
use bstr::ByteSlice;
use redpoll::hub::Hub;
use redpoll::limits::Limits;
use redpoll::protocol::dialect::{Context, Dialect};
use redpoll::protocol::name::{EVERY_SCRIPT, MAX_CHARS, Name, Skeletons, fold, is_reserved};
use redpoll::protocol::text;
use redpoll::protocol::{CloseReason, ConnId, Event, Parsed, Rank, Request};

/// Whatever the bytes:
///
/// - nothing panics, and [`Name::new`] and [`fold`] agree on what is a name and how it folds;
/// - folding is idempotent, and the folded form is a name itself, reserved if and only if the name is;
/// - the shown form is what was written, and is the same name when it comes back;
/// - both forms have 1 to 32 characters, hold no sigil, separator, white space or control character, and leave
///   [`text::push_safe`] as they came;
/// - both survive a round trip through the protocol: as they are typed behind `#`, `@`, `&` and a command they are
///   what is asked for, and as the server tells them they are what is heard;
/// - an ASCII name in capitals, and, in a build that takes every script, in full width, is the same name;
/// - both forms are of one script by a statement of TR39 section 5.1 that is plainer than the one of `name.rs`;
/// - of two names, with an LF between them, the second is refused beside the first if and only if the first is beside
///   the second, however either is spelled; and so is any but another ASCII name that is the same or looks the same.
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
        assert!(folded.is_err(), "no name is found under {folded:?}");
        return;
    };
    assert_eq!(folded.as_deref(), Ok(name.folded()), "{name:?} is found under its key");
    assert_eq!(name.shown().as_bytes(), data, "{name:?} is shown as written");
    assert_eq!(name.is_folded(), name.shown() == name.folded(), "{name:?}");

    for form in [name.shown(), name.folded()] {
        assert_form(form);
        assert!(is_of_one_script(form), "{form:?} is of several scripts");
    }
    assert_same(&name, name.shown());
    assert_same(&name, name.folded());
    assert_typed(name.shown());
    if !name.is_folded() {
        assert_typed(name.folded());
    }
    assert_told(&name);
    if name.shown().is_ascii() {
        assert_same(&name, &name.shown().to_ascii_uppercase());
        if EVERY_SCRIPT {
            assert_same(&name, &full_width(name.shown()));
        }
    }
}

/// Asserts that it doesn't matter which of two names comes first, nor how they are spelled.
fn check_pair(one: &Name, other: &Name) {
    if is_reserved(one) || is_reserved(other) {
        return;
    }
    let are_ascii = one.folded().is_ascii() && other.folded().is_ascii();
    let clash = one == other || Skeletons::of(one).is_confusable_with(&Skeletons::of(other));
    assert!(!are_ascii || clash == (one == other), "{one:?} and {other:?} are plain ASCII");
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
            let refused = out.heard[1].starts_with(format!("!nick-taken {second} ").as_bytes());
            assert_eq!(hub.registered(), 2 - usize::from(refused), "{first:?} and {second:?}");
            assert_eq!(refused, clash, "{second:?} beside {first:?}");
            hub.leave(ConnId(0), CloseReason::EndOfStream, b"", &mut out);
            hub.invariants();
        }
    }
}

/// TR39 section 5.1: the scripts that each character is used in, with the writing systems that they are part of, have one
/// in common. What is Common or Inherited is used in all.
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

/// Asserts that the line protocol asks for exactly `form` wherever it is typed.
fn assert_typed(form: &str) {
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

/// Asserts that a recipient can tell `name` from the text around it.
fn assert_told(name: &Name) {
    let (shown, text) = (name.shown(), b": #x".as_bstr());
    let said = |room| Event::Said { room, from: name, text };
    for (event, expected) in [
        (Event::Named { nick: name }, Heard::Answer { word: "nick", details: shown }),
        (Event::Direct { from: name, text }, Heard::Direct { from: shown, text: ": #x" }),
        (said(None), Heard::Said { room: "lobby", from: shown, text: ": #x" }),
        (said(Some(name)), Heard::Said { room: shown, from: shown, text: ": #x" }),
    ] {
        let mut line = Vec::new();
        Dialect::Native.encode(event, &Context { max_line: 4096 }, &mut line);
        let line = line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok());
        assert_eq!(line.and_then(grammar::heard), Some(expected), "{line:?}");
    }
}

/// The printable ASCII characters of `form` as U+FF01 to U+FF5E, which stand in the same order.
fn full_width(form: &str) -> String {
    form.chars().map(|c| char::from_u32(u32::from(c) - 0x21 + 0xFF01).unwrap_or(c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// xorshift64 (Marsaglia 2003): the same words from the same seed, on every machine.
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

        /// Mostly a word of one or two blocks, so that many are names; sometimes with bytes that are no character.
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
            // A failure names its word: hand that to `check_name` to replay it.
            check_name(&word);
            if Name::new(&word).is_ok() {
                names += 1;
                // Two take a hundred times as long as one.
                if names % 32 == 0 {
                    check_name(&[&last[..], b"\n", &word].concat());
                    last.clone_from(&word);
                }
            }
        }
        assert!(names > 5_000, "only {names} of them were names: the words miss their target");
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
