//! See `pollux_fuzz::response`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pollux_fuzz::response::check(data));
