//! The dashboard for terminals with ASCII only.

use ratatui::buffer::Buffer;

/// Puts letters of ASCII in the place of all others.
pub(super) fn make(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        if !cell.symbol().is_ascii() {
            let plain = plain(cell.symbol());
            cell.set_symbol(plain);
        }
    }
}

fn plain(symbol: &str) -> &'static str {
    match symbol {
        "●" => "+",
        "◐" => "~",
        "○" => "o",
        "✕" => "x",
        "▲" => "!",
        "↓" => "v",
        "↑" => "^",
        "■" | "█" | "▇" | "▆" | "▅" => "#",
        "▄" | "▃" => "=",
        "▂" | "▁" => "_",
        "µ" => "u",
        "…" => "~",
        "→" => ">",
        "─" => "-",
        "│" => "|",
        "┌" | "┐" | "└" | "┘" => "+",
        "·" | "–" | "—" => "-",
        _ => "?",
    }
}
