//! A table by number that grows page by page.
//!
//! Knows nothing of what it holds. A growing `Vec` copies all of its elements each time that it
//! doubles, which for a million connections is a pause of tens of milliseconds in the middle of a
//! tick, and then half of it is empty. Here growth adds one page, and nothing ever moves.

/// Entries a page. Large enough that the list of pages stays small, small enough that a page is no
/// pause.
pub(crate) const PAGE: usize = 1024;

/// Values by number, from 0 on. There are always whole pages of them.
pub(crate) struct Pages<T>(Vec<Box<[T]>>);

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Pages<T> {
    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.0.len() * PAGE
    }

    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        self.0.get(index / PAGE)?.get(index % PAGE)
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.0.get_mut(index / PAGE)?.get_mut(index % PAGE)
    }

    /// Adds a page, each value of it made from its number.
    pub(crate) fn grow(&mut self, value: impl FnMut(usize) -> T) {
        let first = self.len();
        self.0.push((first..first + PAGE).map(value).collect());
    }

    /// The one with this number, after growing as far as that takes.
    pub(crate) fn reach(&mut self, index: usize, mut value: impl FnMut() -> T) -> &mut T {
        while self.len() <= index {
            self.grow(|_| value());
        }
        &mut self.0[index / PAGE][index % PAGE]
    }

    /// All from `first` on, in order.
    pub(crate) fn iter_from(&self, first: usize) -> impl Iterator<Item = &T> {
        let pages = self.0.get(first / PAGE..).unwrap_or_default();
        pages.iter().flatten().skip(first % PAGE)
    }

    /// All of them, in order.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_adds_pages_and_moves_nothing() {
        let mut pages = Pages::default();
        *pages.reach(3, || 0) = 7;
        let place: *const i32 = pages.get(3).unwrap();
        *pages.reach(2 * PAGE, || 0) = 8;
        assert_eq!((place, pages.len()), (std::ptr::from_ref(pages.get(3).unwrap()), 3 * PAGE));
        assert_eq!((pages.get(2 * PAGE), pages.get(3 * PAGE)), (Some(&8), None));
    }

    #[test]
    fn they_come_in_order_from_anywhere() {
        let mut pages = Pages::default();
        (0..2).for_each(|_| pages.grow(|number| number));
        for first in [0, 5, PAGE - 1, PAGE, 2 * PAGE - 1, 2 * PAGE, 9 * PAGE] {
            let expected: Vec<_> = (first..2 * PAGE).collect();
            assert_eq!(pages.iter_from(first).copied().collect::<Vec<_>>(), expected);
        }
        assert_eq!(pages.iter_mut().count(), 2 * PAGE);
    }
}
