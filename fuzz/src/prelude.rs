//! The first bytes of a connection: PROXY headers and ClientHellos.
//!
//! For any bytes: no panic; the same verdict however they are cut; a header is no longer than its
//! input, and what it announces comes out the same when it is written and read again; the names of a hello are
//! parts of its bytes.

use pollux::prelude::hello;
use pollux::prelude::proxy::{self, Behalf, ProxyAttributes, ProxyVersion};

/// Checks both readers on `data`.
pub fn check(data: &[u8]) {
    check_proxy(data);
    check_hello(data);
}

fn check_proxy(data: &[u8]) {
    let whole = proxy::read(data);
    let mut cuts = (0..=data.len()).map(|end| proxy::read(&data[..end]));
    let first = cuts.find(|verdict| *verdict != proxy::ProxyReading::Incomplete);
    assert_eq!(first.as_ref().unwrap_or(&proxy::ProxyReading::Incomplete), &whole);
    let proxy::ProxyReading::Header(length, announced) = whole else { return };
    assert!(length <= data.len());
    let Some((client, local)) = announced.addresses else { return };
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        let mut out = Vec::new();
        proxy::write(
            &mut out,
            version,
            Behalf::Client { client, local },
            &ProxyAttributes::default(),
            usize::MAX,
        );
        let proxy::ProxyReading::Header(length, again) = proxy::read(&out) else {
            panic!("what was written is not read: {}", out.escape_ascii())
        };
        assert_eq!(length, out.len());
        // Addresses of IPv4 in the clothes of IPv6 are written as what they are.
        let (seen, _) = again.addresses.expect("a client");
        assert_eq!((seen.ip().to_canonical(), seen.port()), (client.ip().to_canonical(), client.port()));
    }
}

fn check_hello(data: &[u8]) {
    let whole = hello::read(data);
    let mut cuts = (0..=data.len()).map(|end| hello::read(&data[..end]));
    let first = cuts.find(|verdict| *verdict != hello::HelloReading::Incomplete);
    assert_eq!(first.as_ref().unwrap_or(&hello::HelloReading::Incomplete), &whole);
    let hello::HelloReading::Hello(hello) = whole else { return };
    let length: usize = hello.protocols().map(|name| name.len() + 1).sum();
    assert_eq!(length, hello.alpn.len(), "every protocol is told");
    assert!(hello.server_name.as_ref().is_none_or(|name| !name.is_empty() && name.len() <= 255));
}
