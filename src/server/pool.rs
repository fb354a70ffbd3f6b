//! Byte buffers by id, so that a connection holds only four bytes. Free buffers are reused, up to a bound.

use crate::limits::{POOLED_BUFFER_BYTES, POOLED_BUFFERS};
use slab::Slab;
use std::num::NonZeroU32;

/// A buffer in use: its slot plus one, so that `Option<BufferId>` is four bytes. Must be passed to [`Pool::reclaim`].
#[derive(Debug, PartialEq, Eq)]
pub struct BufferId(NonZeroU32);

impl BufferId {
    fn slot(&self) -> usize {
        self.0.get() as usize - 1
    }
}

/// Buffers in use and free buffers.
#[derive(Debug, Default)]
pub struct Pool {
    in_use: Slab<Vec<u8>>,
    /// All empty: `len <= POOLED_BUFFERS`, each `capacity <= POOLED_BUFFER_BYTES`.
    free: Vec<Vec<u8>>,
    /// The sum of the capacities of `in_use`, in bytes.
    memory: usize,
}

impl Pool {
    /// Takes a buffer and fills it with `bytes`.
    pub fn take_buffer(&mut self, bytes: &[u8]) -> BufferId {
        let mut buffer = self.free.pop().unwrap_or_default();
        // Exact, because most buffers never grow.
        buffer.reserve_exact(bytes.len());
        buffer.extend_from_slice(bytes);
        self.memory += buffer.capacity();
        let slot = self.in_use.insert(buffer) as u32;
        BufferId(NonZeroU32::MIN.saturating_add(slot))
    }

    /// Returns the content of a buffer.
    #[must_use]
    pub fn bytes(&self, id: &BufferId) -> &[u8] {
        &self.in_use[id.slot()]
    }

    /// Appends to a buffer.
    pub fn add(&mut self, id: &BufferId, bytes: &[u8]) {
        let buffer = &mut self.in_use[id.slot()];
        let before = buffer.capacity();
        if before - buffer.len() < bytes.len() {
            buffer.reserve_exact(bytes.len().max(buffer.len().min(POOLED_BUFFER_BYTES)));
        }
        buffer.extend_from_slice(bytes);
        self.memory += buffer.capacity() - before;
    }

    /// Returns the memory of the buffers in use: their content, and at most [`POOLED_BUFFER_BYTES`] more each.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// Returns a buffer to the pool, or frees it if it is large or the pool is full.
    #[expect(clippy::needless_pass_by_value, reason = "a returned buffer has no id")]
    pub fn reclaim(&mut self, id: BufferId) {
        let mut buffer = self.in_use.remove(id.slot());
        self.memory -= buffer.capacity();
        if self.free.len() < POOLED_BUFFERS && buffer.capacity() <= POOLED_BUFFER_BYTES {
            buffer.clear();
            self.free.push(buffer);
        }
    }

    /// Returns the number of buffers in use.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.in_use.len()
    }

    /// Frees the free buffers and unused slots.
    pub fn trim(&mut self) {
        self.free = Vec::new();
        self.in_use.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pool_reuses_small_buffers_only() {
        let mut pool = Pool::default();
        let (small, large) = (pool.take_buffer(b"ab"), pool.take_buffer(&[0; POOLED_BUFFER_BYTES + 1]));
        assert_eq!(pool.bytes(&small), b"ab");
        pool.reclaim(small);
        pool.reclaim(large);
        assert_eq!((pool.in_use(), pool.free.len()), (0, 1));
        let again = pool.take_buffer(b"c");
        assert_eq!((pool.bytes(&again), pool.free.len()), (&b"c"[..], 0));
    }

    #[test]
    fn buffer_capacity_is_bounded_and_counted() {
        let mut pool = Pool::default();
        let ids = [pool.take_buffer(&[0; 60_000]), pool.take_buffer(b"a")];
        let mut len = 60_001;
        for i in 0..10_000 {
            ids.iter().for_each(|id| pool.add(id, &[0; 3]));
            len += 2 * 3;
            let capacities: usize = pool.in_use.iter().map(|(_, buffer)| buffer.capacity()).sum();
            assert_eq!(pool.memory(), capacities, "after {i}");
            assert!(pool.memory() <= len + 2 * POOLED_BUFFER_BYTES, "{} for {len}", pool.memory());
        }
        ids.into_iter().for_each(|id| pool.reclaim(id));
        assert_eq!(pool.memory(), 0);
    }
}
