//! A strict reader of heads, written for the tests alone: it shares no code and no lenience with Pollux, so
//! that a head which both accept is right, and it panics at anything that Pollux should not have sent.

/// A head: its first line and its fields in order, names in lower case.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) start: String,
    fields: Vec<(String, String)>,
}

impl Head {
    /// Takes a head off the front of `bytes`; `None` if it is not complete.
    pub(crate) fn take(bytes: &mut Vec<u8>) -> Option<Head> {
        let len = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let text: Vec<u8> = bytes.drain(..len + 4).take(len).collect();
        let text = String::from_utf8(text).expect("a head of ASCII");
        let mut lines = text.split("\r\n");
        let start = lines.next().expect("a split has a first part").to_owned();
        assert!(
            !start.is_empty() && start.bytes().all(|b| (0x20..0x7f).contains(&b)),
            "first line: {start:?}"
        );
        Some(Head { start, fields: lines.map(field).collect() })
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The values of every field called `name`.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        self.all().filter(|(one, _)| *one == name).map(|(_, value)| value).collect()
    }

    /// The value of the only field called `name`.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let values = self.values(name);
        assert!(values.len() < 2, "{name} is there {} times", values.len());
        values.first().copied()
    }

    /// The value of the only field called `name`, which is a number.
    pub(crate) fn number(&self, name: &str) -> Option<usize> {
        let value = self.value(name)?;
        assert!(value.bytes().all(|b| b.is_ascii_digit()), "{name}: {value:?}");
        Some(value.parse().unwrap_or_else(|_| panic!("{name}: {value:?}")))
    }

    /// Whether `token` is a member of the list in the fields called `name`.
    pub(crate) fn lists(&self, name: &str, token: &str) -> bool {
        self.values(name)
            .iter()
            .flat_map(|list| list.split(','))
            .any(|one| one.trim().eq_ignore_ascii_case(token))
    }

    /// Panics at every field that is neither in `expected`, with its value and in its order, nor called one
    /// of `allowed`.
    pub(crate) fn must_be(&self, expected: &[(String, String)], allowed: &[&str]) {
        let got: Vec<_> = self.all().filter(|(name, _)| !allowed.contains(name)).collect();
        for (name, value) in &got {
            let known = expected.iter().any(|(one, _)| one.eq_ignore_ascii_case(name));
            assert!(known, "a field from nowhere: {name}: {value:?}");
        }
        for (name, _) in expected {
            let want = expected.iter().filter(|(one, _)| one == name).map(|(_, value)| value.as_str());
            let got = got.iter().filter(|(one, _)| one.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
            assert!(want.eq(got), "the fields called {name} are not as they were sent: {:?}", self.fields);
        }
    }
}

fn field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("a field without a colon: {line:?}"));
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    assert!(!name.is_empty() && name.bytes().all(is_token), "the name of a field: {line:?}");
    assert!(value.bytes().all(|b| b == b'\t' || (0x20..0x7f).contains(&b)), "the value of a field: {line:?}");
    (name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned())
}
