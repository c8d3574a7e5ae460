//! See `pollux_fuzz::head`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pollux_fuzz::head::check(data));
