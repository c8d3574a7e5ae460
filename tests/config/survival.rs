//! Inputs made to break the configuration: none may panic, and nothing that is shown may move the cursor.

use pollux::config::{self, ERRORS_MAX, FILE_LEN_MAX};
use proptest::prelude::*;

use crate::{example_in_full, parse};

/// For any text, nothing panics, and no output can move the cursor.
fn survives(text: &str) {
    if let Err(report) = parse(text) {
        assert!((1..=ERRORS_MAX).contains(&report.len()));
        let shown = report.render(false);
        let control = shown.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(control, None, "a control character in\n{shown}");
        assert!(!report.render(true).is_empty());
    }
}

#[test]
fn awkward_texts_survive() {
    for text in [
        "",
        "\n",
        "\r\n",
        "\r",
        "\0",
        "\u{feff}",
        "\u{feff}threads = 0",
        "\u{feff}thread = 0",
        "threads = 0\r\n[pool]\r\n",
        "threads = \"\t\"",
        "\tthreads\t=\t\"x\"",
        "[pool.a]\nbackends = [\n\n",
        "[pool.a]\nbackends = [\n\n]",
        "\"\\u001b[2J\" = 1",
        "threads = '\u{1b}'",
        "threads = \"日本語\u{202e}\"",
        "日本 = 1",
        "x = \"\"\"\n\n",
        "[limits]\nhead.a = 1",
        "limits = []",
        "listener = [1, {}]",
        "listener = {}",
        "pool.a.b.c = 1",
        "[pool.a]\nbackends = [{ address = { address = 1 } }]",
        "[\"$__serde_spanned_private_start\"]",
        "threads = { \"$__serde_spanned_private_start\" = 1 }",
    ] {
        survives(text);
    }
    survives(&"[".repeat(100_000));
    survives(&format!("threads = {}", "[".repeat(100_000)));
    survives(&format!("{}a = 1", "a.".repeat(100_000)));
    survives(&format!("threads = \"{}\"", "x".repeat(FILE_LEN_MAX / 2)));
    survives(&"[[listener]]\n".repeat(FILE_LEN_MAX / 13));
}

/// A piece of a file, likely or not.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "threads",
        "[[listener]]",
        "[pool.app]",
        "[timeouts]",
        "[limits]",
        "bind",
        "name",
        "mode",
        "backends",
        "head",
        "address",
        "weight",
        " = ",
        "\n",
        "\r\n",
        "\"",
        "'",
        "[",
        "]",
        "{",
        "}",
        ",",
        ".",
        "#",
        "0",
        "-1",
        "1e9",
        "true",
        "1979-05-27",
        "\"localhost:1\"",
        "\"::1:1\"",
        "\"unix:\"",
        "\"2s\"",
        "\"1KiB\"",
        "\"\"\"",
        "\\u0000",
        "\u{feff}",
        "é",
    ];
    prop_oneof![
        8 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned),
        1 => any::<String>(),
        1 => any::<i64>().prop_map(|number| number.to_string()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn any_text_survives(text in any::<String>()) {
        survives(&text);
    }

    #[test]
    fn any_pieces_survive(pieces in proptest::collection::vec(piece(), 0..60)) {
        survives(&pieces.concat());
    }

    #[test]
    fn a_mutated_example_survives(
        cuts in proptest::collection::vec((any::<proptest::sample::Index>(), 0..40_usize, piece()), 1..4),
    ) {
        let mut text: Vec<char> = example_in_full().chars().collect();
        for (place, len, instead) in cuts {
            let start = place.index(text.len());
            let end = (start + len).min(text.len());
            text.splice(start..end, instead.chars());
            if text.is_empty() {
                text.push('\n');
            }
        }
        survives(&text.into_iter().collect::<String>());
    }

    #[test]
    fn any_value_survives(text in any::<String>(), number in any::<i64>()) {
        let escaped: String = text.chars().map(|c| format!("\\U{:08X}", u32::from(c))).collect();
        let quoted = format!("\"{escaped}\"");
        for value in [quoted, number.to_string()] {
            let all = |keys: &[&str]| keys.iter().map(|key| format!("{key} = {value}\n")).collect::<String>();
            survives(&format!("[[listener]]\n{}[pool.a]\n", all(&["bind", "name", "mode", "pool"])));
            survives(&format!("[pool.a]\n{}backends = [{value}]", all(&["balance"])));
            survives(&format!("[pool.a]\nbackends = [{{ address = {value}, weight = {value} }}]"));
            survives(&format!("{}[limits]\n{}", all(&["threads"]), all(&["head", "body", "fields"])));
            survives(&format!("[timeouts]\n{}", all(&["idle"])));
        }
    }

    #[test]
    fn the_readers_of_values_survive(text in any::<String>()) {
        let _ = config::value::parse_duration(&text);
        let _ = config::value::parse_size(&text);
        let _ = config::value::parse_body(&text);
        let _ = config::value::parse_backend_flag(&format!("127.0.0.1:1,{text}"));
        let _ = config::value::parse_backend_text(&format!("unix:{text}"));
    }
}
