//! Ranges of addresses, as `--trust` names them. IPv4 that is written or comes as IPv6 (`::ffff:10.0.0.1`) is IPv4 here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Bits of an IPv6 address in front of one of IPv4 (RFC 4291 section 2.5.5.2).
const MAPPED: u8 = 96;

/// All addresses that begin with the same bits. Bits behind those are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    first: IpAddr,
    bits: u8,
}

impl Subnet {
    /// Whether an address is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4() && cut(address, self.bits) == self.first
    }
}

/// The address with all bits behind the first `bits` cleared.
fn cut(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

impl FromStr for Subnet {
    type Err = String;

    /// `10.0.0.0/8`, `2001:db8::/32`; an address alone is a net of one.
    fn from_str(text: &str) -> Result<Subnet, String> {
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| format!("`{address}` is not an IP address"))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) => match bits.parse() {
                Ok(bits) if bits <= most => bits,
                _ => return Err(format!("`{bits}` is not a number of bits: 0 to {most}")),
            },
        };
        let net = match address.to_canonical() {
            v4 if v4 != address && bits >= MAPPED => Subnet { first: v4, bits: bits - MAPPED },
            _ => Subnet { first: address, bits },
        };
        let right = Subnet { first: cut(net.first, net.bits), bits: net.bits };
        if right == net { Ok(net) } else { Err(format!("that has bits behind the net; the net is {right}")) }
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(net: &str, address: &str) -> bool {
        net.parse::<Subnet>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn a_net_holds_the_addresses_that_begin_with_its_bits() {
        assert!(contains("10.0.0.0/8", "10.255.0.1") && !contains("10.0.0.0/8", "11.0.0.0"));
        assert!(contains("192.0.2.128/25", "192.0.2.129") && !contains("192.0.2.128/25", "192.0.2.127"));
        assert!(contains("192.0.2.7", "192.0.2.7") && !contains("192.0.2.7", "192.0.2.6"));
        assert!(contains("0.0.0.0/0", "203.0.113.9") && !contains("0.0.0.0/0", "2001:db8::1"));
        assert!(
            contains("2001:db8::/33", "2001:db8:7fff::1") && !contains("2001:db8::/33", "2001:db8:8000::1")
        );
        assert!(contains("2001:db8::1", "2001:db8::1") && !contains("2001:db8::1", "2001:db8::2"));
        assert!(contains("::/0", "2001:db8::1") && !contains("::/0", "10.0.0.1"));
    }

    #[test]
    fn ipv4_is_ipv4_however_it_comes() {
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(contains("::ffff:10.0.0.0/104", "10.1.2.3") && contains("::ffff:10.0.0.1", "10.0.0.1"));
        assert!(!contains("::ffff:10.0.0.0/104", "11.0.0.1"));
    }

    #[test]
    fn what_is_no_net_is_refused_and_the_right_one_named() {
        let why = |text: &str| text.parse::<Subnet>().unwrap_err();
        assert_eq!(why("10.1.2.3/8"), "that has bits behind the net; the net is 10.0.0.0/8");
        assert_eq!(why("2001:db8::1/64"), "that has bits behind the net; the net is 2001:db8::/64");
        assert_eq!(why("10.0.0.0/33"), "`33` is not a number of bits: 0 to 32");
        assert_eq!(why("::/129"), "`129` is not a number of bits: 0 to 128");
        for text in ["", "/8", "10/8", "example.org", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8/8", " 10.0.0.1"]
        {
            assert!(text.parse::<Subnet>().is_err(), "{text:?}");
        }
    }
}
