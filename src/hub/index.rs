//! An index from names to ids, by every spelling that needs no folding. It holds ids only: names stay with their
//! owners, users or rooms, and are read through a closure.

use crate::limits::TABLE;
use crate::protocol::name::{self, Invalid, Name};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hasher};

/// Each id has one entry under the shown form of its name and, where the folded form differs, a second one under that.
/// So a look-up hashes the bytes as typed, and folds them only if that misses. No two ids share a spelling: equal
/// spellings fold to equal keys, and keys are unique.
#[derive(Debug, Default)]
pub(super) struct NameIndex {
    table: HashTable<Entry>,
    /// Seeded at random in each process, since peers choose the names. Not SipHash, which would be a fifth of the cost
    /// of a message: the index has no more names than there are connections, answers carry no timing finer than a turn,
    /// and colliding names would make their own look-ups linear, nothing else.
    hasher: RandomState,
}

/// An id and one spelling of its name, in four bytes: the id in the upper 31 bits, [`FOLDED`] in the lowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry(u32);

const FOLDED: u32 = 1;

impl Entry {
    fn id(self) -> u32 {
        self.0 >> 1
    }

    fn spelling(self, name: &Name) -> &str {
        if self.0 & FOLDED == 0 { name.shown() } else { name.folded() }
    }
}

impl NameIndex {
    /// Maximum memory of one entry, in bytes.
    pub const BYTES_PER_ENTRY: usize = TABLE * (size_of::<Entry>() + 1);

    /// Returns the id of the name that was typed, if there is one.
    ///
    /// # Errors
    /// [`Invalid`] if `typed` can't be a name.
    pub fn look_up<'n>(&self, typed: &[u8], names: impl Fn(u32) -> &'n Name) -> Result<Option<u32>, Invalid> {
        match self.find(typed, &names) {
            Some(id) => Ok(Some(id)),
            None => Ok(self.find(name::fold(typed)?.as_bytes(), &names)),
        }
    }

    /// Returns the id of a name that is equal to `name`.
    pub fn holder<'n>(&self, name: &Name, names: impl Fn(u32) -> &'n Name) -> Option<u32> {
        self.find(name.folded().as_bytes(), &names)
    }

    /// Inserts `id` under `name`; `names` returns that name for it already. No other id may have an equal name.
    pub fn insert<'n>(&mut self, id: u32, name: &Name, names: impl Fn(u32) -> &'n Name) {
        debug_assert!(self.holder(name, &names).is_none());
        let NameIndex { table, hasher } = self;
        for entry in entries(id, name) {
            let own = hash(hasher, entry.spelling(name).as_bytes());
            table.insert_unique(own, entry, |e| hash(hasher, e.spelling(names(e.id())).as_bytes()));
        }
    }

    /// Removes `id`; its name is `name`.
    pub fn remove(&mut self, id: u32, name: &Name) {
        for entry in entries(id, name) {
            let own = hash(&self.hasher, entry.spelling(name).as_bytes());
            if let Ok(found) = self.table.find_entry(own, |e| *e == entry) {
                found.remove();
            }
        }
    }

    /// Returns the id of a name that, shown or folded, is exactly `spelling`.
    pub fn find<'n>(&self, spelling: &[u8], names: &impl Fn(u32) -> &'n Name) -> Option<u32> {
        let own = hash(&self.hasher, spelling);
        let entry = self.table.find(own, |e| e.spelling(names(e.id())).as_bytes() == spelling)?;
        Some(entry.id())
    }
}

/// Hashes the bytes alone: their length needn't be hashed where nothing follows them.
fn hash(hasher: &RandomState, spelling: &[u8]) -> u64 {
    let mut state = hasher.build_hasher();
    state.write(spelling);
    state.finish()
}

fn entries(id: u32, name: &Name) -> impl Iterator<Item = Entry> + use<> {
    let folded = (!name.is_folded()).then_some(Entry(id << 1 | FOLDED));
    [Entry(id << 1)].into_iter().chain(folded)
}
