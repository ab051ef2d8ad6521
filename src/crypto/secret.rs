//! Randomness, and bytes that are erased when they are no longer needed.

use zeroize::ZeroizeOnDrop;

/// `N` secret bytes: not printable, not copyable, erased on drop.
///
/// They stand on the heap, so that a move moves a pointer and leaves no second copy behind.
#[derive(ZeroizeOnDrop)]
pub struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Bytes that `fill` writes in place.
    pub fn filled(fill: impl FnOnce(&mut [u8; N])) -> Self {
        let mut secret = Self(Box::new([0; N]));
        fill(&mut secret.0);
        secret
    }

    /// The bytes, borrowed.
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

/// Fills `out` from the kernel (getrandom(2)).
///
/// # Panics
///
/// When the kernel gives none. Every key would be guessable from then on, so there is no safe way
/// to go on.
pub(super) fn random(out: &mut [u8]) {
    if let Err(error) = getrandom::fill(out) {
        panic!("the kernel gives no randomness: {error}");
    }
}
