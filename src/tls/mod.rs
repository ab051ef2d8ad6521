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
//! (bytes in, bytes out), `server.rs` and `client.rs` (what each end is set up with), `roots.rs`
//! (the authorities that `tls://` trusts), `fault.rs` (why it failed).

mod client;
mod engine;
mod fault;
mod hello;
pub mod limits;
mod roots;
mod server;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::crypto::ring::default_provider;

use crate::reactor::Transform;

pub use self::client::ClientTls;
pub use self::engine::Engine;
pub use self::fault::Fault;
pub use self::hello::{FIRST_BYTE, Hello, REFUSAL};
pub use self::roots::Roots;
pub use self::server::{PairFault, PemPair, ServerTls};

/// The cryptography of both ends. Of the suites of TLS 1.3 the one with SHA-256 comes first: most
/// processors have instructions for SHA-256, and SHA-384 is a tenth of what a handshake costs the
/// relay. A key of AES with 256 bits would protect no more, since the exchange of keys (X25519) has
/// the strength of 128 bits.
fn provider() -> Arc<CryptoProvider> {
    let cipher_suites =
        vec![TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256];
    Arc::new(CryptoProvider { cipher_suites, ..default_provider() })
}

/// Makes the engines of a relay's connections.
pub trait Engines {
    /// Makes the engine of a new connection; `None` if that failed.
    fn engine(&self) -> Option<Box<dyn Transform>>;

    /// Reads its files again; `None` if it was not made from files. After an error the old
    /// certificate stays in use.
    fn reload(&mut self) -> Option<Result<(), String>> {
        None
    }
}
