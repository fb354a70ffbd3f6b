//! The slots and numbers of all connections, and the lists of runnable connections and of those to close. A slot is not
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
    /// The close reason.
    pub reason: CloseReason,
    /// Unsent bytes at the time of scheduling.
    pub unsent: Unsent,
}

/// Unsent bytes, if they are the close reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsent {
    /// The close reason is another.
    NotAsked,
    /// The peer reads too slowly.
    TooSlow(usize),
    /// All queues together exceeded their limit, and this was the largest.
    Shed(usize),
}

/// The slots of all connections.
#[derive(Debug, Default)]
pub struct Peers {
    slots: Slab<Peer>,
    /// The number of slots in a closing phase.
    closing: usize,
    /// The number of the last opened slot. Numbers count up from 1 over all listeners and are never reused.
    last_number: u64,
    /// Each connection to close, once; their queues discard output. Empty between turns.
    to_close: Vec<Scheduled>,
    /// Each runnable connection, once; also connections that have ended since they were listed.
    runnable: Vec<ConnId>,
}

impl Peers {
    /// Maximum memory of one connection.
    pub const MAX_BYTES_PER_CONNECTION: usize =
        size_of::<Peer>() + size_of::<Scheduled>() + size_of::<ConnId>();

    /// Returns the id that the next opened connection gets.
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

    /// Returns a connection; `None` if its slot is free.
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

    /// Lists a connection to close, which is not listed yet.
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

    /// Makes an open connection runnable: the next turn processes it again.
    pub fn make_runnable(&mut self, id: ConnId) {
        if self.slots[id.index()].state.set_runnable() {
            self.runnable.push(id);
        }
    }

    /// Lists a connection with a runnable state, which is not listed yet.
    pub fn list_runnable(&mut self, id: ConnId) {
        self.runnable.push(id);
    }

    /// Takes the list of runnable connections. Some slots may have new owners, which aren't runnable.
    pub fn take_runnable(&mut self) -> Vec<ConnId> {
        std::mem::take(&mut self.runnable)
    }

    /// Returns whether any connection is listed as runnable.
    #[must_use]
    pub fn has_runnable(&self) -> bool {
        !self.runnable.is_empty()
    }

    /// Checks the invariants between turns; for tests and fuzzing.
    pub fn invariants(&self) {
        assert!(self.to_close.is_empty(), "a listed connection is closed within the turn");
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
