//! What has to hold at each moment: what relays believe, who holds a name, and how long an answer
//! takes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sealwax::cluster::Incarnation;
use sealwax::cluster::limits::{FENCE, LEASE};
use sealwax::reactor::Time;

use crate::support::model::Item;
use crate::user::LENT;
use crate::world::World;

/// How long what the engine has done may be on its way to a user.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

/// How long a frame may wait for its answer: 10 s for the other relay, and before that 5 s for the
/// engine to say where the addressee is.
const ANSWER_TIME: Duration = Duration::from_secs(16);
/// How long after the last trouble two relays may still disagree about who holds a name.
const HEALING: Duration = Duration::from_secs(20);

/// The account of connections and of what they wait for.
#[derive(Default)]
pub(crate) struct Belief {
    connections: BTreeMap<u64, Connection>,
    /// Frames, by which connection each was sent.
    senders: BTreeMap<String, u64>,
    /// Those that wait for an answer, and since when.
    open: BTreeMap<String, Time>,
    /// Two who hold one name at different relays, and since when.
    pairs: BTreeMap<(u64, u64), Time>,
    /// Whose key each name has.
    keys: BTreeMap<&'static str, String>,
    /// An operator has released the name that is released.
    has_released: bool,
}

/// A connection that was ever made.
struct Connection {
    name: &'static str,
    at: usize,
    /// When it was made. The engine gave it the name between this and the next.
    since: Time,
    registered: Option<Time>,
    /// The life of its relay, in which it was registered.
    life: Option<Incarnation>,
    is_gone: bool,
}

impl Belief {
    /// A connection is made, to register.
    pub(crate) fn tries(&mut self, number: u64, name: &'static str, at: usize, since: Time) {
        let (registered, life, is_gone) = (None, None, false);
        let connection = Connection { name, at, since, registered, life, is_gone };
        self.connections.insert(number, connection);
    }

    pub(crate) fn goes(&mut self, number: u64) {
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.is_gone = true;
        }
        self.open.retain(|id, _| self.senders[id] != number);
    }

    /// It is registered, with this key.
    pub(crate) fn registers(
        &mut self,
        number: u64,
        now: Time,
        life: Option<Incarnation>,
        key: Option<String>,
        has_lost: bool,
    ) {
        let Some(it) = self.connections.get_mut(&number) else { return };
        (it.registered, it.life) = (Some(now), life);
        if let Some(key) = key {
            let is_excused = has_lost || self.has_released && it.name == LENT;
            let before = self.keys.insert(it.name, key.clone());
            let is_same = before.is_none_or(|before| before == key);
            assert!(is_same || is_excused, "{} ({number}) has another's name", it.name);
        }
    }

    /// An operator releases a name.
    pub(crate) fn releases(&mut self) {
        self.has_released = true;
    }

    /// A frame with an `id` leaves.
    pub(crate) fn asks(&mut self, id: &str, number: u64, now: Time) {
        self.senders.insert(id.to_owned(), number);
        self.open.insert(id.to_owned(), now);
    }

    pub(crate) fn answered(&mut self, id: &str) {
        self.open.remove(id);
    }

    /// It is told that another connection has its name. So there is another, which came later;
    /// `lost`: when the engine last lost data, and with it perhaps the order of the two.
    pub(crate) fn is_replaced(&self, number: u64, lost: Option<Time>, life: Option<Incarnation>) {
        let it = &self.connections[&number];
        let Some(since) = it.registered.filter(|_| it.name != LENT) else { return };
        // Whose relay has lost its lease has lost its names: the first to claim it again has it.
        // What the engine did just before it lost it is told some time later.
        if it.life != life || lost.is_some_and(|lost| since <= lost + TOLD_WITHIN) {
            return;
        }
        let since = it.since;
        let came_later = |(other, it): (&u64, &Connection)| {
            *other != number && it.registered.is_none_or(|at| at >= since)
        };
        let mut others = self.connections.iter().filter(|(_, other)| other.name == it.name);
        assert!(others.any(came_later), "{} ({number}) is replaced by an older one", it.name);
    }

    /// A frame arrives. From another relay nothing comes to a connection whose name somebody else
    /// has had for longer than a lease.
    pub(crate) fn arrives(&self, id: &str, number: u64, now: Time) {
        let it = &self.connections[&number];
        let sender = self.senders.get(id).and_then(|sender| self.connections.get(sender));
        if sender.is_none_or(|sender| sender.at == it.at) {
            return;
        }
        let newer = self.connections.iter().find(|(_, other)| {
            let since = other.registered.filter(|since| Some(*since) > it.registered);
            other.name == it.name
                && !other.is_gone
                && since.is_some_and(|since| since + LEASE + Duration::from_secs(2) < now)
        });
        let newer = newer.map(|(other, _)| other);
        assert!(newer.is_none(), "{id} arrives at {number}, and {newer:?} has its name");
    }
}

impl World {
    /// A relay that believes in its lease has one, unless the engine has just lost it.
    pub(crate) fn look_at_leases(&self) {
        let now = self.now();
        if self.lost.is_some_and(|lost| now <= lost + FENCE) {
            return;
        }
        let items = self.engine.server().model().items();
        for (number, relay) in self.relays.iter().enumerate() {
            let Some(state) = relay.state().filter(|state| state.is_joined) else { continue };
            let has_lease = items.contains_key(&format!("sealwax:relay:{}", state.incarnation));
            assert!(has_lease, "relay {number} believes in a lease that has ended");
        }
    }

    /// Each name in the engine is held by a relay that lives, or that others will reap.
    pub(crate) fn look_at_holders(&self) {
        let items = self.engine.server().model().items();
        let relays = match items.get("sealwax:relays") {
            Some(Item::Set(relays)) => relays.clone(),
            _ => BTreeSet::new(),
        };
        let Some(Item::Hash(held)) = items.get("sealwax:where") else { return };
        for (name, place) in held {
            let place = String::from_utf8_lossy(place);
            let life = place.split(' ').next().unwrap_or_default();
            assert!(relays.contains(life), "{name} is held by {life}, which nobody knows");
        }
    }

    /// Looks at who holds names, and at what is not answered.
    pub(crate) fn look(&mut self) {
        let now = self.now();
        if self.is_troubled() {
            self.troubled = now;
        }
        let since = self.troubled;
        let mut pairs = BTreeMap::new();
        for (place, one) in self.users.iter().enumerate() {
            for other in &self.users[place + 1..] {
                let (Some(one_line), Some(other_line)) = (&one.line, &other.line) else { continue };
                let believes = |at: usize| self.relays[at].state().is_some_and(|it| it.is_joined);
                if one.name == other.name
                    && one_line.is_registered
                    && other_line.is_registered
                    && one_line.at != other_line.at
                    && believes(one_line.at)
                    && believes(other_line.at)
                {
                    let pair = (one_line.number, other_line.number);
                    let begun = *self.belief.pairs.get(&pair).unwrap_or(&now);
                    let is_fine = now <= begun.max(since) + HEALING;
                    assert!(is_fine, "{} is held twice, by {pair:?}", one.name);
                    pairs.insert(pair, begun);
                }
            }
        }
        self.belief.pairs = pairs;
        for (id, asked) in &self.belief.open {
            let sender = &self.belief.connections[&self.belief.senders[id]];
            let since = self.relays[sender.at].resumed.max(*asked);
            assert!(now <= since + ANSWER_TIME, "{id} is not answered");
        }
    }
}
