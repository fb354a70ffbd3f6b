//! The first character of a line: which kind of request it begins. Sigils are `#`, `@`, `&` and `/` and their full-width
//! forms. A sigil after characters that a terminal doesn't show is found here too, so that the line is refused: it would
//! publish a text that is meant for one user.

use bstr::{BStr, ByteSlice};

/// What a line begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start<'a> {
    /// A sigil, in its ASCII form, and the remainder of the line.
    Sigil(u8, &'a BStr),
    /// Only characters without a visible form precede a sigil.
    Hidden {
        /// The first of these characters.
        hidden: char,
        /// The sigil as received.
        sigil: char,
    },
    /// Anything else.
    Text,
}

/// Bytes of a full-width form in UTF-8.
const WIDE: usize = 3;

/// Returns what `line` begins with. Only for a line whose first byte is neither printable ASCII nor TAB: the first byte of
/// any other line is its sigil, or text.
#[cold]
pub(super) fn start(line: &[u8]) -> Start<'_> {
    let mut rest = line;
    let mut hidden = None;
    while let (Some(c), len) = bstr::decode_utf8(rest) {
        if let Some(sigil) = ascii(c) {
            return match hidden {
                None => Start::Sigil(sigil, rest[len..].as_bstr()),
                Some(hidden) => Start::Hidden { hidden, sigil: c },
            };
        }
        if !is_hidden(c) {
            break;
        }
        let first = *hidden.get_or_insert(c);
        rest = &rest[len..];
        if c == ESC {
            match escape_sequence(rest) {
                Escape::Sigil(sigil) => return Start::Hidden { hidden: first, sigil },
                Escape::Ended(len) => rest = &rest[len..],
            }
        }
    }
    Start::Text
}

/// Returns the ASCII form of a sigil.
fn ascii(c: char) -> Option<u8> {
    match c {
        '#' | '＃' => Some(b'#'),
        '@' | '＠' => Some(b'@'),
        '&' | '＆' => Some(b'&'),
        '/' | '／' => Some(b'/'),
        _ => None,
    }
}

/// Splits `name:text` into name and text, separated by the first `:` or `：` (U+FF1A).
#[inline(always)]
pub(super) fn split_name(bytes: &BStr) -> Option<(&BStr, &BStr)> {
    // A name is short, so a plain loop ends before a wide search has begun.
    let at = bytes.iter().position(|byte| matches!(byte, b':' | 0xEF))?;
    if bytes[at] != b':' {
        return split_name_after(bytes, at);
    }
    Some((bytes[..at].as_bstr(), bytes[at + 1..].as_bstr()))
}

/// The same for bytes without a separator in the first `at`, where a character that is not ASCII begins.
#[cold]
fn split_name_after(bytes: &BStr, at: usize) -> Option<(&BStr, &BStr)> {
    let colon = bytes[at..].find_byte(b':').map(|colon| (colon, 1));
    let wide = bytes[at..].find("：").map(|wide| (wide, WIDE));
    let (end, len) = colon.into_iter().chain(wide).min()?;
    Some((bytes[..at + end].as_bstr(), bytes[at + end + len..].as_bstr()))
}

const ESC: char = '\u{1B}';
const BEL: u8 = 0x07;

/// An escape sequence.
enum Escape {
    /// It has this length, and no sigil is in it.
    Ended(usize),
    /// It ends with this sigil, or it isn't known where it ends and this sigil follows.
    Sigil(char),
}

/// Returns the escape sequence of which `rest` is the part after ESC (ECMA-48): `[` up to a byte 40 to 7E (hexadecimal), `]` up to BEL or
/// ESC `\`, `O` and one byte, or one byte.
fn escape_sequence(rest: &[u8]) -> Escape {
    let last = match rest.first() {
        Some(b'[') => rest[1..].iter().position(|byte| matches!(byte, 0x40..=0x7E)).map(|at| at + 1),
        // One search for either end: two would pass over the whole line for each short sequence in it.
        Some(b']') => (1..rest.len()).find(|at| rest[*at] == BEL || rest[at - 1..].starts_with(b"\x1B\\")),
        Some(b'O') => Some(1),
        _ => Some(0),
    };
    let Some(last) = last.filter(|last| *last < rest.len()) else {
        // It doesn't end, so that no sigil in it can be told from one after it.
        let sigil = rest.chars().find(|c| ascii(*c).is_some());
        return sigil.map_or(Escape::Ended(rest.len()), Escape::Sigil);
    };
    // No byte of a full-width form belongs into a sequence.
    let wide = rest[..last].chars().find(|c| !c.is_ascii() && ascii(*c).is_some());
    let end = bstr::decode_utf8(&rest[last..]).0.filter(|c| ascii(*c).is_some());
    wide.or(end).map_or(Escape::Ended(last + 1), Escape::Sigil)
}

/// Returns whether a character has no visible form: a control character, white space other than a blank, or a
/// `Default_Ignorable_Code_Point` (Unicode 17, DerivedCoreProperties.txt).
fn is_hidden(c: char) -> bool {
    (c.is_control() || c.is_whitespace()) && !matches!(c, ' ' | '\t')
        || matches!(c,
            '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}'
            | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
            | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFF8}'
            | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}
