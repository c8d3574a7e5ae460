//! Listening on several addresses that follow one another: to a proxy they are as many backends.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

/// Listens on `first` and on the addresses that follow it, `count` in all, with the same port: where `first`
/// has port 0, the one that the kernel chooses for it. The sockets do not block.
///
/// # Errors
/// As bind(2) and listen(2) give them.
pub(crate) fn listen_on(first: SocketAddr, count: u16) -> io::Result<Vec<Socket>> {
    let mut listeners = Vec::new();
    let mut address = first;
    for _ in 0..count {
        let listener = listen(address)?;
        let bound = listener.local_addr()?.as_socket().unwrap_or(address);
        address = SocketAddr::new(following(bound.ip()), bound.port());
        listeners.push(listener);
    }
    Ok(listeners)
}

fn listen(address: SocketAddr) -> io::Result<Socket> {
    let listener = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    listener.set_reuse_address(true)?;
    listener.set_nonblocking(true)?;
    listener.bind(&address.into())?;
    listener.listen(4096)?;
    Ok(listener)
}

fn following(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits().wrapping_add(1)).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits().wrapping_add(1)).into(),
    }
}
