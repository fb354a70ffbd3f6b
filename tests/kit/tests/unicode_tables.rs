//! The checked-in tables of `src/protocol/name/` are the generator's bytes, and hold every character that a name can need.

use redpoll::protocol::name::{EVERY_SCRIPT, Name, Skeletons};
use redpoll_kit::unicode_tables::{COMMAND, files};
use std::fs;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

#[test]
fn tables_are_as_generated() {
    for (path, text) in files() {
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(found == text, "{} is not what is generated; write it by: {COMMAND}", path.display());
    }
}

/// The looks of a name, as `src/protocol/name/look.rs` defines them, by the whole table of unicode-security.
fn whole_looks(folded: &str) -> Vec<String> {
    let capital = |c: char| {
        let mut capitals = c.to_uppercase();
        if capitals.len() == 1 { capitals.next().unwrap_or(c) } else { c }
    };
    let small: String = folded.nfd().collect();
    let capitals: String = small.chars().map(capital).collect();
    let first: String = small.chars().enumerate().map(|(i, c)| if i == 0 { capital(c) } else { c }).collect();
    let mut looks = Vec::new();
    for form in [small, capitals, first] {
        let skeleton: String = unicode_security::skeleton(&form).flat_map(char::to_lowercase).collect();
        let look = skeleton.replace('i', "l").replace('m', "rn").nfd().collect();
        if !looks.contains(&look) {
            looks.push(look);
        }
    }
    looks
}

#[test]
fn tables_hold_every_name_character() {
    if !EVERY_SCRIPT {
        println!(
            "skipped: this build of redpoll lacks the feature `unicode`; add `--features redpoll/unicode`"
        );
        return;
    }
    let mut known = 0;
    for c in ('\0'..='\u{3FFFF}').filter(|c| c.is_alphanumeric() || c.is_ascii() || is_combining_mark(*c)) {
        // Marks are in no name alone.
        let names = [format!("{c}"), format!("x{c}"), format!("ש{c}")];
        let Some(name) = names.iter().find_map(|name| Name::new(name.as_bytes()).ok()) else { continue };
        let whole = whole_looks(name.folded());
        assert_eq!(Skeletons::of(&name).texts(), whole, "{name} U+{:04X}", u32::from(c));
        known += usize::from(whole != [name.folded()]);
    }
    assert!(known > 1000, "only {known}");
}
