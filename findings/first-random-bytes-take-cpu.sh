#!/usr/bin/env bash
# The first random bytes that aws-lc-rs gives cost a process some sixty milliseconds of CPU.
#
# Guess: a library's generator is seeded by one getrandom(2), so the first 32 bytes cost some microseconds more than the next ones.
# Behaviour: AWS-LC seeds its generator by gathering jitter of the CPU's clock. The first call keeps a core busy for some 60 ms
#   (50 to 130 were seen); a later one costs half a microsecond. The kernel's generator costs less than one from the first byte on.
# Seen with: aws-lc-rs 1.19.0 with aws-lc-sys 0.47.0, release build, x86-64.
# For a proxy: whatever starts often, or must answer at once, takes random numbers that are no secrets of TLS from the kernel, and a
#   server that speaks TLS draws the first ones before it accepts a client.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/src"
cat >"$folder/Cargo.toml" <<'TOML'
[package]
name = "first-random-bytes"
version = "0.0.0"
edition = "2024"

[dependencies]
aws-lc-rs = { version = "=1.19.0", default-features = false, features = ["aws-lc-sys"] }
aws-lc-sys = "=0.47.0"
TOML
cat >"$folder/src/main.rs" <<'RUST'
use std::io::Read as _;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};

/// Nanoseconds of CPU that this thread has used.
fn cpu() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// What one draw costs, as the mean of `count`: the kernel counts in ticks.
fn cost(count: u64, mut draw: impl FnMut(&mut [u8; 32])) -> u64 {
    let before = cpu();
    (0..count).for_each(|_| draw(&mut [0; 32]));
    (cpu() - before) / count
}

fn main() {
    let mut kernel = std::fs::File::open("/dev/urandom").unwrap();
    let by_kernel = cost(100_000, |bytes| kernel.read_exact(bytes).unwrap());
    let library = SystemRandom::new();
    let first = cost(1, |bytes| library.fill(bytes).unwrap());
    let later = cost(100_000, |bytes| library.fill(bytes).unwrap());
    println!("kernel {by_kernel} ns, library first {first} ns, library later {later} ns");
    if first < 10_000_000 || later > first / 20 || by_kernel > first / 20 {
        println!("the first bytes of the library are no longer dear");
        std::process::exit(1);
    }
}
RUST
cargo run --quiet --release --manifest-path "$folder/Cargo.toml"
# Seen: kernel 740 ns, library first 58711394 ns, library later 546 ns
