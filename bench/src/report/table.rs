//! The report for a terminal: medians in columns, CPU time and its ratio to the floor with minimum and maximum.

use super::figures::{self, Block, CALLS, CPU, Measure, P50, P99, P999, RATE, RSS, SWITCHES, SYSTEM};
use super::findings;
use super::units::{self, Kind};
use crate::results::{Results, Series};
use std::fmt::Write as _;

/// Maximum length of a line, unless the names in it are longer.
const WIDTH: usize = 110;

/// The columns after the ratio, with short heads to fit a terminal.
const AFTER: [(&str, Measure); 6] =
    [("p50", P50), ("p99", P99), ("p99.9", P999), ("calls", CALLS), ("switch", SWITCHES), ("RSS", RSS)];

/// Returns all blocks, then the findings.
pub fn table(results: &Results) -> String {
    let mut out = String::new();
    for block in figures::blocks(results) {
        let _ = writeln!(out, "{}\n", findings::heading(&block));
        out.push_str(&lay_out(&common(&block)));
        out.push('\n');
        let more = more(&block);
        if more.len() > 1 {
            out.push_str(&lay_out(&more));
            out.push('\n');
        }
    }
    section("With and without", &findings::with_and_without(results), &mut out);
    section("Where threads win", &findings::where_threads_win(results), &mut out);
    section("Stopped", &findings::stopped(results), &mut out);
    section("Notes", &results.notes.iter().map(|note| units::safe(note)).collect::<Vec<_>>(), &mut out);
    out
}

/// Returns the table that all scenarios have, an engine per row. Empty columns are left out.
fn common(block: &Block) -> Vec<Vec<String>> {
    let mut columns = vec![column("engine", block, findings::short_engine)];
    columns.push(plain("per s", RATE, block));
    columns.push(plain("CPU", CPU, block));
    columns.push(column("range", block, |row| units::range(CPU.kind, CPU.over(row))));
    columns.push(plain("sys", SYSTEM, block));
    columns.push(column("/limit", block, |row| units::median(Kind::Times, block.to_floor(row))));
    columns.push(column("range", block, |row| units::range(Kind::Times, block.to_floor(row))));
    columns.extend(AFTER.map(|(head, measure)| plain(head, measure, block)));
    columns.retain(|column| column[1..].iter().any(|cell| !cell.is_empty() && cell != "-"));
    turned(&columns)
}

/// Returns the figures of only this scenario, an engine per column, because the names of the figures are long.
fn more(block: &Block) -> Vec<Vec<String>> {
    let engines = block.rows.iter().map(|row| findings::short_engine(row));
    let mut rows = vec![std::iter::once(String::new()).chain(engines).collect::<Vec<_>>()];
    rows.extend(block.more().into_iter().map(|name| {
        let kind = figures::kind_of_more(name);
        let figure = |row: &&Series| units::median(kind, figures::more(row, name));
        std::iter::once(units::safe(name)).chain(block.rows.iter().map(figure)).collect()
    }));
    rows
}

fn plain(head: &str, measure: Measure, block: &Block) -> Vec<String> {
    column(head, block, |row| units::median(measure.kind, measure.over(row)))
}

fn column(head: &str, block: &Block, cell: impl Fn(&Series) -> String) -> Vec<String> {
    std::iter::once(head.into()).chain(block.rows.iter().map(|row| cell(row))).collect()
}

fn turned(columns: &[Vec<String>]) -> Vec<Vec<String>> {
    let height = columns.first().map_or(0, Vec::len);
    (0..height).map(|row| columns.iter().map(|column| column[row].clone()).collect()).collect()
}

/// Formats rows as text: the first column is aligned left, the others right. Columns are separated by two blanks, or by
/// one where two don't fit.
fn lay_out(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let gap = if widths.iter().map(|width| width + 2).sum::<usize>() > WIDTH { " " } else { "  " };
    let mut out = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(at, (cell, &width))| match at {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        let line = cells.collect::<Vec<_>>().join(gap);
        let _ = writeln!(out, "  {}", line.trim_end());
    }
    out
}

fn section(title: &str, lines: &[String], out: &mut String) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(out, "{title}\n");
    for line in lines {
        push_wrapped(line, out);
    }
    out.push('\n');
}

/// Appends a line as an item of a list, wrapped between words; a word that is too long is not broken.
fn push_wrapped(line: &str, out: &mut String) {
    let mut width = 0;
    for word in line.split_whitespace() {
        let wide = word.chars().count();
        match width {
            0 => out.push_str("  - "),
            _ if width + 1 + wide > WIDTH - 4 => {
                out.push_str("\n    ");
                width = 0;
            }
            _ => out.push(' '),
        }
        out.push_str(word);
        width += wide + 1;
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::super::made_up;
    use super::*;

    #[test]
    fn row_has_medians_and_spread() {
        let mut results = made_up::results();
        results.series = vec![
            made_up::series("relay", "reactor", &[(0, 1500), (1, 1600), (2, 1900)]),
            made_up::series("relay", "limit", &[(0, 1000), (1, 1000), (2, 1000)]),
            made_up::series("relay", "threads", &[]),
        ];
        let text = table(&results);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "relay, 100 connections, 64 B; per message; 3 rounds");
        let words = |line: &str| line.split_whitespace().map(String::from).collect::<Vec<_>>().join(" ");
        assert_eq!(
            words(lines[3]),
            "reactor 1.00 k 1.60 us 1.50-1.90 70% 1.60 1.50-1.90 100 us 200 us 300 us 2.00 0.003 3.00 MiB"
        );
        assert_eq!(words(lines[4]), "limit 1.00 k 1.00 us 70% 1.00 100 us 200 us 300 us 2.00 0.003 3.00 MiB");
        assert_eq!(words(lines[5]), "threads - - - - - - - - - -");
    }

    #[test]
    fn table_fits_a_terminal() {
        let text = table(&made_up::results());
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
            assert!(!line.contains("NaN") && !line.contains("inf"), "{line}");
        }
        for title in ["With and without", "Where threads win", "Stopped", "Notes"] {
            assert!(text.lines().any(|line| line == title), "{title}");
        }
        assert!(text.contains("bytes per connection"));
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn long_lines_break_between_words() {
        let mut out = String::new();
        push_wrapped(&"word ".repeat(30), &mut out);
        assert_eq!(out.lines().count(), 2);
        assert!(out.lines().all(|line| line.len() <= WIDTH && line.ends_with("word")));
    }
}
