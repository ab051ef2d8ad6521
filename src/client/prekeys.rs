//! Our own prekeys: the one that the relay hands out, and the one before it.
//!
//! ```text
//!   made at start ──PREKEY_INTERVAL──▶ replaced, still usable ──PREKEY_GRACE──▶ erased
//! ```
//!
//! They are held in memory only. Once one is gone, nobody can open the sessions that were made to
//! it, not even with our identity key.

use super::clocks::earliest;
use crate::crypto::{PrekeyPair, Vault};
use crate::limits::{PREKEY_GRACE, PREKEY_INTERVAL};
use crate::reactor::Time;
use crate::wire::Prekey;

/// Our prekeys.
pub(super) struct Prekeys {
    current: PrekeyPair,
    published: Prekey,
    /// When the current one was made; `None`: before the clock was first read.
    made: Option<Time>,
    previous: Option<Previous>,
}

struct Previous {
    pair: PrekeyPair,
    until: Time,
}

impl Prekeys {
    /// The first one, signed for the user `name`.
    pub(super) fn new(vault: &dyn Vault, name: &str, wall_ms: u64) -> Self {
        let current = PrekeyPair::new(vault, wall_ms);
        let published = current.publish(vault, name);
        Self { current, published, made: None, previous: None }
    }

    /// What the relay is to hand out.
    pub(super) fn published(&self) -> &Prekey {
        &self.published
    }

    /// The prekey with this id, as long as sessions may be opened to it.
    pub(super) fn find(&self, id: u32, now: Time) -> Option<&PrekeyPair> {
        let previous = self.previous.as_ref().filter(|previous| now < previous.until);
        let usable = [Some(&self.current), previous.map(|previous| &previous.pair)];
        usable.into_iter().flatten().find(|pair| pair.id() == id)
    }

    /// Erases what is over, and makes a new prekey where it is time. Returns whether there is a new
    /// one to publish.
    ///
    /// The wall clock counts too: the monotonic one stands still while a machine sleeps, and peers
    /// judge a prekey by the wall clock.
    pub(super) fn renew(&mut self, vault: &dyn Vault, name: &str, now: Time, wall_ms: u64) -> bool {
        self.previous.take_if(|previous| previous.until <= now);
        let age = u128::from(wall_ms.saturating_sub(self.published.created));
        let interval = PREKEY_INTERVAL.as_millis();
        if now < *self.made.get_or_insert(now) + PREKEY_INTERVAL && age < interval {
            return false;
        }
        // A peer refuses an older prekey, so the time must not go back although the wall clock was
        // set back.
        let next = Self::new(vault, name, wall_ms.max(self.published.created + 1));
        let Self { current: pair, .. } = std::mem::replace(self, next);
        self.made = Some(now);
        self.previous = Some(Previous { pair, until: now + PREKEY_GRACE });
        true
    }

    /// When [`renew`](Self::renew) has something to do.
    pub(super) fn due(&self) -> Option<Time> {
        let until = self.previous.as_ref().map(|previous| previous.until);
        earliest([self.made.map(|made| made + PREKEY_INTERVAL), until])
    }
}
