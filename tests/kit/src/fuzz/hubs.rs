//! The fuzz body for the hub: the real [`Hub`] and a simple model of it must answer the requests of a few connections
//! in the same way.

use super::grammar::blankless;
use super::model::{CONNECTIONS, Due, Model};
use super::script::Script;
use bstr::ByteSlice;
use redpoll::hub::{AfterRequest, Hub};
use redpoll::limits::Limits;
use redpoll::protocol::dialect::{Context, Dialect};
use redpoll::protocol::name;
use redpoll::protocol::{Audience, CloseReason, ConnId, Event, List, ListItem, Outbox, Request, Scope};

/// The minimum length of lines, so that lists take several.
const CONTEXT: Context = Context { max_line: 128 };

/// Maximum number of actions in one input: more show nothing new.
const MAX_ACTIONS: usize = 256;

/// Names of nicks and rooms, other spellings of the same, and invalid names.
const NAMES: [&str; 32] = [
    "alice",
    "Alice",
    "ＡＬＩＣＥ",
    "bob",
    "BOB",
    "carol",
    "Žofie",
    "žofie",
    "νικος",
    "ΝΙΚΟΣ",
    "dev",
    "Dev",
    "ｄｅｖ",
    "ops",
    "lobby",
    "Lobby",
    "paypa",
    // Cyrillic: confusable in small letters, in capitals, and with a reserved name.
    "раура",
    "вов",
    "ѕегѵег",
    "bob1",
    "bobl",
    "root",
    "guest-1",
    "guest-x",
    "",
    "-x",
    "x y",
    "x:y",
    "*",
    "\u{7}",
    "a234567890123456789012345678901234",
];

/// Texts of messages, close reasons and tokens of pings.
const TEXTS: [&[u8]; 8] =
    [b"hi", b"", b": x", b"x\n* eve joined", b"\x1B[2J\xFF", b"\xE2\x80\xAE", b"@bob:\t ", b"too slow"];

/// For any requests of the connections and any limits:
///
/// - each receives, for every action, exactly the lines of the model in their order, and no other peer receives any:
///   answers, presence, messages, and the refusal that protocol.md lists first, with the name as it was typed;
/// - a room above the quiet limit sends no presence, the limits on rooms hold, a full recipient is refused;
/// - after each action both agree on the registered names, and the hub's invariants hold.
///
/// The input: three bytes of limits, then actions: a byte for client and kind, and bytes for their details.
///
/// # Panics
/// If one of these doesn't hold.
pub fn check_hub(data: &[u8]) {
    let mut script = Script::new(data);
    let limits = Limits {
        max_line: CONTEXT.max_line,
        quiet_above: script.pick(&[None, Some(1), Some(2), Some(4)]),
        max_rooms: script.pick(&[None, Some(1), Some(2), Some(4)]),
        max_rooms_per_connection: script.pick(&[None, Some(1), Some(2), Some(3)]),
        ..Limits::default()
    };
    let mut hub = Hub::new(&limits);
    let mut model = Model::new(&limits);
    let mut out = Recorder::default();
    for _ in 0..MAX_ACTIONS {
        let Some(choice) = script.byte() else { break };
        let from = u32::from(choice) % CONNECTIONS;
        match choice / CONNECTIONS as u8 {
            0 => {
                let reason = script.pick(&TEXTS);
                hub.leave(ConnId(from), CloseReason::Quit, reason, &mut out);
                model.leave(from, reason);
            }
            1 => {
                let full = &mut model.full[from as usize];
                *full = !*full;
                out.full = model.full;
            }
            kind => {
                let details = Details::draw(&mut script);
                let request = details.request(kind);
                let next = hub.handle(ConnId(from), &request, &mut out);
                model.handle(from, request);
                assert_eq!(next == AfterRequest::Close, matches!(request, Request::Quit { .. }));
            }
        }
        for id in 0..CONNECTIONS {
            let due = std::mem::take(&mut model.due[id as usize]);
            assert_received(id, &std::mem::take(&mut out.received[id as usize]), &due);
            let name = model.user(id).map(|user| user.shown.as_str());
            assert_eq!(hub.nick(ConnId(id)).map(name::Name::shown), name, "the nick of {id}");
        }
        while hub.next_effect().is_some() {}
        assert_eq!(hub.registered(), model.users.len());
        hub.invariants();
    }
}

/// The arguments of a request.
struct Details<'a> {
    name: &'a [u8],
    list: Vec<u8>,
    text: &'a [u8],
}

impl<'a> Details<'a> {
    fn draw(script: &mut Script<'a>) -> Details<'a> {
        let choice = script.byte().unwrap_or(0);
        let name = match choice / 32 {
            7 => blankless(script.some(40)),
            _ => NAMES[usize::from(choice) % 32].as_bytes(),
        };
        let text = match script.below(16) {
            known @ 0..8 => TEXTS[known],
            8.. => script.some(40),
        };
        let mut list = name.to_vec();
        for _ in 0..choice / 32 % 4 {
            let choice = script.byte().unwrap_or(0);
            let again = 1 + 15 * usize::from(choice / 32 == 7);
            for _ in 0..again {
                list.extend_from_slice(if choice / 32 == 1 { b" ,\t" } else { b"," });
                list.extend_from_slice(NAMES[usize::from(choice) % 32].as_bytes());
            }
        }
        Details { name, list, text }
    }

    fn request(&self, kind: u8) -> Request<'_> {
        let (name, text) = (self.name.as_bstr(), self.text.as_bstr());
        match kind {
            2 => Request::Register { nick: name, password: Some(text) },
            3 | 4 => Request::Rename { nick: name },
            5..=8 => Request::Direct { to: blankless(&self.list), text },
            9..=11 => Request::Say { room: None, text },
            12 | 13 => Request::Say { room: Some(name), text },
            14..=17 => Request::Join { room: name },
            18 => Request::Leave { room: None },
            19 | 20 => Request::Leave { room: Some(name) },
            21 => Request::Who(Scope::Current),
            22 => Request::Who(Scope::Room(name)),
            23 => Request::Who(Scope::Everyone),
            24 => Request::Rooms,
            25 => Request::Ping { token: text },
            26 => Request::Help,
            27 => Request::Quit { message: text },
            _ => Request::Register { nick: name, password: None },
        }
    }
}

/// An outbox that keeps its events as lines.
#[derive(Default)]
pub(super) struct Recorder {
    pub received: [Vec<u8>; CONNECTIONS as usize],
    full: [bool; CONNECTIONS as usize],
}

impl Outbox for Recorder {
    fn has_room(&self, to: ConnId) -> bool {
        !self.full[to.index()]
    }

    fn send(&mut self, to: ConnId, event: Event<'_>) {
        Dialect::Native.encode(event, &CONTEXT, &mut self.received[to.index()]);
    }

    fn send_list<'n>(
        &mut self,
        to: ConnId,
        list: List<'_>,
        items: impl Iterator<Item = ListItem<'n>>,
    ) -> usize {
        Dialect::Native.encode_list(list, items, &CONTEXT, &mut self.received[to.index()])
    }

    fn send_all(&mut self, to: Audience<'_>, event: Event<'_>) {
        for member in to.members.iter().filter(|member| Some(**member) != to.except) {
            self.send(*member, event);
        }
    }

    fn wants_flush(&self) -> bool {
        false
    }
}

/// Asserts that the received lines are exactly those that are due.
fn assert_received(id: u32, received: &[u8], due: &[Due]) {
    let text = std::str::from_utf8(received).expect("the server sends UTF-8");
    assert!(text.is_empty() || text.ends_with('\n'), "{id} received {text:?}");
    let mut lines = text.lines().peekable();
    for due in due {
        match due {
            Due::Line(line) => assert_eq!(lines.next(), Some(line.as_str()), "{id} received {text:?}"),
            Due::Refusal(start) => {
                let line = lines.next().unwrap_or("");
                let rest = line.strip_prefix(start.as_str());
                let holds = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
                assert!(holds, "{id} received {line:?}, not {start:?}");
            }
            Due::Words(start, expected) => {
                let mut words = Vec::new();
                while let Some(line) = lines.next_if(|line| line.starts_with(start)) {
                    assert!(line.len() < 3 * 128 + 300, "{line:?} is too long");
                    words.extend(line[start.len()..].split(' ').map(str::to_owned));
                }
                words.sort();
                assert_eq!(&words, expected, "{id} received {text:?}");
            }
            Due::Help => while lines.next_if(|line| line.starts_with("+help ")).is_some() {},
        }
    }
    assert_eq!(lines.next(), None, "{id} received {text:?}, not {due:?}");
}
