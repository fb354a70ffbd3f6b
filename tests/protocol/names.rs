//! Tests of `src/protocol/name/mod.rs`.

use redpoll::protocol::name::*;
#[cfg(feature = "unicode")]
use redpoll::protocol::text::is_safe;
use std::borrow::Cow;

fn name(written: &str) -> Name {
    Name::new(written.as_bytes()).unwrap_or_else(|_| panic!("{written:?} is a name"))
}

fn assert_refused(written: impl AsRef<[u8]>) {
    let written = written.as_ref();
    assert!(Name::new(written).is_err(), "{:?} is no name", written.escape_ascii().to_string());
    assert!(fold(written).is_err(), "{:?} has no folded form", written.escape_ascii().to_string());
}

/// Checks pairs of a name as written and its folded form.
fn assert_folds(pairs: &[(&str, &str)]) {
    for (written, folded) in pairs {
        let name = name(written);
        assert_eq!((name.shown(), name.folded()), (*written, *folded));
        assert_eq!(name.is_folded(), written == folded, "{written:?}");
        assert_eq!(fold(written.as_bytes()).as_deref(), Ok(*folded));
    }
}

#[test]
fn name_is_24_bytes() {
    assert_eq!(size_of::<Name>(), 24);
}

#[test]
fn ascii_names_fold_to_lower_case() {
    assert_folds(&[
        ("a", "a"),
        ("7", "7"),
        ("Alice", "alice"),
        ("BOB", "bob"),
        ("anne-marie", "anne-marie"),
        ("R2.D2_", "r2.d2_"),
        ("a..", "a.."),
    ]);
}

#[test]
fn folded_input_is_borrowed() {
    assert!(matches!(fold(b"alice-2"), Ok(Cow::Borrowed("alice-2"))));
    #[cfg(feature = "unicode")]
    assert!(matches!(fold("žofie".as_bytes()), Ok(Cow::Borrowed("žofie"))));
}

#[test]
fn sigils_separators_and_blanks_are_refused() {
    for refused in ["", "-a", "_a", ".a", "-", "a b", " a", "a ", "a\tb", "a\n", "a\r", "\0", "a\0", "a\x7F"]
    {
        assert_refused(refused);
    }
    for byte in (0..=0x7F_u8).filter(|byte| !byte.is_ascii_alphanumeric() && !b"-_.".contains(byte)) {
        assert_refused([byte]);
        assert_refused([b'a', byte]);
        assert_refused([b'a', byte, b'b']);
    }
}

#[test]
fn invalid_utf8_is_refused() {
    for refused in [&b"\xFF"[..], b"a\xFF", b"\xC3", b"a\xC3\xA9\xC3", b"\xC0\xAF", b"\xED\xA0\x80"] {
        assert_refused(refused);
    }
}

#[test]
fn name_has_at_most_32_characters() {
    assert_eq!(name(&"a".repeat(32)).shown().len(), 32);
    assert_eq!(name(&"A".repeat(32)).folded(), "a".repeat(32));
    assert_refused("a".repeat(33));
    assert_refused("a".repeat(1 << 20));
}

#[test]
fn reserved_names_match_every_spelling() {
    for written in RESERVED.iter().chain(&["Admin", "LOBBY", "guest-0", "Guest-17", "guest-007"]) {
        assert!(is_reserved(&name(written)), "{written}");
    }
    for written in ["alice", "admins", "adm", "guest", "guest-", "guest-x", "guest-1a", "guest1", "guests-1"]
    {
        assert!(!is_reserved(&name(written)), "{written}");
    }
    #[cfg(feature = "unicode")]
    assert!(is_reserved(&name("Ｓｅｒｖｅｒ")) && is_reserved(&name("ｇuest-１")));
}

#[test]
fn spellings_are_equal_and_hash_alike() {
    let names = std::collections::HashSet::from([name("Alice"), name("alice"), name("ALICE"), name("bob")]);
    assert_eq!(names.len(), 2);
    assert_eq!(format!("{0} {0:?}", name("Alice")), "Alice \"Alice\"");
    assert!(Invalid.to_string().starts_with("a name is 1 to 32 "));
}

#[cfg(not(feature = "unicode"))]
#[test]
fn without_tables_only_ascii_passes() {
    for refused in ["é", "aé", "Ж", "ａｌｉｃｅ", "\u{200D}", "#é"] {
        assert_refused(refused);
    }
    assert!(Invalid.to_string().contains("ASCII"));
}

#[cfg(feature = "unicode")]
mod every_script {
    use super::*;

    #[test]
    fn names_come_in_many_scripts() {
        assert_folds(&[
            ("Zoë", "zoë"),
            ("ÅSA", "åsa"),
            ("Łukasz", "łukasz"),
            ("Nguyễn", "nguyễn"),
            ("straße", "straße"),
            ("Ørsted-2", "ørsted-2"),
            ("Δημήτρης", "δημήτρης"),
            ("Наталья", "наталья"),
            ("Ївга.К", "ївга.к"),
            ("Արամ", "արամ"),
            ("გიორგი", "გიორგი"),
            ("ᏣᎳᎩ", "ᏣᎳᎩ"),
            ("שרה", "שרה"),
            ("محمد", "محمد"),
            ("علی-رضا", "علی-رضا"),
            ("हिन्दी", "हिन्दी"),
            ("श्रेया", "श्रेया"),
            ("தமிழ்", "தமிழ்"),
            ("স্বাতী", "স্বাতী"),
            ("สมชาย", "สมชาย"),
            ("ปุ๋ย", "ปุ๋ย"),
            ("မောင်", "မောင်"),
            ("ሰላም", "ሰላም"),
            ("世界", "世界"),
            ("\u{20000}\u{2A6D6}", "\u{20000}\u{2A6D6}"),
            ("ひらがな", "ひらがな"),
            ("カタカナー", "カタカナー"),
            ("한국어", "한국어"),
            ("\u{10400}", "\u{10428}"),
        ]);
    }

    #[test]
    fn digits_of_every_script_are_digits() {
        assert_folds(&[
            ("१२३", "१२३"),
            ("क१", "क१"),
            ("９lives", "9lives"),
            ("سارة٣", "سارة٣"),
            ("رضا۲", "رضا۲"),
            ("שרה7", "שרה7"),
        ]);
        for refused in ["½", "a²", "Ⅷ", "①", "سارة٣۲", "سارة٣2"] {
            assert_refused(refused);
        }
    }

    #[test]
    fn spellings_fold_to_one_name() {
        for (one, other) in [
            ("Zoë", "zoe\u{308}"),
            ("NGUYỄN", "nguye\u{302}\u{303}n"),
            ("й", "И\u{306}"),
            ("alice", "ＡＬＩＣＥ"),
            ("a-b_c.d", "ａ－ｂ＿ｃ．ｄ"),
            ("ガ", "ｶﾞ"),
            ("ΝΙΚΟΣ", "νικος"),
            ("ΝΙΚΟΣ-ΑΣ2", "νικος-ας2"),
            ("I\u{307}stanbul", "İSTANBUL"),
            ("ẞ", "ß"),
            ("ᾳ", "α\u{345}"),
        ] {
            assert_eq!(name(one), name(other));
            assert_eq!(fold(one.as_bytes()), fold(other.as_bytes()));
        }
        for (one, other) in [("straße", "strasse"), ("нет", "HET"), ("ı", "i"), ("νικοσ", "νικος")]
        {
            assert_ne!(name(one), name(other));
        }
    }

    #[test]
    fn marks_may_not_come_first() {
        for written in ["מֹשֶׁה", "مُحَمَّد", "ނާއިރު", "שלוֹ", "ܡܳܪܝ", "किरण", "a\u{301}\u{302}b", "e\u{302}"]
        {
            name(written);
        }
        // U+094D is a mark, U+093E an alphabetic one, U+FF9E becomes one when it is no longer half as wide.
        for refused in ["\u{301}", "\u{301}a", "\u{94D}a", "\u{93E}", "\u{5B9}ש", "\u{FF9E}a", "-\u{301}"] {
            assert_refused(refused);
        }
    }

    #[test]
    fn mixed_directions_are_refused() {
        for refused in ["aש", "שa", "1ש", "ש-", "ש.", "ש_\u{5B9}", "٣", "٣a", "שक", "שा", "ש\u{93E}ש"]
        {
            assert_refused(refused);
        }
    }

    #[test]
    fn symbols_and_controls_are_refused() {
        let sigils = ["＃a", "a＃", "＠a", "a：b", "a，b", "／a", "＆a", "！a", "＋a", "＊a"];
        let blanks = ["a\u{3000}", "a\u{A0}", "a\u{2028}", "a\u{85}", "a\u{2800}", "a\u{3164}", "\u{FFA0}"];
        let invisible = ["a\u{AD}b", "a\u{200B}", "a\u{FEFF}", "a\u{FE0F}", "a\u{34F}", "a\u{E0041}"];
        let bidi = ["a\u{202E}b", "ש\u{200F}", "a\u{2066}b", "ا\u{61C}", "a\u{200E}"];
        let symbols = ["🐦", "♚", "a→b", "a€", "a–b", "a…", "«a»", "a。"];
        let no_characters = ["a\u{FFFD}", "a\u{E000}", "a\u{FDD0}", "a\u{378}"];
        let compatible = ["ﬁ", "ª", "ǅ", "ſ", "\u{2126}", "\u{1100}\u{1161}", "\u{9DF}", "\u{E33}"];
        let newer_than_6_3 = ["\u{1C90}", "\u{1E900}", "\u{2B820}", "\u{AB70}"];
        let all =
            [&sigils[..], &blanks, &invisible, &bidi, &symbols, &no_characters, &compatible, &newer_than_6_3];
        for refused in all.concat() {
            assert_refused(refused);
        }
    }

    /// RFC 8264's contextual characters and exceptions, each in a context where its rule allows it.
    #[test]
    fn contextual_punctuation_is_refused() {
        for refused in [
            "l·l",
            "\u{375}α",
            "צ׳",
            "צ״ל",
            "カ・カ",
            "क्\u{200D}",
            "क्\u{200C}ष",
            "علی\u{200C}رضا",
            "a\u{6FD}",
            "ا\u{6FE}",
            "ཀ་ཀ",
        ] {
            assert_refused(refused);
        }
    }

    #[test]
    fn both_forms_have_32_characters() {
        let widest = "\u{20000}".repeat(32);
        assert_eq!(name(&widest).shown().len(), MAX_BYTES);
        assert_refused(widest + "a");
        assert_eq!(name(&"\u{10400}".repeat(32)).folded(), "\u{10428}".repeat(32));
        assert_refused("é".repeat(33));
        // Folded, each capital I with a dot is two characters.
        assert_eq!(name(&"İ".repeat(16)).folded().chars().count(), 32);
        assert_refused("İ".repeat(17));
        // Written, each e is followed by its accent.
        assert_eq!(name(&"e\u{301}".repeat(16)).folded(), "é".repeat(16));
        assert_refused("e\u{301}".repeat(17));
    }

    /// Every character (but those of empty and private planes), alone and within a word of either direction.
    #[test]
    fn accepted_names_are_safe_and_stable() {
        for c in ('\u{80}'..='\u{3FFFF}').chain('\u{E0000}'..='\u{E0FFF}') {
            for written in [format!("{c}"), format!("a{c}b"), format!("ש{c}ש")] {
                let Ok(name) = Name::new(written.as_bytes()) else { continue };
                assert!(is_safe(c) && !c.is_whitespace() && !c.is_control(), "{written:?}");
                assert_eq!(fold(name.folded().as_bytes()).as_deref(), Ok(name.folded()), "{written:?}");
            }
        }
    }
}

#[test]
fn services_and_addresses_are_reserved() {
    for written in ["NickServ", "serv", "chanserv", "10.0.0.1", "255.255.255.255", "0.0.0.0"] {
        assert!(is_reserved(&name(written)), "{written}");
    }
    for written in ["server1", "serve", "10.0.0", "10.0.0.256", "10.0.0.1.2", "1.2.3.4a"] {
        assert!(!is_reserved(&name(written)), "{written}");
    }
    #[cfg(feature = "unicode")]
    for written in ["ｎｉｃｋｓｅｒｖ", "１０.0.0.1", "1О.0.0.1"] {
        assert!(is_reserved(&name(written)), "{written}");
    }
}

/// `a` and 31 combining marks were a nick, which covered the lines above and below it.
#[cfg(feature = "unicode")]
#[test]
fn stacked_marks_are_invalid() {
    let with = |marks: &str| Name::new(format!("a{marks}").as_bytes());
    assert!(with("\u{300}\u{301}\u{302}\u{303}").is_ok());
    assert_eq!(with("\u{300}\u{301}\u{302}\u{303}\u{304}"), Err(Invalid));
    assert_eq!(with(&"\u{327}\u{300}".repeat(3)), Err(Invalid));
    assert_eq!(with("\u{301}\u{301}"), Err(Invalid));
    // U+00E1 is `a` and an acute accent (NFD).
    assert_eq!(Name::new("\u{E1}\u{301}".as_bytes()), Err(Invalid));
    // Vowel signs of two syllables don't follow each other, and marks that take space don't count.
    for word in ["हिन्दी", "ภาษาไทย", "שָׁלוֹם", "Việt", "தமிழ்"]
    {
        assert!(Name::new(word.as_bytes()).is_ok(), "{word}");
    }
}
