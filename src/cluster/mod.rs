//! Several relays as one: what they keep in common in a Redis or Valkey, and how they ask for it.
//!
//! Pure state machines, not used by the relay yet: bytes and instants in, bytes and answers out.
//! Nothing here knows a socket, a clock or a relay. What lies in the engine, and every change of
//! it, is one Lua script for each thing that must happen at once (`scripts`). Each relay has a
//! *lease* there, under an *incarnation* that is random; a name counts as held only while the lease
//! of the relay that holds it lives, and every script that writes checks the lease of its caller
//! first. So a relay that was stopped and comes back too late changes nothing.
//!
//! ```text
//!  names.rs, frames.rs, letters.rs ──▶ Call ──▶ engine.rs ──▶ bytes ──▶ the engine: scripts/*.lua
//!        typed answers             ◀── Value ◀─ (resp.rs) ◀── bytes ◀──
//!             │
//!             ├──▶ lease.rs     is our lease held; since when not to be believed
//!             └──▶ members.rs   the copy of who is where
//! ```
//!
//! A relay has two connections to the engine: one for calls, one that waits for what comes in two
//! streams (what other relays have for the users here, and who came and went).
//!
//! Read on in this order: `place.rs` and `keys.rs` (what lies where), `scripts/common.lua` and the
//! scripts, `script.rs` (how they are called), `names.rs`, `frames.rs`, `letters.rs` and
//! `moving.rs` (each call and its answers), `resp.rs` (values and bytes), `engine.rs` (one
//! connection), `fault.rs` (why it ends), `lease.rs`, `members.rs`, `limits.rs`.

pub mod engine;
mod fault;
pub mod frames;
pub mod keys;
pub mod lease;
pub mod letters;
pub mod limits;
pub mod members;
pub mod moving;
pub mod names;
mod place;
pub mod resp;
pub mod script;

pub use self::fault::{CallFault, EngineFault};
pub use self::place::{Incarnation, Place};
