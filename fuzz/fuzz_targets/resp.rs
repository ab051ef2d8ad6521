//! See `fuzz/src/resp.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sealwax_fuzz::resp(input));
