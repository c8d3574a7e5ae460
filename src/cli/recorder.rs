//! `pollux recorder`: what a running Pollux remembers of exchanges.

use std::fmt::Write;

use pollux::control::{Reply, Server};
use pollux::recorder::{Kept, Story};

use super::FAILED;

/// The answer of a running Pollux: the steps of one exchange, or a list.
pub(super) fn answer(server: &Server, id: Option<&str>, all: bool) -> Reply {
    let stories = server.stories();
    match id {
        Some(id) => one(&stories, id),
        None => list(stories, all),
    }
}

fn one(stories: &[Story], id: &str) -> Reply {
    match stories.iter().find(|story| story.is_called(id)) {
        Some(story) => {
            let data = serde_json::to_value(story).unwrap_or_default();
            Reply { data, ..Reply::text(0, story.to_string()) }
        }
        None => {
            let why = format!(
                "no exchange called {id} is remembered; `pollux recorder --all` lists those that are, and `keep` in [recorder] \
                 says how many"
            );
            Reply::text(FAILED, why)
        }
    }
}

fn list(mut stories: Vec<Story>, all: bool) -> Reply {
    let before = stories.len();
    stories.retain(|story| all || story.kept != Kept::Recent);
    let left_out = before - stories.len();
    let mut text = String::new();
    for story in &stories {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", story.line());
    }
    if stories.is_empty() {
        text.push_str("no exchange has failed or was slow\n");
    }
    if left_out > 0 {
        let _ = writeln!(text, "({left_out} more that ended well and fast: --all)");
    }
    Reply { data: serde_json::to_value(&stories).unwrap_or_default(), ..Reply::text(0, text) }
}
