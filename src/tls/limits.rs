//! Every bound of TLS, with its unit and its reason.

/// The longest beginning of a connection that is looked at before an engine is made for it, in
/// bytes: a `ClientHello` with large key shares takes 2 KiB.
pub const MAX_HELLO: usize = 8 * 1024;
/// Bytes that may come on a connection before its two ends have agreed on keys: what comes after
/// the `ClientHello` takes some hundred.
pub const MAX_HANDSHAKE: usize = 16 * 1024;
/// Records that are opened in one turn of a connection: each costs about half a microsecond,
/// however little is in it.
pub const RECORDS_A_TURN: usize = 64;
/// Bytes of plaintext that are sealed at once, for one `writev`: four records of the largest size.
pub const SEALED_AT_ONCE: usize = 64 * 1024;
/// Bytes of records after the handshake that may bring a relay no plaintext, one after the other:
/// some forty key updates. What they hold may be the parts of one message, which are kept.
pub const MAX_SILENT: usize = 1024;
