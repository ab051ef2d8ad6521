//! What an operator may set of the relay.
//!
//! How long a registration, a frame and a reader may take is the reactor's
//! [`Config`](crate::reactor::Config).

use crate::limits;

/// The bounds of one relay; the defaults are those of [`limits`].
#[derive(Clone, Copy, Debug)]
pub struct RelayConfig {
    /// The longest frame of a registered connection, in bytes. An unregistered one gets this or
    /// [`MAX_FRAME_UNREGISTERED`](limits::MAX_FRAME_UNREGISTERED), whichever is less.
    pub max_frame: usize,
    /// Connections at one time; a newcomer beyond them is closed at once.
    pub max_connections: usize,
    /// Bytes waiting for one user above which others' frames are refused, and above which nothing
    /// more is read from that user.
    pub outbox_soft: usize,
    /// Bytes waiting for one connection above which the relay's own answers end it.
    pub outbox_hard: usize,
    /// Bytes waiting for all users together; the soft limit shrinks as they come near.
    pub outbox_common: usize,
    /// Whether connections of this machine have the rates that those of every other address have.
    pub rates_loopback: bool,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            max_frame: limits::MAX_FRAME,
            max_connections: limits::MAX_CONNECTIONS,
            outbox_soft: limits::OUTBOX_SOFT,
            outbox_hard: limits::OUTBOX_HARD,
            outbox_common: limits::OUTBOX_COMMON,
            rates_loopback: false,
        }
    }
}

impl RelayConfig {
    /// The longest frame of a connection that has not registered, in bytes.
    pub(super) fn max_frame_unregistered(&self) -> usize {
        self.max_frame.min(limits::MAX_FRAME_UNREGISTERED)
    }

    /// What may wait for one user while `queued_in_all` bytes wait for all together. It shrinks to
    /// one frame as they come near their common bound: so memory stays bounded, although nobody is
    /// disconnected for it.
    pub(super) fn soft_limit(&self, queued_in_all: usize) -> usize {
        let left = self.outbox_common.saturating_sub(queued_in_all);
        let least = self.max_frame.min(self.outbox_soft);
        (left / limits::OUTBOX_PART).clamp(least, self.outbox_soft)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_shrinks_to_a_frame_as_all_outboxes_fill() {
        let config = RelayConfig::default();
        let full = limits::OUTBOX_COMMON;
        assert_eq!(config.soft_limit(0), limits::OUTBOX_SOFT);
        assert_eq!(config.soft_limit(full / 2), limits::OUTBOX_SOFT);
        assert_eq!(config.soft_limit(full - 4 * 1024 * 1024), 256 * 1024);
        assert_eq!(config.soft_limit(full), limits::MAX_FRAME);
        assert_eq!(config.soft_limit(2 * full), limits::MAX_FRAME);
        let small = RelayConfig { outbox_soft: 100, ..config };
        assert_eq!(small.soft_limit(full), 100);
    }
}
