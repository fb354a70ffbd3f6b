//! Skeletons of names (Unicode TR39 section 4), by which confusable names are refused. Only the comparison is here; the
//! hub knows which names are in use.
//!
//! `Alice` and `alice` are one name, so its skeletons must cover all spellings that its owner may write. A skeleton is
//! that of a form of the folded name, again in small letters, in which `i` is `l` (for `I` is) and `m` is `rn`. There
//! are three forms: small letters, capitals, and small letters after one capital. Each can be confusable alone: `раура`
//! in small letters, `ВОВ` in capitals, `Νονα` after one. Most names have one skeleton for all three. TR39's skeletons
//! are case-sensitive; that `I` and `i` are one letter here makes this stricter: `zoëi` and `zoël` are confusable.

use super::{GUEST, MAX_CHARS, Name, RESERVED, is_service_or_address};
use crate::limits::ALLOCATION_OVERHEAD;

/// Maximum bytes of a skeleton per character of the name.
const MAX_BYTES_PER_CHAR: usize = 24;

/// The skeletons of a name: one to three texts.
///
/// ```
/// # #[cfg(feature = "unicode")] {
/// use redpoll::protocol::name::{Name, Skeletons};
/// let skeletons = |name: &str| Skeletons::of(&Name::new(name.as_bytes()).unwrap());
/// assert!(skeletons("раура").is_confusable_with(&skeletons("Paypa")), "the first is Cyrillic");
/// assert!(!skeletons("user1").is_confusable_with(&skeletons("userl")), "both are ASCII");
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skeletons {
    /// One to three, each once.
    texts: Vec<String>,
    /// The name is ASCII, so that it has one skeleton.
    ascii: bool,
}

impl Skeletons {
    /// Maximum memory that skeletons take on the heap, in bytes: three of them.
    pub const MAX_HEAP_BYTES: usize = 3
        * (size_of::<String>() + MAX_CHARS * MAX_BYTES_PER_CHAR + ALLOCATION_OVERHEAD)
        + ALLOCATION_OVERHEAD;

    /// Returns the skeletons of a name; they are the same for all its spellings.
    #[must_use]
    pub fn of(name: &Name) -> Skeletons {
        let folded = name.folded();
        let ascii = folded.is_ascii();
        let texts = if ascii { vec![skeleton_of_ascii(folded)] } else { skeletons_of_script(folded) };
        Skeletons { texts, ascii }
    }

    /// Returns true if the names are confusable. Two ASCII names never are: `user1` and `userl` are known to differ.
    #[must_use]
    pub fn is_confusable_with(&self, other: &Skeletons) -> bool {
        !(self.ascii && other.ascii) && self.texts.iter().any(|text| other.texts.contains(text))
    }

    /// Returns true if one is the skeleton of a reserved name or of a guest's: in skeletons `1` is `l` and `0` is `o`.
    pub(super) fn are_reserved(&self) -> bool {
        let is_digit = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'l' | b'o');
        let is_guest = |skeleton: &str| {
            let number = skeleton.strip_prefix(&skeleton_of_ascii(GUEST)).unwrap_or("");
            !number.is_empty() && number.bytes().all(is_digit)
        };
        let is_reserved = |skeleton: &str| {
            RESERVED.iter().any(|reserved| skeleton_of_ascii(reserved) == skeleton)
                || is_service_or_address(&skeleton.replace('l', "1").replace('o', "0"))
        };
        self.texts.iter().any(|skeleton| skeleton.is_ascii() && (is_guest(skeleton) || is_reserved(skeleton)))
    }

    /// Returns the skeletons themselves, always in the same order for one name.
    #[must_use]
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Returns true if the name is ASCII once its width is folded.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.ascii
    }
}

/// Returns the skeleton of ASCII in small letters, without the tables.
fn skeleton_of_ascii(folded: &str) -> String {
    let mut skeleton = String::with_capacity(folded.len());
    for c in folded.chars() {
        match c {
            'i' | '1' => skeleton.push('l'),
            '0' => skeleton.push('o'),
            'm' => skeleton.push_str("rn"),
            other => skeleton.push(other),
        }
    }
    skeleton
}

/// Without its tables this build has no name beyond ASCII.
#[cfg(not(feature = "unicode"))]
fn skeletons_of_script(_: &str) -> Vec<String> {
    Vec::new()
}

#[cfg(feature = "unicode")]
use every_script::skeletons_of_script;

#[cfg(feature = "unicode")]
mod every_script {
    use unicode_normalization::UnicodeNormalization;

    include!("confusables.rs");

    pub(super) fn skeletons_of_script(folded: &str) -> Vec<String> {
        let small = decomposed(folded);
        let second = small.chars().next().map_or(0, char::len_utf8);
        let (capitals, first) = (capitals(&small), capitals(&small[..second]));
        let mut skeletons = vec![skeleton(&small)];
        for other in [skeleton(&capitals), skeleton(&[&first, &small[second..]].concat())] {
            if !skeletons.contains(&other) {
                skeletons.push(other);
            }
        }
        skeletons
    }

    /// Maps letter by letter: `ß` has no capital here, since `SS` is no other spelling of it.
    fn capitals(small: &str) -> String {
        let capital = |c: char| {
            let mut capitals = c.to_uppercase();
            capitals.next().filter(|_| capitals.len() == 0).unwrap_or(c)
        };
        small.chars().map(capital).collect()
    }

    fn skeleton(form: &str) -> String {
        let mut skeleton = String::with_capacity(form.len());
        for c in prototypes(form).chars().flat_map(char::to_lowercase) {
            match c {
                'i' => skeleton.push('l'),
                'm' => skeleton.push_str("rn"),
                other => skeleton.push(other),
            }
        }
        decomposed(&skeleton)
    }

    /// Returns TR39's skeleton of decomposed text, but for the order of its marks. Its step that removes ignorable
    /// characters is left out, since no name has any.
    fn prototypes(form: &str) -> String {
        let mut prototypes = String::with_capacity(form.len());
        for c in form.chars() {
            match FROM.binary_search(&c) {
                Ok(at) => prototypes.push_str(&TO[AT[at].into()..AT[at + 1].into()]),
                Err(_) => prototypes.push(c),
            }
        }
        prototypes
    }

    /// Returns the text in NFD, which for ASCII is the text itself.
    fn decomposed(text: &str) -> String {
        if text.is_ascii() { text.to_owned() } else { text.nfd().collect() }
    }
}

#[cfg(feature = "unicode")]
#[cfg(test)]
mod tests {
    use super::*;
    use unicode_normalization::char::is_combining_mark;

    /// `skeleton_of_ascii` and `Skeletons::ascii` rely on this.
    #[test]
    fn ascii_name_has_one_ascii_skeleton() {
        for c in ('a'..='z').chain('0'..='9').chain(['-', '_', '.']) {
            let folded = format!("x{c}");
            assert_eq!(skeletons_of_script(&folded), [skeleton_of_ascii(&folded)], "{folded}");
            assert_eq!(skeletons_of_script(&c.to_string()), [skeleton_of_ascii(&c.to_string())], "{c}");
        }
    }

    #[test]
    fn skeleton_bytes_per_character_are_bounded() {
        for c in ('\0'..='\u{3FFFF}').filter(|c| c.is_alphanumeric() || c.is_ascii() || is_combining_mark(*c))
        {
            // No name is a mark alone.
            let names = [format!("{c}"), format!("x{c}"), format!("ש{c}")];
            let Some(name) = names.iter().find_map(|name| Name::new(name.as_bytes()).ok()) else { continue };
            let longest = Skeletons::of(&name).texts().iter().map(String::len).max().unwrap();
            assert!(
                longest <= name.folded().chars().count() * MAX_BYTES_PER_CHAR,
                "{c:?} has a skeleton of {longest} bytes"
            );
        }
    }
}
