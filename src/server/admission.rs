//! How many connections come from one address. What counts as one is a v4 address, or the /64 of a v6 address, since that
//! is what one customer has at least (RFC 6177); loopback and trusted networks aren't counted. Who is counted holds a
//! number, and gives it back.

use crate::limits::{GROWN, Limits, MAX_REJECTED, TABLE};
use crate::protocol::{PeerAddr, Refusal};
use crate::server::rate_limit::TokenBucket;
use crate::subnet::Subnet;
use slab::Slab;
use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;

/// Whose connection it is: the number of an address that is counted, plus one, so that `Option<AddressId>` is four
/// bytes. Given back by hand, since whoever holds it can't reach the count when dropped.
#[derive(Debug, PartialEq, Eq)]
pub struct AddressId(NonZeroU32);

/// There are as many connections from that address as there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

/// What becomes of a connection that was accepted.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is admitted, and counted under this address, unless its address needn't be counted.
    Admit(Option<AddressId>),
    /// It is told why not, and closed.
    Reject(Refusal<'static>),
    /// It is closed without a line, because so many are being closed already.
    Drop(Refusal<'static>),
}

/// The addresses of those who are connected.
#[derive(Debug)]
pub struct Admission {
    max: Option<usize>,
    trusted: Vec<Subnet>,
    slots: HashMap<AddressKey, u32>,
    counts: Slab<Counted>,
}

/// An address that is counted.
#[derive(Debug)]
struct Counted {
    key: AddressKey,
    /// How many are connected: at least one.
    connections: usize,
    /// What all of them together may still ask of what costs the address.
    bucket: TokenBucket,
}

/// What is counted as one.
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
    /// The most memory that one connection takes, which is the only one of its address.
    pub const MAX_BYTES_PER_CONNECTION: usize =
        TABLE * (size_of::<(AddressKey, u32)>() + 1) + GROWN * size_of::<Option<Counted>>();

    /// Nobody is connected.
    #[must_use]
    pub fn new(limits: &Limits) -> Admission {
        Admission {
            max: limits.max_per_address,
            trusted: limits.trusted.clone(),
            slots: HashMap::new(),
            counts: Slab::new(),
        }
    }

    /// Decides on a connection that was accepted beside so many `others`, some of which are `closing`.
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

    /// Decides on a source of datagrams, beside so many connections that are `open`: `None` where there are too many.
    pub fn admit_source(
        &mut self,
        open: usize,
        limits: &Limits,
        source: IpAddr,
    ) -> Option<Option<AddressId>> {
        if open >= limits.max_connections { None } else { self.admit(source).ok() }
    }

    /// Counts one more connection of that address; `None` where it needn't be counted.
    ///
    /// # Errors
    /// Where there are as many as there may be.
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

    /// One of them is gone.
    #[expect(clippy::needless_pass_by_value, reason = "a connection goes once")]
    pub fn leave(&mut self, id: AddressId) {
        let counted = &mut self.counts[id.slot()];
        counted.connections -= 1;
        if counted.connections == 0 {
            self.slots.remove(&counted.key);
            self.counts.remove(id.slot());
        }
    }

    /// The bucket that the connections of an address share.
    pub fn bucket(&mut self, id: &AddressId) -> &mut TokenBucket {
        &mut self.counts[id.slot()].bucket
    }

    /// Addresses that are counted.
    #[must_use]
    pub fn addresses(&self) -> usize {
        self.counts.len()
    }

    /// Checks what is always true; for tests and fuzzing.
    pub fn invariants(&self) {
        assert_eq!(self.slots.len(), self.counts.len(), "each address that is counted is found by its key");
        assert!(self.counts.iter().all(|(_, counted)| counted.connections > 0));
    }

    /// Gives memory back that isn't needed for who is connected.
    pub fn trim(&mut self) {
        self.slots.shrink_to_fit();
        self.counts.shrink_to_fit();
    }
}
