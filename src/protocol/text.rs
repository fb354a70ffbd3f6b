//! Text that is safe to write: valid UTF-8 without control characters (protocol.md, "Framing"). The server passes all
//! that it echoes through here, the client all that it shows. Nothing else decides what is safe.

/// The replacement of an unsafe byte or character: U+FFFD.
pub const REPLACEMENT: char = '\u{FFFD}';

/// [`REPLACEMENT`] in UTF-8.
const REPLACEMENT_UTF8: &[u8] = b"\xEF\xBF\xBD";

/// Returns whether a character may be sent unchanged: TAB, and all that can neither move a cursor, end a line, nor
/// reorder the text around them (C0, DEL, C1, U+2028, U+2029 and the bidirectional controls of UAX #9 can).
#[must_use]
pub fn is_safe(c: char) -> bool {
    !matches!(
        c,
        '\0'..='\u{8}'
            | '\u{A}'..='\u{1F}'
            | '\u{7F}'..='\u{9F}'
            | '\u{61C}'
            | '\u{200E}'
            | '\u{200F}'
            | '\u{2028}'..='\u{202E}'
            | '\u{2066}'..='\u{2069}'
    )
}

/// Appends `bytes` to `out`, with U+FFFD for each byte that isn't UTF-8 and each character that isn't [safe](is_safe):
/// at most three times the length of the input.
///
/// ```
/// let mut out = Vec::new();
/// redpoll::protocol::text::push_safe(b"a\x1b[2Jb\xff", &mut out);
/// assert_eq!(out, "a\u{FFFD}[2Jb\u{FFFD}".as_bytes());
/// ```
pub fn push_safe(bytes: &[u8], out: &mut Vec<u8>) {
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
    } else {
        push_replaced(bytes, out);
    }
}

/// Returns whether all of `bytes` is printable ASCII, as most chat is. It tests eight bytes at a time, since chat is
/// short: a byte is not printable if its high bit is set at once (0x80 or more), after adding 1 (DEL), or after
/// subtracting 0x20 (C0). A borrow or carry between bytes comes only out of a byte that is not printable.
#[must_use]
fn is_plain(bytes: &[u8]) -> bool {
    const HIGH: u64 = 0x80 * ONES;
    const ONES: u64 = 0x0101_0101_0101_0101;
    let unprintable = |word: &[u8; 8]| {
        let word = u64::from_ne_bytes(*word);
        word | word.wrapping_add(ONES) | word.wrapping_sub(0x20 * ONES)
    };
    let (words, rest) = bytes.as_chunks();
    let whole = words.iter().fold(0, |all, word| all | unprintable(word));
    match bytes.last_chunk() {
        Some(last) => (whole | unprintable(last)) & HIGH == 0,
        None => rest.iter().all(|byte| matches!(byte, b' '..=b'~')),
    }
}

/// Returns `bytes` without blanks (space and TAB) at both ends.
#[must_use]
pub fn trim_blanks(bytes: &[u8]) -> &[u8] {
    let mut rest = trim_blanks_before(bytes);
    while let [shorter @ .., b' ' | b'\t'] = rest {
        rest = shorter;
    }
    rest
}

/// Returns `bytes` without blanks (space and TAB) at the front.
#[must_use]
pub fn trim_blanks_before(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let [b' ' | b'\t', shorter @ ..] = rest {
        rest = shorter;
    }
    rest
}

/// The slow path of [`push_safe`]: writes one U+FFFD for each byte that belongs to no character.
fn push_replaced(bytes: &[u8], out: &mut Vec<u8>) {
    let mut rest = bytes;
    loop {
        let error = match std::str::from_utf8(rest) {
            Ok(text) => return push_checked(text, out),
            Err(error) => error,
        };
        let (text, broken) = rest.split_at(error.valid_up_to());
        push_checked(std::str::from_utf8(text).unwrap_or_default(), out);
        let mut bytes = error.error_len().unwrap_or(broken.len());
        // Further bytes that begin no character are invalid too, and needn't be decoded one by one.
        bytes += broken[bytes..].iter().take_while(|byte| matches!(byte, 0x80..=0xC1 | 0xF5..)).count();
        (0..bytes).for_each(|_| out.extend_from_slice(REPLACEMENT_UTF8));
        rest = &broken[bytes..];
    }
}

/// Appends `text` with its unsafe characters replaced. Most text in other scripts than Latin has none, so a character
/// is decoded only if its first byte may begin an unsafe one.
fn push_checked(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let (mut copied, mut at) = (0, 0);
    while let Some(ahead) = bytes[at..].iter().position(|byte| BEGINS_UNSAFE[usize::from(*byte)]) {
        let start = at + ahead;
        let Some(c) = text[start..].chars().next() else { break };
        at = start + c.len_utf8();
        if !is_safe(c) {
            out.extend_from_slice(&bytes[copied..start]);
            out.extend_from_slice(REPLACEMENT_UTF8);
            copied = at;
        }
    }
    out.extend_from_slice(&bytes[copied..]);
}

/// By first byte: whether a character that begins with it may be unsafe. Besides the controls of ASCII these are U+0080
/// to U+00BF, U+0600 to U+063F, and U+2000 to U+2FFF.
const BEGINS_UNSAFE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    (table[0x7F], table[0xC2], table[0xD8], table[0xE2]) = (true, true, true, true);
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_characters_have_flagged_first_bytes() {
        let all = (0..=u32::from(char::MAX)).filter_map(char::from_u32);
        for c in all.filter(|c| !is_safe(*c)) {
            let first = c.encode_utf8(&mut [0; 4]).as_bytes()[0];
            assert!(BEGINS_UNSAFE[usize::from(first)], "{c:?}");
        }
    }

    #[test]
    fn only_printable_ascii_is_plain() {
        for len in 0..40 {
            for index in 0..len {
                for byte in 0..=255 {
                    let mut bytes = vec![b'~'; len];
                    bytes[index] = byte;
                    assert_eq!(
                        is_plain(&bytes),
                        (0x20..0x7F).contains(&byte),
                        "{byte:#x} at {index} of {len}"
                    );
                }
            }
        }
    }
}
