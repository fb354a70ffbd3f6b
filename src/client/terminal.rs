//! `redpoll chat` on a terminal: reads lines with rustyline, and does what the session says. The talk with the server
//! goes on beside it, in `network`.

use super::Options;
use super::connection;
use super::network::{self, Ended, Talk};
use super::screen::{self, Screen};
use super::session::{NOT_CONNECTED, Typed, Wants};
use super::view::{View, own_line};
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

/// Lines of history.
const HISTORY: usize = 1000;

/// The prompt where a name is asked for.
const NAME_PROMPT: &str = "your name: ";

/// How long the server may take to say good-bye.
const GOODBYE: Duration = Duration::from_secs(2);

/// How long the terminal may take for the last rows.
const LAST_ROWS: Duration = Duration::from_secs(1);

/// Columns of a terminal that doesn't tell.
const COLUMNS: u16 = 80;

/// Talks until the user leaves (0) or the server sends them away (1).
///
/// # Errors
/// The terminal's. `Ok(None)` if this terminal can't edit lines; then nothing has happened yet.
pub fn run(options: &Options) -> io::Result<Option<ExitCode>> {
    let config = Config::builder()
        .max_history_size(HISTORY)
        .map_err(io::Error::other)?
        .auto_add_history(false)
        .completion_type(CompletionType::List)
        // For `Typist`, who has to hear of every change; the colours are the view's affair.
        .color_mode(ColorMode::Enabled)
        .behavior(Behavior::Stdio)
        .build();
    let mut editor: Editor<Typist, DefaultHistory> = Editor::with_config(config).map_err(io::Error::other)?;
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
    let talk = network::start(options, stream, screen.clone(), Arc::clone(&view));
    editor.set_helper(Some(Typist {
        talk: talk.clone(),
        screen: screen.clone(),
        line: RefCell::default(),
        fresh: Cell::new(true),
    }));
    let mut terminal = Terminal { editor, talk, screen, view, interrupted, asked_name: false, warned: false };
    let ended = terminal.converse();
    Ok(Some(terminal.close(&ended)))
}

/// One user at one terminal.
struct Terminal {
    editor: Editor<Typist, DefaultHistory>,
    talk: Talk,
    screen: Screen,
    view: Arc<View>,
    /// SIGINT came while no line was read.
    interrupted: Arc<AtomicBool>,
    /// The name was asked for once, so the system's is offered no more.
    asked_name: bool,
    /// Ctrl-C was pressed at an empty line, and nothing typed since.
    warned: bool,
}

/// What one prompt brought.
enum Read {
    Line(String),
    Interrupted(String),
    End,
}

impl Terminal {
    /// Asks and sends until the user leaves or is sent away.
    fn converse(&mut self) -> Ended {
        loop {
            if let Some(ended) = self.talk.ended() {
                return ended;
            }
            let wants = self.talk.session().wants();
            let leaving = match wants {
                Wants::Patience => {
                    self.screen.open();
                    self.talk.wait(&self.interrupted).then(quit)
                }
                Wants::Name => self.ask_name(),
                Wants::Line => self.ask_line(),
            };
            if let Some(line) = leaving
                && self.talk.ended().is_none()
            {
                self.screen.open();
                self.talk.leave(&line, GOODBYE);
                return Ended::Bye;
            }
        }
    }

    /// Shows what is left to show. The editor goes first, as it may hold the printer back.
    fn close(self, ended: &Ended) -> ExitCode {
        let Terminal { editor, screen, .. } = self;
        drop(editor);
        screen.open();
        screen.flush(LAST_ROWS);
        match ended {
            Ended::Bye => ExitCode::SUCCESS,
            Ended::SentAway(reason) => {
                println!("{reason}");
                ExitCode::FAILURE
            }
        }
    }

    /// A name was typed, or leaving is wished with the returned line.
    fn ask_name(&mut self) -> Option<String> {
        let offered = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default();
        let offered = if self.asked_name { "" } else { &offered };
        self.asked_name = true;
        match self.read(NAME_PROMPT, (offered, "")) {
            Read::Line(name) => {
                self.replace(NAME_PROMPT, &name, None);
                match name.trim() {
                    "" => {}
                    "exit" | "quit" | "/quit" => return Some(quit()),
                    name => self.talk.choose(name),
                }
                None
            }
            Read::Interrupted(typed) => self.interrupt(NAME_PROMPT, &typed),
            Read::End => Some(quit()),
        }
    }

    fn ask_line(&mut self) -> Option<String> {
        let mut typed = (String::new(), 0);
        let (prompt, read) = loop {
            let (prompt, nudges) = self.talk.begin_line();
            let read = self.read(&prompt, typed.0.split_at(typed.1));
            let nudged = self.talk.end_line(nudges);
            match read {
                Read::Interrupted(text) if nudged => {
                    self.replace(&prompt, &text, None);
                    let cursor = self.editor.helper().map_or(0, |typist| typist.line.borrow().1);
                    typed = (text, cursor);
                    if self.talk.ended().is_some() || self.talk.session().wants() != Wants::Line {
                        return None;
                    }
                }
                read => break (prompt, read),
            }
        };
        match read {
            Read::Line(typed) => {
                self.warned = false;
                self.obey(&prompt, &typed)
            }
            Read::Interrupted(typed) => self.interrupt(&prompt, &typed),
            Read::End => Some(quit()),
        }
    }

    /// Sends what was typed, a line at a time: a paste may hold several.
    fn obey(&mut self, prompt: &str, typed: &str) -> Option<String> {
        let mut own = Vec::new();
        let mut problem = None;
        let mut leaving = None;
        for line in typed.split('\n') {
            let session = self.talk.session();
            match session.typed(line) {
                Typed::Nothing => {}
                Typed::Send(line) => {
                    own.push(self.view.own(
                        SystemTime::now(),
                        session.nick(),
                        &own_line(line, session.room()),
                    ));
                    drop(session);
                    if !self.talk.send(line) {
                        problem = Some(NOT_CONNECTED);
                    }
                }
                Typed::Leave(line) => leaving = Some(line.to_owned()),
                Typed::Keep(reason) => problem = Some(reason),
            }
            if leaving.is_some() {
                break;
            }
        }
        if leaving.is_none() && !typed.is_empty() && !typed.starts_with('#') {
            // History is a convenience: a line that it doesn't take is still sent.
            let _ = self.editor.add_history_entry(typed);
        }
        if let Some(reason) = problem {
            self.screen.show(&self.view.error(SystemTime::now(), reason));
        }
        self.replace(prompt, typed, (!own.is_empty()).then(|| own.join("\n")).as_deref());
        leaving
    }

    /// Ctrl-C: clears what was typed; at an empty line it says how to leave, the second time it leaves.
    fn interrupt(&mut self, prompt: &str, typed: &str) -> Option<String> {
        self.screen.shut();
        self.replace(prompt, typed, None);
        if !typed.is_empty() || self.talk.ended().is_some() {
            self.warned = false;
        } else if std::mem::replace(&mut self.warned, true) {
            return Some(quit());
        } else {
            self.screen.show(
                &self.view.remark(SystemTime::now(), "exit or Ctrl-D leaves, and so does another Ctrl-C"),
            );
        }
        None
    }

    /// Reads a line that begins with `offered`, left and right of the cursor.
    fn read(&mut self, prompt: &str, offered: (&str, &str)) -> Read {
        if let Some(typist) = self.editor.helper() {
            typist.fresh.set(true);
        }
        let result = self.editor.readline_with_initial(prompt, offered);
        self.screen.shut();
        match result {
            Ok(line) => Read::Line(line),
            Err(ReadlineError::Interrupted) => Read::Interrupted(
                self.editor.helper().map(|typist| typist.line.borrow().0.clone()).unwrap_or_default(),
            ),
            // The end of input, or a terminal that is gone: there is nobody to ask any more.
            Err(_) => Read::End,
        }
    }

    /// Puts `row` in the place of what was typed.
    fn replace(&mut self, prompt: &str, typed: &str, row: Option<&str>) {
        let columns = self.editor.dimensions().map_or(COLUMNS, |(columns, _)| columns);
        // A terminal that is gone ends the next read.
        let _ = screen::replace_typed(prompt, typed, usize::from(columns).max(1), row);
    }
}

/// Leaving without a word.
fn quit() -> String {
    "/quit".to_owned()
}

/// What rustyline asks while a line is typed.
struct Typist {
    talk: Talk,
    screen: Screen,
    /// What is typed so far, and where the cursor is in it: rustyline doesn't tell that with Ctrl-C.
    line: RefCell<(String, usize)>,
    /// Rustyline hasn't asked yet since reading began.
    fresh: Cell<bool>,
}

impl Helper for Typist {}

impl Typist {
    fn note(&self, line: &str, pos: usize) {
        *self.line.borrow_mut() = (line.to_owned(), pos);
    }
}

impl Highlighter for Typist {
    /// Called when the cursor moves; nothing is highlighted.
    fn highlight_char(&self, line: &str, pos: usize, _: CmdKind) -> bool {
        self.note(line, pos);
        false
    }
}

impl Completer for Typist {
    type Candidate = String;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let completion = self.talk.session().roster().complete(&line[..pos]);
        Ok((completion.start, completion.candidates))
    }
}

impl Hinter for Typist {
    type Hint = String;

    /// Called when the line changes, and first when it is there to be typed; there are no hints. Only now is the gate opened:
    /// a row that rustyline still holds since the last line must not be overtaken by one that is written past it.
    fn hint(&self, line: &str, pos: usize, _: &Context<'_>) -> Option<String> {
        self.note(line, pos);
        if self.fresh.take() {
            self.screen.open();
        }
        None
    }
}

impl Validator for Typist {
    /// Called on Enter, before rustyline ends reading: from here on nothing may be shown until the typed line is replaced.
    fn validate(&self, _: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        self.screen.shut();
        Ok(ValidationResult::Valid(None))
    }
}
