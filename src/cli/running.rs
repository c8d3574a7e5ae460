//! A process that serves, from its start to its end.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pollux::access::AccessLogRules;
use pollux::admin::{Admin, AdminDoor, Callers, Handed, Readiness};
use pollux::config::{ProcessSettings, SourcePlaces, Written};
use pollux::control::{
    Call, Command, ControlEvent, Discovered, DiscoveryStatus, DiscoveryWatcher, Events, Identity, Inherited,
    KeptCapabilities, Manager, Origin, ReloadError, Reply, Server, SignalAction, SocketFile, Taken,
    WantedState,
};
use pollux::discovery::Answers;
use pollux::explain::{Ask, explain_live};
use pollux::route::{Action, Route};
use pollux::snapshot::{Address, Listener, Snapshot};

use super::answer::{self, Around};
use super::args::RunArgs;
use super::logging::{self, Logs};
use super::reloading::{Found, Read, Reloading};
use super::settings::Settled;
use super::upgrade::Upgrade;
use super::watchdog::Watchdog;
use super::{FAILED, Failure, USAGE, settings, stop};

/// See the module.
pub(super) struct Running {
    server: Server,
    events: Events,
    args: Arc<RunArgs>,
    threads: usize,
    control: Option<PathBuf>,
    file: Option<PathBuf>,
    /// The places of the parts of the served configuration in the files.
    places: SourcePlaces,
    /// The configuration with environment variables as the file names them.
    written: Written,
    /// The answers for backends that may change, and the thread that goes on asking.
    answers: Answers,
    discovery_watcher: DiscoveryWatcher,
    discovery_status: Arc<DiscoveryStatus>,
    /// The addresses of sockets that it was given and has no use for.
    left: Vec<Address>,
    upgrade: Upgrade,
    reloading: Reloading,
    watchdog: Watchdog,
    socket: Option<SocketFile>,
    admin: Option<Admin>,
    admin_door: Option<AdminDoor>,
    /// The callers at the admin address that were being served when another process took it over.
    callers: Callers,
    readiness: Readiness,
    access_log: AccessLogRules,
    logs: Logs,
}

/// Says which files a reload will not be able to read, now that the process is another user. Those of
/// certificates of listeners are told by who looks after them.
fn warn_unreadable(config: Option<&Path>, admin: Option<&Admin>, snapshot: &Snapshot) {
    let of_pools = snapshot.pools.iter().filter_map(|pool| pool.tls.as_deref());
    let routes = snapshot.listeners.iter().flat_map(|listener| listener.routes.routes());
    let bodies = routes.filter_map(|route| match &route.action {
        Action::Respond(respond) => respond.body.file.as_deref(),
        Action::Pool(_) | Action::Split(_) | Action::Redirect(_) => None,
    });
    let token = admin.and_then(Admin::token_file).map(PathBuf::as_path);
    let paths = of_pools.flat_map(|tls| tls.paths()).chain(bodies).chain(token).chain(config);
    for path in paths {
        if let Err(error) = std::fs::File::open(path) {
            tracing::warn!(
                file = %path.display(),
                %error,
                "a reload will fail: the user that this process has become cannot read what was read at the start; \
                 let its group read the file: `chgrp GROUP FILE && chmod 640 FILE`"
            );
        }
    }
}

impl Running {
    /// Starts to serve, on the sockets that a service manager has passed as far as there are listeners for
    /// them.
    pub(super) fn start(args: &Arc<RunArgs>, passed: Inherited) -> Result<Running, Failure> {
        let running = Running::begin(args, passed, Events::open_socket)?;
        if !running.left.is_empty() {
            tracing::warn!(addresses = ?running.left, "sockets were passed that no listener is bound to");
        }
        Ok(running)
    }

    /// Starts in the place of another process. Its control socket is taken over last.
    pub(super) fn take_over(args: &Arc<RunArgs>, inherited: Inherited) -> Result<Running, Failure> {
        let mut running = Running::begin(args, inherited, Events::open_socket_beside)?;
        let taken = match (&mut running.socket, &running.control) {
            (Some(socket), Some(path)) => socket.take_place(path).map_err(|error| no_socket(path, &error)),
            (None, _) | (_, None) => Ok(()),
        };
        match taken {
            Ok(()) => Ok(running),
            Err(why) => {
                running.withdraw();
                Err(Failure::failed(why))
            }
        }
    }

    fn begin(
        args: &Arc<RunArgs>,
        mut inherited: Inherited,
        open: impl Fn(&Events, &Path) -> io::Result<SocketFile>,
    ) -> Result<Running, Failure> {
        let origin = Origin::of_this_process();
        let events = Events::default();
        let taken = if settings::has_file(args) { Taken::All } else { Taken::AllButReload };
        events.take_over_signals(taken).map_err(Failure::failed)?;
        let settled = settings::settle(args, settings::has_colours(), &Answers::default())?;
        let Settled { served, workers, control, admin, access_log, file, places, written, answers, warnings } =
            settled;
        let logs = Logs::start(args.log_format, &access_log);
        if let Some(warnings) = &warnings {
            logs.complain(warnings);
        }
        inherited.tell_useless();
        let identity = Identity::find(args.user.as_deref(), args.group.as_deref()).map_err(Failure::usage)?;
        let kept =
            args.keep_capability.iter().copied().fold(KeptCapabilities::default(), KeptCapabilities::and);
        let (mut socket, mut admin_door, readiness) = (None, None, Readiness::default());
        let (handed, left_admin) = inherited.take_admin(admin.as_ref().map(|admin| &admin.bind));
        // The user that it becomes must be able to do these again: after a rotation, at the next upgrade.
        let bound = || {
            identity.iter().try_for_each(|identity| identity.assume(kept))?;
            // Becoming another user has changed it.
            pollux::os::set_debuggable(args.debuggable).map_err(|error| format!("prctl: {error}"))?;
            logs.open()?;
            let open = |path: &PathBuf| open(&events, path).map_err(|error| no_socket(path, &error));
            socket = control.as_ref().map(open).transpose()?;
            let open_admin = |admin| open_admin(&events, admin, handed, &readiness);
            admin_door = admin.as_ref().map(open_admin).transpose()?;
            Ok(())
        };
        let started = Server::start_with(served, &workers, inherited, bound, || logs.journal());
        let (mut server, mut left) = started.map_err(Failure::failed)?;
        left.extend(left_admin);
        server.tell_of_lines(logs.lines());
        let (threads, upgrade) = (workers.threads, Upgrade::new(origin));
        if identity.is_some() {
            warn_unreadable(file.as_deref(), admin.as_ref(), server.snapshot());
        }
        let discovery_status = Arc::new(DiscoveryStatus::default());
        let discovery_watcher = events.watch_discovery(&server, &answers, &discovery_status);
        Ok(Running {
            server,
            events,
            args: Arc::clone(args),
            reloading: Reloading::default(),
            threads,
            control,
            file,
            places,
            written,
            answers,
            discovery_watcher,
            discovery_status,
            left,
            upgrade,
            watchdog: Watchdog::new(Manager::from_environment()),
            socket,
            admin,
            admin_door,
            callers: Callers::default(),
            readiness,
            access_log,
            logs,
        })
    }

    /// The addresses of sockets that it was given and has no use for; they are closed.
    pub(super) fn left(&self) -> &[Address] {
        &self.left
    }

    /// Ends one that has not taken over: its sockets are still served by the other process.
    pub(super) fn withdraw(self) {
        self.server.withdraw();
    }

    /// Serves until the end.
    pub(super) fn serve(mut self) -> ExitCode {
        // A reader that is slow, or reads no more, is waited for by the thread behind it.
        let (out, _guard) = logging::unhurried_stdout();
        let say = |text: &str| drop(writeln!(out.clone(), "{text}"));
        tell_addresses(&self.server, say);
        self.readiness.set(true);
        if let Some(admin_door) = &mut self.admin_door {
            say(&match admin_door.address() {
                Address::Ip(address) => format!("admin on http://{address}/"),
                address @ Address::Unix(_) => format!("admin on {address}"),
            });
            admin_door.serve();
        }
        self.watchdog.manager().ready(&self.summary());
        loop {
            self.watchdog.beat(&self.server);
            if let Some(read) = self.reloading.take() {
                self.end_reload(read);
            }
            match self.events.next(self.rest()) {
                None | Some(ControlEvent::Done) => {}
                Some(ControlEvent::Signal(asked @ SignalAction::Stop(_))) => {
                    let is_forced = !self.delay_drain(asked);
                    tracing::info!("{asked}: draining; a second signal ends at once");
                    self.watchdog.manager().stopping(&format!("{asked}: draining"));
                    self.server.drain();
                    return if is_forced { stop::force(asked) } else { self.stop() };
                }
                Some(ControlEvent::Signal(SignalAction::Reload)) => self.reload(None),
                Some(ControlEvent::Signal(SignalAction::Reopen)) => self.logs.reopen(),
                Some(ControlEvent::Signal(SignalAction::Upgrade)) => self.begin_upgrade(None),
                Some(ControlEvent::Call(call)) => self.answer(call),
                Some(ControlEvent::Discovered(discovered)) => {
                    self.reloading.note(&discovered, &self.answers);
                    self.note(discovered);
                }
                Some(ControlEvent::Upgraded(outcome)) => {
                    if let Some(successor) = self.upgrade.end(outcome) {
                        self.watchdog.hand_over(successor.pid);
                        self.callers = self.admin_door.as_ref().map(AdminDoor::callers).unwrap_or_default();
                        if let Some(admin_door) = self
                            .admin_door
                            .take_if(|admin_door| !successor.left.contains(admin_door.address()))
                        {
                            admin_door.leave();
                        }
                        self.admin_door = None;
                        self.server.drain_but(&successor.left);
                        return self.stop();
                    }
                }
            }
        }
    }

    /// Goes on serving for `timeouts.drain_delay`, while the readiness check fails: a load balancer in front
    /// needs time to see that. False if a second signal says that there is no time.
    fn delay_drain(&mut self, asked: SignalAction) -> bool {
        self.readiness.set(false);
        let delay = self.server.snapshot().timeouts.drain_delay;
        if delay.is_zero() {
            return true;
        }
        let text = format!("{asked}: not ready any more; the drain begins in {} ms", delay.as_millis());
        tracing::info!("{text}; a second signal ends at once");
        self.watchdog.manager().stopping(&text);
        self.reloading.abandon(&ReloadError::Draining.to_string());
        let until = Instant::now() + delay;
        while let rest = until.saturating_duration_since(Instant::now())
            && !rest.is_zero()
        {
            self.watchdog.beat(&self.server);
            let rest = self.watchdog.rest().map_or(rest, |beat| beat.min(rest));
            match self.events.next(Some(rest)) {
                None
                | Some(
                    ControlEvent::Done
                    | ControlEvent::Upgraded(Err(_))
                    | ControlEvent::Signal(SignalAction::Reload | SignalAction::Upgrade),
                ) => {}
                Some(ControlEvent::Signal(SignalAction::Stop(_))) => return false,
                Some(ControlEvent::Signal(SignalAction::Reopen)) => self.logs.reopen(),
                Some(ControlEvent::Call(call)) => {
                    self.around(&self.process(), |around| stop::answer(call, &self.server, around));
                }
                Some(ControlEvent::Discovered(discovered)) => self.note(discovered),
                Some(ControlEvent::Upgraded(Ok(successor))) => {
                    stop::stop_too(successor.pid);
                    return true;
                }
            }
        }
        true
    }

    /// The time until something has to be done, if ever.
    fn rest(&self) -> Option<Duration> {
        [self.watchdog.rest(), self.reloading.rest()].into_iter().flatten().min()
    }

    /// A line that describes the served configuration.
    fn summary(&self) -> String {
        let addresses: Vec<String> = self.server.addresses().iter().map(ToString::to_string).collect();
        format!("serves {}", addresses.join(", "))
    }

    /// Waits for the end of the drain that has begun.
    fn stop(mut self) -> ExitCode {
        self.readiness.set(false);
        self.reloading.abandon(&ReloadError::Draining.to_string());
        let process = self.process();
        let Running {
            server,
            events,
            file,
            socket,
            admin_door,
            callers,
            written,
            logs,
            watchdog,
            discovery_status,
            ..
        } = self;
        let around = Around {
            file: file.as_deref(),
            process: &process,
            written: &written,
            logs: &logs,
            discovery_status: &discovery_status,
        };
        let code = stop::stop(server, &events, &around, watchdog, (admin_door, callers));
        drop((socket, logs));
        code
    }

    fn answer(&mut self, call: Call) {
        let reply = match &call.request.command {
            Command::Upgrade => return self.begin_upgrade(Some(call)),
            Command::Reload => return self.reload(Some(call)),
            Command::Explain(ask) => self.explain(ask),
            Command::Operate { backend, wanted } => self.operate(backend, *wanted, &call.by),
            command @ (Command::Status
            | Command::Backend(_)
            | Command::Sessions(_)
            | Command::Kill(_)
            | Command::LogLevel(_)
            | Command::Recorder { .. }
            | Command::Metrics(_)
            | Command::Config) => {
                let answer =
                    self.around(&self.process(), |around| around.answer(&self.server, command, &call.by));
                answer.unwrap_or_else(|| Reply::text(FAILED, "there is no answer to that"))
            }
        };
        call.answer(reply);
    }

    fn begin_upgrade(&mut self, call: Option<Call>) {
        let admin = self.admin.as_ref().zip(self.admin_door.as_ref());
        self.upgrade.begin(&self.server, admin, &self.events, call);
    }

    fn operate(&mut self, backend: &str, wanted: WantedState, by: &str) -> Reply {
        if self.upgrade.is_under_way() {
            return Reply::text(FAILED, "a new process is about to take over; ask that one");
        }
        answer::operate(&mut self.server, backend, wanted, by)
    }

    /// The settings with which the process was started.
    fn process(&self) -> ProcessSettings {
        ProcessSettings {
            threads: Some(self.threads),
            control: self.control.clone(),
            access_log: Some(self.access_log.clone()),
            admin: self.admin.clone(),
        }
    }

    fn around<T>(&self, process: &ProcessSettings, then: impl FnOnce(&Around<'_>) -> T) -> T {
        then(&Around {
            file: self.file.as_deref(),
            process,
            written: &self.written,
            logs: &self.logs,
            discovery_status: &self.discovery_status,
        })
    }

    /// Other backends have been found than before.
    fn note(&mut self, Discovered { question, entries }: Discovered) {
        let source = question.to_string();
        self.answers.note(question, entries);
        match self.server.refill(&self.answers) {
            Ok(None) => {}
            Ok(Some(reloaded)) => {
                let changes: Vec<String> = reloaded.lines().collect();
                tracing::info!(%source, "other backends: {}", changes.join(", "));
            }
            Err(error) => tracing::error!(%source, "other backends could not be taken: {error}"),
        }
    }

    /// Explains a request as it would go now.
    fn explain(&self, ask: &Ask) -> Reply {
        let snapshot = self.server.snapshot();
        let question = match ask.understand(snapshot) {
            Ok(question) => question,
            Err(error) => return Reply::text(USAGE, error.to_string()),
        };
        let told = explain_live(snapshot, &self.places, &question, &self.server.live());
        let configuration = self.around(&self.process(), |around| around.configuration(&self.server));
        let mut data = serde_json::to_value(&told).unwrap_or_default();
        data["configuration"] = serde_json::to_value(&configuration).unwrap_or_default();
        Reply { data, ..Reply::text(0, format!("{configuration}\n{told}")) }
    }

    /// Begins to read the configuration again. The result goes to the log, and to `call`.
    fn reload(&mut self, call: Option<Call>) {
        self.watchdog.manager().reloading();
        self.reloading.begin(&self.args, &self.answers, &self.server, &self.events, call);
        if !self.reloading.is_reading() {
            self.watchdog.manager().ready(&self.summary());
        }
    }

    /// Exchanges the configuration, if there is no fault in it; what came of it goes to the log and to those
    /// who wait.
    fn end_reload(&mut self, Read { settled, callers, found }: Read) {
        let done = settled.and_then(|settled| self.exchange(*settled, found));
        self.watchdog.manager().ready(&match &done {
            Ok(_) => self.summary(),
            Err(_) => format!("{}; the last reload failed, the log says why", self.summary()),
        });
        let reply = match done {
            Ok(text) => {
                tracing::info!("{text}");
                Reply::text(0, text)
            }
            Err(Failure { code, text }) => {
                tracing::error!("the configuration stays as it was:\n{text}");
                Reply::text(code, text)
            }
        };
        callers.into_iter().for_each(|call| call.answer(reply.clone()));
        if let Some(callers) = self.reloading.take_again() {
            self.reload(None);
            callers.into_iter().for_each(|call| self.reloading.join(call));
        }
    }

    /// The effects, in words. `found` came while the configuration was read.
    fn exchange(&mut self, settled: Settled, found: Vec<Found>) -> Result<String, Failure> {
        if self.upgrade.is_under_way() {
            return Err(Failure::failed(
                "a new process is about to take over, with the configuration as it is now",
            ));
        }
        if settled.file.is_none() {
            return Err(Failure::usage("there is nothing to reload: Pollux was started without a file"));
        }
        let mut reloaded = self.server.reload(settled.served).map_err(Failure::failed)?;
        (self.places, self.written, self.answers) = (settled.places, settled.written, settled.answers);
        for found in found {
            if found.is_newer(&self.answers) {
                self.note(found.discovered);
            }
        }
        self.discovery_watcher =
            self.events.watch_discovery(&self.server, &self.answers, &self.discovery_status);
        if settled.workers.threads != self.threads {
            reloaded
                .later
                .push(format!("threads = {} (there are {})", settled.workers.threads, self.threads));
        }
        if settled.control != self.control {
            reloaded.later.push(String::from("another control socket"));
        }
        if settled.admin != self.admin {
            reloaded.later.push(String::from("another admin address, or another token"));
        }
        if settled.access_log != self.access_log {
            reloaded.later.push(String::from("another access log"));
        }
        Ok(settled.warnings.map_or_else(String::new, |warnings| format!("{warnings}\n"))
            + &reloaded.to_string())
    }
}

fn open_admin(
    events: &Events,
    admin: &Admin,
    handed: Option<Handed>,
    readiness: &Readiness,
) -> Result<AdminDoor, String> {
    let opened = events.open_admin(admin, handed, readiness);
    opened.map_err(|error| format!("cannot bind the admin address {}: {error}", admin.bind))
}

fn no_socket(path: &Path, error: &io::Error) -> String {
    format!("no control socket at {}: {error}", path.display())
}

fn tell_addresses(server: &Server, say: impl Fn(&str)) {
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
