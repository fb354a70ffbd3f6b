//! The payload of a benchmark message: sender, recipient, sequence and a checksum of them, as text that every engine
//! accepts. All encoding and decoding of payloads is here.

use foldhash::fast::FixedState;
use std::hash::{BuildHasher, Hasher};

/// Minimum size: four digits of sender, four of recipient, eight of sequence, sixteen of checksum.
pub const MIN_SIZE: usize = CHECKSUM.end;
/// Maximum size: with a name and sigils it still fits into a line of the default `--max-line`.
pub const MAX_SIZE: usize = 4000;

/// The position of the checksum, which is hexadecimal like the digits before it. It covers all other bytes.
const CHECKSUM: std::ops::Range<usize> = 16..32;
/// The recipient of a message to a room.
const EVERYONE: u16 = u16::MAX;
/// Fills a payload up to its size. The length is prime, so that the checksum detects a shift.
const FILLER: &[u8; 61] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ-abcdefghijklmnopqrstuvwxyz01234567";

/// The contents of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payload {
    /// The sending member.
    pub sender: usize,
    /// The receiving member; `None` for a room.
    pub recipient: Option<usize>,
    /// The index of the message among those of its sender, from 0.
    pub sequence: u32,
}

impl Payload {
    /// Appends the payload to `out`, in `size` bytes; `size >= MIN_SIZE`.
    pub fn encode(self, size: usize, out: &mut Vec<u8>) {
        let start = out.len();
        let head = (self.sender as u64) << 48
            | (self.recipient.map_or(EVERYONE, |recipient| recipient as u16) as u64) << 32
            | u64::from(self.sequence);
        out.extend_from_slice(&hexadecimal(head));
        out.extend_from_slice(&[b'0'; 16]);
        let mut left = size - MIN_SIZE;
        while left > 0 {
            let part = left.min(FILLER.len());
            out.extend_from_slice(&FILLER[..part]);
            left -= part;
        }
        let sum = hexadecimal(checksum(&out[start..]));
        out[start..][CHECKSUM].copy_from_slice(&sum);
    }

    /// Decodes a payload. Returns `None` if it is damaged.
    #[must_use]
    pub fn decode(text: &[u8]) -> Option<Payload> {
        let head = number(text.get(..CHECKSUM.start)?)?;
        let sum = number(text.get(CHECKSUM)?)?;
        let recipient = (head >> 32) as u16;
        (sum == checksum(text)).then_some(Payload {
            sender: (head >> 48) as usize,
            recipient: (recipient != EVERYONE).then_some(recipient.into()),
            sequence: head as u32,
        })
    }
}

/// Returns the checksum of all bytes but the checksum itself. foldhash is not cryptographic; it need not be, because
/// the server is no adversary.
fn checksum(text: &[u8]) -> u64 {
    let mut hasher = FixedState::with_seed(0).build_hasher();
    hasher.write(&text[..CHECKSUM.start]);
    hasher.write(&text[CHECKSUM.end..]);
    hasher.finish()
}

fn hexadecimal(number: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    // Converts all digits at once: each half byte becomes a byte, and those above 9 are moved on to the letters.
    let spread = |half: u32| {
        let x = u64::from(half);
        let x = (x << 16 | x) & 0x0000_ffff_0000_ffff;
        let x = (x << 8 | x) & 0x00ff_00ff_00ff_00ff;
        let x = (x << 4 | x) & 0x0f0f_0f0f_0f0f_0f0f;
        let letters = (x + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
        (x + 0x3030_3030_3030_3030 + letters * 0x27).to_be_bytes()
    };
    digits[..8].copy_from_slice(&spread((number >> 32) as u32));
    digits[8..].copy_from_slice(&spread(number as u32));
    digits
}

fn number(digits: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(digits).ok()?;
    u64::from_str_radix(digits, 16).ok()
}

/// Returns the name of a member. All names have equal length, so that every engine moves as many bytes.
#[must_use]
pub fn name(member: usize) -> String {
    format!("user{member:04}")
}

/// Length of a [`name`] in bytes.
pub const NAME: usize = 8;

/// Returns the member with that name.
#[must_use]
pub fn member(name: &[u8]) -> Option<usize> {
    let digits = name.strip_prefix(b"user").filter(|digits| digits.len() == NAME - 4)?;
    digits
        .iter()
        .try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + usize::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(payload: Payload, size: usize) -> Vec<u8> {
        let mut text = Vec::new();
        payload.encode(size, &mut text);
        assert_eq!(text.len(), size);
        text
    }

    #[test]
    fn encoded_payloads_decode_unchanged() {
        let payloads = [
            Payload { sender: 0, recipient: Some(1), sequence: 0 },
            Payload { sender: 9999, recipient: None, sequence: u32::MAX },
            Payload { sender: 0xabc, recipient: Some(9998), sequence: 0x12de_adbf },
        ];
        for payload in payloads {
            for size in [MIN_SIZE, MIN_SIZE + 1, 64, 1024, MAX_SIZE] {
                let text = encoded(payload, size);
                assert!(text.is_ascii() && !text.contains(&b'\n'));
                assert_eq!(Payload::decode(&text), Some(payload));
            }
        }
    }

    #[test]
    fn every_changed_byte_is_detected() {
        let payload = Payload { sender: 7, recipient: Some(6), sequence: 1234 };
        let text = encoded(payload, 70);
        for index in 0..text.len() {
            let mut damaged = text.clone();
            damaged[index] ^= 1;
            assert_ne!(Payload::decode(&damaged), Some(payload), "{index}");
            damaged.remove(index);
            assert_eq!(Payload::decode(&damaged), None, "{index}");
        }
        assert_eq!(Payload::decode(b""), None);
    }

    #[test]
    fn figures_are_hexadecimal() {
        for number in [0, 9, 10, 15, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, u64::MAX] {
            assert_eq!(hexadecimal(number), format!("{number:016x}").as_bytes());
        }
    }

    #[test]
    fn names_decode_to_members() {
        assert_eq!(name(7).len(), NAME);
        for number in [0, 7, 1234, 9999] {
            assert_eq!(member(name(number).as_bytes()), Some(number));
        }
        for malformed in ["user", "user123", "user12345", "user12a4", "uzer1234"] {
            assert_eq!(member(malformed.as_bytes()), None, "{malformed}");
        }
    }
}
