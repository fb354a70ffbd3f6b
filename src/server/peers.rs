//! The connections of the server: their slots and numbers, and the lists of those that something is to be done with. A slot
//! isn't used again while an event for its former owner may be at hand: see `Reactor::turn`.

use crate::protocol::{CloseReason, ConnId};
use crate::server::peer::{Peer, Phase, State};
use slab::Slab;
use std::ops::{Index, IndexMut};

/// A connection that is to be closed before the turn is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheduled {
    /// Which.
    pub id: ConnId,
    /// Why.
    pub reason: CloseReason,
    /// How much of its queue was unsent when that was decided.
    pub unsent: Unsent,
}

/// Bytes that were unsent, where these were the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsent {
    /// There was another reason.
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
    /// How many of them are closing.
    closing: usize,
    /// The last number that was given. They count up from 1, over all listeners, and none is given twice.
    last_number: u64,
    /// Connections that are to be closed before the turn is over, each once: their queues discard output meanwhile.
    to_close: Vec<Scheduled>,
    /// Connections that go on with their input in the next turn. Some have ended since.
    runnable: Vec<ConnId>,
}

impl Peers {
    /// The most memory that one connection takes here.
    pub const MAX_BYTES_PER_CONNECTION: usize =
        size_of::<Peer>() + size_of::<Scheduled>() + size_of::<ConnId>();

    /// The id that the next connection gets.
    #[must_use]
    pub fn vacant(&self) -> ConnId {
        ConnId(self.slots.vacant_key() as u32)
    }

    /// A new connection in the vacant slot, with the next number.
    pub fn open(&mut self) -> ConnId {
        self.last_number += 1;
        ConnId(self.slots.insert(Peer::new(self.last_number)) as u32)
    }

    /// The number of the connection that has this id; 0 where its slot is free.
    #[must_use]
    pub fn number(&self, id: ConnId) -> u64 {
        self.get(id).map_or(0, Peer::number)
    }

    /// A connection, unless its slot is free.
    #[must_use]
    pub fn get(&self, id: ConnId) -> Option<&Peer> {
        self.slots.get(id.index())
    }

    /// Moves a connection to another phase. Nothing blocks it then, and it isn't runnable.
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

    /// How many there are, the closing ones included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.slots.len()
    }

    /// How many are closing.
    #[must_use]
    pub fn closing(&self) -> usize {
        self.closing
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (ConnId, &Peer)> {
        self.slots.iter().map(|(slot, peer)| (ConnId(slot as u32), peer))
    }

    /// Lists a connection to be closed, which isn't listed.
    pub fn list_to_close(&mut self, scheduled: Scheduled) {
        self.to_close.push(scheduled);
    }

    /// Closes a connection that is listed already for another reason.
    pub fn relist_to_close(&mut self, scheduled: Scheduled) {
        let listed = self.to_close.iter_mut().find(|listed| listed.id == scheduled.id);
        listed.into_iter().for_each(|listed| *listed = scheduled);
    }

    /// Takes all that are to be closed.
    pub fn take_to_close(&mut self) -> Vec<Scheduled> {
        std::mem::take(&mut self.to_close)
    }

    /// Whether any is to be closed.
    #[must_use]
    pub fn has_to_close(&self) -> bool {
        !self.to_close.is_empty()
    }

    /// Has an open connection go on with its input in the next turn.
    pub fn make_runnable(&mut self, id: ConnId) {
        if self.slots[id.index()].state.set_runnable() {
            self.runnable.push(id);
        }
    }

    /// Puts a connection on the list whose state says that it is runnable.
    pub fn list_runnable(&mut self, id: ConnId) {
        self.runnable.push(id);
    }

    /// Takes the list of runnable connections. Slots may have other owners since, which aren't runnable.
    pub fn take_runnable(&mut self) -> Vec<ConnId> {
        std::mem::take(&mut self.runnable)
    }

    /// Whether any is listed as runnable.
    #[must_use]
    pub fn has_runnable(&self) -> bool {
        !self.runnable.is_empty()
    }

    /// Checks what is always true between turns.
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
