//! The layout for a terminal of some width: columns and items whole or not at all, names by the part that
//! differs.

use ratatui::text::{Line, Span};

/// A column, of which the text is at most so wide.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) width: u16,
    /// It may be as narrow as this.
    pub(super) least: u16,
    /// The columns with the highest go first where not all have room; those with 0 stay.
    pub(super) rank: u8,
}

/// The width between two columns.
const GAP: u16 = 1;

/// The width of each column that is shown in `width`.
pub(super) fn columns(all: &[Column], width: u16) -> Vec<Option<u16>> {
    let mut shown: Vec<bool> = vec![true; all.len()];
    let used = |shown: &[bool]| {
        let widths = all.iter().zip(shown).filter(|(_, shown)| **shown).map(|(column, _)| column.least + GAP);
        widths.sum::<u16>().saturating_sub(GAP)
    };
    while used(&shown) > width {
        let may_go = (0..all.len()).filter(|place| shown[*place] && all[*place].rank > 0);
        let Some(last) = may_go.max_by_key(|place| all[*place].rank) else { break };
        shown[last] = false;
    }
    let mut left = width.saturating_sub(used(&shown));
    let widen = |(column, shown): (&Column, bool)| {
        shown.then(|| {
            let more = left.min(column.width.saturating_sub(column.least));
            left -= more;
            column.least + more
        })
    };
    all.iter().zip(shown).map(widen).collect()
}

/// The names in at most `width` letters each: where not all have room, what they have in common goes, at the
/// beginning or in the middle or at the end.
pub(super) fn names(all: &[&str], width: usize) -> Vec<String> {
    let cuts: [fn(&str, usize) -> String; 3] = [without_beginning, without_middle, without_end];
    let cut = |cut: fn(&str, usize) -> String| all.iter().map(|name| cut(name, width)).collect::<Vec<_>>();
    let different = |names: &[String]| names.iter().collect::<std::collections::HashSet<_>>().len();
    // Of equally good ones the first: `max_by_key` would take the last.
    cuts.into_iter().rev().map(cut).max_by_key(|names| different(names)).unwrap_or_default()
}

/// The last `width` letters, the first of them a mark where some are missing.
pub(super) fn without_beginning(text: &str, width: usize) -> String {
    cut(text, width, 0)
}

fn without_middle(text: &str, width: usize) -> String {
    cut(text, width, width / 2)
}

fn without_end(text: &str, width: usize) -> String {
    cut(text, width, width.saturating_sub(1))
}

/// `width` letters, with a mark behind the first `before` of them where some are missing.
fn cut(text: &str, width: usize, before: usize) -> String {
    let letters: Vec<char> = text.chars().collect();
    if letters.len() <= width || width == 0 {
        return letters.into_iter().take(width).collect();
    }
    let behind = letters.len() - (width - 1 - before);
    letters[..before].iter().chain(&['\u{2026}']).chain(&letters[behind..]).collect()
}

/// Lines of at most `width`, of items that each stand in one of them.
pub(super) fn wrap<'a>(items: Vec<Vec<Span<'a>>>, width: u16) -> Vec<Line<'a>> {
    let mut lines: Vec<Line<'a>> = Vec::new();
    for item in items {
        let needs: usize = item.iter().map(Span::width).sum();
        match lines.last_mut() {
            Some(line) if line.width() + 3 + needs <= usize::from(width) => {
                line.push_span(Span::raw("   "));
                item.into_iter().for_each(|span| line.push_span(span));
            }
            Some(_) | None => lines.push(Line::from(item)),
        }
    }
    lines
}

/// The number of lines of `width` that a text takes.
pub(super) fn height(text: &str, width: u16) -> u16 {
    let width = usize::from(width.max(1));
    let lines = text.lines().map(|line| line.chars().count().div_ceil(width).max(1)).sum::<usize>();
    u16::try_from(lines).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_go_whole_by_their_rank() {
        let column = |width, least, rank| Column { width, least, rank };
        let all = [column(9, 9, 0), column(30, 10, 0), column(12, 12, 3), column(6, 6, 1)];
        assert_eq!(columns(&all, 80), [Some(9), Some(30), Some(12), Some(6)]);
        assert_eq!(columns(&all, 45), [Some(9), Some(15), Some(12), Some(6)]);
        assert_eq!(columns(&all, 39), [Some(9), Some(22), None, Some(6)]);
        assert_eq!(columns(&all, 20), [Some(9), Some(10), None, None]);
        assert_eq!(columns(&all, 1), [Some(9), Some(10), None, None]);
    }

    #[test]
    fn names_are_cut_where_they_are_alike() {
        let cut = |all: &[&str]| names(all, 8);
        assert_eq!(cut(&["app/b1", "app/b2"]), ["app/b1", "app/b2"]);
        assert_eq!(cut(&["app/10.0.0.1:9001", "app/10.0.0.1:9002"]), ["….1:9001", "….1:9002"]);
        assert_eq!(cut(&["europe/shop-1", "america/shop-1"]), ["euro…p-1", "amer…p-1"]);
        assert_eq!(cut(&["abcdef-x/shop-1", "abcdefgx/shop-1"]), ["abcdef-…", "abcdefg…"]);
        assert_eq!(names(&["ab"], 1), ["…"]);
        assert_eq!(names(&["ab"], 0), [""]);
    }

    #[test]
    fn items_are_not_cut() {
        let item = |text: &'static str| vec![Span::raw(text)];
        let lines = wrap(vec![item("p50 1.5 ms"), item("p99 10 ms"), item("failed 0.0 %")], 24);
        let texts: Vec<String> = lines.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["p50 1.5 ms   p99 10 ms", "failed 0.0 %"]);
        assert_eq!((height("ab\n\nabcd", 3), height("", 3)), (4, 0));
    }
}
