//! How names and fingerprints are hashed.
//!
//! They come from strangers, so the hash has a key: nobody can choose names that collide.

use std::hash::{BuildHasher, Hasher};

use siphasher::sip::SipHasher13;

/// `SipHash` 1-3, as the standard library's own, with a key that is handed in: so a run can be
/// repeated.
#[derive(Clone)]
pub(super) struct Keyed(SipHasher13);

impl Keyed {
    pub(super) fn new(key: [u8; 16]) -> Self {
        Self(SipHasher13::new_with_key(&key))
    }

    /// The same as `hash_one` of a text with these bytes.
    pub(super) fn hash(&self, bytes: &[u8]) -> u64 {
        self.0.hash(bytes)
    }
}

impl BuildHasher for Keyed {
    type Hasher = Sum;

    fn build_hasher(&self) -> Sum {
        Sum { sip: self.0, sum: 0 }
    }
}

/// What is hashed here is one run of bytes, which takes half the time where that is known.
pub(super) struct Sum {
    sip: SipHasher13,
    sum: u64,
}

impl Hasher for Sum {
    fn write(&mut self, bytes: &[u8]) {
        self.sum = self.sum.rotate_left(1) ^ self.sip.hash(bytes);
    }

    /// What `str` puts behind its bytes, so that two of them in a row are not mistaken for others.
    fn write_u8(&mut self, _end: u8) {}

    fn finish(&self) -> u64 {
        self.sum
    }
}
