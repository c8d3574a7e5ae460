//! The language as JSON Schema (draft 7, which editors understand), written from its description.

use serde_json::{Value, json};

use super::language::{self, Described, Key, Kind};

/// The JSON Schema of `proxy.toml`.
#[must_use]
pub fn schema() -> Value {
    let mut schema = table(&language::FILE);
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("The configuration of Pollux");
    schema
}

fn table(is: &'static dyn Described) -> Value {
    let properties: serde_json::Map<String, Value> =
        is.keys().map(|key| (key.name.to_owned(), property(key))).collect();
    json!({ "type": "object", "description": is.about(), "properties": properties, "additionalProperties": false })
}

fn property(key: &'static Key) -> Value {
    let mut schema = kind(&key.kind);
    schema["description"] =
        json!(format!("{} Default: {}. Example: {}", key.about, key.default, key.example));
    schema
}

fn kind(is: &'static Kind) -> Value {
    // A value that is not text can come from the environment, where everything is text.
    let or_variable = |schema: Value| json!({ "anyOf": [schema, { "type": "string", "pattern": "\\$\\{" }] });
    match is {
        Kind::Text => json!({ "type": "string" }),
        Kind::Word(words) => or_variable(json!({ "enum": words })),
        Kind::Number(min, max) => or_variable(json!({ "type": "integer", "minimum": min, "maximum": max })),
        Kind::Size(min, max) => json!({ "anyOf": [
            { "type": "integer", "minimum": min, "maximum": max },
            { "type": "string", "pattern": "^[0-9]+ *([kmgKMG]i?)?[bB]?$|\\$\\{" },
        ] }),
        Kind::SizeOrNone => json!({ "anyOf": [
            { "type": "integer", "minimum": 0 },
            { "type": "string", "pattern": "^none$|^[0-9]+ *([kmgKMG]i?)?[bB]?$|\\$\\{" },
        ] }),
        Kind::Fraction(min, max) => or_variable(
            json!({ "type": "number", "minimum": *min as f64 / 1000.0, "maximum": *max as f64 / 1000.0 }),
        ),
        Kind::Time(_) => {
            json!({ "type": "string", "pattern": "^( *[0-9]+ *(ms|s|m|h|d))+ *$|\\$\\{" })
        }
        Kind::Flag => or_variable(json!({ "type": "boolean" })),
        Kind::List(item) => json!({ "type": "array", "items": kind(item) }),
        Kind::Table(is) => table(*is),
        Kind::Tables(is) => json!({ "type": "array", "items": table(*is) }),
        Kind::NamedTables(is) => json!({ "type": "object", "additionalProperties": table(*is) }),
        Kind::Names(value) => json!({ "type": "object", "additionalProperties": kind(value) }),
        Kind::Either(kinds) => json!({ "anyOf": kinds.iter().map(kind).collect::<Vec<_>>() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_in_the_schema() {
        let schema = schema();
        assert_eq!(schema["properties"]["threads"]["anyOf"][0]["maximum"], 1024);
        let listener = &schema["properties"]["listener"]["items"];
        assert_eq!(listener["additionalProperties"], false);
        assert_eq!(listener["properties"]["mode"]["anyOf"][0]["enum"], json!(["http", "tcp"]));
        let route = &listener["properties"]["route"]["items"]["properties"];
        assert_eq!(route["match"]["properties"]["host"]["anyOf"][1]["items"]["type"], "string");
        for is in language::TABLES {
            for key in is.keys() {
                assert!(schema.to_string().contains(&format!("\"{}\":", key.name)), "{}", key.name);
            }
        }
    }
}
