//! What `redpoll bench` tells from its results: a table for the terminal.

mod figures;
mod findings;
#[cfg(test)]
mod made_up;
mod table;
mod units;

pub use table::table;
