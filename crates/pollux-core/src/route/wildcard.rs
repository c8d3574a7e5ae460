//! Wildcards, in texts and in lists alike.

/// A part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item<T> {
    /// One that is like that.
    One(T),
    /// Any number of them, also none.
    Any,
}

/// Whether all of `found` is like `pattern`. It takes no longer than the product of both lengths: only the
/// last wildcard is ever tried again, because whatever the ones before it have taken, they could not have
/// taken less.
pub(super) fn fits<P, T>(pattern: &[Item<P>], found: &[T], is_like: impl Fn(&P, &T) -> bool) -> bool {
    let (mut at, mut place) = (0, 0);
    // Where the pattern goes on behind the last wildcard, and what that has not taken yet.
    let mut again: Option<(usize, usize)> = None;
    while place < found.len() {
        match pattern.get(at) {
            Some(Item::Any) => {
                at += 1;
                again = Some((at, place));
            }
            Some(Item::One(wanted)) if is_like(wanted, &found[place]) => {
                at += 1;
                place += 1;
            }
            Some(Item::One(_)) | None => match &mut again {
                Some((behind, from)) => {
                    *from += 1;
                    (at, place) = (*behind, *from);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|item| matches!(item, Item::Any))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn items(text: &str) -> Vec<Item<u8>> {
        text.bytes().map(|byte| if byte == b'*' { Item::Any } else { Item::One(byte) }).collect()
    }

    /// By the definition.
    fn is_like(pattern: &[Item<u8>], found: &[u8]) -> bool {
        match (pattern.split_first(), found.split_first()) {
            (None, _) => found.is_empty(),
            (Some((Item::Any, rest)), None) => is_like(rest, found),
            (Some((Item::Any, rest)), Some((_, behind))) => is_like(rest, found) || is_like(pattern, behind),
            (Some((Item::One(_), _)), None) => false,
            (Some((Item::One(wanted), rest)), Some((byte, behind))) => {
                wanted == byte && is_like(rest, behind)
            }
        }
    }

    proptest! {
        #[test]
        fn it_is_what_the_definition_says(pattern in "[ab*]{0,8}", found in "[ab]{0,10}") {
            let pattern = items(&pattern);
            let fitted = fits(&pattern, found.as_bytes(), |wanted, byte| wanted == byte);
            prop_assert_eq!(fitted, is_like(&pattern, found.as_bytes()));
        }
    }

    #[test]
    fn many_wildcards_take_no_time() {
        let (pattern, found) = (items(&format!("{}b", "*a".repeat(50))), "a".repeat(100_000));
        assert!(!fits(&pattern, found.as_bytes(), |wanted, byte| wanted == byte));
    }
}
