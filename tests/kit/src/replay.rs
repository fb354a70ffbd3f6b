//! The environment variables that replay a failure: `REDPOLL_SEED`, `REDPOLL_STORY` and `REDPOLL_INPUT`. Failing tests
//! print the command that sets them.

use std::ops::Range;
use std::path::PathBuf;

/// Returns the seeds of a test: all of these, or the one in `REDPOLL_SEED`.
///
/// # Panics
/// If that is not a number.
#[must_use]
pub fn seeds(all: Range<u64>) -> Range<u64> {
    seeds_of(std::env::var("REDPOLL_SEED").ok().as_deref(), all)
}

fn seeds_of(chosen: Option<&str>, all: Range<u64>) -> Range<u64> {
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("REDPOLL_SEED={text} is not a number"));
    chosen.map(number).map_or(all, |seed: u64| seed..seed.saturating_add(1))
}

/// Returns the name in `REDPOLL_STORY`: the one story to run.
#[must_use]
pub fn story() -> Option<String> {
    std::env::var("REDPOLL_STORY").ok()
}

/// Returns the file in `REDPOLL_INPUT`: the one input to run.
#[must_use]
pub fn input() -> Option<PathBuf> {
    std::env::var_os("REDPOLL_INPUT").map(PathBuf::from)
}

/// Returns up to five of `names` that share words with `name` or contain it, the most similar first.
#[must_use]
pub fn near<'a>(name: &str, names: &[&'a str]) -> Vec<&'a str> {
    let words: Vec<&str> = name.split(['_', '/']).filter(|word| !word.is_empty()).collect();
    // Shared words per 1,000 words of both, and a bonus if the other contains the whole name.
    let likeness = |other: &str| {
        let shared = other.split(['_', '/']).filter(|word| words.contains(word)).count();
        let is_part = !name.is_empty() && other.contains(name);
        2000 * shared / (words.len() + other.split(['_', '/']).count()) + 500 * usize::from(is_part)
    };
    let mut near: Vec<&str> = names.iter().copied().filter(|other| likeness(other) > 0).collect();
    near.sort_by_key(|other| std::cmp::Reverse(likeness(other)));
    near.truncate(5);
    near
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_chooses_one() {
        assert_eq!((seeds_of(None, 0..8), seeds_of(Some("11"), 0..8)), (0..8, 11..12));
    }

    #[test]
    #[should_panic(expected = "REDPOLL_SEED=x is not a number")]
    fn wrong_seed_is_refused() {
        let _ = seeds_of(Some("x"), 0..8);
    }

    #[test]
    fn near_names_share_words() {
        let names =
            ["a_line_is_long", "who_is_where", "renaming", "rooms_are_entered_and_left", "no_limit_of_rooms"];
        assert_eq!(near("who_is_there", &names), ["who_is_where", "a_line_is_long"]);
        assert_eq!(near("rooms", &names), ["no_limit_of_rooms", "rooms_are_entered_and_left"]);
        assert_eq!(near("enam", &names), ["renaming"]);
        assert!(near("", &names).is_empty() && near("x", &names).is_empty());
    }
}
