//! Output text: every control character and every byte that is no UTF-8 is replaced, and nothing else.

use redpoll::protocol::text::push_safe;

fn safe(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    push_safe(bytes, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn safe_text_is_unchanged() {
    for text in ["", "hi", "a\tb", "Grüße, 世界 🐦", "zero\u{200D}width joiner", "~ !\u{A0}"] {
        assert_eq!(safe(text.as_bytes()), text);
    }
}

#[test]
fn controls_become_replacement_characters() {
    let controls = (0..=0x1F).filter(|c| *c != 9).chain(0x7F..=0x9F);
    let bidi =
        [0x61C, 0x200E, 0x200F, 0x2028, 0x2029].into_iter().chain(0x202A..=0x202E).chain(0x2066..=0x2069);
    for code in controls.chain(bidi) {
        let c = char::from_u32(code).unwrap();
        assert_eq!(safe(format!("a{c}b").as_bytes()), "a\u{FFFD}b", "U+{code:04X}");
    }
}

#[test]
fn invalid_utf8_is_replaced_bytewise() {
    assert_eq!(safe(b"\xFF\xFEok\xC3"), "\u{FFFD}\u{FFFD}ok\u{FFFD}");
    assert_eq!(safe(b"\xE2\x82"), "\u{FFFD}\u{FFFD}");
    assert_eq!(safe(b"\xED\xA0\x80"), "\u{FFFD}\u{FFFD}\u{FFFD}", "a surrogate is no character");
}

#[test]
fn text_grows_at_most_threefold() {
    let worst: Vec<u8> = vec![0xFF; 100];
    assert_eq!(safe(&worst).len(), 300);
}
