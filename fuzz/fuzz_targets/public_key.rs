//! See `fuzz/src/public_key.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sealwax_fuzz::public_key(input));
