//! Bytes that the kernel has refused, for all connections. In a flooded room, several connections are refused the same
//! text in one flush, so text is copied once, into chunks; the backlog of a connection is a list of pieces of chunks.
//! `send_queue/` decides which text is copied and when a connection is too slow.

use crate::limits::{ALLOCATION_OVERHEAD, CHUNK, VEC_GROWTH};
use crate::protocol::{ConnId, message};
use slab::Slab;
use std::collections::VecDeque;
use std::num::NonZeroU32;

/// A backlog: its slot plus one, so that `Option<BacklogId>` takes four bytes. Must be passed to [`Backlogs::close`].
#[derive(Debug, PartialEq, Eq)]
pub struct BacklogId(NonZeroU32);

impl BacklogId {
    fn slot(&self) -> usize {
        self.0.get() as usize - 1
    }
}

/// A part of a chunk: `start <= end <= text.len()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    chunk: u32,
    start: u32,
    end: u32,
}

impl Piece {
    /// Returns the piece without its first `bytes` bytes.
    #[must_use]
    pub fn without_front(self, bytes: usize) -> Piece {
        debug_assert!(bytes <= self.len());
        Piece { start: self.start + bytes as u32, ..self }
    }

    fn len(self) -> usize {
        (self.end - self.start) as usize
    }
}

#[derive(Debug)]
struct Chunk {
    /// Append-only, within its first capacity.
    text: Vec<u8>,
    /// The number of references: pieces in backlogs, and pieces to be released. At 0, the chunk is freed.
    pieces: u32,
}

#[derive(Debug)]
struct Backlog {
    owner: ConnId,
    /// Oldest first; none is empty. Together whole lines, except that the first line may lack its front.
    pieces: VecDeque<Piece>,
    /// The sum of the lengths of `pieces`, in bytes.
    unsent: usize,
    /// Memory of the chunks of `pieces`, once per run of pieces of one chunk; `pinned >= unsent`.
    pinned: usize,
}

/// The backlogs of all connections.
#[derive(Debug, Default)]
pub struct Backlogs {
    backlogs: Slab<Backlog>,
    chunks: Slab<Chunk>,
    /// The chunk to which text is appended; a key of `chunks`.
    current: Option<u32>,
    /// The sum of the capacities of all chunks and lists of pieces, in bytes.
    memory: usize,
}

impl Backlogs {
    /// Maximum memory of one backlog beyond [`Backlogs::memory`], with its entry in [`Backlogs::largest_first`].
    pub const MAX_BYTES_PER_CONNECTION: usize =
        VEC_GROWTH * size_of::<Backlog>() + size_of::<&Backlog>() + size_of::<ConnId>();
    /// Maximum memory of one chunk beyond its text.
    pub const BYTES_PER_CHUNK: usize = VEC_GROWTH * size_of::<Chunk>() + ALLOCATION_OVERHEAD;

    /// Copies text into a chunk. The caller must pass the returned piece to [`release_piece`](Backlogs::release_piece).
    pub fn keep(&mut self, text: &[u8]) -> Piece {
        let chunk = match self.current {
            Some(chunk) if self.chunks[chunk as usize].has_room(text.len()) => chunk,
            _ => self.new_chunk(text.len().max(CHUNK)),
        };
        let chunk_text = &mut self.chunks[chunk as usize];
        let start = chunk_text.text.len() as u32;
        chunk_text.text.extend_from_slice(text);
        chunk_text.pieces += 1;
        Piece { chunk, start, end: start + text.len() as u32 }
    }

    /// Releases a piece that [`keep`](Backlogs::keep) has returned.
    pub fn release_piece(&mut self, piece: Piece) {
        self.release(piece.chunk);
    }

    /// Creates a backlog of one piece.
    pub fn open(&mut self, owner: ConnId, piece: Piece) -> BacklogId {
        let backlog = Backlog { owner, pieces: VecDeque::new(), unsent: 0, pinned: 0 };
        let slot = self.backlogs.insert(backlog) as u32;
        let id = BacklogId(NonZeroU32::MIN.saturating_add(slot));
        self.append(&id, piece);
        id
    }

    /// Appends a piece to a backlog.
    pub fn append(&mut self, id: &BacklogId, piece: Piece) {
        let backlog = &mut self.backlogs[id.slot()];
        backlog.unsent += piece.len();
        match backlog.pieces.back_mut() {
            Some(last) if last.chunk == piece.chunk && last.end == piece.start => last.end = piece.end,
            last => {
                let chunk = &mut self.chunks[piece.chunk as usize];
                if last.is_none_or(|last| last.chunk != piece.chunk) {
                    backlog.pinned += chunk.text.capacity();
                }
                chunk.pieces += 1;
                self.memory -= backlog.list_memory();
                backlog.pieces.push_back(piece);
                self.memory += backlog.list_memory();
            }
        }
    }

    /// Returns the number of bytes in a backlog.
    #[must_use]
    pub fn unsent(&self, id: &BacklogId) -> usize {
        self.backlogs[id.slot()].unsent
    }

    /// Returns the front of a backlog for one send: the first piece and more up to `max` bytes, gathered in `gather`.
    pub fn front<'a>(&'a self, id: &BacklogId, max: usize, gather: &'a mut Vec<u8>) -> &'a [u8] {
        let pieces = &self.backlogs[id.slot()].pieces;
        if let (Some(&only), 1) = (pieces.front(), pieces.len()) {
            return self.text(only);
        }
        gather.clear();
        for &piece in pieces {
            if !gather.is_empty() && gather.len() + piece.len() > max {
                break;
            }
            gather.extend_from_slice(self.text(piece));
        }
        gather
    }

    /// Removes bytes from the front of a backlog.
    pub fn advance(&mut self, id: &BacklogId, bytes: usize) {
        let mut left = bytes;
        self.backlogs[id.slot()].unsent -= bytes;
        while left > 0
            && let Some(first) = self.backlogs[id.slot()].pieces.front_mut()
        {
            if first.len() > left {
                *first = first.without_front(left);
                break;
            }
            left -= first.len();
            self.drop_first(id);
        }
    }

    /// Drops all of a backlog but the remainder of its first line; returns the length of that remainder.
    pub fn keep_first_line(&mut self, id: &BacklogId) -> usize {
        let Some(&first) = self.backlogs[id.slot()].pieces.front() else { return 0 };
        let text = self.text(first);
        let line = message::first(text);
        let rest: Vec<Piece> = self.backlogs[id.slot()].pieces.drain(1..).collect();
        rest.into_iter().for_each(|piece| self.release(piece.chunk));
        let pinned = self.chunks[first.chunk as usize].text.capacity();
        let backlog = &mut self.backlogs[id.slot()];
        self.memory -= backlog.list_memory();
        backlog.pieces = VecDeque::from([Piece { end: first.start + line as u32, ..first }]);
        self.memory += backlog.list_memory();
        (backlog.unsent, backlog.pinned) = (line, pinned);
        line
    }

    /// Drops a backlog.
    #[expect(clippy::needless_pass_by_value, reason = "a closed backlog has no id")]
    pub fn close(&mut self, id: BacklogId) {
        let backlog = self.backlogs.remove(id.slot());
        self.memory -= backlog.list_memory();
        backlog.pieces.iter().for_each(|piece| self.release(piece.chunk));
    }

    /// Returns the memory of all chunks and lists of pieces, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// Returns the connections with a backlog, by memory of the chunks that they refer to, largest first.
    #[must_use]
    pub fn largest_first(&self) -> Vec<ConnId> {
        let mut all: Vec<&Backlog> = self.backlogs.iter().map(|(_, backlog)| backlog).collect();
        all.sort_by_key(|backlog| std::cmp::Reverse(backlog.pinned));
        all.into_iter().map(|backlog| backlog.owner).collect()
    }

    /// Releases unused memory.
    pub fn trim(&mut self) {
        self.backlogs.shrink_to_fit();
        self.chunks.shrink_to_fit();
    }

    /// Checks the invariants.
    pub fn invariants(&self) {
        let mut memory = 0;
        for (key, chunk) in &self.chunks {
            memory += chunk.text.capacity();
            let pieces_in_chunk =
                |backlog: &Backlog| backlog.pieces.iter().filter(|p| p.chunk as usize == key).count();
            let pieces: usize = self.backlogs.iter().map(|(_, backlog)| pieces_in_chunk(backlog)).sum();
            assert_eq!(chunk.pieces as usize, pieces, "each reference to a chunk is a piece in a backlog");
            assert!(pieces > 0);
        }
        for (_, backlog) in &self.backlogs {
            memory += backlog.list_memory();
            assert!(backlog.pieces.iter().all(|piece| piece.start < piece.end), "no piece is empty");
            assert_eq!(backlog.unsent, backlog.pieces.iter().map(|piece| piece.len()).sum::<usize>());
            assert!(backlog.pinned >= backlog.unsent);
        }
        assert_eq!(self.memory, memory);
    }

    fn text(&self, piece: Piece) -> &[u8] {
        &self.chunks[piece.chunk as usize].text[piece.start as usize..piece.end as usize]
    }

    fn new_chunk(&mut self, bytes: usize) -> u32 {
        let text = Vec::with_capacity(bytes);
        self.memory += text.capacity();
        let chunk = self.chunks.insert(Chunk { text, pieces: 0 }) as u32;
        self.current = Some(chunk);
        chunk
    }

    fn drop_first(&mut self, id: &BacklogId) {
        let backlog = &mut self.backlogs[id.slot()];
        let Some(piece) = backlog.pieces.pop_front() else { return };
        if backlog.pieces.front().is_none_or(|next| next.chunk != piece.chunk) {
            backlog.pinned -= self.chunks[piece.chunk as usize].text.capacity();
        }
        self.release(piece.chunk);
    }

    /// Removes one reference to a chunk; frees the chunk with the last one.
    fn release(&mut self, key: u32) {
        let chunk = &mut self.chunks[key as usize];
        chunk.pieces -= 1;
        if chunk.pieces > 0 {
            return;
        }
        self.current.take_if(|current| *current == key);
        self.memory -= self.chunks.remove(key as usize).text.capacity();
    }
}

impl Chunk {
    fn has_room(&self, bytes: usize) -> bool {
        self.text.capacity() - self.text.len() >= bytes
    }
}

impl Backlog {
    fn list_memory(&self) -> usize {
        self.pieces.capacity() * size_of::<Piece>()
    }
}
