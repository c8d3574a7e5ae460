//! Every key of every table, taken from the blocks of the language: `plan`, printing, the schema and the
//! documentation know it.

use std::collections::HashMap;

use pollux::config::{self, Example, Loaded};
use pollux::plan;

use super::documentation::{Full, around};

/// Keys that change nothing of what runs (tests, further files), and headers of tables, whose keys are tested
/// alone.
fn is_left_out(example: &Example) -> bool {
    let is_of_tests =
        ["[[test]]", "client_cert = { … } of a test", "expect = { … }"].contains(&example.table);
    let is_header =
        example.value.starts_with('[') && example.table == "proxy.toml" && example.key != "resolver";
    is_of_tests || is_header || (example.table == "[[listener]]" && example.key == "route")
}

/// Other values of keys that hold tables, and one that its neighbours bound on both sides.
fn further(example: &Example) -> Option<&'static str> {
    Some(match (example.table, example.key) {
        (_, "split") => r#"[{ pool = "next" }]"#,
        (_, "certificates") => r#"[{ cert = "other.pem", key = "key.pem" }]"#,
        (_, "redirect") => r#"{ location = "/" }"#,
        (_, "respond") => "{ status = 404 }",
        ("[limits]", "head") => "20000",
        _ => return None,
    })
}

fn load(text: &str) -> Option<Loaded> {
    config::parse_in(text, "example", &mut Full).ok()
}

/// The configuration around `example`, without its key.
fn without(example: &Example) -> String {
    let (text, said) = (around(example), format!("{} = {}", example.key, example.value));
    let line = format!("\n{said}\n");
    if text.contains(&line) {
        return text.replace(&line, "\n");
    }
    text.replacen(&said, "", 1).replace("{ , ", "{ ").trim_start_matches('\n').to_owned()
}

/// Whether `plan` tells of a difference.
fn is_told(before: &Loaded, after: &Loaded) -> bool {
    let mut plan = plan::plan(&before.snapshot, &after.snapshot);
    plan.tell_process(&before.process, &after.process);
    !plan.changes.is_empty()
}

fn print(loaded: &Loaded) -> String {
    config::print(&loaded.snapshot, &loaded.process)
}

#[test]
fn a_change_of_any_key_is_told_and_printed() {
    let mut missed = Vec::new();
    for example in config::examples().filter(|example| !is_left_out(example)) {
        let before = load(&around(&example)).expect("an example");
        let values = example.others.iter().map(String::as_str).chain(further(&example));
        let others = values.map(|value| around(&Example { value: value.to_owned(), ..example.clone() }));
        let others = others.chain([without(&example)]).filter_map(|text| load(&text));
        let is_other = |after: &Loaded| after.snapshot != before.snapshot || after.process != before.process;
        let mut count = 0;
        for after in others.filter(is_other) {
            count += 1;
            if !is_told(&before, &after) {
                missed.push(format!("{} {}: not told", example.table, example.key));
            } else if print(&before) == print(&after) {
                missed.push(format!("{} {}: not printed", example.table, example.key));
            }
        }
        if count == 0 {
            missed.push(format!("{} {}: no other value changes anything", example.table, example.key));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// The default in the documentation is the value without the key.
#[test]
fn defaults_are_those_of_the_documentation() {
    let (mut count, mut wrong) = (0, Vec::new());
    // The defaults of these are decided where the log begins, and where the admin address is bound.
    let elsewhere = [("proxy.toml", "access_log"), ("[access_log]", "to"), ("[admin]", "socket")];
    let has_default =
        |example: &Example| !is_left_out(example) && !elsewhere.contains(&(example.table, example.key));
    for example in config::examples().filter(has_default) {
        let Some(value) = example.default.clone() else { continue };
        let said = load(&around(&Example { value, ..example.clone() }));
        if let (Some(said), Some(unsaid)) = (said, load(&without(&example))) {
            count += 1;
            if print(&said) != print(&unsaid) {
                wrong.push(format!("{} {}", example.table, example.key));
            }
        }
    }
    assert!(count > 80 && wrong.is_empty(), "{count} {wrong:?}");
}

#[test]
fn the_schema_and_the_documentation_have_every_key() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let page = std::fs::read_to_string(page).expect("docs/configuration.md");
    let sections: HashMap<&str, &str> =
        page.split("\n## `").skip(1).filter_map(|section| section.split_once("`\n")).collect();
    let schema = config::schema().to_string();
    for Example { table, key, .. } in config::examples() {
        let section = sections.get(table).unwrap_or_else(|| panic!("{table} is not documented"));
        assert!(section.contains(&format!("\n| `{key}` | ")), "{table} {key}");
        assert!(schema.contains(&format!("\"{key}\":{{")), "{table} {key}");
    }
}

/// The example has every key of the tables that every configuration has.
#[test]
fn the_example_has_every_key() {
    let text = include_str!("../../proxy.toml");
    let tables =
        ["proxy.toml", "[admin]", "[[listener]]", "[pool.NAME]", "[timeouts]", "[limits]", "[recorder]"];
    let has = |key: &str| {
        ["{} = ", "[{}]", "[[{}]]", "[{}.", "[[listener.{}]]", "# {}: "]
            .iter()
            .any(|form| text.contains(&form.replace("{}", key)))
    };
    for Example { table, key, .. } in config::examples().filter(|example| tables.contains(&example.table)) {
        assert!(has(key) || key == "test", "{table} {key} is not in proxy.toml");
    }
}
