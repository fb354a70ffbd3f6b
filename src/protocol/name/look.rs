//! What names look like, so that nobody goes by a name that passes for another's (Unicode TR39 section 4, skeletons).
//! Only the comparison is here; who holds which name is the hub's business.
//!
//! `Alice` and `alice` are one name, so one look has to serve for all that its holder may write. A look is the skeleton
//! of a form of the folded name, again in small letters, in which `i` is `l` (for `I` is) and `m` is `rn`. There are
//! three forms: small letters, capitals, and small letters behind one capital. Each can deceive alone: `раура` all small,
//! `ВОВ` in capitals, `Νονα` behind one. Most names look the same in all three. It is stricter than TR39, whose skeletons
//! take no note of case, by what `I` and `i` being one letter brings with it: `zoëi` and `zoël` are alike.

use super::{GUEST, MAX_CHARS, Name, RESERVED};
use crate::limits::ALLOCATION;

/// The most bytes that a character of a name comes to in a look.
const MAX_OF_A_CHAR: usize = 24;

/// What a name looks like: one to three texts.
///
/// ```
/// # #[cfg(feature = "unicode")] {
/// use redpoll::protocol::name::{Looks, Name};
/// let looks = |name: &str| Looks::of(&Name::new(name.as_bytes()).unwrap());
/// assert!(looks("раура").deceive(&looks("Paypa")), "the first one is Cyrillic");
/// assert!(!looks("user1").deceive(&looks("userl")), "ASCII has its false friends");
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looks {
    /// Each once.
    texts: Vec<String>,
    /// The name is plain ASCII, so that it has one look.
    ascii: bool,
}

impl Looks {
    /// The most memory that three looks take besides what is in their place.
    pub const OF_ONE: usize = 3 * (size_of::<String>() + MAX_CHARS * MAX_OF_A_CHAR + ALLOCATION) + ALLOCATION;

    /// What this name looks like, however its owner spells it.
    #[must_use]
    pub fn of(name: &Name) -> Looks {
        let folded = name.folded();
        let ascii = folded.is_ascii();
        let texts = if ascii { vec![look_of_ascii(folded)] } else { looks_of_script(folded) };
        Looks { texts, ascii }
    }

    /// True if one can be taken for the other. Two names of plain ASCII can't: who reads `user1` knows of `userl`.
    #[must_use]
    pub fn deceive(&self, other: &Looks) -> bool {
        !(self.ascii && other.ascii) && self.texts.iter().any(|text| other.texts.contains(text))
    }

    /// True if one of them is that of a reserved name, or of a guest's: in looks `1` is `l` and `0` is `o`.
    pub(super) fn are_reserved(&self) -> bool {
        let is_digit = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'l' | b'o');
        let is_guest = |look: &str| {
            let number = look.strip_prefix(&look_of_ascii(GUEST)).unwrap_or("");
            !number.is_empty() && number.bytes().all(is_digit)
        };
        let is_reserved = |look: &str| RESERVED.iter().any(|reserved| look_of_ascii(reserved) == look);
        self.texts.iter().any(|look| look.is_ascii() && (is_guest(look) || is_reserved(look)))
    }

    /// The looks themselves, in an order that is always the same for one name.
    #[must_use]
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// True if the name is plain ASCII, in whatever width it is written.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.ascii
    }
}

/// What [`look`] comes to for ASCII in small letters, without its tables.
fn look_of_ascii(folded: &str) -> String {
    let mut look = String::with_capacity(folded.len());
    for c in folded.chars() {
        match c {
            'i' | '1' => look.push('l'),
            '0' => look.push('o'),
            'm' => look.push_str("rn"),
            other => look.push(other),
        }
    }
    look
}

/// Without its tables this build knows no name beyond ASCII.
#[cfg(not(feature = "unicode"))]
fn looks_of_script(_: &str) -> Vec<String> {
    Vec::new()
}

#[cfg(feature = "unicode")]
use every_script::looks_of_script;

#[cfg(feature = "unicode")]
mod every_script {
    use unicode_normalization::UnicodeNormalization;

    include!("confusables.rs");

    pub(super) fn looks_of_script(folded: &str) -> Vec<String> {
        let small = decomposed(folded);
        let behind = small.chars().next().map_or(0, char::len_utf8);
        let (capitals, first) = (capitals(&small), capitals(&small[..behind]));
        let mut looks = vec![look(&small)];
        for other in [look(&capitals), look(&[&first, &small[behind..]].concat())] {
            if !looks.contains(&other) {
                looks.push(other);
            }
        }
        looks
    }

    /// One letter for one: `ß` has no capital here, for `SS` is no other spelling of it.
    fn capitals(small: &str) -> String {
        let capital = |c: char| {
            let mut capitals = c.to_uppercase();
            capitals.next().filter(|_| capitals.len() == 0).unwrap_or(c)
        };
        small.chars().map(capital).collect()
    }

    fn look(form: &str) -> String {
        let mut look = String::with_capacity(form.len());
        for c in prototypes(form).chars().flat_map(char::to_lowercase) {
            match c {
                'i' => look.push('l'),
                'm' => look.push_str("rn"),
                other => look.push(other),
            }
        }
        decomposed(&look)
    }

    /// TR39's skeleton of what is decomposed already, but for the order of its marks. No character of a name is ignorable,
    /// so that step is left out.
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

    /// ASCII is as it is.
    fn decomposed(text: &str) -> String {
        if text.is_ascii() { text.to_owned() } else { text.nfd().collect() }
    }
}

#[cfg(feature = "unicode")]
#[cfg(test)]
mod tests {
    use super::*;
    use unicode_normalization::char::is_combining_mark;

    /// All that is said of ASCII in `look_of_ascii` and `Looks::ascii` rests on this.
    #[test]
    fn ascii_name_has_one_ascii_skeleton() {
        for c in ('a'..='z').chain('0'..='9').chain(['-', '_', '.']) {
            let folded = format!("x{c}");
            assert_eq!(looks_of_script(&folded), [look_of_ascii(&folded)], "{folded}");
            assert_eq!(looks_of_script(&c.to_string()), [look_of_ascii(&c.to_string())], "{c}");
        }
    }

    #[test]
    fn skeleton_bytes_per_character_are_bounded() {
        for c in ('\0'..='\u{3FFFF}').filter(|c| c.is_alphanumeric() || c.is_ascii() || is_combining_mark(*c))
        {
            // Marks are in no name alone.
            let names = [format!("{c}"), format!("x{c}"), format!("ש{c}")];
            let Some(name) = names.iter().find_map(|name| Name::new(name.as_bytes()).ok()) else { continue };
            let longest = Looks::of(&name).texts().iter().map(String::len).max().unwrap();
            assert!(longest <= name.folded().chars().count() * MAX_OF_A_CHAR, "{c:?} comes to {longest}");
        }
    }
}
