//! An index from skeletons to ids, so that a name beyond ASCII is not confusable with another. Like the index of names
//! it holds ids only, and reads names through a closure.

use crate::protocol::name::{Name, Skeletons};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// Two ASCII names are never treated as confusable, so while all names are ASCII nothing is kept or looked up. The
/// ASCII names are inserted, all at once, when a name beyond ASCII with an ASCII skeleton is first checked; later ones
/// are inserted one by one. So no peer can make a look-up walk all names again.
#[derive(Debug, Default)]
pub(super) struct SkeletonIndex {
    /// Ids of names beyond ASCII, once per skeleton. No two ids have one skeleton.
    beyond: HashTable<Entry>,
    /// Ids of ASCII names, by the one skeleton of each; `None` as long as `beyond` has had no ASCII skeleton.
    ascii: Option<HashTable<u32>>,
    /// Seeded at random, as in the index of names.
    hasher: RandomState,
}

/// An id, and the hash of one of its skeletons, which are too slow to compute again whenever the table grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    id: u32,
    hash: Hash,
}

/// Half of a 64-bit hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hash(u32);

impl Hash {
    fn new(hasher: &RandomState, skeleton: &str) -> Hash {
        Hash(hasher.hash_one(skeleton) as u32)
    }

    /// Returns a 64-bit hash: a table takes the index from the lowest bits and its tag from the highest seven.
    fn spread(self) -> u64 {
        u64::from(self.0) | u64::from(self.0) << 32
    }
}

impl SkeletonIndex {
    /// Returns whether `name` is confusable with that of an id other than `id`. `all` returns all names, and is
    /// iterated at most once in the life of the index.
    pub fn is_confusable<'n, N: Iterator<Item = (u32, &'n Name)>>(
        &mut self,
        id: u32,
        name: &Name,
        all: impl FnOnce() -> N,
        names: impl Fn(u32) -> &'n Name,
    ) -> bool {
        let is_ascii = name.folded().is_ascii();
        if is_ascii && self.ascii.is_none() {
            return false;
        }
        let skeletons = Skeletons::of(name);
        if self.ascii.is_none() && skeletons.texts().iter().any(|skeleton| skeleton.is_ascii()) {
            self.ascii = Some(HashTable::new());
            all()
                .filter(|(_, name)| name.folded().is_ascii())
                .for_each(|(id, name)| self.insert(id, name, &names));
        }
        let SkeletonIndex { beyond, ascii, hasher } = self;
        skeletons.texts().iter().any(|skeleton| {
            let hash = Hash::new(hasher, skeleton);
            let has_skeleton = |e: &Entry| {
                e.hash == hash && e.id != id && Skeletons::of(names(e.id)).texts().contains(skeleton)
            };
            let is_ascii_skeleton = |other: &u32| *other != id && skeleton_of(names(*other)) == *skeleton;
            let ascii = ascii.as_ref().filter(|_| !is_ascii);
            beyond.find(hash.spread(), has_skeleton).is_some()
                || ascii.is_some_and(|ascii| ascii.find(hash.spread(), is_ascii_skeleton).is_some())
        })
    }

    /// Inserts `id` under `name`; `names` returns that name for it already. No other name may be confusable with it.
    pub fn insert<'n>(&mut self, id: u32, name: &Name, names: impl Fn(u32) -> &'n Name) {
        let SkeletonIndex { beyond, ascii, hasher } = self;
        if !name.folded().is_ascii() {
            for skeleton in Skeletons::of(name).texts() {
                let hash = Hash::new(hasher, skeleton);
                beyond.insert_unique(hash.spread(), Entry { id, hash }, |e| e.hash.spread());
            }
        } else if let Some(ascii) = ascii {
            let hash = |id: &u32| Hash::new(hasher, &skeleton_of(names(*id))).spread();
            ascii.insert_unique(hash(&id), id, hash);
        }
    }

    /// Removes `id`; its name is `name`.
    pub fn remove(&mut self, id: u32, name: &Name) {
        let SkeletonIndex { beyond, ascii, hasher } = self;
        if !name.folded().is_ascii() {
            for skeleton in Skeletons::of(name).texts() {
                let entry = Entry { id, hash: Hash::new(hasher, skeleton) };
                if let Ok(found) = beyond.find_entry(entry.hash.spread(), |e| *e == entry) {
                    found.remove();
                }
            }
        } else if let Some(ascii) = ascii {
            let hash = Hash::new(hasher, &skeleton_of(name));
            if let Ok(found) = ascii.find_entry(hash.spread(), |other| *other == id) {
                found.remove();
            }
        }
    }

    /// Panics unless exactly these ids are in the index; too slow for release builds.
    pub fn invariants<'n>(&self, all: impl Iterator<Item = (u32, &'n Name)>) {
        let (mut beyond, mut ascii) = (0, 0);
        let mut seen = std::collections::HashSet::new();
        for (id, name) in all.filter(|(_, name)| self.ascii.is_some() || !name.folded().is_ascii()) {
            let skeletons = Skeletons::of(name);
            for skeleton in skeletons.texts() {
                let hash = Hash::new(&self.hasher, skeleton);
                if skeletons.is_ascii() {
                    let found = self
                        .ascii
                        .as_ref()
                        .is_none_or(|ascii| ascii.find(hash.spread(), |e| *e == id).is_some());
                    assert!(found, "{name:?} is in the index of ASCII names");
                    ascii += 1;
                } else {
                    let found = self.beyond.find(hash.spread(), |e| *e == Entry { id, hash }).is_some();
                    assert!(found, "{name:?} is in the index as {skeleton}");
                    assert!(self.ascii.is_some() || !skeleton.is_ascii(), "{name:?} has an ASCII skeleton");
                    assert!(seen.insert(skeleton.clone()), "only one name has the skeleton {skeleton}");
                    beyond += 1;
                }
            }
        }
        assert_eq!(self.beyond.len(), beyond);
        assert!(self.ascii.as_ref().is_none_or(|table| table.len() == ascii));
    }
}

/// Returns the skeleton of an ASCII name.
fn skeleton_of(name: &Name) -> String {
    Skeletons::of(name).texts().concat()
}
