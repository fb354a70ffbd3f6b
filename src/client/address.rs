//! The server's address as the user writes it: `HOST[:PORT]`. Syntax only; `connection` resolves the host name.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// The port if the address has none.
const DEFAULT_PORT: u16 = 12345;

/// The host if the address is only `:PORT`.
const DEFAULT_HOST: &str = "127.0.0.1";

/// A server's address before the host name is resolved.
///
/// ```
/// # use redpoll::client::Address;
/// assert_eq!("chat.example".parse::<Address>().unwrap().to_string(), "chat.example:12345");
/// assert_eq!("[::1]:99".parse::<Address>().unwrap().to_string(), "[::1]:99");
/// assert!("chat.example:http".parse::<Address>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A host name or a numeric address; never empty, IPv6 without brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(input: &str) -> Result<Address, String> {
        let text = input.trim();
        // Addresses that `redpoll serve` prints are accepted as they are.
        let text = ["line://", "tcp://"].iter().find_map(|scheme| text.strip_prefix(scheme)).unwrap_or(text);
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(format!("the scheme {scheme}:// is not supported; write HOST:PORT"));
        }
        let (host, port) = split(text)?;
        let host = if host.is_empty() && port.is_some() { DEFAULT_HOST } else { host };
        if host.is_empty()
            || host.contains(|c: char| c.is_whitespace() || c.is_control() || "/[]@".contains(c))
        {
            return Err(format!("\"{host}\" is not a host name; write HOST:PORT"));
        }
        Ok(Address { host: host.to_owned(), port: port.map_or(Ok(DEFAULT_PORT), parse_port)? })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Splits `text` into host and port. An IPv6 address without a port needs no brackets.
fn split(text: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(rest) = text.strip_prefix('[') {
        let Some((host, rest)) = rest.split_once(']') else {
            return Err("the closing bracket is missing; write [ADDRESS]:PORT".to_owned());
        };
        host.parse::<Ipv6Addr>()
            .map_err(|_| format!("\"{host}\" is not an IPv6 address; brackets are for IPv6 only"))?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(format!("\"{rest}\" after the bracket is not :PORT; write [ADDRESS]:PORT")),
        };
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Ok((text, None));
    }
    match text.split_once(':') {
        Some((_, rest)) if rest.contains(':') => {
            Err("there are several colons; write an IPv6 address as [ADDRESS]:PORT".to_owned())
        }
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((text, None)),
    }
}

fn parse_port(text: &str) -> Result<u16, String> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|port| is_number && *port > 0)
        .ok_or_else(|| format!("the port \"{text}\" is not valid; give a number from 1 to 65535"))
}
