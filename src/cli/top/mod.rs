//! `pollux top`: what a running Pollux is at, on a terminal, once a second; and backends drained and taken in
//! again.
//!
//! A thread of its own asks at the control socket, so that keys are answered even while Pollux is slow to.
//! The terminal is put back as it was when this ends: by `q`, Ctrl-C, a signal or a panic.

mod ascii;
mod fit;
mod keys;
mod plain;
mod told;
mod view;
mod watch;

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use pollux::control::{self, Command, OperatorRequest, Reply};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use signal_hook::consts::TERM_SIGNALS;

use super::args::TopArgs;
use super::{Failure, terminal};
use keys::Deed;
use told::StatusPage;
use watch::Watch;

/// The interval at which Pollux is asked.
const EVERY: Duration = Duration::from_secs(1);

/// The time for which a key is awaited before it is checked whether Pollux has answered.
const STEP: Duration = Duration::from_millis(50);

/// The messages of the thread that asks.
enum News {
    /// The status of Pollux.
    Status(Box<StatusPage>),
    /// The result of an action, or a requested text.
    Words(String),
    /// All that is known of a backend.
    Details(String),
    /// No process has answered.
    Silence(String),
}

pub(super) fn top(args: &TopArgs) -> Result<ExitCode, Failure> {
    let path = args.call.socket().path()?;
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(Failure::usage("pollux top needs a terminal; `pollux status` says the same for others"));
    }
    // A mistyped path is reported on the terminal before its mode changes.
    let first = look(&path).map_err(Failure::failed)?;
    let is_over = Arc::new(AtomicBool::new(false));
    for signal in TERM_SIGNALS {
        signal_hook::flag::register(*signal, Arc::clone(&is_over)).map_err(Failure::failed)?;
    }
    let (wishes, wished) = channel();
    let (disclosure, news) = channel();
    let asking = move || ask_on(&path, &wished, &disclosure);
    thread::Builder::new().name("asker".into()).spawn(asking).map_err(Failure::failed)?;
    let is_plain = terminal::is_dumb();
    let mut watch = Watch::new(terminal::allows_colours(), !terminal::has_utf8(), is_plain);
    watch.take(first, Instant::now());
    if is_plain {
        plain::show(&mut watch, &news, &is_over).map_err(Failure::failed)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut terminal = ratatui::try_init().map_err(Failure::failed)?;
    let shown = show(&mut terminal, &mut watch, &wishes, &news, &is_over);
    ratatui::restore();
    shown.map_err(Failure::failed)?;
    Ok(ExitCode::SUCCESS)
}

/// Draws and obeys keys until the end.
#[allow(clippy::wildcard_enum_match_arm, reason = "the enum is not ours, and more may come")]
fn show(
    terminal: &mut DefaultTerminal,
    watch: &mut Watch,
    wishes: &Sender<Command>,
    news: &Receiver<News>,
    is_over: &AtomicBool,
) -> io::Result<()> {
    let mut is_stale = true;
    while !is_over.load(Ordering::Relaxed) {
        if is_stale {
            terminal.draw(|frame| view::draw(frame, watch))?;
        }
        is_stale = event::poll(STEP)?;
        if is_stale {
            match event::read()? {
                Event::Key(key) if key.kind == KeyEventKind::Press => match keys::obey(key, watch) {
                    Deed::Nothing => {}
                    Deed::Ask(command) => {
                        // The thread that asks goes on until this ends.
                        let _ = wishes.send(command);
                    }
                    Deed::End => return Ok(()),
                },
                // The next drawing finds out how large the terminal is now.
                _ => {}
            }
        }
        while let Ok(news) = news.try_recv() {
            is_stale = true;
            hear(watch, news);
        }
    }
    Ok(())
}

fn hear(watch: &mut Watch, news: News) {
    match news {
        News::Status(told) => watch.take(*told, Instant::now()),
        News::Words(text) => watch.say(text),
        News::Details(text) => watch.detail(text),
        News::Silence(why) => watch.lose(why, Instant::now()),
    }
}

/// Does what is wished, and looks once a second and after each wish.
fn ask_on(path: &Path, wished: &Receiver<Command>, disclosure: &Sender<News>) {
    loop {
        let news = match wished.recv_timeout(EVERY) {
            Ok(command) => Some(do_it(path, command)),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => None,
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return,
        };
        let status = match look(path) {
            Ok(told) => News::Status(Box::new(told)),
            Err(why) => News::Silence(why),
        };
        for news in news.into_iter().chain([status]) {
            if disclosure.send(news).is_err() {
                return;
            }
        }
    }
}

fn do_it(path: &Path, command: Command) -> News {
    let is_question = matches!(command, Command::Backend(_));
    match call(path, command) {
        Ok(reply) if is_question && reply.exit == 0 => News::Details(reply.text),
        Ok(reply) => News::Words(reply.text.trim_end().to_owned()),
        Err(why) => News::Silence(why),
    }
}

fn look(path: &Path) -> Result<StatusPage, String> {
    let reply = call(path, Command::Status)?;
    serde_json::from_value(reply.data)
        .map_err(|error| format!("the Pollux at {} tells of itself in another way: {error}", path.display()))
}

fn call(path: &Path, command: Command) -> Result<Reply, String> {
    control::ask(path, &OperatorRequest { command })
        .map_err(|error| format!("no answer from a Pollux at {}: {error}", PathBuf::from(path).display()))
}
