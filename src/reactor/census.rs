//! What the loop holds at one moment, counted: for figures, and for whoever wants to see that
//! nothing is left behind.

use super::Context;

/// What a loop holds. Everything but the sources that are meant to stay is zero again once all
/// others have left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Sources, those that are being closed too.
    pub sources: usize,
    /// Waits in progress: deadlines that would be told.
    pub waits: usize,
    /// Bytes queued for all sources, counted one by one. [`Context::queued_in_all`] says the same
    /// without counting.
    pub queued: usize,
    /// The longest of those queues, in bytes.
    pub longest_queue: usize,
    /// Bytes that came and that no handler has consumed.
    pub kept: usize,
}

impl Context {
    /// Counts what the loop holds. Takes time linear in the number of sources.
    pub fn census(&self) -> Census {
        let mut census = Census {
            sources: self.connections.len(),
            waits: self.deadlines.len(),
            ..Census::default()
        };
        for connection in self.connections.iter() {
            let queued = connection.outbox.len();
            census.queued += queued;
            census.longest_queue = census.longest_queue.max(queued);
            census.kept += connection.inbox.rest().len();
        }
        census
    }
}
