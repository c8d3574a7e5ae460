//! A file that lists backends, as another program writes it: JSON (RFC 8259).

use std::collections::HashSet;
use std::ops::RangeInclusive;

use serde::Deserialize;

use super::Entry;
use crate::snapshot::Backend;
use crate::value::parse_backend_literal;

/// The longest file, in bytes.
pub(super) const LEN_MAX: usize = 1024 * 1024;

/// The most backends that a file may list.
pub const ENTRIES_MAX: usize = 10_000;

/// The longest name, in bytes.
const NAME_LEN_MAX: usize = 256;

/// An item of the list.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected an address as text, or an object with the keys of a backend: \
    address, name, weight, tier, max_requests, max_connections"
)]
enum Item {
    Text(String),
    Object(Object),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    address: String,
    name: Option<String>,
    weight: Option<u32>,
    tier: Option<u8>,
    max_requests: Option<u32>,
    max_connections: Option<u32>,
}

/// The backends that a file of `bytes` lists: a list of addresses, or of objects with the keys of a backend
/// in `proxy.toml`. Host names have no place in it. An empty list is no mistake.
///
/// # Errors
/// What is wrong, with the line or the number of the item.
pub fn parse(bytes: &[u8]) -> Result<Vec<Entry>, String> {
    if bytes.len() > LEN_MAX {
        return Err(format!("it is longer than {LEN_MAX} bytes"));
    }
    let items: Vec<Item> = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if items.len() > ENTRIES_MAX {
        return Err(format!("it lists {} backends, more than {ENTRIES_MAX}", items.len()));
    }
    let (mut entries, mut addresses, mut names) = (Vec::new(), HashSet::new(), HashSet::new());
    for (index, item) in items.into_iter().enumerate() {
        let entry = entry(item).map_err(|why| format!("item {}: {why}", index + 1))?;
        if !addresses.insert(entry.address.clone()) {
            return Err(format!("item {}: {} stands twice in the list", index + 1, entry.address));
        }
        if let Some(name) = &entry.name
            && !names.insert(name.clone())
        {
            return Err(format!("item {}: the name `{name}` stands twice in the list", index + 1));
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn entry(item: Item) -> Result<Entry, String> {
    let Object { address, name, weight, tier, max_requests, max_connections } = match item {
        Item::Object(object) => object,
        Item::Text(address) => Object {
            address,
            name: None,
            weight: None,
            tier: None,
            max_requests: None,
            max_connections: None,
        },
    };
    let address = parse_backend_literal(&address).map_err(|error| error.to_string())?;
    within("weight", weight, 0..=Backend::WEIGHT_MAX)?;
    within("tier", tier.map(u32::from), 1..=u32::from(Backend::TIER_MAX))?;
    within("max_requests", max_requests, 1..=u32::MAX)?;
    within("max_connections", max_connections, 1..=u32::MAX)?;
    if let Some(name) = &name
        && (name.is_empty() || name.len() > NAME_LEN_MAX || name.chars().any(char::is_control))
    {
        return Err(format!("a name has 1 to {NAME_LEN_MAX} bytes, none of them control characters"));
    }
    Ok(Entry { address, name, weight, tier, max_requests, max_connections })
}

fn within(key: &str, number: Option<u32>, bounds: RangeInclusive<u32>) -> Result<(), String> {
    match number {
        Some(number) if !bounds.contains(&number) => {
            Err(format!("`{key}` is {number}; it goes from {} to {}", bounds.start(), bounds.end()))
        }
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_an_address_or_an_object() {
        let text = r#"["127.0.0.1:1", {"address": "unix:/run/a", "name": "a", "weight": 3, "tier": 2, "max_requests": 4}]"#;
        let entries = parse(text.as_bytes()).unwrap();
        assert_eq!(entries[0].address.to_string(), "127.0.0.1:1");
        let Entry { address, name, weight, tier, max_requests, max_connections } = &entries[1];
        assert_eq!((address.to_string().as_str(), name.as_deref()), ("unix:/run/a", Some("a")));
        assert_eq!((*weight, *tier, *max_requests, *max_connections), (Some(3), Some(2), Some(4), None));
        assert_eq!(parse(b"[]").unwrap(), []);
    }

    #[test]
    fn each_mistake_has_its_message() {
        for (text, message) in [
            ("", "EOF while parsing a value at line 1 column 0"),
            ("[\n \"127.0.0.1:1\",", "EOF while parsing a value at line 2"),
            ("{}", "expected a sequence"),
            ("[7]", "expected an address as text"),
            (r#"[{"address": "127.0.0.1:1", "wieght": 1}]"#, "expected an address as text"),
            (r#"["127.0.0.1"]"#, "item 1: `127.0.0.1` has no port"),
            (r#"["app:80"]"#, "item 1: `app` is a host name"),
            (r#"["127.0.0.1:0"]"#, "item 1: nothing can connect to port 0"),
            (r#"["127.0.0.1:1", "127.0.0.1:1"]"#, "item 2: 127.0.0.1:1 stands twice"),
            (r#"[{"address": "127.0.0.1:1", "weight": 1001}]"#, "`weight` is 1001; it goes from 0 to 1000"),
            (r#"[{"address": "127.0.0.1:1", "tier": 0}]"#, "`tier` is 0"),
            (r#"[{"address": "127.0.0.1:1", "name": ""}]"#, "a name has 1 to 256 bytes"),
        ] {
            let error = parse(text.as_bytes()).expect_err(text);
            assert!(error.contains(message), "{text}: {error}");
        }
        assert!(parse(&vec![b' '; LEN_MAX + 1]).unwrap_err().contains("longer than"));
    }
}
