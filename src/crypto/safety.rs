//! The safety number of two users: digits that they compare over another channel (`docs/protocol.md`, section 4).

use crate::wire::Fingerprint;

/// 60 digits in twelve groups of five, the same on both sides whatever the order of the arguments.
pub fn safety_number(name_a: &str, fp_a: &Fingerprint, name_b: &str, fp_b: &Fingerprint) -> String {
    todo!()
}
