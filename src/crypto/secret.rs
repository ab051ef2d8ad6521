//! Bytes that are erased when they are no longer needed.

use zeroize::{Zeroize, ZeroizeOnDrop};

/// `N` secret bytes: not printable, not copyable, erased on drop.
///
/// They stand on the heap, so that a move moves a pointer and leaves no second copy behind.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Bytes that `fill` writes in place.
    pub fn filled(fill: impl FnOnce(&mut [u8; N])) -> Self {
        todo!()
    }

    /// The bytes, for as long as they are looked at.
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }
}
