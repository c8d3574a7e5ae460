//! "Did you mean": the nearest of a few known words.

/// Longer words are not compared: the work is the product of both lengths, and so long a name is no typing
/// mistake.
const WORD_LEN_MAX: usize = 64;

/// At most this many words are compared, so that a huge file of wrong names stays cheap.
const WORDS_MAX: usize = 1000;

/// The word nearest to `written`, if one is near enough to be what was meant: about one wrong letter in
/// three.
pub(crate) fn closest<'a>(written: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let len = written.chars().count();
    if len == 0 || len > WORD_LEN_MAX {
        return None;
    }
    let near = len.max(3) / 3;
    words
        .take(WORDS_MAX)
        .filter(|word| word.len() <= WORD_LEN_MAX)
        .map(|word| (distance(written, word), word))
        .filter(|(distance, _)| *distance <= near)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// The Levenshtein distance, blind to the case of ASCII letters: how many insertions, deletions, replacements
/// and swaps of two neighbours lead from one to the other.
fn distance(a: &str, b: &str) -> usize {
    let [a, b] = [a, b].map(|word| word.chars().map(|c| c.to_ascii_lowercase()).collect::<Vec<_>>());
    // `rows[i][j]` is the distance between the first `i` letters of `a` and the first `j` of `b`.
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_edits() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("HTTP", "http"), 0);
        assert_eq!(distance("bnid", "bind"), 1);
    }

    #[test]
    fn a_near_word_is_suggested_and_a_far_one_is_not() {
        let words = ["http", "tcp"];
        assert_eq!(closest("htp", words.into_iter()), Some("http"));
        assert_eq!(closest("TCP", words.into_iter()), Some("tcp"));
        assert_eq!(closest("quic", words.into_iter()), None);
        assert_eq!(closest("", words.into_iter()), None);
        assert_eq!(closest(&"h".repeat(1000), words.into_iter()), None);
    }
}
