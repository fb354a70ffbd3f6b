//! Models of the clients of the four tutorials, run against the built program. They send messages without a delimiter,
//! take the result of one receive for one message, and compare whole messages with their keywords (dialects.md). The
//! tests contain the text that a user would type.

mod common;

use common::{DEADLINE, Server, redpoll, uninterrupted};
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::SocketAddr;

/// Starts a server with a listener for each client.
fn server() -> Server {
    let schemes = ["line", "classic", "nickname", "relay", "udp"];
    let mut command = redpoll();
    command.arg("serve");
    for scheme in schemes {
        command.args(["--listen", &format!("{scheme}://127.0.0.1:0")]);
    }
    Server::run_at(schemes.len(), &mut command)
}

/// The common part of the clients: a socket, and the maximum bytes of one receive.
struct Client {
    socket: Socket,
    max: usize,
}

impl Client {
    fn connect(server: &Server, scheme: &str, max: usize) -> Client {
        let kind = if scheme == "udp" { Type::DGRAM } else { Type::STREAM };
        let socket = Socket::new(Domain::IPV4, kind, None).expect("a socket can be created");
        let address: SocketAddr = server.address_of(scheme).parse().expect("the address is valid");
        socket.connect(&address.into()).expect("the server accepts");
        socket.set_read_timeout(Some(DEADLINE)).expect("the timeout can be set");
        Client { socket, max }
    }

    /// `sock.send(text.encode())`.
    fn send(&mut self, text: &str) {
        self.socket.write_all(text.as_bytes()).expect("the socket is connected");
    }

    /// `sock.recv(1024).decode()`: empty at the end of the stream.
    fn recv(&mut self) -> String {
        let mut buffer = vec![0; self.max];
        let got = uninterrupted(|| self.socket.read(&mut buffer)).expect("the server sends a message");
        buffer.truncate(got);
        String::from_utf8(buffer).expect("the message is UTF-8")
    }

    /// Receives until `expected` is complete. The client prints data as received, so the split of the stream doesn't
    /// matter.
    fn prints(&mut self, expected: &str) {
        let mut printed = String::new();
        while printed.len() < expected.len() {
            let more = self.recv();
            assert!(!more.is_empty(), "the stream ends after {printed:?}");
            printed.push_str(&more);
        }
        assert_eq!(printed, expected);
    }
}

/// The client on select(): it receives once after connecting, and once after each message that it sends.
struct Classic(Client);

impl Classic {
    fn connect(server: &Server) -> Classic {
        let mut client = Client::connect(server, "classic", 1024);
        let greeting = client.recv();
        let port = client
            .socket
            .local_addr()
            .ok()
            .and_then(|at| at.as_socket())
            .expect("the socket is bound")
            .port();
        assert_eq!(greeting, format!("You are connected from:('127.0.0.1', {port})\n"));
        Classic(client)
    }

    /// Sends typed text, and checks the shown answer.
    fn types(&mut self, text: &str, shows: &str) {
        self.0.send(text);
        assert_eq!(self.0.recv(), shows, "for {text:?}");
    }
}

/// The client that sends its nickname on request. It compares each message with the request, and prints all others.
struct Nickname {
    client: Client,
    nickname: &'static str,
}

impl Nickname {
    fn connect(server: &Server, nickname: &'static str) -> Nickname {
        let mut client = Client::connect(server, "nickname", 1024);
        let message = client.recv();
        assert!(message == "NICKNAME", "the first message is the request: {message:?}");
        client.send(nickname);
        Nickname { client, nickname }
    }

    /// `client.send(f'{nickname}: {input("")}'.encode('ascii'))`.
    fn types(&mut self, text: &str) {
        self.client.send(&format!("{}: {text}", self.nickname));
    }
}

/// The client of datagrams: `L name` until the answer is `OK`, then `C name text`, then `Q name` until `EXIT`.
struct Datagrams {
    client: Client,
    name: String,
}

impl Datagrams {
    fn connect(server: &Server, names: &[&str]) -> Datagrams {
        let mut client = Client::connect(server, "udp", 1024);
        for name in names {
            client.send(&format!("L {name}"));
            let data = client.recv();
            if data == "OK" {
                return Datagrams { client, name: (*name).to_owned() };
            }
            assert_eq!(data, "occupied", "the client knows no other answer");
        }
        unreachable!("one of {names:?} is free");
    }

    fn types(&mut self, text: &str) {
        self.client.send(&format!("C {} {text}", self.name));
    }

    /// Receives and checks one datagram.
    fn shows(&mut self, expected: &str) {
        assert_eq!(self.client.recv(), expected);
    }

    fn quits(mut self) {
        self.client.send(&format!("Q {}", self.name));
        while self.client.recv() != "EXIT" {}
    }
}

#[test]
fn select_client_exchanges_messages() {
    let server = server();
    let (mut alice, mut bob) = (Classic::connect(&server), Classic::connect(&server));
    alice.types("#Alice", "Your user detail saved as : Alice\n");
    bob.types("#alice", "!nick-taken alice is taken\n");
    bob.types("#bob", "Your user detail saved as : bob\n");
    bob.types("hello", "!usage @nick:text\n");
    // Each client receives once after sending, so the two alternate.
    alice.0.send("@bob:Hello");
    assert_eq!(bob.0.recv(), "Hello\n");
    for turn in 0..3 {
        bob.0.send(&format!("@alice:to you {turn}"));
        assert_eq!(alice.0.recv(), format!("to you {turn}\n"));
        alice.0.send(&format!("@bob:and to you: {turn}"));
        assert_eq!(bob.0.recv(), format!("and to you: {turn}\n"));
    }
    bob.types("#rob", "Your user detail saved as : rob\n");
    alice.types("@bob:are you there?", "!no-such-user bob\n");
    // A message is cut at 1024 bytes, the maximum of one receive.
    alice.0.send(&format!("@rob:{}", "x".repeat(2000)));
    bob.0.prints(&("x".repeat(1023) + "\n"));
}

#[test]
fn nickname_client_exchanges_messages() {
    let server = server();
    let mut alice = Nickname::connect(&server, "alice");
    alice.client.prints("alice joined!\nConnected to server!\n");
    let mut bob = Nickname::connect(&server, "bob");
    bob.client.prints("bob joined!\nConnected to server!\n");
    alice.client.prints("bob joined!\n");
    alice.types("hello");
    alice.client.prints("alice: hello\n");
    bob.client.prints("alice: hello\n");
    bob.types("hello: world");
    alice.client.prints("bob: hello: world\n");
    bob.client.prints("bob: hello: world\n");
    // A taken name is refused with one line, and the connection is closed.
    let mut late = Nickname::connect(&server, "Bob");
    late.client.prints("!nick-taken Bob is taken\n");
    assert_eq!(late.client.recv(), "");
    drop(bob);
    alice.client.prints("bob left!\n");
}

#[test]
fn relay_client_exchanges_messages() {
    let server = server();
    let [mut tom, mut ann] = ["tom", "ann"].map(|_| Client::connect(&server, "relay", 2048));
    tom.send("tom  :   good morning");
    tom.prints("tom: good morning\n");
    // ann may have registered before or after tom's message. She is registered once her own message is received.
    ann.send("ann  :   good morning");
    tom.prints("ann: good morning\n");
    let mut received = ann.recv();
    while !received.ends_with("ann: good morning\n") {
        received.push_str(&ann.recv());
    }
    tom.send("tom  :   how are you?");
    ann.prints("tom: how are you?\n");
    tom.prints("tom: how are you?\n");
    // A second client with the same name becomes a guest, and its text is sent unchanged.
    let mut other = Client::connect(&server, "relay", 2048);
    other.send("tom  :   me too");
    tom.prints("guest-1: tom  :   me too\n");
    ann.prints("guest-1: tom  :   me too\n");
}

#[test]
fn datagram_client_exchanges_messages() {
    let server = server();
    let mut ming = Datagrams::connect(&server, &["ming"]);
    let mut hans = Datagrams::connect(&server, &["Ming", "MING", "hans"]);
    assert_eq!(hans.name, "hans");
    ming.shows("Welcome hans to the chat room");
    ming.types("hello all");
    hans.shows("ming : hello all");
    hans.types("hello ming");
    ming.shows("hans : hello ming");
    hans.quits();
    ming.shows("hans exited the chat room");
    // Another socket has another address, and can neither send nor quit as ming.
    let mut eve = Client::connect(&server, "udp", 1024);
    eve.send("C ming I am ming");
    eve.send("Q ming");
    eve.send("L ming");
    assert_eq!(eve.recv(), "occupied");
    eve.send("L eve");
    assert_eq!(eve.recv(), "OK");
    ming.types("still here");
    assert_eq!(eve.recv(), "ming : still here");
}

#[test]
fn all_tutorial_clients_share_a_lobby() {
    let server = server();
    let mut nick = Nickname::connect(&server, "nick");
    nick.client.prints("nick joined!\nConnected to server!\n");
    let mut tom = Client::connect(&server, "relay", 2048);
    tom.send("tom  :   hi");
    tom.prints("tom: hi\n");
    nick.client.prints("tom joined!\ntom: hi\n");
    let mut ming = Datagrams::connect(&server, &["nick", "tom", "ming"]);
    nick.client.prints("ming joined!\n");
    let mut alice = Classic::connect(&server);
    alice.types("#ming", "!nick-taken ming is taken\n");
    alice.types("#alice", "Your user detail saved as : alice\n");
    ming.types("hi");
    tom.prints("ming: hi\n");
    nick.client.prints("ming: hi\n");
    for (to, shows) in [("nick", "@alice: hi\n"), ("tom", "@alice: hi\n"), ("ming", "@alice: hi")] {
        alice.0.send(&format!("@{to}:hi"));
        match to {
            "nick" => nick.client.prints(shows),
            "tom" => tom.prints(shows),
            _ => ming.shows(shows),
        }
    }
}
