//! The checked-in tables of `src/protocol/name/` are the generator's output, and hold every character of a name.

use redpoll::protocol::name::{EVERY_SCRIPT, Name, Skeletons};
use redpoll_kit::unicode_tables::{COMMAND, files};
use std::fs;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

#[test]
fn tables_are_as_generated() {
    for (path, text) in files() {
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == text,
            "{} differs from the generator's output; write it by: {COMMAND}",
            path.display()
        );
    }
}

/// Returns the skeletons of a name as `src/protocol/name/skeleton.rs` defines them, by the full table of
/// unicode-security.
fn all_skeletons(folded: &str) -> Vec<String> {
    let capital = |c: char| {
        let mut capitals = c.to_uppercase();
        if capitals.len() == 1 { capitals.next().unwrap_or(c) } else { c }
    };
    let small: String = folded.nfd().collect();
    let capitals: String = small.chars().map(capital).collect();
    let first: String = small.chars().enumerate().map(|(i, c)| if i == 0 { capital(c) } else { c }).collect();
    let mut skeletons = Vec::new();
    for form in [small, capitals, first] {
        let small: String = unicode_security::skeleton(&form).flat_map(char::to_lowercase).collect();
        let skeleton = small.replace('i', "l").replace('m', "rn").nfd().collect();
        if !skeletons.contains(&skeleton) {
            skeletons.push(skeleton);
        }
    }
    skeletons
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
        // A name can't consist of a mark alone.
        let names = [format!("{c}"), format!("x{c}"), format!("ש{c}")];
        let Some(name) = names.iter().find_map(|name| Name::new(name.as_bytes()).ok()) else { continue };
        let expected = all_skeletons(name.folded());
        assert_eq!(Skeletons::of(&name).texts(), expected, "{name} U+{:04X}", u32::from(c));
        known += usize::from(expected != [name.folded()]);
    }
    assert!(known > 1000, "only {known}");
}
