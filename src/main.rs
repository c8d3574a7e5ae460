//! The command `pollux`.

fn main() {}
