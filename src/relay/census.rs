//! What the relay holds at one moment, counted: for figures, and for whoever wants to see that
//! nothing is left behind.

use super::Relay;

/// What a relay holds. All of it is zero again once everybody has left and the rosters have told
/// so.
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
    /// Who is told of the roster.
    pub subscribers: usize,
    /// Who is to be told of it in the next tick.
    pub pending: usize,
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
        }
    }
}
