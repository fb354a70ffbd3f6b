//! Where one message ends. In an arena, and in all that is queued for a connection, every message ends with LF; this file
//! alone knows how one is ended and found. What a peer sends ends by the rules of its frame, which are in `frame/`.

use bstr::ByteSlice;

/// The byte that ends a message. No text that the server sends holds it (docs/protocol.md, "Framing").
pub const END: u8 = b'\n';

/// Ends the message that `out` ends with.
pub fn end(out: &mut Vec<u8>) {
    out.push(END);
}

/// Whether `bytes` ends with a whole message.
#[must_use]
pub fn is_whole(bytes: &[u8]) -> bool {
    bytes.last() == Some(&END)
}

/// The position of the first END.
#[must_use]
pub fn find_end(bytes: &[u8]) -> Option<usize> {
    bytes.find_byte(END)
}

/// Bytes of the first message, its END included; all bytes where none ends.
#[must_use]
pub fn first(bytes: &[u8]) -> usize {
    find_end(bytes).map_or(bytes.len(), |end| end + 1)
}

/// Bytes up to the last END, that included: the whole messages at the front.
#[must_use]
pub fn whole(bytes: &[u8]) -> usize {
    bytes.rfind_byte(END).map_or(0, |end| end + 1)
}

/// `bytes` without the END that it ends with, if it ends with one.
#[must_use]
pub fn without_end(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(&[END]).unwrap_or(bytes)
}

/// Each message, without its END.
pub fn each(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|byte| *byte == END).map(without_end)
}
