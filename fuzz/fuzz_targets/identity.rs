//! See `fuzz/src/identity.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sealwax_fuzz::identity(input));
