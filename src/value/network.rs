//! Networks, as people write them.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::ValueError;
use super::quote::quote;

const EXPECTED: &str = "no network";

/// The bits of an IPv6 address before the IPv4 address that is mapped into it (RFC 4291 §2.5.5.2).
const MAPPED_BITS: u8 = 96;

/// A network such as `10.0.0.0/8`, or a single address. A network of IPv4-mapped addresses is the IPv4
/// network: the addresses of clients are compared in that form.
///
/// # Errors
///
/// When the text is no network, has bits behind its prefix, or is spelled so that other programs read it
/// otherwise.
pub fn parse_network(text: &str) -> Result<IpNet, ValueError> {
    let Some(network) = strict(text) else {
        let help = match meant(text) {
            Some(network) => format!("write `{}`", show_network(network)),
            None => String::from("write a network such as `10.0.0.0/8` or `2001:db8::/32`, or an address"),
        };
        return Err(ValueError::new(format!("{} is not a network", quote(text)), EXPECTED, help));
    };
    if network.trunc() != network {
        let message = format!("{} has bits behind its prefix", quote(text));
        let help = format!("write `{}`, or the address alone", plain(network.trunc()));
        return Err(ValueError::new(message, EXPECTED, help));
    }
    Ok(plain(network))
}

/// The network that `text` stands for, where each decimal number is written without leading zeros.
fn strict(text: &str) -> Option<IpNet> {
    let Some((address, prefix)) = text.split_once('/') else {
        return text.parse::<IpAddr>().ok().map(IpNet::from);
    };
    let is_plain =
        prefix.bytes().all(|byte| byte.is_ascii_digit()) && (prefix == "0" || !prefix.starts_with('0'));
    // The parser of `ipnet` takes `010.0.0.0/08`, which is 8.0.0.0/8 to those who read octal numbers; that of
    // the standard library takes no leading zeros in addresses.
    let address = address.parse::<IpAddr>().ok().filter(|_| is_plain)?;
    IpNet::new(address, prefix.parse().ok()?).ok()
}

/// The IPv4 form of a network of IPv4-mapped addresses; any other as it is.
fn plain(network: IpNet) -> IpNet {
    let IpNet::V6(six) = network else { return network };
    let mapped = six.addr().to_ipv4_mapped().zip(six.prefix_len().checked_sub(MAPPED_BITS));
    let four = mapped.and_then(|(address, prefix)| Ipv4Net::new(address, prefix).ok());
    four.map_or(network, IpNet::V4)
}

/// The network that an odd spelling probably means: blanks, brackets, leading zeros, a netmask, octets that
/// are left out.
fn meant(text: &str) -> Option<IpNet> {
    let text = text.trim();
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address.trim(), Some(prefix.trim())),
        None => (text, None),
    };
    let address = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    let address = match address.parse::<IpAddr>() {
        Ok(address) => address,
        Err(_) => four(address, prefix.is_some())?.into(),
    };
    let Some(prefix) = prefix else { return Some(IpNet::from(address)) };
    let network = match prefix.parse::<u8>() {
        Ok(bits) => IpNet::new(address, bits).ok()?,
        Err(_) => IpNet::with_netmask(address, four(prefix, false)?.into()).ok()?,
    };
    Some(network.trunc())
}

/// Four decimal octets, with leading zeros; with `may_lack` those at the end may be left out (`10`,
/// `192.168`).
fn four(text: &str, may_lack: bool) -> Option<Ipv4Addr> {
    let mut octets = [0_u8; 4];
    let mut count = 0;
    for part in text.strip_suffix('.').filter(|_| may_lack).unwrap_or(text).split('.') {
        *octets.get_mut(count)? = part.parse().ok()?;
        count += 1;
    }
    (count == octets.len() || may_lack).then(|| Ipv4Addr::from(octets))
}

/// As [`parse_network`] reads it: a single address without its prefix.
fn show_network(network: IpNet) -> String {
    let network = plain(network);
    if network.prefix_len() == network.max_prefix_len() {
        network.addr().to_string()
    } else {
        network.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn networks_and_addresses_are_read_and_mapped_ones_are_ipv4() {
        for (text, network) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("2001:0DB8::/32", "2001:db8::/32"),
            ("::1", "::1/128"),
            ("::/0", "::/0"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:a00:0/104", "10.0.0.0/8"),
            ("::ffff:10.1.2.3", "10.1.2.3/32"),
            ("::ffff:0.0.0.0/96", "0.0.0.0/0"),
            // Not all of its addresses are mapped ones.
            ("::/64", "::/64"),
        ] {
            assert_eq!(
                parse_network(text).map(|network| network.to_string()),
                Ok(network.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn odd_spellings_are_refused_with_the_right_one() {
        for (text, help) in [
            ("010.0.0.0/08", "write `10.0.0.0/8`"),
            ("10.0.0.0/08", "write `10.0.0.0/8`"),
            ("010.0.0.1", "write `10.0.0.1`"),
            ("10.0.0.0/+8", "write `10.0.0.0/8`"),
            ("10/8", "write `10.0.0.0/8`"),
            ("192.168./16", "write `192.168.0.0/16`"),
            ("10.0.0.0/255.0.0.0", "write `10.0.0.0/8`"),
            (" 10.0.0.0/8", "write `10.0.0.0/8`"),
            ("10.0.0.0 / 8", "write `10.0.0.0/8`"),
            ("[::1]", "write `::1`"),
            ("[2001:db8::]/32", "write `2001:db8::/32`"),
            ("::ffff:10.0.0.0/0104", "write `10.0.0.0/8`"),
            ("10.0.0.1/8", "write `10.0.0.0/8`, or the address alone"),
            ("::ffff:10.0.0.1/104", "write `10.0.0.0/8`, or the address alone"),
        ] {
            assert_eq!(parse_network(text).unwrap_err().help(), help, "{text}");
        }
        for text in [
            "",
            "somewhere",
            "10.0.0.0/33",
            "10.0.0.0/",
            "1.2.3.4.5/8",
            "256.0.0.0/8",
            "10.0.0.0/255.0.255.0",
        ] {
            assert!(parse_network(text).unwrap_err().help().starts_with("write a network such as"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_help_that_names_a_network_names_one_that_is_read(text in "[0-9./: \\[\\]f]{0,16}") {
            if let Err(error) = parse_network(&text) {
                let named = error.help().split('`').nth(1).unwrap_or_default();
                prop_assert!(parse_network(named).is_ok(), "{named}");
            }
        }
    }
}
