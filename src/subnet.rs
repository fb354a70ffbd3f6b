//! Ranges of addresses, for `--trust`. An IPv4-mapped IPv6 address (`::ffff:10.0.0.1`) is IPv4 here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Bits of the prefix of an IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2).
const MAPPED: u8 = 96;

/// All addresses with the same first `bits` bits. `first` has no other bits set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    first: IpAddr,
    bits: u8,
}

impl Subnet {
    /// Returns whether the subnet contains an address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4() && cut(address, self.bits) == self.first
    }
}

/// Returns the address with all bits after the first `bits` cleared.
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

    /// Parses `10.0.0.0/8` or `2001:db8::/32`; an address alone is a subnet of one address.
    fn from_str(text: &str) -> Result<Subnet, String> {
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| format!("`{address}` is not an IP address"))?;
        let max_bits = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => max_bits,
            Some(bits) => match bits.parse() {
                Ok(bits) if bits <= max_bits => bits,
                _ => return Err(format!("`{bits}` is not a number of bits: 0 to {max_bits}")),
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
