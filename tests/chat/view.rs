//! What a person sees of a line, and of what one said oneself.

use redpoll::client::line::Line;
use redpoll::client::view::{Colours, Own, View, own_line};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tz::TimeZone;

/// Three minutes past twelve.
fn noon() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(12 * 3600 + 3 * 60)
}

fn plain() -> View {
    View::new(Colours::None, TimeZone::utc())
}

#[test]
fn every_kind_of_line_has_its_shape() {
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
fn no_line_from_the_server_reads_like_one_of_the_client() {
    for line in ["- connected again", "alice -> @bob: yes", "12:03 bob: hi", " bob: hi", ""] {
        let shown = plain().line(noon(), line, &Line::parse(line));
        assert_eq!(shown, Some(format!("12:03 ? {line}")));
    }
}

#[test]
fn what_one_says_looks_like_what_others_say() {
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
        let own = own_line(typed, Some("dev"));
        assert_eq!(plain().own(noon(), "alice", &own), shown, "{typed}");
    }
    assert_eq!(own_line("hi", Some("lobby")), Own::Said(None, "hi"));
    assert_eq!(own_line("hi", None), Own::Command("hi"));
}
