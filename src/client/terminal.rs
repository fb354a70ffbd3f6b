//! `redpoll chat` on a terminal: reads lines with rustyline, and carries out what the session returns for them. The
//! threads of `network` exchange lines with the server at the same time.

use super::Options;
use super::connection;
use super::network::{self, EndReason, NetworkHandle};
use super::screen::{self, Screen};
use super::session::{Awaiting, Input, NOT_CONNECTED};
use super::view::{View, local_echo};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Behavior, ColorMode, CompletionType, Config, Context, Editor, Helper};
use std::cell::{Cell, RefCell};
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

/// Maximum count of lines in the history.
const MAX_HISTORY: usize = 1000;

/// The prompt for a name.
const NAME_PROMPT: &str = "your name: ";

/// How long quitting waits for the server to close the connection.
const QUIT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the end waits for the last rows to be printed.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Columns of a terminal with unknown size.
const DEFAULT_COLUMNS: u16 = 80;

/// Runs until the user quits (exit code 0) or is kicked (1). Returns `Ok(None)` before connecting if the terminal
/// can't edit lines.
///
/// # Errors
/// The error of the terminal.
pub fn run(options: &Options) -> io::Result<Option<ExitCode>> {
    let config = Config::builder()
        .max_history_size(MAX_HISTORY)
        .map_err(io::Error::other)?
        .auto_add_history(false)
        .completion_type(CompletionType::List)
        // Without it, rustyline doesn't call `LineHelper` on every change. The view sets the colours.
        .color_mode(ColorMode::Enabled)
        .behavior(Behavior::Stdio)
        .build();
    let mut editor: Editor<LineHelper, DefaultHistory> =
        Editor::with_config(config).map_err(io::Error::other)?;
    let Ok(printer) = editor.create_external_printer() else {
        return Ok(None);
    };
    let interrupted = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(&interrupted))?;
    let stream = match connection::connect(&options.address) {
        Ok(stream) => stream,
        Err(error) => {
            eprintln!("redpoll: {}", connection::explain(&options.address, &error));
            return Ok(Some(ExitCode::FAILURE));
        }
    };
    let screen = Screen::new(printer);
    let view = Arc::new(View::from_env());
    let network = network::start(options, stream, screen.clone(), Arc::clone(&view));
    editor.set_helper(Some(LineHelper {
        network: network.clone(),
        screen: screen.clone(),
        line: RefCell::default(),
        is_first_hint: Cell::new(true),
    }));
    let mut terminal =
        Terminal { editor, network, screen, view, interrupted, asked_name: false, warned: false };
    let reason = terminal.run();
    Ok(Some(terminal.close(&reason)))
}

/// The interactive client.
struct Terminal {
    editor: Editor<LineHelper, DefaultHistory>,
    network: NetworkHandle,
    screen: Screen,
    view: Arc<View>,
    /// Set by SIGINT while rustyline reads no line.
    interrupted: Arc<AtomicBool>,
    /// The name was asked for before, so the name of the system's user is not default again.
    asked_name: bool,
    /// Ctrl-C was pressed at an empty line, and no line was typed since.
    warned: bool,
}

/// The result of reading one line.
enum Read {
    Line(String),
    Interrupted(String),
    Eof,
}

impl Terminal {
    /// Reads and sends lines until the user quits or is kicked. Returns which.
    fn run(&mut self) -> EndReason {
        loop {
            if let Some(reason) = self.network.end_reason() {
                return reason;
            }
            let awaiting = self.network.session().awaiting();
            let quitting = match awaiting {
                Awaiting::Server => {
                    self.screen.open();
                    self.network.wait(&self.interrupted).then(quit_line)
                }
                Awaiting::Name => self.ask_name(),
                Awaiting::Line => self.ask_line(),
            };
            if let Some(line) = quitting
                && self.network.end_reason().is_none()
            {
                self.screen.open();
                self.network.quit(&line, QUIT_TIMEOUT);
                return EndReason::Quit;
            }
        }
    }

    /// Prints the remaining rows and returns the exit code. Drops the editor first, since it may block the printer.
    fn close(self, reason: &EndReason) -> ExitCode {
        let Terminal { editor, screen, .. } = self;
        drop(editor);
        screen.open();
        screen.flush(FLUSH_TIMEOUT);
        match reason {
            EndReason::Quit => ExitCode::SUCCESS,
            EndReason::Kicked(rows) => {
                println!("{rows}");
                ExitCode::FAILURE
            }
        }
    }

    /// Reads a name and registers with it. Returns the line to quit with, if the user quits.
    fn ask_name(&mut self) -> Option<String> {
        let default = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default();
        let default = if self.asked_name { "" } else { &default };
        self.asked_name = true;
        match self.read(NAME_PROMPT, (default, "")) {
            Read::Line(name) => {
                self.replace(NAME_PROMPT, &name, None);
                match name.trim() {
                    "" => {}
                    "exit" | "quit" | "/quit" => return Some(quit_line()),
                    name => self.network.choose_nick(name),
                }
                None
            }
            Read::Interrupted(typed) => self.interrupt(NAME_PROMPT, &typed),
            Read::Eof => Some(quit_line()),
        }
    }

    fn ask_line(&mut self) -> Option<String> {
        let mut typed = (String::new(), 0);
        let (prompt, read) = loop {
            let (prompt, interrupts) = self.network.begin_line();
            let read = self.read(&prompt, typed.0.split_at(typed.1));
            let is_refresh = self.network.end_line(interrupts);
            match read {
                Read::Interrupted(text) if is_refresh => {
                    self.replace(&prompt, &text, None);
                    let cursor = self.editor.helper().map_or(0, |helper| helper.line.borrow().1);
                    typed = (text, cursor);
                    if self.network.end_reason().is_some()
                        || self.network.session().awaiting() != Awaiting::Line
                    {
                        return None;
                    }
                }
                read => break (prompt, read),
            }
        };
        match read {
            Read::Line(typed) => {
                self.warned = false;
                self.handle_input(&prompt, &typed)
            }
            Read::Interrupted(typed) => self.interrupt(&prompt, &typed),
            Read::Eof => Some(quit_line()),
        }
    }

    /// Handles typed text line by line, since a paste may contain several. Returns the line to quit with, if the user
    /// quits.
    fn handle_input(&mut self, prompt: &str, typed: &str) -> Option<String> {
        let mut echo = Vec::new();
        let mut problem = None;
        let mut quitting = None;
        for line in typed.split('\n') {
            let session = self.network.session();
            match session.handle_typed(line) {
                Input::Empty => {}
                Input::Send(line) => {
                    echo.push(self.view.echo(
                        SystemTime::now(),
                        session.nick(),
                        &local_echo(line, session.room()),
                    ));
                    drop(session);
                    if !self.network.send(line) {
                        problem = Some(NOT_CONNECTED);
                    }
                }
                Input::Quit(line) => quitting = Some(line.to_owned()),
                Input::Reject(reason) => problem = Some(reason),
            }
            if quitting.is_some() {
                break;
            }
        }
        if quitting.is_none() && !typed.is_empty() && !typed.starts_with('#') {
            // A line that the history rejects is sent all the same.
            let _ = self.editor.add_history_entry(typed);
        }
        if let Some(reason) = problem {
            self.screen.show(&self.view.error(SystemTime::now(), reason));
        }
        self.replace(prompt, typed, (!echo.is_empty()).then(|| echo.join("\n")).as_deref());
        quitting
    }

    /// Handles Ctrl-C: clears the typed line. At an empty line it shows how to quit, and the second time it quits.
    fn interrupt(&mut self, prompt: &str, typed: &str) -> Option<String> {
        self.screen.close();
        self.replace(prompt, typed, None);
        if !typed.is_empty() || self.network.end_reason().is_some() {
            self.warned = false;
        } else if std::mem::replace(&mut self.warned, true) {
            return Some(quit_line());
        } else {
            self.screen.show(&self.view.status(SystemTime::now(), "to leave: exit, Ctrl-D or Ctrl-C again"));
        }
        None
    }

    /// Reads a line that begins with the text `initial`, left and right of the cursor.
    fn read(&mut self, prompt: &str, initial: (&str, &str)) -> Read {
        if let Some(helper) = self.editor.helper() {
            helper.is_first_hint.set(true);
        }
        let result = self.editor.readline_with_initial(prompt, initial);
        self.screen.close();
        match result {
            Ok(line) => Read::Line(line),
            Err(ReadlineError::Interrupted) => Read::Interrupted(
                self.editor.helper().map(|helper| helper.line.borrow().0.clone()).unwrap_or_default(),
            ),
            // The end of input, or a closed terminal.
            Err(_) => Read::Eof,
        }
    }

    /// Replaces the typed line by `row`.
    fn replace(&mut self, prompt: &str, typed: &str, row: Option<&str>) {
        let columns = self.editor.dimensions().map_or(DEFAULT_COLUMNS, |(columns, _)| columns);
        // If the terminal is closed, the next read ends.
        let _ = screen::replace_typed(prompt, typed, usize::from(columns).max(1), row);
    }
}

/// The line that quits without a reason.
fn quit_line() -> String {
    "/quit".to_owned()
}

/// Rustyline's callbacks during editing.
struct LineHelper {
    network: NetworkHandle,
    screen: Screen,
    /// The edited text and the cursor's byte offset, since rustyline doesn't return them on Ctrl-C.
    line: RefCell<(String, usize)>,
    /// Rustyline has not called `hint` since the read began.
    is_first_hint: Cell<bool>,
}

impl Helper for LineHelper {}

impl LineHelper {
    fn record(&self, line: &str, pos: usize) {
        *self.line.borrow_mut() = (line.to_owned(), pos);
    }
}

impl Highlighter for LineHelper {
    /// Called when the cursor moves. Highlights nothing.
    fn highlight_char(&self, line: &str, pos: usize, _: CmdKind) -> bool {
        self.record(line, pos);
        false
    }
}

impl Completer for LineHelper {
    type Candidate = String;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let completion = self.network.session().roster().complete(&line[..pos]);
        Ok((completion.start, completion.candidates))
    }
}

impl Hinter for LineHelper {
    type Hint = String;

    /// Called when the read begins and when the line changes. Returns no hint. The first call opens the gate: earlier,
    /// a row could be written directly, before a row that rustyline still holds from the last read.
    fn hint(&self, line: &str, pos: usize, _: &Context<'_>) -> Option<String> {
        self.record(line, pos);
        if self.is_first_hint.take() {
            self.screen.open();
        }
        None
    }
}

impl Validator for LineHelper {
    /// Called on Enter, before rustyline ends the read: no row may be printed from here until the typed line is
    /// replaced.
    fn validate(&self, _: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        self.screen.close();
        Ok(ValidationResult::Valid(None))
    }
}
