//! Writes the tables of `src/protocol/name/`: `cargo run -p redpoll-kit --example unicode-tables`.

use redpoll_kit::unicode_tables::files;
use std::fs;

fn main() -> std::io::Result<()> {
    files().into_iter().try_for_each(|(path, text)| fs::write(path, text))
}
