//! What may be called by a name, and when two names are one (protocol.md, "Names"). A [`Name`] is valid by its type:
//! whoever holds one may print it, and nothing else decides what a name is. Who holds which name is the hub's business.
//!
//! The rule is the profile `UsernameCaseMapped` (RFC 8265 section 3.3), of which only letters, digits, marks, `-`, `_`
//! and `.` are kept. So the other ASCII punctuation that it allows is refused, for the sigils' sake; and so is what it
//! allows in some contexts only, or as an exception, without being a letter, digit or mark:
//!
//! - the joiners U+200C and U+200D can't be seen, and two names that look alike may not differ; who needs one between
//!   two Persian words has `-`, `_` and `.`
//! - the dots U+00B7 and U+30FB, the Greek keraia, the Hebrew geresh and gershayim, two Sindhi signs and the Tibetan
//!   tsheg are punctuation and symbols, which the protocol refuses whatever the script.
//!
//! A name is of one script (Unicode TR39 section 5.1), so that no letter of it can stand for one of another script. That
//! two names don't look alike as a whole, `look.rs` finds out and the hub sees to.
//!
//! The profile's tables know what Unicode 6.3 knew (the registry that RFC 8264 set up stopped there): a letter that is
//! newer, and a script that was added since, is refused.

mod look;
#[cfg(feature = "unicode")]
mod script;

pub use look::Looks;

use crate::limits::ALLOCATION;
use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};

/// The most characters that a name has, as written and folded.
pub const MAX_CHARS: usize = 32;

/// True if this build takes names in every script; otherwise it takes ASCII names only.
pub const EVERY_SCRIPT: bool = cfg!(feature = "unicode");

/// The most bytes that a name has, as written and folded: a character of UTF-8 has at most four.
pub const MAX_BYTES: usize = 4 * MAX_CHARS;
const _: () = assert!(MAX_BYTES <= u8::MAX as usize, "`Name::shown_len` holds the length of any name");

/// A validated nick or room name, and the key under which it is compared.
///
/// Two names are equal, and hash alike, if their folded forms are the same, however each is spelled.
///
/// ```
/// use redpoll::protocol::name::Name;
/// let name = Name::new(b"Alice").unwrap();
/// assert_eq!((name.shown(), name.folded()), ("Alice", "alice"));
/// assert_eq!(name, Name::new(b"ALICE").unwrap());
/// assert!(Name::new(b"#alice").is_err());
/// ```
#[derive(Clone)]
pub struct Name {
    /// The shown form; behind it the folded one, if and only if the two differ. One allocation for both.
    text: Box<str>,
    /// The bytes of `text` that are the shown form: 1 to [`MAX_BYTES`].
    shown_len: u8,
}

/// Why a name is refused: it isn't one. Its text says what a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invalid;

impl Name {
    /// The most memory that a name takes besides what is in its place: both of its forms.
    pub const OF_ONE: usize = 2 * MAX_BYTES + ALLOCATION;

    /// The name that is written like this.
    ///
    /// # Errors
    /// [`Invalid`] if it isn't 1 to [`MAX_CHARS`] characters, both as written and folded, of which the first is a
    /// letter or digit and each further one a letter, digit, mark, `-`, `_` or `.`, as RFC 8265 allows, all of one
    /// script (Unicode TR39 section 5.1).
    pub fn new(written: &[u8]) -> Result<Name, Invalid> {
        let shown = decode(written)?;
        let text = match fold_str(shown)? {
            Cow::Borrowed(_) => Box::from(shown),
            Cow::Owned(folded) => [shown, &folded].concat().into_boxed_str(),
        };
        Ok(Name { text, shown_len: u8::try_from(shown.len()).map_err(|_| Invalid)? })
    }

    /// The name as its owner writes it. At most 128 bytes.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.text[..usize::from(self.shown_len)]
    }

    /// The key under which the name is compared. The same as [`shown`](Self::shown) where they don't differ.
    #[must_use]
    pub fn folded(&self) -> &str {
        if self.is_folded() { &self.text } else { &self.text[usize::from(self.shown_len)..] }
    }

    /// True if the name is shown in its folded form.
    #[must_use]
    pub fn is_folded(&self) -> bool {
        self.text.len() == usize::from(self.shown_len)
    }
}

impl PartialEq for Name {
    /// True if both have the same folded form: one name, maybe in two spellings.
    fn eq(&self, other: &Name) -> bool {
        self.folded() == other.folded()
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded().hash(state);
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.shown())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.shown(), f)
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if EVERY_SCRIPT { "letters, digits, marks" } else { "ASCII letters, digits" };
        let script = if EVERY_SCRIPT { ", all of one script" } else { "" };
        write!(
            f,
            "a name is 1 to {MAX_CHARS} {kind}, '-', '_' or '.'{script}, and begins with a letter or digit"
        )
    }
}

impl std::error::Error for Invalid {}

/// The folded form of a name as it was typed, for looking it up. Borrowed where it is folded already.
///
/// # Errors
/// [`Invalid`] exactly where [`Name::new`] returns it.
pub fn fold(written: &[u8]) -> Result<Cow<'_, str>, Invalid> {
    fold_str(decode(written)?)
}

/// Names, folded, that no one but the server itself goes by.
const RESERVED: [&str; 7] = ["administrator", "admin", "operator", "root", "server", "lobby", "redpoll"];

/// What the names begin with that the server gives to those who can't choose one; a decimal number follows.
const GUEST: &str = "guest-";

/// True if no one may take this name as a nick, in whatever spelling; nor, beyond ASCII, one that looks like it.
#[must_use]
pub fn is_reserved(name: &Name) -> bool {
    let folded = name.folded();
    if !folded.is_ascii() {
        return Looks::of(name).are_reserved();
    }
    let number = folded.strip_prefix(GUEST).unwrap_or("");
    RESERVED.contains(&folded) || (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The text of a name that isn't too long for one, which is found out first, so that a long one costs nothing.
fn decode(written: &[u8]) -> Result<&str, Invalid> {
    if written.len() > MAX_BYTES {
        return Err(Invalid);
    }
    std::str::from_utf8(written).map_err(|_| Invalid)
}

fn fold_str(written: &str) -> Result<Cow<'_, str>, Invalid> {
    if written.is_ascii() { fold_ascii(written) } else { fold_script(written) }
}

/// What the profile and our rule come to for ASCII alone, without a look at any table.
fn fold_ascii(written: &str) -> Result<Cow<'_, str>, Invalid> {
    let is_first = |byte: &u8| byte.is_ascii_alphanumeric();
    let is_further = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let bytes = written.as_bytes();
    if bytes.len() > MAX_CHARS || !bytes.first().is_some_and(is_first) || !bytes.iter().all(is_further) {
        return Err(Invalid);
    }
    if bytes.iter().any(u8::is_ascii_uppercase) {
        Ok(Cow::Owned(written.to_ascii_lowercase()))
    } else {
        Ok(Cow::Borrowed(written))
    }
}

/// Without its tables this build knows no letter beyond ASCII.
#[cfg(not(feature = "unicode"))]
fn fold_script(_: &str) -> Result<Cow<'_, str>, Invalid> {
    Err(Invalid)
}

#[cfg(feature = "unicode")]
fn fold_script(written: &str) -> Result<Cow<'_, str>, Invalid> {
    every_script::fold(written).map_err(|_| Invalid)
}

/// The profile's rules, in its order, with our own between them. They are called one by one rather than by the crate's
/// `enforce`, for that has two faults (0.2.0): its case mapping is not Unicode's, and its reading of the bidi rule
/// refuses every mark within a right-to-left word. See `lower` and `follows_bidi_rule`.
#[cfg(feature = "unicode")]
mod every_script {
    use super::{MAX_CHARS, script};
    use precis_profiles::UsernameCaseMapped;
    use precis_profiles::precis_core::Error;
    use precis_profiles::precis_core::profile::{Profile, Rules, stabilize};
    use std::borrow::Cow;
    use unicode_normalization::char::is_combining_mark;

    /// The folded form, to which all rules have been applied until it no longer changes (RFC 8264 section 7), so that
    /// it is a name itself. Borrowed where it is folded already.
    pub(super) fn fold(written: &str) -> Result<Cow<'_, str>, Error> {
        stabilize(written, fold_once)
    }

    fn fold_once(name: &str) -> Result<Cow<'_, str>, Error> {
        let profile = UsernameCaseMapped::new();
        if name.chars().nth(MAX_CHARS).is_some() {
            return Err(Error::Invalid);
        }
        // Width mapping comes first: a full-width sigil is judged as the sigil that it becomes.
        let narrow = profile.prepare(name)?;
        if !is_word(&narrow) {
            return Err(Error::Invalid);
        }
        let folded = profile.normalization_rule(lower(&narrow))?;
        if script::is_single(&folded) && follows_bidi_rule(profile, &folded) {
            Ok(folded)
        } else {
            Err(Error::Invalid)
        }
    }

    fn is_word(name: &str) -> bool {
        // Alphabetic in Unicode's sense are some marks too, above all vowel signs.
        let is_first = |c: char| c.is_alphanumeric() && !is_combining_mark(c);
        let is_further =
            |c: char| c.is_alphanumeric() || is_combining_mark(c) || matches!(c, '-' | '_' | '.');
        name.starts_with(is_first) && name.chars().all(is_further)
    }

    /// Unicode's `toLowerCase`, which RFC 8265 section 3.3.2 prefers: unlike a mapping of single characters it knows
    /// the final sigma, so that ΝΙΚΟΣ is νικος. Only Cherokee stays as it is: its small letters are newer than the
    /// profile's tables, and Unicode's own case folding prefers the great ones there (CaseFolding.txt).
    fn lower(name: &str) -> String {
        name.to_lowercase().chars().map(great_cherokee).collect()
    }

    fn great_cherokee(c: char) -> char {
        let great = match c {
            '\u{AB70}'..='\u{ABBF}' => u32::from(c) - 0xAB70 + 0x13A0,
            '\u{13F8}'..='\u{13FD}' => u32::from(c) - 8,
            _ => return c,
        };
        char::from_u32(great).unwrap_or(c)
    }

    /// The bidi rule (RFC 5893 section 2) for a name that begins with no mark. It allows non-spacing marks everywhere
    /// behind the first character of a right-to-left name and looks past them at its end, so it holds for a name if
    /// and only if it holds for what is left without them. The crate allows them at the end only, which would refuse
    /// all pointed Hebrew, vocalised Arabic, and nearly every name in Thaana; hence a second try without them.
    fn follows_bidi_rule(profile: UsernameCaseMapped, name: &str) -> bool {
        let holds = |name: String| profile.directionality_rule(name).is_ok();
        // The crate's table is not public, but it lets no mark follow an alef save a non-spacing one.
        let is_non_spacing = |c: char| is_combining_mark(c) && holds(String::from_iter(['\u{5D0}', c]));
        holds(name.to_owned()) || holds(name.chars().filter(|c| !is_non_spacing(*c)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(feature = "unicode")]
    use crate::protocol::text::is_safe;

    fn name(written: &str) -> Name {
        Name::new(written.as_bytes()).unwrap_or_else(|_| panic!("{written:?} is a name"))
    }

    fn assert_refused(written: impl AsRef<[u8]>) {
        let written = written.as_ref();
        assert!(Name::new(written).is_err(), "{:?} is no name", written.escape_ascii().to_string());
        assert!(fold(written).is_err(), "{:?} is no name to look up", written.escape_ascii().to_string());
    }

    /// Each pair is what an owner writes and the key that it is found under.
    fn assert_folds(pairs: &[(&str, &str)]) {
        for (written, folded) in pairs {
            let name = name(written);
            assert_eq!((name.shown(), name.folded()), (*written, *folded));
            assert_eq!(name.is_folded(), written == folded, "{written:?}");
            assert_eq!(fold(written.as_bytes()).as_deref(), Ok(*folded));
        }
    }

    #[test]
    fn a_name_is_as_small_as_a_string() {
        assert_eq!(size_of::<Name>(), 24);
    }

    #[test]
    fn ascii_names_are_shown_as_written_and_found_in_lower_case() {
        assert_folds(&[
            ("a", "a"),
            ("7", "7"),
            ("Alice", "alice"),
            ("BOB", "bob"),
            ("anne-marie", "anne-marie"),
            ("R2.D2_", "r2.d2_"),
            ("a..", "a.."),
        ]);
    }

    #[test]
    fn what_is_folded_already_is_only_borrowed() {
        assert!(matches!(fold(b"alice-2"), Ok(Cow::Borrowed("alice-2"))));
        #[cfg(feature = "unicode")]
        assert!(matches!(fold("žofie".as_bytes()), Ok(Cow::Borrowed("žofie"))));
    }

    #[test]
    fn sigils_separators_and_blanks_are_in_no_name() {
        for refused in
            ["", "-a", "_a", ".a", "-", "a b", " a", "a ", "a\tb", "a\n", "a\r", "\0", "a\0", "a\x7F"]
        {
            assert_refused(refused);
        }
        for byte in (0..=0x7F_u8).filter(|byte| !byte.is_ascii_alphanumeric() && !b"-_.".contains(byte)) {
            assert_refused([byte]);
            assert_refused([b'a', byte]);
            assert_refused([b'a', byte, b'b']);
        }
    }

    #[test]
    fn what_is_no_utf8_is_no_name() {
        for refused in [&b"\xFF"[..], b"a\xFF", b"\xC3", b"a\xC3\xA9\xC3", b"\xC0\xAF", b"\xED\xA0\x80"] {
            assert_refused(refused);
        }
    }

    #[test]
    fn a_name_has_at_most_32_characters() {
        assert_eq!(name(&"a".repeat(32)).shown().len(), 32);
        assert_eq!(name(&"A".repeat(32)).folded(), "a".repeat(32));
        assert_refused("a".repeat(33));
        assert_refused("a".repeat(1 << 20));
    }

    #[test]
    fn names_of_the_server_are_reserved_in_every_spelling() {
        for written in RESERVED.iter().chain(&["Admin", "LOBBY", "guest-0", "Guest-17", "guest-007"]) {
            assert!(is_reserved(&name(written)), "{written}");
        }
        for written in
            ["alice", "admins", "adm", "guest", "guest-", "guest-x", "guest-1a", "guest1", "guests-1"]
        {
            assert!(!is_reserved(&name(written)), "{written}");
        }
        #[cfg(feature = "unicode")]
        assert!(is_reserved(&name("Ｓｅｒｖｅｒ")) && is_reserved(&name("ｇuest-１")));
    }

    #[test]
    fn spellings_of_one_name_are_equal_and_hash_alike() {
        let names =
            std::collections::HashSet::from([name("Alice"), name("alice"), name("ALICE"), name("bob")]);
        assert_eq!(names.len(), 2);
        assert_eq!(format!("{0} {0:?}", name("Alice")), "Alice \"Alice\"");
        assert!(Invalid.to_string().starts_with("a name is 1 to 32 "));
    }

    #[cfg(not(feature = "unicode"))]
    #[test]
    fn without_tables_no_letter_beyond_ascii_is_known() {
        for refused in ["é", "aé", "Ж", "ａｌｉｃｅ", "\u{200D}", "#é"] {
            assert_refused(refused);
        }
        assert!(Invalid.to_string().contains("ASCII"));
    }

    #[cfg(feature = "unicode")]
    mod every_script {
        use super::*;

        #[test]
        fn names_come_in_many_scripts() {
            assert_folds(&[
                ("Zoë", "zoë"),
                ("ÅSA", "åsa"),
                ("Łukasz", "łukasz"),
                ("Nguyễn", "nguyễn"),
                ("straße", "straße"),
                ("Ørsted-2", "ørsted-2"),
                ("Δημήτρης", "δημήτρης"),
                ("Наталья", "наталья"),
                ("Ївга.К", "ївга.к"),
                ("Արամ", "արամ"),
                ("გიორგი", "გიორგი"),
                ("ᏣᎳᎩ", "ᏣᎳᎩ"),
                ("שרה", "שרה"),
                ("محمد", "محمد"),
                ("علی-رضا", "علی-رضا"),
                ("हिन्दी", "हिन्दी"),
                ("श्रेया", "श्रेया"),
                ("தமிழ்", "தமிழ்"),
                ("স্বাতী", "স্বাতী"),
                ("สมชาย", "สมชาย"),
                ("ปุ๋ย", "ปุ๋ย"),
                ("မောင်", "မောင်"),
                ("ሰላም", "ሰላም"),
                ("世界", "世界"),
                ("\u{20000}\u{2A6D6}", "\u{20000}\u{2A6D6}"),
                ("ひらがな", "ひらがな"),
                ("カタカナー", "カタカナー"),
                ("한국어", "한국어"),
                ("\u{10400}", "\u{10428}"),
            ]);
        }

        #[test]
        fn digits_of_every_script_are_digits() {
            assert_folds(&[
                ("१२३", "१२३"),
                ("क१", "क१"),
                ("９lives", "9lives"),
                ("سارة٣", "سارة٣"),
                ("رضا۲", "رضا۲"),
                ("שרה7", "שרה7"),
            ]);
            for refused in ["½", "a²", "Ⅷ", "①", "سارة٣۲", "سارة٣2"] {
                assert_refused(refused);
            }
        }

        #[test]
        fn a_name_is_found_however_its_accents_widths_and_capitals_are_typed() {
            for (one, other) in [
                ("Zoë", "zoe\u{308}"),
                ("NGUYỄN", "nguye\u{302}\u{303}n"),
                ("й", "И\u{306}"),
                ("alice", "ＡＬＩＣＥ"),
                ("a-b_c.d", "ａ－ｂ＿ｃ．ｄ"),
                ("ガ", "ｶﾞ"),
                ("ΝΙΚΟΣ", "νικος"),
                ("ΝΙΚΟΣ-ΑΣ2", "νικος-ας2"),
                ("I\u{307}stanbul", "İSTANBUL"),
                ("ẞ", "ß"),
                ("ᾳ", "α\u{345}"),
            ] {
                assert_eq!(name(one), name(other));
                assert_eq!(fold(one.as_bytes()), fold(other.as_bytes()));
            }
            for (one, other) in [("straße", "strasse"), ("нет", "HET"), ("ı", "i"), ("νικοσ", "νικος")]
            {
                assert_ne!(name(one), name(other));
            }
        }

        #[test]
        fn marks_stand_anywhere_but_first() {
            for written in ["מֹשֶׁה", "مُحَمَّد", "ނާއިރު", "שלוֹ", "ܡܳܪܝ", "किरण", "a\u{301}\u{302}b", "e\u{302}"]
            {
                name(written);
            }
            // U+094D is a mark, U+093E an alphabetic one, U+FF9E becomes one when it is no longer half as wide.
            for refused in ["\u{301}", "\u{301}a", "\u{94D}a", "\u{93E}", "\u{5B9}ש", "\u{FF9E}a", "-\u{301}"]
            {
                assert_refused(refused);
            }
        }

        #[test]
        fn a_name_reads_in_one_direction() {
            for refused in ["aש", "שa", "1ש", "ש-", "ש.", "ש_\u{5B9}", "٣", "٣a", "שक", "שा", "ש\u{93E}ש"]
            {
                assert_refused(refused);
            }
        }

        #[test]
        fn what_is_neither_letter_digit_nor_mark_is_in_no_name() {
            let sigils = ["＃a", "a＃", "＠a", "a：b", "a，b", "／a", "＆a", "！a", "＋a", "＊a"];
            let blanks =
                ["a\u{3000}", "a\u{A0}", "a\u{2028}", "a\u{85}", "a\u{2800}", "a\u{3164}", "\u{FFA0}"];
            let unseen = ["a\u{AD}b", "a\u{200B}", "a\u{FEFF}", "a\u{FE0F}", "a\u{34F}", "a\u{E0041}"];
            let bidi = ["a\u{202E}b", "ש\u{200F}", "a\u{2066}b", "ا\u{61C}", "a\u{200E}"];
            let symbols = ["🐦", "♚", "a→b", "a€", "a–b", "a…", "«a»", "a。"];
            let no_characters = ["a\u{FFFD}", "a\u{E000}", "a\u{FDD0}", "a\u{378}"];
            let compatible = ["ﬁ", "ª", "ǅ", "ſ", "\u{2126}", "\u{1100}\u{1161}", "\u{9DF}", "\u{E33}"];
            let newer_than_6_3 = ["\u{1C90}", "\u{1E900}", "\u{2B820}", "\u{AB70}"];
            let all = [
                &sigils[..],
                &blanks,
                &unseen,
                &bidi,
                &symbols,
                &no_characters,
                &compatible,
                &newer_than_6_3,
            ];
            for refused in all.concat() {
                assert_refused(refused);
            }
        }

        /// RFC 8264's contextual characters and exceptions, each where its rule would allow it.
        #[test]
        fn punctuation_that_rfc_8265_allows_in_its_context_is_refused() {
            for refused in [
                "l·l",
                "\u{375}α",
                "צ׳",
                "צ״ל",
                "カ・カ",
                "क्\u{200D}",
                "क्\u{200C}ष",
                "علی\u{200C}رضا",
                "a\u{6FD}",
                "ا\u{6FE}",
                "ཀ་ཀ",
            ] {
                assert_refused(refused);
            }
        }

        #[test]
        fn both_forms_have_at_most_32_characters() {
            let widest = "\u{20000}".repeat(32);
            assert_eq!(name(&widest).shown().len(), MAX_BYTES);
            assert_refused(widest + "a");
            assert_eq!(name(&"\u{10400}".repeat(32)).folded(), "\u{10428}".repeat(32));
            assert_refused("é".repeat(33));
            // Folded, each capital I with a dot is two characters.
            assert_eq!(name(&"İ".repeat(16)).folded().chars().count(), 32);
            assert_refused("İ".repeat(17));
            // Written, each e is followed by its accent.
            assert_eq!(name(&"e\u{301}".repeat(16)).folded(), "é".repeat(16));
            assert_refused("e\u{301}".repeat(17));
        }

        /// Every character there is (but those of the planes that are empty or private), alone and within a word of
        /// either direction.
        #[test]
        fn no_character_gets_by_that_is_unsafe_or_changes_when_folded_again() {
            for c in ('\u{80}'..='\u{3FFFF}').chain('\u{E0000}'..='\u{E0FFF}') {
                for written in [format!("{c}"), format!("a{c}b"), format!("ש{c}ש")] {
                    let Ok(name) = Name::new(written.as_bytes()) else { continue };
                    assert!(is_safe(c) && !c.is_whitespace() && !c.is_control(), "{written:?}");
                    assert_eq!(fold(name.folded().as_bytes()).as_deref(), Ok(name.folded()), "{written:?}");
                }
            }
        }
    }
}
