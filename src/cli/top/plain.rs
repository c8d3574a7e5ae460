//! The dashboard as lines, one picture after the other, for a terminal without cursor control (`TERM=dumb`).

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::terminal;

use super::watch::Watch;
use super::{News, STEP, hear, view};

/// The size of a terminal that does not say its own.
const SIZE: (u16, u16) = (80, 24);

/// Shows each picture as it comes, until the end.
pub(super) fn show(watch: &mut Watch, news: &Receiver<News>, is_over: &AtomicBool) -> io::Result<()> {
    while !is_over.load(Ordering::Relaxed) {
        let (width, height) = terminal::size().ok().filter(|size| size.0 > 0 && size.1 > 0).unwrap_or(SIZE);
        let Ok(mut drawn) = Terminal::new(TestBackend::new(width, height));
        let Ok(_) = drawn.draw(|frame| view::draw(frame, watch));
        let mut out = io::stdout().lock();
        out.write_all(lines(drawn.backend().buffer()).as_bytes())?;
        out.flush()?;
        if !wait(watch, news, is_over) {
            return Ok(());
        }
    }
    Ok(())
}

/// Waits for news; false if there are to be none any more.
fn wait(watch: &mut Watch, news: &Receiver<News>, is_over: &AtomicBool) -> bool {
    while !is_over.load(Ordering::Relaxed) {
        match news.recv_timeout(STEP) {
            Ok(news) => {
                hear(watch, news);
                return true;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
    false
}

/// The lines of a picture without blanks at their ends; those that are empty are left out, and one ends it.
fn lines(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width).max(1);
    let mut text = String::new();
    for row in buffer.content.chunks(width) {
        let line: String = row.iter().map(|cell| cell.symbol()).collect();
        if !line.trim_end().is_empty() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    text.push('\n');
    text
}
