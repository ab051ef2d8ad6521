//! Whoever looks at a running relay: the admin socket, and metrics for a monitoring system.
//!
//! Knows the relay and asks it (`src/relay/overview.rs`); the relay knows nothing of this. Both are
//! sources of the relay's own loop. What they may cost is bounded (`limits.rs`): connections,
//! bytes, and work in a tick and in a second.
//!
//! Read on in this order: `service.rs` (who is called with what), `console.rs` (the admin socket),
//! `request.rs` and `answers.rs` (its lines), `metrics.rs` (HTTP), `page.rs` (the text of
//! Prometheus), `vitals.rs` (what both tell of the process).

mod answers;
mod console;
pub mod limits;
mod metrics;
mod page;
mod request;
mod service;
mod vitals;

pub use self::request::Request;
pub use self::service::{MetricsAt, Service};
