//! TLS 1.3 as an engine between a socket and its handler (`docs/protocol.md`, "TLS").
//!
//! The only user of `rustls`. It does no input or output: the reactor hands it bytes and takes
//! bytes from it ([`Transform`]). TLS 1.3 only, no session tickets, no
//! early data, so each connection has its own keys and none is kept for another.
//!
//! The certificate means nothing between our client and a relay: the channel is bound to the
//! relay's own key by what both engines export (`binding`), which the relay signs in its challenge.
//! Only for `tls://` the certificate counts, and then there is no binding.
//!
//! Read on in this order: `hello.rs` (is this TLS, and is its first message whole?), `engine.rs`
//! (bytes in, bytes out), `server.rs` and `client.rs` (what each end is set up with), `fault.rs`
//! (why it failed).

mod client;
mod engine;
mod fault;
mod hello;
pub mod limits;
mod server;

use crate::reactor::Transform;

pub use self::client::{ClientTls, no_roots};
pub use self::engine::Engine;
pub use self::fault::Fault;
pub use self::hello::{FIRST_BYTE, Hello, REFUSAL};
pub use self::server::{PairFault, ServerTls};

/// Where a relay gets the engines of its connections from.
pub trait Engines {
    /// The engine of one more connection; none where it could not be made.
    fn engine(&self) -> Option<Box<dyn Transform>>;

    /// Reads again what it was made from; none where there is nothing to read. What is wrong with
    /// it is told, and the old stays in force.
    fn reload(&mut self) -> Option<Result<(), String>> {
        None
    }
}
