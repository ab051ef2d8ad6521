//! Every bound of TLS, with its unit and its reason.

/// The longest `ClientHello`, in bytes with the headers of its records: one with large key shares
/// takes 2 KiB.
pub const MAX_HELLO: usize = 8 * 1024;
/// Bytes that may arrive on a connection before its handshake is over: after the `ClientHello`
/// these are some hundred.
pub const MAX_HANDSHAKE: usize = 16 * 1024;
/// Records that are opened in one turn of a connection: each costs about half a microsecond,
/// however little is in it.
pub const RECORDS_A_TURN: usize = 64;
/// Bytes of plaintext that are sealed at once, for one `writev`: four records of the largest size.
pub const SEALED_AT_ONCE: usize = 64 * 1024;
/// After the handshake, bytes of records in a row that may bring a relay no plaintext: as many as
/// some forty key updates have. Such records may hold parts of one handshake message, and the
/// library keeps these parts in memory until the message is complete.
pub const MAX_SILENT: usize = 1024;
