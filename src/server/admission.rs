//! Limits the connections per address: an IPv4 address or an IPv6 /64, the least that one customer has (RFC 6177).
//! Loopback and trusted networks are not counted. A counted connection holds an id until it leaves.

use crate::limits::{Limits, MAX_REJECTED, TABLE, VEC_GROWTH};
use crate::protocol::{PeerAddr, Refusal};
use crate::server::rate_limit::TokenBucket;
use crate::subnet::Subnet;
use slab::Slab;
use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;

/// A counted connection: its address's slot plus one (four bytes, even as an `Option`). Ends by [`Admission::leave`].
#[derive(Debug, PartialEq, Eq)]
pub struct AddressId(NonZeroU32);

/// The address has its maximum of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

/// What to do with an accepted connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Admit it; `Some` if it counts under its address.
    Admit(Option<AddressId>),
    /// Send a final line with the reason, and close it.
    Reject(Refusal<'static>),
    /// Close it without a final line, because too many connections are closing.
    Drop(Refusal<'static>),
}

/// The counted addresses of all connections.
#[derive(Debug)]
pub struct Admission {
    /// Maximum connections per address; `None`: no address is counted.
    max: Option<usize>,
    trusted: Vec<Subnet>,
    /// The slot of each address in `counts`, by key; `slots.len() == counts.len()`.
    slots: HashMap<AddressKey, u32>,
    counts: Slab<Counted>,
}

/// A counted address.
#[derive(Debug)]
struct Counted {
    key: AddressKey,
    /// Connections of the address: `1 <= connections <= max`.
    connections: usize,
    /// The token bucket that the connections share.
    bucket: TokenBucket,
}

/// The part of an address by which connections are counted: all of IPv4, the first 64 bits of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum AddressKey {
    V4(u32),
    V6(u64),
}

impl AddressId {
    fn slot(&self) -> usize {
        self.0.get() as usize - 1
    }
}

impl Counted {
    fn new(key: AddressKey) -> Counted {
        Counted { key, connections: 0, bucket: TokenBucket::full() }
    }
}

impl Admission {
    /// Maximum memory of one connection, reached if it is the only one of its address.
    pub const MAX_BYTES_PER_CONNECTION: usize =
        TABLE * (size_of::<(AddressKey, u32)>() + 1) + VEC_GROWTH * size_of::<Option<Counted>>();

    /// Creates an admission without connections.
    #[must_use]
    pub fn new(limits: &Limits) -> Admission {
        Admission {
            max: limits.max_per_address,
            trusted: limits.trusted.clone(),
            slots: HashMap::new(),
            counts: Slab::new(),
        }
    }

    /// Decides on an accepted connection beside `others` connections, of which `closing` are closing.
    pub fn verdict(&mut self, others: usize, closing: usize, limits: &Limits, from: PeerAddr) -> Verdict {
        let full = Refusal::ServerFull;
        if others >= limits.max_connections + MAX_REJECTED {
            return Verdict::Drop(full);
        }
        if others - closing >= limits.max_connections {
            return Verdict::Reject(full);
        }
        let PeerAddr::Inet(address) = from else { return Verdict::Admit(None) };
        match self.admit(address.ip()) {
            Ok(counted) => Verdict::Admit(counted),
            Err(TooMany) => Verdict::Reject(Refusal::TooManyConnections),
        }
    }

    /// Decides on a new datagram source beside `open` connections; returns `None` if a limit is reached.
    pub fn admit_source(
        &mut self,
        open: usize,
        limits: &Limits,
        source: IpAddr,
    ) -> Option<Option<AddressId>> {
        if open >= limits.max_connections { None } else { self.admit(source).ok() }
    }

    /// Counts a connection of an address; returns `None` if the address isn't counted.
    ///
    /// # Errors
    /// [`TooMany`] if the address has its maximum of connections.
    pub fn admit(&mut self, address: IpAddr) -> Result<Option<AddressId>, TooMany> {
        let address = address.to_canonical();
        let Some(max) = self.max else { return Ok(None) };
        if address.is_loopback() || self.trusted.iter().any(|net| net.contains(address)) {
            return Ok(None);
        }
        let key = match address {
            IpAddr::V4(v4) => AddressKey::V4(v4.to_bits()),
            IpAddr::V6(v6) => AddressKey::V6((v6.to_bits() >> 64) as u64),
        };
        let counts = &mut self.counts;
        let slot = *self.slots.entry(key).or_insert_with(|| counts.insert(Counted::new(key)) as u32);
        let counted = &mut counts[slot as usize];
        if counted.connections >= max {
            return Err(TooMany);
        }
        counted.connections += 1;
        Ok(Some(AddressId(NonZeroU32::MIN.saturating_add(slot))))
    }

    /// Removes a connection of an address.
    #[expect(clippy::needless_pass_by_value, reason = "a connection leaves once")]
    pub fn leave(&mut self, id: AddressId) {
        let counted = &mut self.counts[id.slot()];
        counted.connections -= 1;
        if counted.connections == 0 {
            self.slots.remove(&counted.key);
            self.counts.remove(id.slot());
        }
    }

    /// Returns the bucket that the connections of an address share.
    pub fn bucket(&mut self, id: &AddressId) -> &mut TokenBucket {
        &mut self.counts[id.slot()].bucket
    }

    /// Returns the number of counted addresses.
    #[must_use]
    pub fn addresses(&self) -> usize {
        self.counts.len()
    }

    /// Checks the invariants; for tests and fuzzing.
    pub fn invariants(&self) {
        assert_eq!(self.slots.len(), self.counts.len(), "each counted address has a key");
        assert!(self.counts.iter().all(|(_, counted)| counted.connections > 0));
    }

    /// Releases unused memory.
    pub fn trim(&mut self) {
        self.slots.shrink_to_fit();
        self.counts.shrink_to_fit();
    }
}
