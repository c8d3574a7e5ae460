//! The listening sockets: one for each worker and listener, and which of them outlive a reload.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::start_error::StartError;
use crate::os::{FileIdentity, bind_unix, bind_with, is_abstract, prepare, probe};
use crate::snapshot::{Address, Listener, SocketOptions};

/// The sockets of one listener.
#[derive(Debug)]
pub(super) struct Bound {
    /// For each worker.
    pub(super) sockets: Vec<Vec<OwnedFd>>,
    pub(super) address: Address,
    /// The file of a Unix socket.
    pub(super) file: Option<FileIdentity>,
}

/// A listener that is bound, as its configuration says it and as the kernel does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Present {
    pub(super) name: String,
    pub(super) bind: Address,
    pub(super) address: Address,
    /// Whether an IPv6 socket takes no IPv4 clients.
    #[serde(default = "is_v6only")]
    pub(super) v6only: bool,
    /// The network device that it is bound to.
    #[serde(default)]
    pub(super) interface: Option<String>,
    /// Whether a service manager has the socket too, and keeps it when this process has ended.
    #[serde(default)]
    pub(super) is_lent: bool,
    /// The file of a Unix socket. Older versions do not say it.
    #[serde(default)]
    pub(super) file: Option<FileIdentity>,
    /// Whether clients cannot come by it any more: the file of its Unix socket is not there.
    #[serde(skip)]
    pub(super) is_gone: bool,
}

/// The default where no configuration says otherwise.
fn is_v6only() -> bool {
    true
}

impl Present {
    /// Whether the socket was bound with `options`. A service manager chooses the options of a socket that it
    /// has bound.
    fn is_as(&self, options: &SocketOptions) -> bool {
        self.is_lent
            || (!self.is_gone && self.v6only == options.v6only && self.interface == options.interface)
    }
}

/// Looks whether the files of Unix sockets are still there. Those of a service manager are its own affair.
pub(super) fn look_at_files(present: &mut [Present]) {
    for one in present.iter_mut().filter(|one| !one.is_lent) {
        let Address::Unix(path) = &one.address else { continue };
        if !is_abstract(path) {
            let now = FileIdentity::of(path);
            one.file = one.file.or(now);
            one.is_gone = now.is_none() || one.file != now;
        }
    }
}

/// For each of `listeners` the place of the present one whose sockets it can keep, because they are bound to
/// its address. A listener that names an address keeps it. Of those that take any port, one of the same name
/// comes first.
pub(super) fn kept(present: &[Present], listeners: &[Listener]) -> Vec<Option<usize>> {
    let mut taken = vec![false; present.len()];
    let mut places = vec![None; listeners.len()];
    let is_there = |old: &Present, new: &Listener| old.address == new.bind && old.is_as(&new.socket);
    let is_alike = |old: &Present, new: &Listener| old.bind == new.bind && old.is_as(&new.socket);
    let is_namesake = |old: &Present, new: &Listener| is_alike(old, new) && old.name == new.name;
    for is_same in [&is_there as &dyn Fn(&Present, &Listener) -> bool, &is_namesake, &is_alike] {
        for (place, new) in places.iter_mut().zip(listeners).filter(|(place, _)| place.is_none()) {
            *place = (0..taken.len()).find(|old| !taken[*old] && is_same(&present[*old], new));
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
        let is_same = |other: &&Listener| other.bind == listener.bind && !listener.bind.is_any_port();
        if let Some(other) = listeners[..index].iter().find(is_same) {
            let (address, listener, other) =
                (listener.bind.clone(), listener.name.clone(), other.name.clone());
            return Err(StartError::Taken { listener, other, address });
        }
    }
    Ok(())
}

/// Binds `listener` once for each of so many workers.
pub(super) fn bind_for(
    listener: &Listener,
    workers: usize,
    present: &[Present],
) -> Result<Bound, StartError> {
    let fail = |error| StartError::Bind {
        listener: listener.name.clone(),
        address: listener.bind.clone(),
        error,
        passed: None,
    };
    let (sockets, address, file) = match &listener.bind {
        Address::Ip(address) => {
            let (sockets, address) = bind_ip(*address, &listener.socket, workers, present).map_err(fail)?;
            (sockets, Address::Ip(address), None)
        }
        Address::Unix(path) => {
            let (first, file) = bind_unix(path, &listener.socket.permissions).map_err(fail)?;
            let others = (1..workers).map(|_| first.try_clone()).collect::<io::Result<Vec<_>>>();
            let others = others.inspect_err(|_| file.iter().for_each(|file| file.remove(path)));
            let sockets = std::iter::once(first).chain(others.map_err(fail)?).collect();
            (sockets, listener.bind.clone(), file)
        }
    };
    Ok(Bound { sockets: sockets.into_iter().map(|socket| vec![socket]).collect(), address, file })
}

/// `error` with the socket that a service manager has passed and that is in the way, if there is one: it
/// listens on the same port, and is at none of `places`.
pub(super) fn blame_passed(error: StartError, present: &[Present], places: &[Option<usize>]) -> StartError {
    let StartError::Bind { listener, address, error, passed: None } = error else { return error };
    let port = |address: &Address| address.ip().map(|address| address.port());
    let is_in_the_way = |(place, one): &(usize, &Present)| {
        let is_near =
            one.address == address || (port(&address).is_some() && port(&one.address) == port(&address));
        one.is_lent && is_near && !places.contains(&Some(*place))
    };
    let is_taken = error.kind() == io::ErrorKind::AddrInUse;
    let passed = present.iter().enumerate().filter(|_| is_taken).find(is_in_the_way);
    StartError::Bind { listener, address, error, passed: passed.map(|(_, one)| one.address.clone()) }
}

/// A socket for each of so many workers.
fn bind_ip(
    address: SocketAddr,
    options: &SocketOptions,
    workers: usize,
    present: &[Present],
) -> io::Result<(Vec<OwnedFd>, SocketAddr)> {
    // SO_REUSEPORT would let a second Pollux share the port unnoticed. This one may: an address is exchanged for a wider or
    // a narrower one with the same port, and for a moment both are bound.
    let is_beside = |present: &Present| present.address.ip().is_some_and(|other| overlaps(other, address));
    if !present.iter().any(is_beside) {
        probe(address, options)?;
    }
    let (mut sockets, mut address) = (Vec::new(), address);
    for _ in 0..workers {
        let (socket, bound) = bind_with(address, options)?;
        address = bound;
        sockets.push(socket);
    }
    Ok((sockets, address))
}

/// The files of Unix sockets that were just bound: they go with this, unless they are kept.
#[derive(Debug, Default)]
pub(super) struct Fresh(Vec<(PathBuf, FileIdentity)>);

impl Fresh {
    /// Takes in the file of a socket that was bound, if it has one.
    pub(super) fn note(&mut self, bound: &Bound) {
        if let (Address::Unix(path), Some(file)) = (&bound.address, bound.file) {
            self.0.push((path.clone(), file));
        }
    }

    /// Leaves the files where they are.
    pub(super) fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        self.0.iter().for_each(|(path, file)| file.remove(path));
    }
}

/// Shares the sockets out that were handed to `listener` and are those of `present`: all of them, for in each
/// queue clients may wait. Workers that are left without one get another socket on the address, or, where
/// that cannot be bound beside those or they are lent, one together with another worker.
pub(super) fn share_out(
    listener: &Listener,
    workers: usize,
    present: &Present,
    handed: Vec<OwnedFd>,
) -> Result<Bound, StartError> {
    let address = present.address.clone();
    let fail = |error| StartError::Bind {
        listener: listener.name.clone(),
        address: address.clone(),
        error,
        passed: None,
    };
    let mut sockets: Vec<Vec<OwnedFd>> = (0..workers).map(|_| Vec::new()).collect();
    let count = handed.len();
    for (number, socket) in handed.into_iter().enumerate() {
        prepare(&socket).map_err(fail)?;
        sockets[number % workers].push(socket);
    }
    for worker in count..workers {
        let beside = address.ip().filter(|_| !present.is_lent);
        let beside = beside.and_then(|address| bind_with(address, &listener.socket).ok());
        let another = match beside {
            Some((socket, _)) => socket,
            None => sockets[worker % count][0].try_clone().map_err(fail)?,
        };
        sockets[worker].push(another);
    }
    Ok(Bound { sockets, address, file: present.file })
}

fn overlaps(one: SocketAddr, other: SocketAddr) -> bool {
    let is_wild = one.ip().is_unspecified() || other.ip().is_unspecified();
    // `[::]` may take IPv4 clients too.
    one.port() == other.port()
        && (one.is_ipv4() == other.is_ipv4() || is_wild)
        && (one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::bind;
    use crate::snapshot::{Mode, PoolId};

    fn listener(name: &str, bind: &str) -> Listener {
        Listener::to_pool(name, bind.parse().unwrap(), Mode::Http, PoolId(0))
    }

    #[test]
    fn sockets_are_kept_by_address_and_rather_by_name() {
        let old = [listener("a", "[::1]:0"), listener("b", "[::1]:0"), listener("c", "10.0.0.1:80")];
        let addresses: Vec<_> =
            ["[::1]:5000", "[::1]:5001", "10.0.0.1:80"].iter().map(|text| text.parse().unwrap()).collect();
        let present = |(old, address): (&Listener, &SocketAddr)| Present {
            name: old.name.clone(),
            bind: old.bind.clone(),
            address: Address::Ip(*address),
            v6only: true,
            interface: None,
            is_lent: false,
            file: None,
            is_gone: false,
        };
        let present: Vec<_> = old.iter().zip(&addresses).map(present).collect();
        let new = [listener("b", "[::1]:0"), listener("x", "10.0.0.1:80"), listener("c", "10.0.0.1:81")];
        assert_eq!(kept(&present, &new), [Some(1), Some(2), None]);
        assert_eq!(
            kept(&present, &[listener("y", "[::1]:5001"), listener("b", "[::1]:0")]),
            [Some(1), Some(0)]
        );
    }

    #[test]
    fn handed_sockets_are_shared_out_among_few_and_many() {
        let any = listener("a", "127.0.0.1:0");
        let at = |address| Present {
            name: "a".into(),
            bind: any.bind.clone(),
            address: Address::Ip(address),
            v6only: true,
            interface: None,
            is_lent: false,
            file: None,
            is_gone: false,
        };
        let handed = |count: usize| {
            let (first, address) = bind(any.bind.ip().unwrap()).unwrap();
            let others = (1..count).map(|_| bind(address).unwrap().0);
            (std::iter::once(first).chain(others).collect::<Vec<_>>(), address)
        };
        for (count, workers, expected) in [(3, 2, vec![2, 1]), (2, 2, vec![1, 1]), (1, 3, vec![1, 1, 1])] {
            let (sockets, address) = handed(count);
            let sockets = share_out(&any, workers, &at(address), sockets).unwrap().sockets;
            assert_eq!(sockets.iter().map(Vec::len).collect::<Vec<_>>(), expected);
        }
        // One that does not let others beside it is shared.
        let alone = std::net::TcpListener::bind(any.bind.ip().unwrap()).unwrap();
        let address = alone.local_addr().unwrap();
        let sockets = share_out(&any, 2, &at(address), vec![alone.into()]).unwrap().sockets;
        assert_eq!(sockets.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
    }

    #[test]
    fn a_wider_address_overlaps() {
        let overlaps = |one: &str, other: &str| overlaps(one.parse().unwrap(), other.parse().unwrap());
        assert!(overlaps("0.0.0.0:80", "10.0.0.1:80"));
        assert!(!overlaps("0.0.0.0:80", "10.0.0.1:81") && overlaps("[::]:80", "10.0.0.1:80"));
        assert!(!overlaps("[::1]:80", "10.0.0.1:80"));
    }
}
