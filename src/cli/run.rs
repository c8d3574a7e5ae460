//! `pollux`: serve until told to stop.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use pollux::config::Places;
use pollux::control::{AccessLog, Asked, Call, Command, Event, Events, Reply, Server, SocketFile, Unlogged};
use pollux::core::outcome::Journal;
use pollux::explain::{Ask, explain_live};
use pollux::route::{Action, Route};
use pollux::snapshot::{Listener, Snapshot};
use pollux::status::Status;

use super::args::{RunArgs, Switch};
use super::settings::Settled;
use super::{Failure, USAGE, complain, logging, say, settings, stop};

pub(super) fn run(args: &RunArgs) -> Result<ExitCode, Failure> {
    let settled = settings::settle(args, settings::has_colours())?;
    if let Some(warnings) = &settled.warnings {
        complain(warnings);
    }
    let _guard = logging::start(args.log_format);
    let events = Events::default();
    events.take_over_signals(settled.file.is_some()).map_err(Failure::failed)?;
    let _socket = settled.control.as_ref().map(|path| open_socket(&events, path)).transpose()?;
    let running = Running::start(args, settled)?;
    tell_addresses(&running.server);
    Ok(running.serve(&events))
}

fn open_socket(events: &Events, path: &Path) -> Result<SocketFile, Failure> {
    let fail = |error| Failure::failed(format!("no control socket at {}: {error}", path.display()));
    events.open_socket(path).map_err(fail)
}

/// A Pollux that serves, and what it was started with.
struct Running<'a> {
    server: Server,
    args: &'a RunArgs,
    threads: usize,
    control: Option<PathBuf>,
    file: Option<PathBuf>,
    /// Where the configuration that is served says what.
    places: Places,
}

impl<'a> Running<'a> {
    fn start(args: &'a RunArgs, settled: Settled) -> Result<Running<'a>, Failure> {
        let journal = || -> Box<dyn Journal + Send> {
            match args.access_log {
                Switch::On => Box::new(AccessLog),
                Switch::Off => Box::new(Unlogged),
            }
        };
        let Settled { snapshot, crew, control, file, places, .. } = settled;
        let server = Server::start(snapshot, &crew, journal).map_err(Failure::failed)?;
        Ok(Running { server, args, threads: crew.threads, control, file, places })
    }

    /// Serves until the end.
    fn serve(mut self, events: &Events) -> ExitCode {
        loop {
            match events.next(None) {
                None => {}
                Some(Event::Signal(asked @ Asked::Stop(_))) => {
                    tracing::info!("{asked}: draining; a second signal ends at once");
                    let Running { server, file, .. } = self;
                    return stop::stop(server, events, |server| status(server, file.as_deref()));
                }
                Some(Event::Signal(Asked::Reload)) => drop(self.reload()),
                Some(Event::Call(call)) => self.answer(call),
            }
        }
    }

    fn answer(&mut self, call: Call) {
        let reply = match &call.request.command {
            Command::Reload => self.reload(),
            Command::Status => stop::tell(&status(&self.server, self.file.as_deref())),
            Command::Explain(ask) => self.explain(ask),
        };
        call.answer(reply);
    }

    /// What would become of a request now.
    fn explain(&self, ask: &Ask) -> Reply {
        let snapshot = self.server.snapshot();
        let question = match ask.understand(snapshot) {
            Ok(question) => question,
            Err(error) => return Reply::text(USAGE, error.to_string()),
        };
        let told = explain_live(snapshot, &self.places, &question, &self.server.live());
        Reply { data: serde_json::to_value(&told).unwrap_or_default(), ..Reply::text(0, told.to_string()) }
    }

    /// Reads the configuration again and exchanges it, if there is no fault in it; what came of it goes to the log and to the
    /// caller.
    fn reload(&mut self) -> Reply {
        match self.read_again() {
            Ok(text) => {
                tracing::info!("{text}");
                Reply::text(0, text)
            }
            Err(Failure { code, text }) => {
                tracing::error!("the configuration stays as it was:\n{text}");
                Reply::text(code, text)
            }
        }
    }

    /// What was done, in words.
    fn read_again(&mut self) -> Result<String, Failure> {
        let settled = settings::settle(self.args, false)?;
        if settled.file.is_none() {
            return Err(Failure::usage("there is nothing to reload: Pollux was started without a file"));
        }
        let mut reloaded = self.server.reload(settled.snapshot).map_err(Failure::failed)?;
        self.places = settled.places;
        if settled.crew.threads != self.threads {
            reloaded.later.push(format!("threads = {} (there are {})", settled.crew.threads, self.threads));
        }
        if settled.control != self.control {
            reloaded.later.push(String::from("another control socket"));
        }
        Ok(settled.warnings.map_or_else(String::new, |warnings| format!("{warnings}\n"))
            + &reloaded.to_string())
    }
}

/// What it is at, with what the server does not know.
fn status(server: &Server, file: Option<&Path>) -> Status {
    let mut status = server.status();
    let whole = |file: &Path| std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    status.configuration.file = file.map(|file| whole(file).display().to_string());
    status
}

fn tell_addresses(server: &Server) {
    let snapshot = server.snapshot();
    for (address, listener) in server.addresses().iter().zip(&snapshot.listeners) {
        say(&format!("listening on {address} ({}, {})", listener.mode, whither(listener, snapshot)));
    }
}

/// Where a listener sends its clients, in a few words.
fn whither(listener: &Listener, snapshot: &Snapshot) -> String {
    match listener.routes.routes() {
        [Route { action: Action::Pool(pool), when, .. }] if when.is_empty() => {
            format!("pool {}", snapshot.pool(*pool).name)
        }
        [_] => String::from("1 route"),
        routes => format!("{} routes", routes.len()),
    }
}
