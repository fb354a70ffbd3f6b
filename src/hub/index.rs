//! Names to whoever holds them, by every spelling that needs no folding. An index holds ids only; the names stay with
//! their owners, who are asked through a closure.

use crate::limits::TABLE;
use crate::protocol::name::{self, Invalid, Name};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hasher};

/// Each holder stands here once under the spelling that is shown and, where that isn't the folded one, once more under
/// the folded one. So looking up what was typed is one hash of the bytes as they came, and folds only when that
/// misses. No two holders can meet under one spelling: equal spellings fold to equal keys, and keys are unique.
#[derive(Debug, Default)]
pub(super) struct NameIndex {
    table: HashTable<Entry>,
    /// Keyed at random in each process, since names are chosen by strangers. Not SipHash, which would be a fifth of what
    /// a message costs: an index holds no more names than there are connections, answers carry no timing finer than a
    /// turn, and whoever did find colliding names would make their look-ups linear, nothing else.
    hasher: RandomState,
}

/// A holder and one of its spellings in four bytes: the id above, [`FOLDED`] below.
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
    /// The most memory that one spelling takes.
    pub const BYTES_PER_ENTRY: usize = TABLE * (size_of::<Entry>() + 1);

    /// Who holds the name that was typed like this.
    ///
    /// # Errors
    /// Where that can't be a name.
    pub fn look_up<'n>(&self, typed: &[u8], names: impl Fn(u32) -> &'n Name) -> Result<Option<u32>, Invalid> {
        match self.find(typed, &names) {
            Some(id) => Ok(Some(id)),
            None => Ok(self.find(name::fold(typed)?.as_bytes(), &names)),
        }
    }

    /// Who holds a name that compares equal to `name`.
    pub fn holder<'n>(&self, name: &Name, names: impl Fn(u32) -> &'n Name) -> Option<u32> {
        self.find(name.folded().as_bytes(), &names)
    }

    /// Enters the holder `id` of `name`; `names` already answers it. Nobody may hold it.
    pub fn insert<'n>(&mut self, id: u32, name: &Name, names: impl Fn(u32) -> &'n Name) {
        debug_assert!(self.holder(name, &names).is_none());
        let NameIndex { table, hasher } = self;
        for entry in entries(id, name) {
            let own = hash(hasher, entry.spelling(name).as_bytes());
            table.insert_unique(own, entry, |e| hash(hasher, e.spelling(names(e.id())).as_bytes()));
        }
    }

    /// Takes the holder `id` of `name` out.
    pub fn remove(&mut self, id: u32, name: &Name) {
        for entry in entries(id, name) {
            let own = hash(&self.hasher, entry.spelling(name).as_bytes());
            if let Ok(found) = self.table.find_entry(own, |e| *e == entry) {
                found.remove();
            }
        }
    }

    /// Who holds a name that is shown, or folds, exactly like this.
    pub fn find<'n>(&self, spelling: &[u8], names: &impl Fn(u32) -> &'n Name) -> Option<u32> {
        let own = hash(&self.hasher, spelling);
        let entry = self.table.find(own, |e| e.spelling(names(e.id())).as_bytes() == spelling)?;
        Some(entry.id())
    }
}

/// The bytes alone: their length needn't be hashed where nothing follows them.
fn hash(hasher: &RandomState, spelling: &[u8]) -> u64 {
    let mut state = hasher.build_hasher();
    state.write(spelling);
    state.finish()
}

fn entries(id: u32, name: &Name) -> impl Iterator<Item = Entry> + use<> {
    let folded = (!name.is_folded()).then_some(Entry(id << 1 | FOLDED));
    [Entry(id << 1)].into_iter().chain(folded)
}
