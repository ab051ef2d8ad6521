//! Counts of what the relay holds at one moment: for figures, and for tests that nothing is left
//! over.

use super::Relay;

/// What a relay holds. All counts are zero again once all users have left and the rosters that say
/// so were sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelayCensus {
    /// Connections, those that are leaving too.
    pub connections: usize,
    /// Connections that are registered.
    pub users: usize,
    /// Names that a connection holds.
    pub held: usize,
    /// Names that the store is binding.
    pub reserved: usize,
    /// Connections that want rosters.
    pub subscribers: usize,
    /// Connections that are to be sent a roster in the next tick.
    pub pending: usize,
    /// Connections that take letters.
    pub takers: usize,
    /// Questions about letters that the store has not answered.
    pub letters_asked: usize,
}

impl Relay {
    /// Counts what the relay holds. Takes time linear in the number of connections.
    pub fn census(&self) -> RelayCensus {
        let (held, reserved) = self.directory.count();
        RelayCensus {
            connections: self.peers.len(),
            users: self.peers.users_from(0).count(),
            held,
            reserved,
            subscribers: self.subscribers.len(),
            pending: self.pending.len(),
            takers: self.letters.takers.len(),
            letters_asked: self.letters.len(),
        }
    }
}
