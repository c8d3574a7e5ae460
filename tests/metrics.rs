//! docs/metrics.md lists the metrics that there are. `UPDATE_EXPECT=1` writes its table anew.

use std::fmt::Write;
use std::path::Path;

use pollux::metrics::FAMILIES;

const BEGIN: &str = "<!-- metrics -->\n";
const END: &str = "<!-- end -->\n";

fn table() -> String {
    let mut table = String::from("| metric | type | labels | |\n|---|---|---|---|\n");
    for family in FAMILIES {
        let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let (labels, word) = (labels.join(", "), family.sort.as_str());
        writeln!(table, "| `{}` | {word} | {labels} | {} |", family.name, family.help).unwrap();
    }
    table
}

#[test]
fn the_documentation_lists_every_metric() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the beginning of the table");
    let (_, after) = rest.split_once(END).expect("the end of the table");
    let expected = format!("{before}{BEGIN}{}{END}{after}", table());
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, expected).unwrap();
        return;
    }
    assert!(text == expected, "docs/metrics.md is not what the code says; UPDATE_EXPECT=1 writes it anew");
}

/// Every metric that the queries and alerts speak of is one that there is.
#[test]
fn queries_ask_for_metrics_that_there_are() {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md")).unwrap();
    let (_, queries) = text.split_once("## Queries").expect("queries");
    let words = queries.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let named: Vec<_> =
        words.filter(|word| word.starts_with("pollux_") || word.starts_with("process_")).collect();
    assert!(named.len() > 15, "{named:?}");
    for name in named {
        let of = |ending| name.strip_suffix(ending).unwrap_or(name);
        let is_one = FAMILIES.iter().any(|family| {
            family.name == name || [of("_bucket"), of("_sum"), of("_count")].contains(&family.name)
        });
        assert!(is_one, "there is no {name}");
    }
}
