//! Backends out of an address and a weight.

use super::{Resolve, ValueError, backend_addresses, resolve};
use crate::config::quote::quote;
use crate::config::suggest::closest;
use crate::snapshot::{Address, Backend};

const EXPECTED: &str = "expected ADDRESS[,weight=N]";

/// The backends of a flag such as `127.0.0.1:9001`, `host:9001,weight=3` or `unix:/run/app.sock`: several when a host
/// name has several addresses. The weight is 1 unless given, and applies to each. A path with a comma has no place in
/// a flag.
///
/// # Errors
///
/// When the address is bad, the weight is out of 1 to [`Backend::WEIGHT_MAX`] or given twice, or anything else follows.
pub fn parse_backend_flag(text: &str) -> Result<Vec<Backend>, ValueError> {
    flag(text, &mut resolve)
}

fn flag(text: &str, resolve: &mut Resolve<'_>) -> Result<Vec<Backend>, ValueError> {
    let (address, options) = text.split_once(',').map_or((text, None), |(head, tail)| (head, Some(tail)));
    let mut weight = None;
    for option in options.into_iter().flat_map(|options| options.split(',')) {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        if key != "weight" {
            let help = match closest(key, ["weight"].into_iter()) {
                Some(_) => "did you mean `weight`? write `,weight=3`",
                None => "after the address comes nothing, or `,weight=3`",
            };
            return Err(ValueError::new(format!("unknown option {}", quote(key)), EXPECTED, help));
        }
        if weight.replace(parse_weight(value)?).is_some() {
            return Err(ValueError::new("the weight is given twice", EXPECTED, "remove one of the two"));
        }
    }
    Ok(named(address, weight.unwrap_or(1), backend_addresses(address, resolve)?))
}

fn parse_weight(text: &str) -> Result<u32, ValueError> {
    text.parse().ok().filter(|weight| (1..=Backend::WEIGHT_MAX).contains(weight)).ok_or_else(|| {
        let help = format!("write a whole number from 1 to {}", Backend::WEIGHT_MAX);
        ValueError::new(format!("{} is not a weight", quote(text)), EXPECTED, help)
    })
}

/// One backend for each address, named as it was written; when there are several, the address tells them apart.
pub(in crate::config) fn named(written: &str, weight: u32, addresses: Vec<Address>) -> Vec<Backend> {
    let several = addresses.len() > 1;
    let name = |address: &Address| {
        if several { format!("{written} ({address})") } else { written.to_owned() }
    };
    addresses.into_iter().map(|address| Backend::new(name(&address), address, weight)).collect()
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::SocketAddr;

    use super::*;

    fn two(_: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(vec![([127, 0, 0, 1], port).into(), ([127, 0, 0, 2], port).into()])
    }

    #[test]
    fn a_flag_is_an_address_and_perhaps_a_weight() {
        let plain = parse_backend_flag("127.0.0.1:9001").unwrap();
        assert_eq!((plain[0].name.as_str(), plain[0].weight), ("127.0.0.1:9001", 1));
        let heavy = flag("app:9001,weight=3", &mut two).unwrap();
        let shown: Vec<_> = heavy.iter().map(|backend| (backend.name.as_str(), backend.weight)).collect();
        assert_eq!(shown, [("app:9001 (127.0.0.1:9001)", 3), ("app:9001 (127.0.0.2:9001)", 3)]);
    }

    #[test]
    fn each_mistake_has_its_message() {
        for (text, message) in [
            ("127.0.0.1:1,weight=0", "`0` is not a weight"),
            ("127.0.0.1:1,weight=1001", "`1001` is not a weight"),
            ("127.0.0.1:1,weight", "`` is not a weight"),
            ("127.0.0.1:1,weight=1,weight=2", "the weight is given twice"),
            ("127.0.0.1:1,wieght=3", "unknown option `wieght`"),
            ("127.0.0.1:1,", "unknown option ``"),
            (",weight=1", "the address is empty"),
        ] {
            let error = parse_backend_flag(text).unwrap_err();
            assert_eq!(error.message(), message, "{text}");
        }
    }
}
