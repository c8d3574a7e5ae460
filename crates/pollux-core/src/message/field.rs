//! Field lines (RFC 9110 §5), and the table that a reader puts them into.

use arrayvec::ArrayVec;

use super::name::Name;
use crate::core::bounds::Limits;

/// One field line of a head.
#[derive(Clone, Copy, Debug)]
pub struct FieldLine<'a> {
    /// The name as it came; a token.
    pub name: &'a str,
    /// The value as it came.
    pub value: &'a [u8],
    /// The class of the name.
    pub kind: Name,
}

impl<'a> FieldLine<'a> {
    /// Classifies the name.
    #[must_use]
    pub fn new(name: &'a str, value: &'a [u8]) -> FieldLine<'a> {
        FieldLine { name, value, kind: Name::of(name.as_bytes()) }
    }

    /// The name and the value.
    #[must_use]
    pub fn pair(&self) -> (&'a str, &'a [u8]) {
        (self.name, self.value)
    }
}

/// Names are equal in any case (RFC 9110 §5.1).
impl PartialEq for FieldLine<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.name.eq_ignore_ascii_case(other.name) && self.value == other.value
    }
}

impl Eq for FieldLine<'_> {}

/// Room for the fields of a head, on the stack of its reader.
pub type FieldTable<'a> = ArrayVec<FieldLine<'a>, { Limits::FIELDS_MAX }>;

/// An empty table.
#[must_use]
pub fn field_table<'a>() -> FieldTable<'a> {
    ArrayVec::new_const()
}

/// The values of all fields of a kind, as one list (RFC 9110 §5.3).
#[must_use]
pub fn join(fields: &[FieldLine<'_>], kind: Name) -> Vec<u8> {
    let values = fields.iter().filter(|field| field.kind == kind).map(|field| field.value);
    values.collect::<Vec<_>>().join(&b","[..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_equal_in_any_case_of_their_names_only() {
        let line = FieldLine::new("Accept", b"*/*");
        assert_eq!(line, FieldLine::new("accept", b"*/*"));
        assert_ne!(line, FieldLine::new("accept", b"*/* "));
        assert_ne!(line, FieldLine::new("accepts", b"*/*"));
    }

    #[test]
    fn the_values_of_a_kind_are_one_list() {
        let fields =
            [FieldLine::new("Upgrade", b"a"), FieldLine::new("x", b"b"), FieldLine::new("UPGRADE", b"c, d")];
        assert_eq!(join(&fields, Name::Upgrade), b"a,c, d");
        assert_eq!(join(&fields, Name::Host), b"");
    }
}
