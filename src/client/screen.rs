//! Printing above the line that is being typed. Rustyline's external printer does it while a line is read, and writes
//! straight to the terminal while none is; the gate here is shut in between, so that nothing comes between a typed line
//! and the own line that replaces it.

use rustyline::{ExternalPrinter, GraphemeClusterMode};
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use unicode_segmentation::UnicodeSegmentation;

/// How long shutting the gate waits for a print that has passed it. A print takes microseconds, or else it waits for
/// rustyline to read the next line, and then it can't disturb this one.
const PASSING: Duration = Duration::from_millis(20);

/// Rows that wait are printed together up to this many bytes.
const BATCH: usize = 32 * 1024;

/// Bytes that may wait to be shown before whoever is [patient](Screen::show_patiently) waits.
const WAITING: usize = 1024 * 1024;

/// Columns from one tab stop to the next, rustyline's default.
const TAB_STOP: usize = 8;

/// Where everything that isn't typed is shown. Clones show on the same terminal, in order.
#[derive(Debug, Clone)]
pub struct Screen {
    jobs: Sender<Job>,
    gate: Arc<Gate>,
}

#[derive(Debug)]
enum Job {
    Show(String),
    /// Say so when everything before is shown.
    Tell(Sender<()>),
}

#[derive(Debug, Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    shut: bool,
    /// The printer has passed the gate and not come back.
    passing: bool,
    /// Bytes that were to be shown and aren't yet.
    waiting: usize,
}

impl Screen {
    /// Shows rows through `printer`, from a thread of its own: rustyline takes them when it reads, not before.
    #[must_use]
    pub fn new(printer: impl ExternalPrinter + Send + 'static) -> Screen {
        let (jobs, waiting) = channel();
        let gate = Arc::new(Gate::default());
        let passing = Arc::clone(&gate);
        thread::spawn(move || print_all(&waiting, &passing, printer));
        Screen { jobs, gate }
    }

    /// Shows `row`, which may hold LFs, above what is typed.
    pub fn show(&self, row: &str) {
        self.gate.lock().waiting += row.len() + 1;
        // The printer outlives all screens.
        let _ = self.jobs.send(Job::Show(format!("{row}\n")));
    }

    /// The same, but waits while much is to be shown already: so a server that talks faster than the terminal shows is
    /// held back, and fills no memory. Not for whoever opens the gate.
    pub fn show_patiently(&self, row: &str) {
        let full = |state: &mut GateState| state.waiting > WAITING;
        drop(self.gate.changed.wait_while(self.gate.lock(), full).unwrap_or_else(PoisonError::into_inner));
        self.show(row);
    }

    /// Waits until all is shown, but not longer than `patience`.
    pub fn flush(&self, patience: Duration) {
        let (tell, told) = channel();
        let _ = self.jobs.send(Job::Tell(tell));
        let _ = told.recv_timeout(patience);
    }

    /// From now on nothing is shown until [`open`](Screen::open).
    pub fn shut(&self) {
        let mut state = self.gate.lock();
        state.shut = true;
        let passed = self.gate.changed.wait_timeout_while(state, PASSING, |state| state.passing);
        drop(passed.unwrap_or_else(PoisonError::into_inner));
    }

    /// What waited is shown.
    pub fn open(&self) {
        self.gate.lock().shut = false;
        self.gate.changed.notify_all();
    }
}

/// Puts `row` in the place of what was typed behind `prompt`, the cursor being at the start of the row below it. Call it
/// with the gate shut.
///
/// # Errors
/// The terminal's.
pub fn replace_typed(prompt: &str, typed: &str, columns: usize, row: Option<&str>) -> io::Result<()> {
    let up = rows(&format!("{prompt}{typed}"), columns, GraphemeClusterMode::from_env());
    let row = row.map_or_else(String::new, |row| format!("{row}\n"));
    let mut out = io::stdout().lock();
    // CSI A stops at the top of the screen, so a line that is higher than the screen does no harm.
    write!(out, "\x1b[{up}A\r\x1b[J{row}")?;
    out.flush()
}

/// How many rows of `columns` columns `text` takes, as rustyline lays it out (`calculate_position` of its terminal): a
/// wide character that doesn't fit goes to the next row, and a row that is just full is followed by an empty one, where the
/// cursor is.
fn rows(text: &str, columns: usize, mode: GraphemeClusterMode) -> usize {
    let (mut rows, mut column) = (1, 0);
    for cluster in text.graphemes(true) {
        if cluster == "\n" {
            (rows, column) = (rows + 1, 0);
            continue;
        }
        let width =
            if cluster == "\t" { TAB_STOP - column % TAB_STOP } else { usize::from(mode.width(cluster)) };
        column += width;
        if column > columns {
            (rows, column) = (rows + 1, width);
        }
    }
    if column == columns { rows + 1 } else { rows }
}

fn print_all(waiting: &Receiver<Job>, gate: &Gate, mut printer: impl ExternalPrinter) {
    while let Ok(first) = waiting.recv() {
        let mut text = String::new();
        let mut next = Some(first);
        while let Some(job) = next.take() {
            match job {
                Job::Show(row) => text.push_str(&row),
                Job::Tell(told) => {
                    print(&mut text, gate, &mut printer);
                    // Whoever asked may have lost patience.
                    let _ = told.send(());
                }
            }
            next = if text.len() < BATCH { waiting.try_recv().ok() } else { None };
        }
        print(&mut text, gate, &mut printer);
    }
}

fn print(text: &mut String, gate: &Gate, printer: &mut impl ExternalPrinter) {
    let text = std::mem::take(text);
    if !text.is_empty() {
        gate.pass(text.len(), || {
            // The editor went while this waited for it: plain writing is still of use.
            if printer.print(text.clone()).is_err() {
                let _ = io::stdout().write_all(text.as_bytes());
            }
        });
    }
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `print`, after which so many `bytes` less are waiting, once the gate is open. The lock isn't held meanwhile: printing may wait for the reader of lines, which
    /// shuts the gate.
    fn pass(&self, bytes: usize, print: impl FnOnce()) {
        let mut state =
            self.changed.wait_while(self.lock(), |state| state.shut).unwrap_or_else(PoisonError::into_inner);
        state.passing = true;
        drop(state);
        print();
        let mut state = self.lock();
        state.passing = false;
        state.waiting -= bytes;
        drop(state);
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typed_line_takes_as_many_rows_as_the_terminal_gives_it() {
        for (text, columns, expected) in [
            ("", 10, 1),
            ("lobby> hi", 10, 1),
            ("lobby> hi!", 10, 2),
            ("lobby> hi!!", 10, 2),
            ("lobby> 世界", 11, 2),
            ("lobby> 世界", 12, 1),
            ("lobby> 世界", 10, 2),
            ("a\tb", 9, 2),
            ("one\ntwo\n", 80, 3),
            ("e\u{301}e\u{301}", 3, 1),
            ("0123456789", 5, 3),
        ] {
            assert_eq!(rows(text, columns, GraphemeClusterMode::WcWidth), expected, "{text:?} in {columns}");
        }
    }

    /// A printer that keeps what it prints.
    struct Paper(Sender<String>);

    impl ExternalPrinter for Paper {
        fn print(&mut self, text: String) -> rustyline::Result<()> {
            self.0.send(text).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe).into())
        }
    }

    #[test]
    fn nothing_is_shown_while_the_gate_is_shut_and_nothing_is_lost() {
        let (paper, printed) = channel();
        let screen = Screen::new(Paper(paper));
        screen.show("before");
        assert_eq!(printed.recv().unwrap(), "before\n");
        screen.shut();
        screen.show("one");
        screen.show("two");
        assert!(printed.recv_timeout(Duration::from_millis(20)).is_err());
        screen.open();
        screen.flush(Duration::from_secs(60));
        assert_eq!(printed.try_iter().collect::<String>(), "one\ntwo\n");
    }

    #[test]
    fn a_server_that_talks_faster_than_is_shown_is_held_back() {
        let (paper, printed) = channel();
        let screen = Screen::new(Paper(paper));
        screen.shut();
        let row = "x".repeat(1023);
        let (beyond, shown) = channel();
        let server = screen.clone();
        thread::spawn(move || {
            for number in 0..2 * WAITING / 1024 {
                server.show_patiently(&row);
                beyond.send(number).unwrap();
            }
        });
        // What passes is what may wait, and one more.
        for number in 0..=WAITING / 1024 {
            assert_eq!(shown.recv(), Ok(number));
        }
        assert!(shown.recv_timeout(Duration::from_millis(20)).is_err());
        screen.show("the user's own row waits for nothing");
        screen.open();
        assert_eq!(shown.iter().count(), WAITING / 1024 - 1);
        screen.flush(Duration::from_secs(60));
        assert_eq!(
            printed.try_iter().map(|text| text.lines().count()).sum::<usize>(),
            2 * WAITING / 1024 + 1
        );
    }
}
