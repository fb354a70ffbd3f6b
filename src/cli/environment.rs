//! Flags from the environment: the variable with an invalid value, and variables that belong to no flag.

use super::Cli;
use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue};
use std::ffi::OsString;

const PREFIX: &str = "REDPOLL_";

/// Returns the variable whose value is invalid: the error names a flag that is not among the arguments.
#[must_use]
pub fn cause(error: &clap::Error, mut arguments: impl Iterator<Item = OsString>) -> Option<String> {
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else { return None };
    let flag = argument.split([' ', '=']).next()?;
    let is_given = |given: OsString| {
        let given = given.to_string_lossy();
        given == flag || given.strip_prefix(flag).is_some_and(|value| value.starts_with('='))
    };
    let variable = variables().into_iter().find(|(of, _)| of == flag)?.1;
    (!arguments.any(is_given)).then_some(variable)
}

/// Returns those of `names` that begin with `REDPOLL_` and belong to no flag, each with the most similar variable.
#[must_use]
pub fn unknown(names: impl Iterator<Item = String>) -> Vec<(String, String)> {
    let mut names: Vec<String> = names.filter(|name| name.starts_with(PREFIX)).collect();
    // Most starts have none, and the definitions of all flags are not made a second time.
    if names.is_empty() {
        return Vec::new();
    }
    let known: Vec<String> = variables().into_iter().map(|(_, variable)| variable).collect();
    names.retain(|name| !known.contains(name));
    names.sort();
    let nearest = |name: &str| known.iter().min_by_key(|known| distance(name, known)).cloned();
    names.into_iter().filter_map(|name| nearest(&name).map(|nearest| (name, nearest))).collect()
}

/// Returns the flags of `serve` and `chat` with their variables; an argument without a flag has an empty one.
fn variables() -> Vec<(String, String)> {
    let command = Cli::command();
    let arguments = command.get_subcommands().flat_map(|command| command.get_arguments());
    arguments
        .filter_map(|argument| {
            let flag = argument.get_long().map(|long| format!("--{long}")).unwrap_or_default();
            Some((flag, argument.get_env()?.to_str()?.to_owned()))
        })
        .collect()
}

/// Returns the least number of bytes to insert, remove or replace (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_variables_name_the_nearest() {
        let names = ["REDPOLL_MAX_LNIE", "PATH", "REDPOLL_RATE", "REDPOL_RATE"].map(str::to_owned);
        let expected = [("REDPOLL_MAX_LNIE".to_owned(), "REDPOLL_MAX_LINE".to_owned())];
        assert_eq!(unknown(names.into_iter()), expected);
    }
}
