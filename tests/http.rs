//! The treatment of HTTP/1.1 in Pollux, rule by rule: tables of bytes in and bytes out, played through a real
//! worker.
//!
//! The tables are the TOML files beside this one's modules; `http/README.md` says how to read them.

#[path = "http/backend.rs"]
mod backend;
#[path = "http/bytes.rs"]
mod bytes;
#[path = "http/case.rs"]
mod case;
#[path = "http/memory.rs"]
mod memory;
#[path = "http/run.rs"]
mod run;
#[path = "http/verdict.rs"]
mod verdict;

macro_rules! tables {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                run::table(concat!(stringify!($name), ".toml"));
            }
        )*

        /// A table that nobody plays would prove nothing.
        #[test]
        fn every_table_is_played() {
            let mut played = vec![$(stringify!($name)),*];
            played.sort_unstable();
            assert_eq!(case::tables(), played);
        }
    };
}

tables! {
    chunked client_hello close_delimited connection content_length expect fields forwarding host identity interim limits
    logins methods pipelining proxy_protocol request_line response_framing responses reuse routes target trailers
    transfer_encoding truncation upgrade
}
