//! An index: numbers, found by the hash of what they stand for.
//!
//! Knows numbers and hashes. What a number stands for is kept elsewhere, once, and compared by
//! whoever looks for it: so the index costs twelve bytes a number, whatever it stands for.
//!
//! It grows a bucket at a time. A table that doubles moves all of its entries at once, which for a
//! million is a pause of a second and for a while twice the memory. Linear hashing (Litwin, "Linear
//! Hashing: A New Tool for File and Table Addressing", 1980) adds one bucket with each entry, and
//! moves a part of one old bucket to it: each old bucket has its turn, full or not. With `b`
//! buckets, and `p` the power of two above, an entry is in bucket `hash mod p` if that exists and
//! else in `hash mod p/2`, from which it will be moved.

use std::iter::successors;

/// Numbers by hash. Insertion, removal and look-up take constant time, on average over the hashes.
pub(super) struct Index {
    /// The first number of each bucket.
    heads: Vec<u32>,
    /// By number, its hash and the next number in its bucket. Entries that are not in the index are
    /// stale.
    links: Vec<ChainEntry>,
    len: usize,
}

/// One number in its bucket.
#[derive(Clone, Copy, Default)]
struct ChainEntry {
    hash: u32,
    next: u32,
}

/// In place of a number: there is none.
const END: u32 = u32::MAX;

impl Index {
    /// An index of numbers below `limit`, allocated once: nothing moves while it fills, and what
    /// was never used takes no memory. Larger numbers are taken, but then it is copied.
    pub(super) fn with_capacity(limit: usize) -> Self {
        Self { heads: Vec::with_capacity(limit), links: Vec::with_capacity(limit), len: 0 }
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The number of this hash that `is_it`.
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        self.find_map(hash, |number| is_it(number).then_some(number))
    }

    /// Calls `look` with the numbers of this hash, one by one, until it returns something, and
    /// returns that. It is done for each message, so it is a plain loop.
    pub(super) fn find_map<T>(&self, hash: u64, look: impl Fn(usize) -> Option<T>) -> Option<T> {
        let hash = low(hash);
        let mut number = *self.heads.get(self.bucket(hash))?;
        // There is no link of `END`, which is beyond all numbers.
        while let Some(link) = self.links.get(number as usize) {
            if link.hash == hash
                && let Some(found) = look(number as usize)
            {
                return Some(found);
            }
            number = link.next;
        }
        None
    }

    /// All numbers of this hash, and perhaps some whose hash has the same lower half.
    pub(super) fn all(&self, hash: u64) -> impl Iterator<Item = usize> {
        let hash = low(hash);
        let same = self.chain(self.bucket(hash)).filter(move |(_, link)| link.hash == hash);
        same.map(|(number, _)| number as usize)
    }

    /// Adds a number that is not in the index.
    pub(super) fn insert(&mut self, hash: u64, number: usize) {
        let Some(number) = u32::try_from(number).ok().filter(|&number| number != END) else {
            unreachable!("numbers are those of slots, which are counted in 32 bits")
        };
        debug_assert!(self.find(hash, |other| other == number as usize).is_none());
        if self.len == self.heads.len() {
            self.add_bucket();
        }
        self.push(low(hash), number);
        self.len += 1;
    }

    /// Takes out a number, and returns whether it was in the index.
    pub(super) fn remove(&mut self, hash: u64, number: usize) -> bool {
        let bucket = self.bucket(low(hash));
        let mut before = None;
        let found = self.chain(bucket).find(|&(here, _)| {
            let is_it = here as usize == number;
            before = if is_it { before } else { Some(here as usize) };
            is_it
        });
        let Some((_, link)) = found else { return false };
        match before {
            None => self.heads[bucket] = link.next,
            Some(before) => self.links[before].next = link.next,
        }
        self.len -= 1;
        true
    }

    /// Adds a bucket, and moves a part of an old one to it.
    fn add_bucket(&mut self) {
        let new = self.heads.len();
        self.heads.push(END);
        if new == 0 {
            return;
        }
        let old = new - (1 << new.ilog2());
        let mut rest = std::mem::replace(&mut self.heads[old], END);
        while rest != END {
            let ChainEntry { hash, next } = self.links[rest as usize];
            debug_assert!(self.bucket(hash) == old || self.bucket(hash) == new);
            self.push(hash, rest);
            rest = next;
        }
    }

    fn push(&mut self, hash: u32, number: u32) {
        let bucket = self.bucket(hash);
        let next = std::mem::replace(&mut self.heads[bucket], number);
        if self.links.len() <= number as usize {
            self.links.resize(number as usize + 1, ChainEntry::default());
        }
        self.links[number as usize] = ChainEntry { hash, next };
    }

    /// The bucket of a hash.
    fn bucket(&self, hash: u32) -> usize {
        let buckets = self.heads.len();
        let above = buckets.next_power_of_two();
        let place = hash as usize & (above - 1);
        if place < buckets { place } else { place & (above / 2).saturating_sub(1) }
    }

    /// What is in a bucket.
    fn chain(&self, bucket: usize) -> impl Iterator<Item = (u32, ChainEntry)> {
        let link = |number: u32| {
            let link = self.links.get(number as usize).filter(|_| number != END)?;
            Some((number, *link))
        };
        let first = self.heads.get(bucket).and_then(|&first| link(first));
        successors(first, move |(_, last)| link(last.next))
    }
}

/// The half of a hash that is kept: enough for as many buckets as there can be numbers.
#[allow(clippy::cast_possible_truncation)] // cut off on purpose
const fn low(hash: u64) -> u32 {
    hash as u32
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    /// Spreads numbers, and lets every sixteenth collide in all bits that are kept.
    fn hash(number: usize) -> u64 {
        (number as u64 / 16).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 7
    }

    #[test]
    fn all_are_found_while_it_grows_and_none_after_they_are_gone() {
        let mut index = Index::with_capacity(0);
        assert_eq!(index.find(0, |_| true), None);
        for number in 0..5000 {
            index.insert(hash(number), number);
            let some = [0, number / 3, number / 2, number];
            for one in some {
                assert_eq!(index.find(hash(one), |found| found == one), Some(one));
            }
        }
        let longest = (0..index.heads.len()).map(|bucket| index.chain(bucket).count()).max();
        assert!(longest < Some(16 * 8), "{longest:?}");
        for number in (0..5000).rev() {
            assert!(index.remove(hash(number), number));
            assert!(!index.remove(hash(number), number));
            assert_eq!(index.find(hash(number), |found| found == number), None);
        }
        assert_eq!(index.len, 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn it_agrees_with_a_set(
            steps in prop::collection::vec((any::<bool>(), 0_usize..40), 1..400),
        ) {
            let (mut index, mut set) = (Index::with_capacity(0), HashSet::new());
            for (is_arrival, number) in steps {
                if is_arrival && set.insert(number) {
                    index.insert(hash(number), number);
                } else if !is_arrival {
                    prop_assert_eq!(index.remove(hash(number), number), set.remove(&number));
                }
                for number in 0..40 {
                    let found = index.find(hash(number), |it| it == number);
                    prop_assert_eq!(found.is_some(), set.contains(&number));
                }
            }
        }
    }
}
