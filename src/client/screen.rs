//! Prints rows above the line that is being edited. Rustyline's external printer does this while rustyline reads a
//! line, and writes directly to the terminal otherwise. The gate of this file is closed from Enter until the local echo
//! has replaced the typed line, so that no row is printed between the two.

use rustyline::{ExternalPrinter, GraphemeClusterMode};
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use unicode_segmentation::UnicodeSegmentation;

/// How long closing the gate waits for a print in progress. A print takes microseconds, or it blocks until rustyline
/// reads the next line; then it can't disturb the current one.
const PRINT_TIMEOUT: Duration = Duration::from_millis(20);

/// Pending rows are printed together up to this count of bytes.
const BATCH: usize = 32 * 1024;

/// Pending bytes above which [`Screen::show_blocking`] blocks.
const HIGH_WATER: usize = 1024 * 1024;

/// Columns between tab stops, rustyline's default.
const TAB_STOP: usize = 8;

/// Output of rows to the terminal, in order. Clones share the terminal.
#[derive(Debug, Clone)]
pub struct Screen {
    jobs: Sender<Job>,
    gate: Arc<Gate>,
}

#[derive(Debug)]
enum Job {
    Show(String),
    /// Send a signal when all earlier rows are printed.
    Flush(Sender<()>),
}

#[derive(Debug, Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    closed: bool,
    /// The printer has passed the gate and not returned yet.
    printing: bool,
    /// Bytes of rows that are not printed yet.
    pending: usize,
}

impl Screen {
    /// Starts a thread that prints through `printer`, which blocks until rustyline reads.
    #[must_use]
    pub fn new(printer: impl ExternalPrinter + Send + 'static) -> Screen {
        let (jobs, queue) = channel();
        let gate = Arc::new(Gate::default());
        let shared = Arc::clone(&gate);
        thread::spawn(move || print_all(&queue, &shared, printer));
        Screen { jobs, gate }
    }

    /// Shows `row`, which may contain LFs, above the typed line.
    pub fn show(&self, row: &str) {
        self.gate.lock().pending += row.len() + 1;
        // The receiving thread outlives all screens.
        let _ = self.jobs.send(Job::Show(format!("{row}\n")));
    }

    /// Shows `row` like [`show`](Screen::show), but first blocks while more than `HIGH_WATER` bytes are pending:
    /// backpressure on a server that sends faster than the terminal prints. The thread that opens the gate must not
    /// call it.
    pub fn show_blocking(&self, row: &str) {
        let full = |state: &mut GateState| state.pending > HIGH_WATER;
        drop(self.gate.changed.wait_while(self.gate.lock(), full).unwrap_or_else(PoisonError::into_inner));
        self.show(row);
    }

    /// Waits until all rows are printed, for at most `timeout`.
    pub fn flush(&self, timeout: Duration) {
        let (done, flushed) = channel();
        let _ = self.jobs.send(Job::Flush(done));
        let _ = flushed.recv_timeout(timeout);
    }

    /// Closes the gate: nothing is printed until [`open`](Screen::open).
    pub fn close(&self) {
        let mut state = self.gate.lock();
        state.closed = true;
        let waited = self.gate.changed.wait_timeout_while(state, PRINT_TIMEOUT, |state| state.printing);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Opens the gate: pending rows are printed.
    pub fn open(&self) {
        self.gate.lock().closed = false;
        self.gate.changed.notify_all();
    }
}

/// Replaces the prompt and the typed line by `row`. The cursor must be at the start of the row below them, and the gate
/// closed.
///
/// # Errors
/// The error of the terminal.
pub fn replace_typed(prompt: &str, typed: &str, columns: usize, row: Option<&str>) -> io::Result<()> {
    let up = rows(&format!("{prompt}{typed}"), columns, GraphemeClusterMode::from_env());
    let row = row.map_or_else(String::new, |row| format!("{row}\n"));
    let mut out = io::stdout().lock();
    // CSI A stops at the top of the screen, so a typed line with more rows than the screen does no harm.
    write!(out, "\x1b[{up}A\r\x1b[J{row}")?;
    out.flush()
}

/// Returns the count of rows of `columns` columns that `text` takes in rustyline's layout (`calculate_position` of its
/// terminal). A wide character that doesn't fit goes to the next row. The cursor is in an empty row after a full one.
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

fn print_all(queue: &Receiver<Job>, gate: &Gate, mut printer: impl ExternalPrinter) {
    while let Ok(first) = queue.recv() {
        let mut text = String::new();
        let mut next = Some(first);
        while let Some(job) = next.take() {
            match job {
                Job::Show(row) => text.push_str(&row),
                Job::Flush(done) => {
                    print(&mut text, gate, &mut printer);
                    // The waiting thread may have timed out.
                    let _ = done.send(());
                }
            }
            next = if text.len() < BATCH { queue.try_recv().ok() } else { None };
        }
        print(&mut text, gate, &mut printer);
    }
}

fn print(text: &mut String, gate: &Gate, printer: &mut impl ExternalPrinter) {
    let text = std::mem::take(text);
    if !text.is_empty() {
        gate.pass(text.len(), || {
            // The editor was dropped during the print: write to the terminal directly.
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

    /// Waits for the open gate, calls `print`, and subtracts `bytes` from the pending bytes. The lock is not held
    /// during `print`, which may block until rustyline reads; the reading thread closes the gate.
    fn pass(&self, bytes: usize, print: impl FnOnce()) {
        let mut state = self
            .changed
            .wait_while(self.lock(), |state| state.closed)
            .unwrap_or_else(PoisonError::into_inner);
        state.printing = true;
        drop(state);
        print();
        let mut state = self.lock();
        state.printing = false;
        state.pending -= bytes;
        drop(state);
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_rows_as_rustyline_does() {
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

    /// A printer that sends all output to a channel.
    struct ChannelPrinter(Sender<String>);

    impl ExternalPrinter for ChannelPrinter {
        fn print(&mut self, text: String) -> rustyline::Result<()> {
            self.0.send(text).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe).into())
        }
    }

    #[test]
    fn closed_gate_delays_rows() {
        let (output, printed) = channel();
        let screen = Screen::new(ChannelPrinter(output));
        screen.show("before");
        assert_eq!(printed.recv().unwrap(), "before\n");
        screen.close();
        screen.show("one");
        screen.show("two");
        assert!(printed.recv_timeout(Duration::from_millis(20)).is_err());
        screen.open();
        screen.flush(Duration::from_secs(60));
        assert_eq!(printed.try_iter().collect::<String>(), "one\ntwo\n");
    }

    #[test]
    fn fast_server_is_blocked() {
        let (output, printed) = channel();
        let screen = Screen::new(ChannelPrinter(output));
        screen.close();
        let row = "x".repeat(1023);
        let (progress, shown) = channel();
        let server = screen.clone();
        thread::spawn(move || {
            for number in 0..2 * HIGH_WATER / 1024 {
                server.show_blocking(&row);
                progress.send(number).unwrap();
            }
        });
        // The high-water mark and one row more are accepted.
        for number in 0..=HIGH_WATER / 1024 {
            assert_eq!(shown.recv(), Ok(number));
        }
        assert!(shown.recv_timeout(Duration::from_millis(20)).is_err());
        screen.show("rows of the user are never blocked");
        screen.open();
        assert_eq!(shown.iter().count(), HIGH_WATER / 1024 - 1);
        screen.flush(Duration::from_secs(60));
        assert_eq!(
            printed.try_iter().map(|text| text.lines().count()).sum::<usize>(),
            2 * HIGH_WATER / 1024 + 1
        );
    }
}
