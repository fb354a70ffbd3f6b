//! Generates `src/protocol/name/confusables.rs` and `src/protocol/name/scripts.rs`: the part of two tables of Unicode
//! TR39 that names need. The example `unicode-tables` writes the files, and a test compares them with the output.
//!
//! PRECIS decides which characters a name can hold; its tables end with Unicode 6.3. The output depends on Cargo.lock
//! alone: no property comes from the standard library, because its tables change with the compiler.

use precis_core::{DerivedPropertyValue, IdentifierClass, StringClass};
use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};
use std::fmt::Write;
use std::path::PathBuf;
use unicode_normalization::UnicodeNormalization;
use unicode_script::{Script, ScriptExtension, UnicodeScript};

/// Command that writes the files.
pub const COMMAND: &str = "cargo run -p redpoll-kit --example unicode-tables";

/// Returns the path of each file and its contents.
#[must_use]
pub fn files() -> [(PathBuf, String); 2] {
    let file = |name: &str| [env!("CARGO_MANIFEST_DIR"), "../../src/protocol/name", name].iter().collect();
    [(file("confusables.rs"), confusables()), (file("scripts.rs"), scripts())]
}

/// Returns the file with the prototypes of characters (TR39 section 4).
///
/// - `FROM`: the characters that have a prototype other than themselves, sorted.
/// - `AT`, `TO`: `TO[AT[i]..AT[i + 1]]` is the prototype of `FROM[i]`.
#[must_use]
pub fn confusables() -> String {
    let (mut from, mut at, mut to) = (Vec::new(), vec![0], Vec::new());
    let mut end = 0;
    for c in relevant() {
        let prototype: String = unicode_security::skeleton(c.encode_utf8(&mut [0; 4])).collect();
        if !prototype.chars().eq([c]) {
            end += prototype.len();
            from.push(format!("'{}',", number(c)));
            at.push(end);
            to.push(prototype.chars().map(escaped).collect());
        }
    }
    let at: Vec<String> = at.into_iter().map(|at| format!("{at},")).collect();
    let count = from.len();
    let mut file = header(unicode_security::UNICODE_VERSION);
    push_static(&mut file, &format!("FROM: [char; {count}]"), "[", &wrapped(&from, " ", ""), "]");
    push_static(&mut file, &format!("AT: [u16; {count} + 1]"), "[", &wrapped(&at, " ", ""), "]");
    push_static(&mut file, "TO: &str", "\"\\", &wrapped(&to, "", "\\"), "\"");
    file
}

/// Returns the file with the scripts in which characters are used (TR39 section 5.1).
///
/// - `RUNS`: after `run(first, set)`, the characters from `first` up to the next run are used in the scripts of
///   `SETS[set]`. Characters that no name can hold may be in any run.
/// - `SETS`: a bit for each script and for each writing system of several scripts; all bits if every script uses it.
#[must_use]
pub fn scripts() -> String {
    let (mut runs, mut sets, mut last) = (Vec::new(), Vec::new(), None);
    for c in (char::MIN..=char::MAX).filter(|c| is_admitted(*c)) {
        let line = line_of_set(c.script_extension());
        let set = sets.iter().position(|known| *known == line).unwrap_or_else(|| {
            sets.push(line);
            sets.len() - 1
        });
        if last.replace(set) != Some(set) {
            runs.push(format!("run({:#X}, {set}),", u32::from(c)));
        }
    }
    let (count, kinds) = (runs.len(), sets.len());
    let mut file = header(unicode_script::UNICODE_VERSION);
    push_static(&mut file, &format!("RUNS: [u32; {count}]"), "[", &wrapped(&runs, " ", ""), "]");
    push_static(&mut file, &format!("SETS: [[u64; 3]; {kinds}]"), "[", &sets.concat(), "]");
    file
}

/// Returns whether a name can hold a character after the width mapping: those of PRECIS's IdentifierClass (RFC 8264
/// section 4.2) without the punctuation and symbols that `src/protocol/name/mod.rs` refuses.
fn is_admitted(c: char) -> bool {
    match IdentifierClass::default().get_value_from_char(c) {
        DerivedPropertyValue::PValid if c.is_ascii() => {
            c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
        }
        // These exceptions of RFC 5892 section 2.6 are neither letters nor digits nor marks.
        DerivedPropertyValue::PValid => !matches!(c, '\u{6FD}' | '\u{6FE}' | '\u{F0B}'),
        // Of the characters with a contextual rule, these are digits.
        DerivedPropertyValue::ContextO => matches!(c, '\u{660}'..='\u{669}' | '\u{6F0}'..='\u{6F9}'),
        _ => false,
    }
}

/// Returns the characters that `src/protocol/name/skeleton.rs` looks up, sorted: those of decomposed names, and their
/// other cases. Among them are the conjoining jamo of Hangul, which no name holds, and capitals that are newer than
/// Unicode 6.3. None is a compatibility form (RFC 8264 section 9.17).
fn relevant() -> impl Iterator<Item = char> {
    let decomposed = (char::MIN..=char::MAX).filter(|c| is_admitted(*c)).nfd();
    let mut class = ClassUnicode::new(decomposed.map(|c| ClassUnicodeRange::new(c, c)));
    class.try_case_fold_simple().expect("regex-syntax has its feature `unicode-case`");
    let ranges: Vec<_> = class.iter().map(|range| range.start()..=range.end()).collect();
    ranges.into_iter().flatten().filter(|c| [*c].into_iter().nfkd().eq([*c]))
}

/// Returns the entry of `SETS`: the scripts, and each writing system of several scripts that has one of these.
fn line_of_set(used_in: ScriptExtension) -> String {
    let (mut set, mut names) = ([u64::MAX; 3], "any".to_owned());
    if !used_in.is_common() && !used_in.is_inherited() {
        let systems = [
            &[Script::Han, Script::Bopomofo][..],
            &[Script::Han, Script::Hiragana, Script::Katakana],
            &[Script::Han, Script::Hangul],
        ];
        let bits = 64 * set.len();
        let is_in = |parts: &&[Script]| parts.iter().any(|part| used_in.contains_script(*part));
        let of_systems = (0..bits).rev().zip(systems).filter(|(_, parts)| is_in(parts)).map(|(bit, _)| bit);
        set = [0; 3];
        for bit in used_in.iter().map(|script| script as usize).chain(of_systems) {
            set[bit / 64] |= 1 << (bit % 64);
        }
        assert!(
            used_in.iter().all(|script| (script as usize) < bits - systems.len()),
            "scripts need more bits"
        );
        names = used_in.iter().map(Script::short_name).collect::<Vec<_>>().join(" ");
    }
    format!("    // {names}\n    [{:#X}, {:#X}, {:#X}],\n", set[0], set[1], set[2])
}

fn header<Part: std::fmt::Display>((major, minor, update): (Part, Part, Part)) -> String {
    format!(
        "// Unicode {major}.{minor}.{update}, the characters that PRECIS admits. Written by:\n// {COMMAND}\n"
    )
}

fn push_static(file: &mut String, declared: &str, opened: &str, lines: &str, closed: &str) {
    write!(file, "\nstatic {declared} = {opened}\n{lines}{closed};\n").expect("a string takes all");
}

/// Returns printable ASCII as it is, and other characters by number: a space at the start of a line would be skipped,
/// and marks and right-to-left text would be hard to read.
fn escaped(c: char) -> String {
    if c.is_ascii_graphic() && !matches!(c, '"' | '\\') { c.into() } else { number(c) }
}

fn number(c: char) -> String {
    format!("\\u{{{:X}}}", u32::from(c))
}

/// Returns the items in lines of at most 110 bytes, each with `end` at its end.
fn wrapped(items: &[String], between: &str, end: &str) -> String {
    const INDENT: &str = "    ";
    const WIDTH: usize = 110;
    let (mut lines, mut line) = (String::new(), INDENT.to_owned());
    for item in items {
        if line.len() + between.len() + item.len() + end.len() > WIDTH {
            lines.extend([&line, end, "\n"]);
            line.truncate(INDENT.len());
        }
        if line.len() > INDENT.len() {
            line.push_str(between);
        }
        line.push_str(item);
    }
    lines.extend([&line, end, "\n"]);
    lines
}
