//! Parsing of server addresses.

use redpoll::client::Address;

#[test]
fn parses_all_address_forms() {
    for (input, parsed) in [
        ("chat.example", "chat.example:12345"),
        ("chat.example:99", "chat.example:99"),
        ("10.0.0.1:99", "10.0.0.1:99"),
        (":99", "127.0.0.1:99"),
        ("[::1]:99", "[::1]:99"),
        ("[fe80::1]", "[fe80::1]:12345"),
        ("::1", "[::1]:12345"),
        ("line://127.0.0.1:99", "127.0.0.1:99"),
    ] {
        assert_eq!(input.parse::<Address>().unwrap().to_string(), parsed, "{input}");
    }
}

#[test]
fn rejects_invalid_addresses_with_a_reason() {
    for (input, expected) in [
        ("", "not a host name"),
        (":", "the port \"\""),
        ("a:b", "the port \"b\""),
        ("a:+1", "the port \"+1\""),
        ("a:0", "from 1 to 65535"),
        ("a:65536", "from 1 to 65535"),
        ("a:b:c", "[ADDRESS]:PORT"),
        ("[::1", "bracket is missing"),
        ("[::1]99", "not :PORT"),
        ("[alice]:1", "not an IPv6 address"),
        ("a b:1", "not a host name"),
        ("http://a/", "scheme http:// is not supported"),
    ] {
        let error = input.parse::<Address>().unwrap_err();
        assert!(error.contains(expected), "{input}: {error}");
    }
}
