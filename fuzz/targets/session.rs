//! See `pollux_fuzz::session`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pollux_fuzz::session::check(data));
