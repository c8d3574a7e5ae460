//! The listening sockets: one for each worker and listener, and which of them outlive a reload.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use super::server::StartError;
use crate::os::{bind, probe};
use crate::snapshot::Listener;

/// The sockets of one listener, one for each worker, and their address.
pub(super) type Bound = (Vec<OwnedFd>, SocketAddr);

/// Where the listeners that are served are bound, as the configuration says it and as the kernel does.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Present<'a> {
    pub(super) listeners: &'a [Listener],
    pub(super) addresses: &'a [SocketAddr],
}

/// For each of `listeners` the place of the present one whose sockets it can keep, because they are bound to its address. Who
/// names an address has it; of those that take any port, one of the same name comes first.
pub(super) fn kept(present: Present<'_>, listeners: &[Listener]) -> Vec<Option<usize>> {
    let mut taken = vec![false; present.listeners.len()];
    let mut places = vec![None; listeners.len()];
    let is_there = |old: usize, new: &Listener| present.addresses[old] == new.bind;
    let is_alike = |old: usize, new: &Listener| present.listeners[old].bind == new.bind;
    let is_namesake =
        |old: usize, new: &Listener| is_alike(old, new) && present.listeners[old].name == new.name;
    for is_same in [&is_there as &dyn Fn(usize, &Listener) -> bool, &is_namesake, &is_alike] {
        for (place, new) in places.iter_mut().zip(listeners).filter(|(place, _)| place.is_none()) {
            *place = (0..taken.len()).find(|old| !taken[*old] && is_same(*old, new));
            if let Some(old) = *place {
                taken[old] = true;
            }
        }
    }
    places
}

/// No two listeners may have the same address.
pub(super) fn check_unique(listeners: &[Listener]) -> Result<(), StartError> {
    for (index, listener) in listeners.iter().enumerate() {
        let is_same = |other: &&Listener| other.bind == listener.bind && listener.bind.port() != 0;
        if let Some(other) = listeners[..index].iter().find(is_same) {
            let (address, listener, other) = (listener.bind, listener.name.clone(), other.name.clone());
            return Err(StartError::Taken { listener, other, address });
        }
    }
    Ok(())
}

/// Binds `listener` once for each worker.
pub(super) fn bind_for(
    listener: &Listener,
    threads: usize,
    present: Present<'_>,
) -> Result<Bound, StartError> {
    let fail = |error| StartError::Bind { listener: listener.name.clone(), address: listener.bind, error };
    // SO_REUSEPORT would let a second Pollux share the port unnoticed. This one may: an address is exchanged for a wider or
    // a narrower one with the same port, and for a moment both are bound.
    if !present.addresses.iter().any(|address| overlaps(*address, listener.bind)) {
        probe(listener.bind).map_err(fail)?;
    }
    let (mut sockets, mut address) = (Vec::new(), listener.bind);
    for _ in 0..threads {
        let (socket, bound) = bind(address).map_err(fail)?;
        address = bound;
        sockets.push(socket);
    }
    Ok((sockets, address))
}

fn overlaps(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port()
        && one.is_ipv4() == other.is_ipv4()
        && (one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Mode, PoolId};

    fn listener(name: &str, bind: &str) -> Listener {
        Listener::to_pool(name, bind.parse().unwrap(), Mode::Http, PoolId(0))
    }

    #[test]
    fn sockets_are_kept_by_address_and_rather_by_name() {
        let old = [listener("a", "[::1]:0"), listener("b", "[::1]:0"), listener("c", "10.0.0.1:80")];
        let addresses: Vec<_> =
            ["[::1]:5000", "[::1]:5001", "10.0.0.1:80"].iter().map(|text| text.parse().unwrap()).collect();
        let present = Present { listeners: &old, addresses: &addresses };
        let new = [listener("b", "[::1]:0"), listener("x", "10.0.0.1:80"), listener("c", "10.0.0.1:81")];
        assert_eq!(kept(present, &new), [Some(1), Some(2), None]);
        assert_eq!(
            kept(present, &[listener("y", "[::1]:5001"), listener("b", "[::1]:0")]),
            [Some(1), Some(0)]
        );
    }

    #[test]
    fn a_wider_address_overlaps() {
        let overlaps = |one: &str, other: &str| overlaps(one.parse().unwrap(), other.parse().unwrap());
        assert!(overlaps("0.0.0.0:80", "10.0.0.1:80"));
        assert!(!overlaps("0.0.0.0:80", "10.0.0.1:81") && !overlaps("[::]:80", "10.0.0.1:80"));
    }
}
