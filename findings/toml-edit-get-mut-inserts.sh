#!/usr/bin/env bash
# `Item::get_mut` of toml_edit adds the key that it does not find, and the document is written with it.
#
# Guess: `get_mut` returns `None` for a key that is not there, as that of `toml_edit::Table`, of `toml::Table` and of every map does, and
#   changes nothing.
# Behaviour: `DocumentMut::get_mut` and `Table::get_mut` do so. The `Item` that they return has a `get_mut` of another kind: by a name it
#   inserts an empty item and returns that. A chain `document.get_mut("a").and_then(|a| a.get_mut("b")?.get_mut("c"))` over a file
#   without `a.b` makes `b = {}` in it.
# Seen with: toml_edit 0.25.18.
# For a program that edits configurations: look an entry up by `as_table_like_mut()?.get_mut(key)`.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/src"
cat >"$folder/Cargo.toml" <<'TOML'
[package]
name = "shown"
version = "0.0.0"
edition = "2024"
[dependencies]
toml_edit = "=0.25.18"
[workspace]
TOML
cat >"$folder/src/main.rs" <<'RS'
use toml_edit::DocumentMut;

fn main() {
    let text = "[pool.shop]\nweight = 1\n";
    let mut by_item: DocumentMut = text.parse().unwrap();
    let found = by_item.get_mut("pool").and_then(|pools| pools.get_mut("wiki")?.get_mut("weight")).is_some();
    println!("by Item::get_mut: found {found}, the document is now\n{by_item}");
    let mut by_table: DocumentMut = text.parse().unwrap();
    let pools = by_table.get_mut("pool").and_then(|pools| pools.as_table_like_mut());
    let found = pools.and_then(|pools| pools.get_mut("wiki")).is_some();
    println!("by TableLike::get_mut: found {found}, the document is now\n{by_table}");
    assert_eq!(by_table.to_string(), text);
    assert_ne!(by_item.to_string(), text, "Item::get_mut inserts nothing any more");
}
RS
cargo run --quiet --manifest-path "$folder/Cargo.toml"
