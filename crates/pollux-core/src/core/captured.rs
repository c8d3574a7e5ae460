//! Header fields of an exchange that its record is to have.

/// The longest value that is kept, in bytes; longer ones are cut.
pub const VALUE_MAX: usize = 1024;

/// The name and the value of a field.
pub type NamedValue<'a> = (&'a str, &'a [u8]);

/// The names of the fields that are kept, in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapturedNames {
    /// Of requests.
    pub request: Vec<String>,
    /// Of responses.
    pub response: Vec<String>,
}

/// No field.
pub static NOTHING: CapturedNames = CapturedNames { request: Vec::new(), response: Vec::new() };

/// The values that were found of them, the first of each.
#[derive(Clone, Debug, Default)]
pub struct Captured {
    text: Vec<u8>,
    /// The places of the names, and where their values end in the text.
    ends: Vec<(Of, usize)>,
}

/// None.
pub static NO_NOTES: Captured = Captured { text: Vec::new(), ends: Vec::new() };

/// The place of a name among those that are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Request(usize),
    Response(usize),
}

impl Captured {
    /// Forgets what it knows, but not the memory it took.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    /// Nothing, with the memory that it took, and `most` bytes of it at most.
    #[must_use]
    pub fn into_memory(mut self, most: usize) -> Captured {
        self.clear();
        self.text.shrink_to(most);
        self
    }

    /// Takes what is wanted of the fields of a request.
    pub fn take_request<'f>(
        &mut self,
        fields: &(impl Iterator<Item = NamedValue<'f>> + Clone),
        wanted: &CapturedNames,
    ) {
        self.take(fields, &wanted.request, Of::Request);
    }

    /// Takes what is wanted of the fields of a response.
    pub fn take_response<'f>(
        &mut self,
        fields: &(impl Iterator<Item = NamedValue<'f>> + Clone),
        wanted: &CapturedNames,
    ) {
        self.take(fields, &wanted.response, Of::Response);
    }

    fn take<'f>(
        &mut self,
        fields: &(impl Iterator<Item = NamedValue<'f>> + Clone),
        names: &[String],
        of: impl Fn(usize) -> Of,
    ) {
        for (place, name) in names.iter().enumerate() {
            if let Some((_, value)) = fields.clone().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
                self.text.extend_from_slice(&value[..value.len().min(VALUE_MAX)]);
                self.ends.push((of(place), self.text.len()));
            }
        }
    }

    /// The value of the field of the request whose name stands at `place` of those that are wanted.
    #[must_use]
    pub fn request(&self, place: usize) -> Option<&[u8]> {
        self.get(Of::Request(place))
    }

    /// The field of the response at that place.
    #[must_use]
    pub fn response(&self, place: usize) -> Option<&[u8]> {
        self.get(Of::Response(place))
    }

    fn get(&self, of: Of) -> Option<&[u8]> {
        let at = self.ends.iter().position(|(known, _)| *known == of)?;
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before].1);
        Some(&self.text[start..self.ends[at].1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_each_is_kept_and_cut() {
        let long = [b'x'; 2 * VALUE_MAX];
        let wanted = CapturedNames {
            request: ["a", "b", "c"].map(String::from).into(),
            response: vec![String::from("a")],
        };
        let mut captured = Captured::default();
        let request: [NamedValue<'_>; 3] = [("C", &long), ("A", b"1"), ("a", b"2")];
        captured.take_request(&request.into_iter(), &wanted);
        captured.take_response(&[("A", &b"3"[..])].into_iter(), &wanted);
        assert_eq!(captured.request(0), Some(&b"1"[..]));
        assert_eq!(captured.request(1), None);
        assert_eq!(captured.request(2).map(<[u8]>::len), Some(VALUE_MAX));
        assert_eq!(captured.response(0), Some(&b"3"[..]));
        captured.clear();
        assert_eq!((captured.request(0), captured.response(0)), (None, None));
    }
}
