//! Looks to whoever's name has them, so that a name beyond ASCII and another that looks like it don't meet. Like the index
//! of names it holds ids only, and asks for the names through a closure.

use crate::protocol::name::{Name, Skeletons};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// Two names of plain ASCII can't deceive, so where all names are, nothing is kept here and nothing asked. The ASCII
/// names are entered the first time that somebody wants a name beyond ASCII that looks like ASCII, all at once, and from
/// then on one by one: a look-up never goes through all names, however often it is provoked.
#[derive(Debug, Default)]
pub(super) struct SkeletonIndex {
    /// Holders of names beyond ASCII, once for each look. No two holders stand here under one look.
    beyond: HashTable<Entry>,
    /// Holders of ASCII names, under the one look that each has; `None` as long as no look in `beyond` ever was ASCII.
    ascii: Option<HashTable<u32>>,
    /// Keyed at random, as the index of names is.
    hasher: RandomState,
}

/// A holder, and the hash of one of its looks: a look takes too long to find out anew whenever the table grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    id: u32,
    hash: Hash,
}

/// Half of what a table goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hash(u32);

impl Hash {
    fn new(hasher: &RandomState, skeleton: &str) -> Hash {
        Hash(hasher.hash_one(skeleton) as u32)
    }

    /// A table chooses a place by the lowest bits and keeps the highest seven there.
    fn spread(self) -> u64 {
        u64::from(self.0) | u64::from(self.0) << 32
    }
}

impl SkeletonIndex {
    /// Whether `name` can be taken for that of a holder other than `id`. `all` are the names of all holders, and gone
    /// through at most once ever.
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
            let has_it = |e: &Entry| {
                e.hash == hash && e.id != id && Skeletons::of(names(e.id)).texts().contains(skeleton)
            };
            let is_it = |other: &u32| *other != id && skeleton_of(names(*other)) == *skeleton;
            let ascii = ascii.as_ref().filter(|_| !is_ascii);
            beyond.find(hash.spread(), has_it).is_some()
                || ascii.is_some_and(|ascii| ascii.find(hash.spread(), is_it).is_some())
        })
    }

    /// Enters the holder `id` of `name`; `names` already answers it. Nobody may be mistakable for it.
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

    /// Takes the holder `id` of `name` out.
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

    /// Checks that exactly these holders are here, at a cost that is for tests and debug builds.
    pub fn invariants<'n>(&self, all: impl Iterator<Item = (u32, &'n Name)>) {
        let (mut beyond, mut ascii) = (0, 0);
        let mut known = std::collections::HashSet::new();
        for (id, name) in all.filter(|(_, name)| self.ascii.is_some() || !name.folded().is_ascii()) {
            let skeletons = Skeletons::of(name);
            for skeleton in skeletons.texts() {
                let hash = Hash::new(&self.hasher, skeleton);
                if skeletons.is_ascii() {
                    let found = self
                        .ascii
                        .as_ref()
                        .is_none_or(|ascii| ascii.find(hash.spread(), |e| *e == id).is_some());
                    assert!(found, "{name:?} is known by its look");
                    ascii += 1;
                } else {
                    let found = self.beyond.find(hash.spread(), |e| *e == Entry { id, hash }).is_some();
                    assert!(found, "{name:?} is known by {skeleton}");
                    assert!(self.ascii.is_some() || !skeleton.is_ascii(), "{name:?} can be taken for ASCII");
                    assert!(known.insert(skeleton.clone()), "only one looks like {skeleton}");
                    beyond += 1;
                }
            }
        }
        assert_eq!(self.beyond.len(), beyond);
        assert!(self.ascii.as_ref().is_none_or(|table| table.len() == ascii));
    }
}

/// The look of an ASCII name.
fn skeleton_of(name: &Name) -> String {
    Skeletons::of(name).texts().concat()
}
