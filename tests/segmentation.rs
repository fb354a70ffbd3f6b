//! The segmentation of a stream doesn't change the output (protocol.md, "Framing"): one conversation with every kind of
//! request is sent whole, with each message cut at every byte, and byte by byte.

use redpoll::limits::Limits;
use redpoll_kit::{PeerNo, Sim};

/// Returns the messages with their senders, in order. The third peer registers late; lines hold at most 128 bytes.
fn conversation() -> Vec<(PeerNo, Vec<u8>)> {
    let long = [&b"x".repeat(300)[..], b"\x00\n"].concat();
    let limit = [&b"@bob:"[..], &b"y".repeat(121), b"\r\n"].concat();
    let over = [&b"@bob:"[..], &b"z".repeat(122), b"\r\n"].concat();
    let messages: [(usize, &[u8]); 30] = [
        (0, b"#alice\n"),
        (1, b"#Bob\r\n"),
        (2, b"/help\n"),
        (0, b"@BOB:hi: there\n"),
        (1, b"hello all\n"),
        (0, &limit),
        (0, &over),
        (2, &long),
        (0, b"&dev\n"),
        (1, b"/join DEV\r\n"),
        (1, b"in dev \xff\x1b[2J\n"),
        (2, b"hi\n"),
        (2, b"\x00#carol\n"),
        (2, b"#Joe:secret\n"),
        (2, b"#carol\r\n"),
        (0, b"&lobby:over there\n"),
        (0, b"/who *\n/rooms\n/who dev\n"),
        (1, b"/nick rob\n"),
        (2, b"@alice,rob,nobody,ROB:several\n"),
        (1, b"\n\r\n"),
        (0, b"/ping  a b \n"),
        (0, b"/nosuch\n/stats\n/msg rob\n@rob:\n&b!:x\n&no:x\n"),
        (0, b"/say /quit\n"),
        (1, b"/leave\n"),
        (1, b"/leave\nnowhere\n"),
        (0, b"/msg rob so \n"),
        (1, b"&dev:once more\n"),
        (1, b"&lobby\n"),
        (1, b"/quit that's all\r\n@alice:never\n"),
        (2, b"the last line has no end"),
    ];
    messages.into_iter().map(|(peer, bytes)| (PeerNo(peer), bytes.to_vec())).collect()
}

/// Returns the output to each of the three peers if message number `n` arrives in the pieces that `cut` returns.
fn output(cut: impl Fn(usize, &[u8]) -> Vec<Vec<u8>>) -> [Vec<u8>; 3] {
    let mut sim = Sim::new(Limits { max_line: 128, ..Limits::default() });
    let peers = [(); 3].map(|()| sim.connect());
    sim.run();
    for (n, (peer, message)) in conversation().into_iter().enumerate() {
        for piece in cut(n, &message) {
            sim.send(peer, piece);
            sim.run();
        }
    }
    sim.end(peers[2]);
    sim.run();
    assert_eq!(sim.reactor().server().connections.input().buffers(), 0);
    peers.map(|peer| sim.take(peer))
}

fn whole(_: usize, message: &[u8]) -> Vec<Vec<u8>> {
    vec![message.to_vec()]
}

#[test]
fn cuts_change_no_output() {
    let uncut = output(whole);
    let mut cuts = 0;
    for (message, (_, bytes)) in conversation().iter().enumerate() {
        for index in 1..bytes.len() {
            let cut = output(|n, bytes| match n == message {
                true => vec![bytes[..index].to_vec(), bytes[index..].to_vec()],
                false => whole(n, bytes),
            });
            assert!(cut == uncut, "message {message} cut at {index}");
            cuts += 1;
        }
    }
    assert!(cuts > 800, "{cuts} cuts");
}

#[test]
fn single_bytes_change_no_output() {
    let bytes = output(|_, bytes| bytes.iter().map(|byte| vec![*byte]).collect());
    assert!(bytes == output(whole));
}

#[test]
fn conversation_has_every_kind_of_line() {
    let all = output(whole).concat();
    let all = String::from_utf8(all).expect("the server sends UTF-8");
    let meant = [
        "+help ",
        "+end help",
        "@alice:hi: there",
        "Bob: hello all",
        "@alice:yyy",
        "!line-too-long 128",
        "+room dev 2",
        "&dev:Bob:in dev \u{FFFD}\u{FFFD}[2J",
        "!register-first",
        "!bad-byte",
        "!no-accounts",
        "* carol joined",
        "alice: over there",
        "+who * ",
        "+end rooms 2",
        "* Bob is now rob",
        "@carol:several",
        "!no-such-user nobody",
        "+pong  a b ",
        "!unknown-command",
        "!denied",
        "!usage",
        "!empty-text",
        "!room-invalid",
        "!no-such-room",
        "+left dev",
        "!not-in-room",
        "@alice:so ",
        "&dev:alice:/quit",
        "* rob joined &lobby",
        "+bye",
        "* rob left (that's all)",
        "carol: the last line has no end",
    ];
    for line in meant {
        assert!(all.contains(line), "{line:?} is missing from:\n{all}");
    }
    assert!(!all.contains("@rob:never") && !all.contains("zzz"));
}
