//! The rooms that decide about a request know no version of HTTP: they see the value that a codec has read.

use super::{core_sources, sources};

/// The rooms of the pure half that decide about requests or edit them, and those that they stand on.
const NEUTRAL: [&str; 5] = ["core", "syntax", "message", "route", "policy"];

/// The codecs, and the parser that one of them has.
const CODECS: [&str; 2] = ["http", "h2"];
const PARSER: &str = "httparse";

/// Whether a path leads into a codec.
fn is_of_a_codec(segments: &[String]) -> bool {
    let is =
        |place: usize, names: &[&str]| segments.get(place).is_some_and(|it| names.contains(&it.as_str()));
    is(0, &[PARSER]) || (is(0, &["crate", "pollux_core"]) && is(1, &CODECS))
}

#[test]
fn what_decides_names_no_codec() {
    let mut wrong = Vec::new();
    for room in NEUTRAL {
        let files = sources(&core_sources().join(room));
        assert!(!files.is_empty(), "no room {room}");
        for (file, named) in files {
            let found = named.into_iter().filter(|it| is_of_a_codec(&it.segments));
            wrong.extend(
                found.map(|it| format!("{}:{} names {}", file.display(), it.line, it.segments.join("::"))),
            );
        }
    }
    assert!(wrong.is_empty(), "a codec is named:\n  {}", wrong.join("\n  "));
}

#[test]
fn names_of_codecs_are_found() {
    let path = |text: &str| text.split("::").map(String::from).collect::<Vec<_>>();
    for (text, verdict) in [
        ("crate::http::request::read", true),
        ("crate::h2::fields", true),
        ("pollux_core::http", true),
        ("httparse::Header", true),
        ("crate::message::Head", false),
        ("crate::route::http", false),
        ("http::request", false),
    ] {
        assert_eq!(is_of_a_codec(&path(text)), verdict, "{text}");
    }
}
