//! The origin of a connection, the unit by which connections are counted: an IPv4 address, or an IPv6 network
//! of 64 bits, in which a single client can choose any address.

use ::core::net::IpAddr;

/// The bits of an IPv6 address that name its host.
const HOST: u32 = 64;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientOrigin(u64, bool);

impl ClientOrigin {
    /// The origin of an address; `None` if there is no address, as on a Unix socket.
    #[must_use]
    pub fn of(address: IpAddr) -> Option<ClientOrigin> {
        match address.to_canonical() {
            address if address.is_unspecified() => None,
            IpAddr::V4(address) => Some(ClientOrigin(u64::from(address.to_bits()), false)),
            IpAddr::V6(address) => {
                u64::try_from(address.to_bits() >> HOST).ok().map(|net| ClientOrigin(net, true))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_together() {
        let of = |text: &str| ClientOrigin::of(text.parse().unwrap());
        for (one, other, is_same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::2", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
            // Its first 64 bits are those of an IPv4 address.
            ("0:0:c000:201::1", "192.0.2.1", false),
        ] {
            assert_eq!(of(one) == of(other), is_same, "{one} and {other}");
        }
        assert_eq!((of("::"), of("0.0.0.0")), (None, None));
        assert!(of("::1").is_some());
    }
}
