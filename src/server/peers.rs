//! The slots and numbers of all connections, and the lists of those that need attention in this turn. A slot is not
//! reused while an event for its former owner may be in the batch: see `Reactor::turn`.

use crate::protocol::{CloseReason, ConnId};
use crate::server::peer::{Peer, Phase, State};
use slab::Slab;
use std::ops::{Index, IndexMut};

/// A connection to close before the turn ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheduled {
    /// The connection.
    pub id: ConnId,
    /// The reason.
    pub reason: CloseReason,
    /// Unsent bytes when it was scheduled.
    pub unsent: Unsent,
}

/// Unsent bytes, if they are the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsent {
    /// There is another reason.
    NotAsked,
    /// The peer reads too slowly.
    TooSlow(usize),
    /// All queues together were above their limit, and this was the largest.
    Shed(usize),
}

/// All slots.
#[derive(Debug, Default)]
pub struct Peers {
    slots: Slab<Peer>,
    /// The number of peers in a closing phase.
    closing: usize,
    /// The last number given. Numbers count up from 1 over all listeners and are never reused.
    last_number: u64,
    /// Connections to close before the turn ends, each once; their queues discard output.
    to_close: Vec<Scheduled>,
    /// Connections that are processed again in the next turn. Some may have ended since.
    runnable: Vec<ConnId>,
}

impl Peers {
    /// Maximum memory that one connection takes here.
    pub const MAX_BYTES_PER_CONNECTION: usize =
        size_of::<Peer>() + size_of::<Scheduled>() + size_of::<ConnId>();

    /// Returns the id of the next connection.
    #[must_use]
    pub fn vacant(&self) -> ConnId {
        ConnId(self.slots.vacant_key() as u32)
    }

    /// Opens the vacant slot with the next number.
    pub fn open(&mut self) -> ConnId {
        self.last_number += 1;
        ConnId(self.slots.insert(Peer::new(self.last_number)) as u32)
    }

    /// Returns the number of a connection; 0 if its slot is free.
    #[must_use]
    pub fn number(&self, id: ConnId) -> u64 {
        self.get(id).map_or(0, Peer::number)
    }

    /// Returns a connection, unless its slot is free.
    #[must_use]
    pub fn get(&self, id: ConnId) -> Option<&Peer> {
        self.slots.get(id.index())
    }

    /// Sets the phase of a connection, which is then neither blocked nor runnable.
    pub fn set_phase(&mut self, id: ConnId, phase: Phase) {
        let state = &mut self.slots[id.index()].state;
        let (was, is) = (state.is_closing(), State::new(phase).is_closing());
        *state = State::new(phase);
        self.closing = self.closing + usize::from(is) - usize::from(was);
    }

    /// Frees a slot.
    pub fn remove(&mut self, id: ConnId) -> Peer {
        let peer = self.slots.remove(id.index());
        self.closing -= usize::from(peer.state.is_closing());
        peer
    }

    /// Returns the number of connections, closing ones included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.slots.len()
    }

    /// Returns the number of closing connections.
    #[must_use]
    pub fn closing(&self) -> usize {
        self.closing
    }

    /// Returns all connections.
    pub fn iter(&self) -> impl Iterator<Item = (ConnId, &Peer)> {
        self.slots.iter().map(|(slot, peer)| (ConnId(slot as u32), peer))
    }

    /// Lists a connection to close that isn't listed.
    pub fn list_to_close(&mut self, scheduled: Scheduled) {
        self.to_close.push(scheduled);
    }

    /// Replaces the entry of a connection that is listed already.
    pub fn relist_to_close(&mut self, scheduled: Scheduled) {
        let listed = self.to_close.iter_mut().find(|listed| listed.id == scheduled.id);
        listed.into_iter().for_each(|listed| *listed = scheduled);
    }

    /// Takes the list of connections to close.
    pub fn take_to_close(&mut self) -> Vec<Scheduled> {
        std::mem::take(&mut self.to_close)
    }

    /// Returns whether any connection is to be closed.
    #[must_use]
    pub fn has_to_close(&self) -> bool {
        !self.to_close.is_empty()
    }

    /// Has an open connection processed again in the next turn.
    pub fn make_runnable(&mut self, id: ConnId) {
        if self.slots[id.index()].state.set_runnable() {
            self.runnable.push(id);
        }
    }

    /// Lists a connection whose state is runnable.
    pub fn list_runnable(&mut self, id: ConnId) {
        self.runnable.push(id);
    }

    /// Takes the list of runnable connections. Their slots may have other owners since, which aren't runnable.
    pub fn take_runnable(&mut self) -> Vec<ConnId> {
        std::mem::take(&mut self.runnable)
    }

    /// Returns whether any connection is listed as runnable.
    #[must_use]
    pub fn has_runnable(&self) -> bool {
        !self.runnable.is_empty()
    }

    /// Checks the invariants between turns.
    pub fn invariants(&self) {
        assert!(self.to_close.is_empty(), "each is closed in the turn in which it was listed");
        assert_eq!(self.closing, self.iter().filter(|(_, peer)| peer.state.is_closing()).count());
        for (id, peer) in self.iter() {
            let listed = self.runnable.iter().filter(|listed| **listed == id).count();
            assert!(!peer.state.is_runnable() || listed == 1, "{id:?} is listed {listed} times");
        }
    }
}

impl Index<ConnId> for Peers {
    type Output = Peer;

    fn index(&self, id: ConnId) -> &Peer {
        &self.slots[id.index()]
    }
}

impl IndexMut<ConnId> for Peers {
    fn index_mut(&mut self, id: ConnId) -> &mut Peer {
        &mut self.slots[id.index()]
    }
}
