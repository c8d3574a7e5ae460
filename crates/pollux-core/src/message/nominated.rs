//! Fields that do not pass because of what the head says: those that Connection names (RFC 9110 §7.6.1), in
//! heads and trailers, and in trailers those that a route takes out of the head.

use std::cmp::Ordering;

use super::field::FieldLine;
use super::name::Name;
use crate::syntax::grammar::{alike, list};

/// The most names that the Connection fields of one head may have, those not counted that are about the
/// connection itself. More than 64 no program is known to send, and each costs every field a look.
pub const NOMINATED_MAX: usize = 64;

/// A set of field names. Names that differ in case, or in `-` and `_`, are the same: many an application
/// cannot tell them apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nominated {
    /// In order.
    names: Vec<Box<[u8]>>,
}

impl Nominated {
    /// The names in the Connection fields among `fields`.
    #[must_use]
    pub fn by(fields: &[FieldLine<'_>]) -> Nominated {
        let connection = fields.iter().filter(|field| field.kind == Name::Connection);
        let mut nominated = Nominated::default();
        nominated.add(connection.flat_map(|field| list(field.value)));
        nominated
    }

    /// Takes more names in.
    pub fn add<'a>(&mut self, names: impl Iterator<Item = &'a [u8]>) {
        self.names.extend(names.map(Box::from));
        self.names.sort_unstable_by(|one, other| compare(one, other));
        self.names.dedup_by(|one, other| compare(one, other) == Ordering::Equal);
    }

    /// Whether `name` is one of them.
    #[must_use]
    pub fn has(&self, name: &[u8]) -> bool {
        !self.names.is_empty() && self.names.binary_search_by(|known| compare(known, name)).is_ok()
    }
}

fn compare(one: &[u8], other: &[u8]) -> Ordering {
    one.iter().map(|byte| alike(*byte)).cmp(other.iter().map(|byte| alike(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The set is what a look at each name in turn comes to.
        #[test]
        fn it_is_a_set(names in prop::collection::vec("[aA_b-]{0,4}", 0..12), asked in "[aA_b-]{0,4}") {
            let mut nominated = Nominated::default();
            nominated.add(names.iter().map(String::as_bytes));
            let plain = |text: &str| text.to_ascii_lowercase().replace('_', "-");
            prop_assert_eq!(nominated.has(asked.as_bytes()), names.iter().any(|name| plain(name) == plain(&asked)));
        }
    }

    #[test]
    fn connection_names_them_in_any_number_of_fields() {
        let fields = [
            FieldLine::new("connection", b"close, X-One"),
            FieldLine::new("X-Two", b"X-Three"),
            FieldLine::new("Connection", b",x-four"),
        ];
        let nominated = Nominated::by(&fields);
        assert!(["x-one", "X_ONE", "x-four"].iter().all(|name| nominated.has(name.as_bytes())));
        assert!(!["x-two", "x-three", ""].iter().any(|name| nominated.has(name.as_bytes())));
    }
}
