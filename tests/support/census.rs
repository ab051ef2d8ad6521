//! What a loop holds at one moment, counted source by source.

use sealwax::reactor::Context;

/// What a loop holds. Everything but the sources that are meant to stay is zero again once all
/// others have left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Sources, those that are being closed too.
    pub sources: usize,
    /// Deadlines that run.
    pub deadlines: usize,
    /// Bytes queued for all sources. [`Context::queued_in_all`] says the same without counting.
    pub queued: usize,
    /// The longest of those queues, in bytes.
    pub longest_queue: usize,
    /// Bytes that came and that no handler has consumed.
    pub kept: usize,
}

impl Census {
    /// Counts what the loop holds.
    pub fn of(cx: &Context) -> Self {
        let mut census = Self { deadlines: cx.running_deadlines(), ..Self::default() };
        for source in cx.sources() {
            census.sources += 1;
            census.queued += cx.queued(source);
            census.longest_queue = census.longest_queue.max(cx.queued(source));
            census.kept += cx.kept(source);
        }
        census
    }
}
