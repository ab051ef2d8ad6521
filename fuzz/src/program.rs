//! An input that is a program: steps, each with its arguments.

/// What is left of the input.
pub(crate) struct Program<'a>(&'a [u8]);

impl<'a> Program<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    /// The next step.
    pub(crate) fn next(&mut self) -> Option<u8> {
        self.0.split_off_first().copied()
    }

    /// An argument; none is zero.
    pub(crate) fn byte(&mut self) -> usize {
        self.next().unwrap_or(0).into()
    }

    /// An argument of so many bytes, or as many as there are.
    pub(crate) fn bytes(&mut self, most: usize) -> &'a [u8] {
        self.0.split_off(..most.min(self.0.len())).unwrap_or_default()
    }
}
