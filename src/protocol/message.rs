//! The end of a message. In an arena and in a connection's queue every message ends with LF, and this file alone writes
//! and finds that end. What a peer sends ends by the rules of its frame, in `frame/`.

use bstr::ByteSlice;

/// The byte that ends a message. No text that the server sends contains it (docs/protocol.md, "Framing").
pub const END: u8 = b'\n';

/// Ends the last message of `out`.
pub fn end(out: &mut Vec<u8>) {
    out.push(END);
}

/// Returns whether `bytes` ends with a whole message.
#[must_use]
pub fn is_whole(bytes: &[u8]) -> bool {
    bytes.last() == Some(&END)
}

/// Returns the position of the first END.
#[must_use]
pub fn find_end(bytes: &[u8]) -> Option<usize> {
    bytes.find_byte(END)
}

/// Returns the length of the first message, its END included; that of `bytes` if no message ends.
#[must_use]
pub fn first(bytes: &[u8]) -> usize {
    find_end(bytes).map_or(bytes.len(), |end| end + 1)
}

/// Returns the length of the whole messages at the front, the last END included.
#[must_use]
pub fn whole(bytes: &[u8]) -> usize {
    bytes.rfind_byte(END).map_or(0, |end| end + 1)
}

/// Returns `bytes` without the END at its end, if there is one.
#[must_use]
pub fn without_end(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(&[END]).unwrap_or(bytes)
}

/// Iterates over the messages, without their ENDs.
pub fn each(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|byte| *byte == END).map(without_end)
}
