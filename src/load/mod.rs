//! The load generator: what a relay can do, and at what cost.
//!
//! Pure, as the relay and the client are: users on the reactor, driven by the loop's calls.
//! Processes, files, clocks and output are in `src/command/load`.
//!
//! Three rules hold for each figure:
//!
//! - **A latency counts from the intended start.** `schedule.rs` says why.
//! - **Each message is checked**: whole, once, to its addressee, in order (`payload.rs`,
//!   `flight.rs`).
//! - **Cost is the target's own processor time** a message, shown beside the floor's (`floor.rs`):
//!   a rate says as much about the generator and the machine as about the relay.
//!
//! Read on in this order: `plan.rs` (what a run is to do), `generator.rs` (its stages), `gather.rs`
//! and `work.rs` (what is done in them), `user.rs`, `flight.rs`, `stats.rs` (what is kept),
//! `payload.rs`, `protocol.rs` and `sealwax.rs` (the protocol), `keys.rs`. The protocols of other
//! servers, with the same payload, are in `redis.rs`, `nats.rs`, `mqtt.rs`, `irc.rs` and `echo.rs`.

mod echo;
mod flight;
mod floor;
mod gather;
mod generator;
mod irc;
mod keys;
mod mqtt;
mod nats;
mod payload;
mod plan;
mod protocol;
mod redis;
mod schedule;
mod sealwax;
mod stats;
mod user;
mod work;

pub use self::echo::Echo;
pub use self::floor::Floor;
pub use self::generator::{Early, Generator, Stage};
pub use self::irc::{Irc, LONGEST as LONGEST_IRC};
pub use self::keys::Keys;
pub use self::mqtt::Mqtt;
pub use self::nats::Nats;
pub use self::payload::Payload;
pub use self::plan::{Extent, Plan, Work};
pub use self::protocol::{Parsed, Protocol};
pub use self::redis::Redis;
pub use self::sealwax::Sealwax;
pub use self::stats::{Fault, Faults, Recent, Stats};
