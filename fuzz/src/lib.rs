//! What the fuzzers call, and what the ordinary tests call again with the inputs that were kept
//! (`tests/corpora.rs` includes this file).
//!
//! Each target takes any bytes and panics where a promise is broken. A promise is more than "no
//! panic": what was taken is held against another reader, or must come out again as it went in.

mod hostile;
mod identity;
mod incoming;
mod json;
mod keys;
mod letter;
mod message;
mod offer;
mod opening;
mod pins;
mod program;
mod public_key;
mod relay;
mod request;
mod resp;
mod stream;
mod tls;
mod vault;

/// The tests' kernel in memory, which the relay and the client run on here, too; and the other end
/// of a connection with TLS.
#[path = "../../tests/support"]
mod support {
    #![allow(dead_code, unreachable_pub, clippy::expect_used)]
    pub mod kernel;
    #[path = "resp.rs"]
    pub mod resp_writer;
    pub mod transform;
}
use support::{kernel, resp_writer, transform};

pub use hostile::hostile;
pub use identity::identity;
pub use incoming::incoming;
pub use keys::keys;
pub use letter::letter;
pub use message::message;
pub use offer::offer;
pub use pins::pins;
pub use public_key::public_key;
pub use relay::relay;
pub use request::request;
pub use resp::resp;
pub use stream::stream;
pub use tls::tls;

/// A name, as `fuzz/run` and the folders of `fuzz/corpus` have it, and what it calls.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 14] = [
    ("stream", stream),
    ("request", request),
    ("resp", resp),
    ("incoming", incoming),
    ("public_key", public_key),
    ("identity", identity),
    ("pins", pins),
    ("offer", offer),
    ("letter", letter),
    ("message", message),
    ("relay", relay),
    ("hostile", hostile),
    ("tls", tls),
    ("keys", keys),
];
