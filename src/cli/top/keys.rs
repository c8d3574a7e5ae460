//! The actions of the keys.

use pollux::balance::AdminState;
use pollux::control::{Command, WantedState};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::watch::Watch;

/// The number of rows of a page.
const PAGE: isize = 10;

/// The action of a key.
pub(super) enum Deed {
    /// Nothing but to draw anew.
    Nothing,
    /// Pollux is to be asked.
    Ask(Command),
    /// That was all.
    End,
}

#[allow(clippy::wildcard_enum_match_arm, reason = "the enum is not ours, and more may come")]
pub(super) fn obey(key: KeyEvent, watch: &mut Watch) -> Deed {
    if key.modifiers.contains(KeyModifiers::CONTROL) && matches!(key.code, KeyCode::Char('c' | 'd')) {
        return Deed::End;
    }
    if let Some(plan) = watch.plan.take() {
        return match key.code {
            KeyCode::Char('y' | 'Y') | KeyCode::Enter => {
                Deed::Ask(Command::Operate { backend: plan.id, wanted: WantedState::State(plan.admin_state) })
            }
            _ => {
                watch.say(format!("{} stays as it is", plan.id));
                Deed::Nothing
            }
        };
    }
    if watch.details.take().is_some() || std::mem::take(&mut watch.shows_help) {
        // Any key has closed the window on top.
        return Deed::Nothing;
    }
    match key.code {
        KeyCode::Char('q') | KeyCode::Esc => return Deed::End,
        KeyCode::Up | KeyCode::Char('k') => watch.step(-1),
        KeyCode::Down | KeyCode::Char('j') => watch.step(1),
        KeyCode::PageUp => watch.step(-PAGE),
        KeyCode::PageDown => watch.step(PAGE),
        KeyCode::Home | KeyCode::Char('g') => watch.step(isize::MIN),
        KeyCode::End | KeyCode::Char('G') => watch.step(isize::MAX),
        KeyCode::Char('s') => {
            watch.sort = watch.sort.next();
            watch.is_reversed = false;
            resort(watch);
        }
        KeyCode::Char('S') => {
            watch.is_reversed = !watch.is_reversed;
            resort(watch);
        }
        KeyCode::Char('d') => watch.plan(AdminState::Drain),
        KeyCode::Char('r') => watch.plan(AdminState::Ready),
        KeyCode::Enter => {
            if let Some(row) = watch.row() {
                return Deed::Ask(Command::Backend(row.id.clone()));
            }
        }
        KeyCode::Char('?' | 'h') => watch.shows_help = true,
        _ => {}
    }
    Deed::Nothing
}

fn resort(watch: &mut Watch) {
    watch.arrange();
    watch.say(format!(
        "sorted by {}{}",
        watch.sort.as_str(),
        if watch.is_reversed { ", the other way round" } else { "" }
    ));
}
