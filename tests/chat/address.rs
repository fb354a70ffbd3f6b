//! Where a server is, as people write it.

use redpoll::client::Address;

#[test]
fn what_people_write_is_understood() {
    for (written, meant) in [
        ("chat.example", "chat.example:12345"),
        ("chat.example:99", "chat.example:99"),
        ("10.0.0.1:99", "10.0.0.1:99"),
        (":99", "127.0.0.1:99"),
        ("[::1]:99", "[::1]:99"),
        ("[fe80::1]", "[fe80::1]:12345"),
        ("::1", "[::1]:12345"),
        ("line://127.0.0.1:99", "127.0.0.1:99"),
    ] {
        assert_eq!(written.parse::<Address>().unwrap().to_string(), meant, "{written}");
    }
}

#[test]
fn what_can_be_no_address_is_refused_in_words() {
    for (written, complaint) in [
        ("", "not the name of a host"),
        (":", "the port \"\""),
        ("a:b", "the port \"b\""),
        ("a:+1", "the port \"+1\""),
        ("a:0", "from 1 to 65535"),
        ("a:65536", "from 1 to 65535"),
        ("a:b:c", "[ADDRESS]:PORT"),
        ("[::1", "never closed"),
        ("[::1]99", "not :PORT"),
        ("[alice]:1", "not an IPv6 address"),
        ("a b:1", "not the name of a host"),
        ("http://a/", "doesn't speak http"),
    ] {
        let error = written.parse::<Address>().unwrap_err();
        assert!(error.contains(complaint), "{written}: {error}");
    }
}
