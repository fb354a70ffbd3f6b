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

/// What `line` begins with. Callers ask only where the first byte is neither printable ASCII nor TAB: [`ascii`] is the
/// sigil of all other lines.
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

/// The ASCII form of a sigil.
fn ascii(c: char) -> Option<u8> {
    match c {
        '#' | '＃' => Some(b'#'),
        '@' | '＠' => Some(b'@'),
        '&' | '＆' => Some(b'&'),
        '/' | '／' => Some(b'/'),
        _ => None,
    }
}

/// The name and the text of `name:text`, separated by the first `:` or `：` (U+FF1A).
#[inline(always)]
pub(super) fn split_name(bytes: &BStr) -> Option<(&BStr, &BStr)> {
    // A name is short, so a plain loop ends before a wide search has begun.
    let at = bytes.iter().position(|byte| matches!(byte, b':' | 0xEF))?;
    if bytes[at] != b':' {
        return split_name_after(bytes, at);
    }
    Some((bytes[..at].as_bstr(), bytes[at + 1..].as_bstr()))
}

/// The same for bytes of which the first `at` hold no separator, and another character begins at `at`.
#[cold]
fn split_name_after(bytes: &BStr, at: usize) -> Option<(&BStr, &BStr)> {
    let colon = bytes[at..].find_byte(b':').map(|colon| (colon, 1));
    let wide = bytes[at..].find("：").map(|wide| (wide, WIDE));
    let (end, len) = colon.into_iter().chain(wide).min()?;
    Some((bytes[..at + end].as_bstr(), bytes[at + end + len..].as_bstr()))
}

const ESC: char = '\u{1B}';

/// What follows ESC.
enum Escape {
    /// A sequence of this length, or all that is left where it doesn't end.
    Ended(usize),
    /// A sequence that a sigil would end.
    Sigil(char),
}

/// The escape sequence that begins before `rest` (ECMA-48): `[` up to a byte 40 to 7E (hexadecimal), `]` up to BEL or
/// ESC `\`, `O` and one byte, or one byte.
fn escape_sequence(rest: &[u8]) -> Escape {
    let last = match rest.first() {
        Some(b'[') => rest[1..].iter().position(|byte| matches!(byte, 0x40..=0x7E)).map(|at| at + 1),
        Some(b']') => {
            let bell = rest.find_byte(0x07);
            let string_end = rest.find(b"\x1B\\").map(|at| at + 1);
            bell.into_iter().chain(string_end).min()
        }
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

/// Whether a character has no visible form: a control character, white space other than a blank, or a
/// `Default_Ignorable_Code_Point` (Unicode 17, DerivedCoreProperties.txt).
fn is_hidden(c: char) -> bool {
    (c.is_control() || c.is_whitespace()) && !matches!(c, ' ' | '\t')
        || matches!(c,
            '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}'
            | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
            | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFF8}'
            | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}
