//! See `fuzz/src/keys.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sealwax_fuzz::keys(input));
