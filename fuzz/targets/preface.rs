//! See `pollux_fuzz::preface`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pollux_fuzz::preface::check(data));
