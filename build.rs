//! Writes down which characters look alike and in which scripts they are used (Unicode TR39), as far as a name can hold
//! them: a small part of what the whole tables would add to the program. `src/name/look.rs` and `script.rs` read it.

use std::process::ExitCode;

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    match write() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the tables of characters: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Without the feature `unicode` nobody needs it.
#[cfg(not(feature = "unicode"))]
fn write() -> std::io::Result<()> {
    Ok(())
}

#[cfg(feature = "unicode")]
fn write() -> std::io::Result<()> {
    let out = std::env::var_os("OUT_DIR").ok_or(std::io::ErrorKind::NotFound)?;
    let out = std::path::Path::new(&out);
    std::fs::write(out.join("confusables.rs"), confusables())?;
    std::fs::write(out.join("scripts.rs"), scripts())
}

/// `FROM`: characters, sorted. `TO[AT[i]..AT[i + 1]]`: what `FROM[i]` looks like.
#[cfg(feature = "unicode")]
fn confusables() -> String {
    let (mut from, mut at, mut to) = (Vec::new(), vec![0], String::new());
    for c in ('\0'..=char::MAX).filter(|c| may_be_in_a_name(*c) && !is_composed(*c)) {
        let prototype: String = unicode_security::skeleton(c.encode_utf8(&mut [0; 4])).collect();
        if !prototype.chars().eq([c]) {
            from.push(c);
            to.push_str(&prototype);
            at.push(to.len());
        }
    }
    let count = from.len();
    format!(
        "static FROM: [char; {count}] = {from:?};\nstatic AT: [u16; {count} + 1] = {at:?};\nstatic TO: &str = {to:?};\n"
    )
}

/// `RUNS`: where characters begin that are used in the same scripts, shifted, and below it which of `SETS` that is: a bit
/// for each script, and for each writing system that is made of several (TR39 section 5.1).
#[cfg(feature = "unicode")]
fn scripts() -> String {
    let (mut runs, mut sets) = (Vec::new(), Vec::new());
    for c in ('\0'..=char::MAX).filter(|c| may_be_in_a_name(*c)) {
        let set = augmented(c);
        let place = sets.iter().position(|known| *known == set).unwrap_or(sets.len());
        if place == sets.len() {
            sets.push(set);
        }
        if runs.last().is_none_or(|run| run & ((1 << SET_BITS) - 1) != place) {
            runs.push((c as usize) << SET_BITS | place);
        }
    }
    let (count, kinds) = (runs.len(), sets.len());
    assert!(kinds < 1 << SET_BITS, "{kinds} sets of scripts");
    format!(
        "const SET_BITS: u32 = {SET_BITS};\nstatic RUNS: [u32; {count}] = {runs:?};\nstatic SETS: [[u64; 3]; {kinds}] = {sets:?};\n"
    )
}

/// A character has at most 21 bits.
#[cfg(feature = "unicode")]
const SET_BITS: usize = 11;

#[cfg(feature = "unicode")]
fn augmented(c: char) -> [u64; 3] {
    use unicode_script::{Script, UnicodeScript};
    let used_in = c.script_extension();
    if used_in.is_common() || used_in.is_inherited() {
        return [u64::MAX; 3];
    }
    let mut set = [0; 3];
    let mut add = |bit: usize| set[bit / 64] |= 1 << (bit % 64);
    used_in.iter().for_each(|script| add(script as usize));
    let systems = [
        &[Script::Han, Script::Bopomofo][..],
        &[Script::Han, Script::Hiragana, Script::Katakana],
        &[Script::Han, Script::Hangul],
    ];
    for (bit, parts) in (0..192).rev().zip(systems) {
        if parts.iter().any(|part| used_in.iter().any(|script| script == *part)) {
            add(bit);
        }
    }
    set
}

/// At most: letters, digits and marks, and three more.
#[cfg(feature = "unicode")]
fn may_be_in_a_name(c: char) -> bool {
    c.is_alphanumeric() || unicode_normalization::char::is_combining_mark(c) || matches!(c, '-' | '_' | '.')
}

/// Names hold no compatibility forms (RFC 8264 section 9.17) once their widths are mapped, and what is composed is taken
/// apart before it is looked up.
#[cfg(feature = "unicode")]
fn is_composed(c: char) -> bool {
    use unicode_normalization::UnicodeNormalization;
    ![c].into_iter().nfkd().eq([c])
}
