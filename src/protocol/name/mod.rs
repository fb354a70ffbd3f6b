//! What a valid name is, and which names are equal (protocol.md, "Names"). A [`Name`] is valid by its type, so it may
//! be printed anywhere, and nothing else decides what a name is. The hub knows which names are in use.
//!
//! The rule is the profile `UsernameCaseMapped` (RFC 8265 section 3.3), restricted to letters, digits, marks, `-`, `_`
//! and `.`. The other ASCII punctuation that it allows is refused because of the sigils. Also refused is what it allows
//! in some contexts only, or as an exception, that is no letter, digit or mark:
//!
//! - the joiners U+200C and U+200D are invisible, and names that look alike may not differ; two Persian words can be
//!   joined by `-`, `_` or `.` instead
//! - the dots U+00B7 and U+30FB, the Greek keraia, the Hebrew geresh and gershayim, two Sindhi signs and the Tibetan
//!   tsheg are punctuation and symbols, which the protocol refuses in every script.
//!
//! A name is of one script (Unicode TR39 section 5.1), so that none of its letters can stand for one of another script.
//! Whole names are compared by their skeletons (`skeleton.rs`), and the hub refuses confusable ones.
//!
//! The profile's tables end at Unicode 6.3, as the registry of RFC 8264 does: newer letters and scripts are refused.

#[cfg(feature = "unicode")]
mod script;
mod skeleton;

pub use skeleton::Skeletons;

use crate::limits::ALLOCATION_OVERHEAD;
use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::Ipv4Addr;

/// Maximum characters of a name, as written and folded.
pub const MAX_CHARS: usize = 32;

/// Whether this build accepts names in every script, or ASCII names only.
pub const EVERY_SCRIPT: bool = cfg!(feature = "unicode");

/// Maximum bytes of a name, as written and folded: a character of UTF-8 has at most four.
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
    /// The shown form, followed by the folded one if and only if the two differ. One allocation for both.
    text: Box<str>,
    /// The length of the shown form in bytes: 1 to [`MAX_BYTES`].
    shown_len: u8,
}

/// The error for text that isn't a name. Its `Display` form says what a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invalid;

impl Name {
    /// Maximum memory that a name takes on the heap, in bytes: both forms.
    pub const MAX_HEAP_BYTES: usize = 2 * MAX_BYTES + ALLOCATION_OVERHEAD;

    /// Creates the name that is written like this.
    ///
    /// # Errors
    /// [`Invalid`] if it isn't 1 to [`MAX_CHARS`] characters, both as written and folded, of which the first is a
    /// letter or digit and each further one a letter, digit, mark, `-`, `_` or `.`, as RFC 8265 allows, all of one
    /// script (Unicode TR39 section 5.1), with at most 4 nonspacing marks in a row, none of them twice (section 5.4).
    pub fn new(written: &[u8]) -> Result<Name, Invalid> {
        let shown = decode(written)?;
        let text = match fold_str(shown)? {
            Cow::Borrowed(_) => Box::from(shown),
            Cow::Owned(folded) => [shown, &folded].concat().into_boxed_str(),
        };
        Ok(Name { text, shown_len: u8::try_from(shown.len()).map_err(|_| Invalid)? })
    }

    /// Returns the name as its owner writes it: at most 128 bytes.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.text[..usize::from(self.shown_len)]
    }

    /// Returns the key under which the name is compared; it is the same as [`shown`](Self::shown) if they don't differ.
    #[must_use]
    pub fn folded(&self) -> &str {
        if self.is_folded() { &self.text } else { &self.text[usize::from(self.shown_len)..] }
    }

    /// Returns true if the shown form is the folded form.
    #[must_use]
    pub fn is_folded(&self) -> bool {
        self.text.len() == usize::from(self.shown_len)
    }
}

impl PartialEq for Name {
    /// Returns true if both have the same folded form: one name, perhaps in two spellings.
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

/// Returns the folded form of a name as typed, for a look-up. It is borrowed if the name is folded already.
///
/// # Errors
/// [`Invalid`] exactly where [`Name::new`] returns it.
pub fn fold(written: &[u8]) -> Result<Cow<'_, str>, Invalid> {
    fold_str(decode(written)?)
}

/// Names, folded, that are reserved for the server.
pub const RESERVED: [&str; 7] = ["administrator", "admin", "operator", "root", "server", "lobby", "redpoll"];

/// The prefix of names that the server gives to users without a choice; a decimal number follows.
const GUEST: &str = "guest-";

/// Returns true if the name is reserved, in any spelling or, beyond ASCII, if it is confusable with a reserved one.
#[must_use]
pub fn is_reserved(name: &Name) -> bool {
    let folded = name.folded();
    if !folded.is_ascii() {
        return Skeletons::of(name).are_reserved();
    }
    let number = folded.strip_prefix(GUEST).unwrap_or("");
    RESERVED.contains(&folded)
        || (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
        || is_service_or_address(folded)
}

/// Returns true if a folded nick would pass for a service of an IRC network (`NickServ`) or for an IPv4 address.
fn is_service_or_address(folded: &str) -> bool {
    folded.ends_with("serv") || folded.parse::<Ipv4Addr>().is_ok()
}

/// Decodes a name. The length is checked first, so that a text that is too long costs nothing.
fn decode(written: &[u8]) -> Result<&str, Invalid> {
    if written.len() > MAX_BYTES {
        return Err(Invalid);
    }
    std::str::from_utf8(written).map_err(|_| Invalid)
}

fn fold_str(written: &str) -> Result<Cow<'_, str>, Invalid> {
    if written.is_ascii() { fold_ascii(written) } else { fold_script(written) }
}

/// Applies the profile and our restriction to ASCII alone, without any table.
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

/// The profile's rules, in its order, with our own between them. They are called one by one because the crate's
/// `enforce` has two faults (0.2.0): its case mapping is not Unicode's, and its bidi rule refuses every mark within a
/// right-to-left word. See `lower` and `follows_bidi_rule`.
#[cfg(feature = "unicode")]
mod every_script {
    use super::{MAX_CHARS, script};
    use precis_profiles::UsernameCaseMapped;
    use precis_profiles::precis_core::Error;
    use precis_profiles::precis_core::profile::{Profile, Rules, stabilize};
    use std::borrow::Cow;
    use unicode_normalization::UnicodeNormalization;
    use unicode_normalization::char::is_combining_mark;

    /// Returns the folded form: all rules are applied until it no longer changes (RFC 8264 section 7), so that it is a
    /// name itself. It is borrowed if the name is folded already.
    pub(super) fn fold(written: &str) -> Result<Cow<'_, str>, Error> {
        stabilize(written, fold_once)
    }

    fn fold_once(name: &str) -> Result<Cow<'_, str>, Error> {
        let profile = UsernameCaseMapped::new();
        if name.chars().nth(MAX_CHARS).is_some() {
            return Err(Error::Invalid);
        }
        // Width mapping comes first: a full-width sigil is checked as the sigil that it becomes.
        let narrow = profile.prepare(name)?;
        if !is_word(&narrow) {
            return Err(Error::Invalid);
        }
        let folded = profile.normalization_rule(lower(&narrow))?;
        if script::is_single(&folded)
            && follows_bidi_rule(profile, &folded)
            && has_plausible_marks(profile, &folded)
        {
            Ok(folded)
        } else {
            Err(Error::Invalid)
        }
    }

    fn is_word(name: &str) -> bool {
        // Unicode's Alphabetic includes some marks, above all vowel signs.
        let is_first = |c: char| c.is_alphanumeric() && !is_combining_mark(c);
        let is_further =
            |c: char| c.is_alphanumeric() || is_combining_mark(c) || matches!(c, '-' | '_' | '.');
        name.starts_with(is_first) && name.chars().all(is_further)
    }

    /// Applies Unicode's `toLowerCase`, which RFC 8265 section 3.3.2 prefers: unlike a mapping of single characters it
    /// knows the final sigma, so that ΝΙΚΟΣ is νικος. Cherokee becomes capital instead: its small letters are newer
    /// than the profile's tables, and Unicode's case folding prefers capitals there (CaseFolding.txt).
    fn lower(name: &str) -> String {
        name.to_lowercase().chars().map(cherokee_capital).collect()
    }

    fn cherokee_capital(c: char) -> char {
        let capital = match c {
            '\u{AB70}'..='\u{ABBF}' => u32::from(c) - 0xAB70 + 0x13A0,
            '\u{13F8}'..='\u{13FD}' => u32::from(c) - 8,
            _ => return c,
        };
        char::from_u32(capital).unwrap_or(c)
    }

    /// Checks the bidi rule (RFC 5893 section 2) for a name that begins with no mark. The rule allows non-spacing marks
    /// anywhere after the first character of a right-to-left name and ignores them at its end, so it holds for a name
    /// if and only if it holds without them. The crate allows them at the end only, which would refuse all pointed
    /// Hebrew, vocalised Arabic, and nearly every name in Thaana; hence a second try without them.
    fn follows_bidi_rule(profile: UsernameCaseMapped, name: &str) -> bool {
        let holds = |name: String| profile.directionality_rule(name).is_ok();
        holds(name.to_owned()) || holds(name.chars().filter(|c| !is_non_spacing(profile, *c)).collect())
    }

    fn is_non_spacing(profile: UsernameCaseMapped, c: char) -> bool {
        // The crate's table is not public, but it lets only non-spacing marks follow an alef.
        is_combining_mark(c) && profile.directionality_rule(String::from_iter(['\u{5D0}', c])).is_ok()
    }

    /// Checks Unicode TR39 section 5.4 in the decomposed form: at most 4 nonspacing marks in a row, none twice in a row.
    fn has_plausible_marks(profile: UsernameCaseMapped, name: &str) -> bool {
        let (mut count, mut last) = (0, None);
        name.nfd().all(|c| {
            if !is_non_spacing(profile, c) {
                (count, last) = (0, None);
                return true;
            }
            count += 1;
            count <= MAX_MARKS && last.replace(c) != Some(c)
        })
    }

    /// Nonspacing marks in a row, at most.
    const MAX_MARKS: usize = 4;
}
