//! See `pollux_fuzz::h2`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pollux_fuzz::h2::check(data));
