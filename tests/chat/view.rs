//! The rows for received lines and for the local echo.

use redpoll::client::line::Line;
use redpoll::client::view::{Colours, Echo, View, local_echo};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tz::TimeZone;

/// 12:03 UTC.
fn noon() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(12 * 3600 + 3 * 60)
}

fn plain() -> View {
    View::new(Colours::None, TimeZone::utc())
}

#[test]
fn formats_every_kind_of_line() {
    for (line, shown) in [
        ("bob: hi: there", Some("12:03 bob: hi: there")),
        ("&dev:bob:hi", Some("12:03 &dev bob: hi")),
        ("@bob:psst", Some("12:03 @bob: psst")),
        ("+nick alice", Some("12:03 + you are alice")),
        ("+room dev 1", Some("12:03 + you are in dev, alone so far")),
        ("+room dev 5", Some("12:03 + you are in dev, 5 are here")),
        ("+who dev alice bob", Some("12:03 + in dev: alice bob")),
        ("+end who dev 2", Some("12:03 + 2 in dev")),
        ("+rooms lobby:12 dev:2", Some("12:03 + rooms: lobby 12, dev 2")),
        ("+end help", None),
        ("+pong x", Some("12:03 + pong x")),
        ("!no-such-user bob", Some("12:03 ! bob is not here (no-such-user)")),
        ("* bob joined", Some("12:03 * bob joined")),
        ("odd", Some("12:03 ? odd")),
    ] {
        assert_eq!(plain().line(noon(), line, &Line::parse(line)).as_deref(), shown, "{line}");
    }
}

#[test]
fn server_lines_cannot_imitate_the_client() {
    for line in ["- connected again", "alice -> @bob: yes", "12:03 bob: hi", " bob: hi", ""] {
        let shown = plain().line(noon(), line, &Line::parse(line));
        assert_eq!(shown, Some(format!("12:03 ? {line}")));
    }
}

#[test]
fn local_echo_looks_like_received_messages() {
    for (typed, shown) in [
        ("hi", "12:03 &dev alice: hi"),
        (" /not a command", "12:03 &dev alice:  /not a command"),
        ("/say hi", "12:03 &dev alice: hi"),
        ("&lobby:hi", "12:03 alice: hi"),
        ("&x:hi", "12:03 &x alice: hi"),
        ("@bob: hi:x", "12:03 alice -> @bob: hi:x"),
        ("/msg bob hi you", "12:03 alice -> @bob: hi you"),
        ("&x", "12:03 &x"),
        ("@bob", "12:03 @bob"),
        ("/who", "12:03 /who"),
    ] {
        let echo = local_echo(typed, Some("dev"));
        assert_eq!(plain().echo(noon(), "alice", &echo), shown, "{typed}");
    }
    assert_eq!(local_echo("hi", Some("lobby")), Echo::Message(None, "hi"));
    assert_eq!(local_echo("hi", None), Echo::Command("hi"));
}
