//! From the file and the flags to what is served.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pollux::access::AccessLogRules;
use pollux::admin::Admin;
use pollux::config::{self, AtOnce, ConfigReport, Loaded, ProcessSettings, SourcePlaces, Written};
use pollux::control::Workers;
use pollux::discovery::Answers;
use pollux::os::{await_disk, look_up_owners};
use pollux::route::Route;
use pollux::snapshot::{
    Address, Balance, Limits, Listener, Mode, Permissions, Pool, PoolId, Snapshot, Timeouts,
};
use pollux::tls::{Handles, ServedSnapshot};

use super::args::RunArgs;
use super::progress::Progress;
use super::{Failure, named, tls_info};

/// The file that is served if none is named.
pub(super) const DEFAULT_FILE: &str = "proxy.toml";

const NOTHING_TO_SERVE: &str = "\
nothing to serve: there is no ./proxy.toml, and no backend was named
  = help: name a backend:        pollux --listen 127.0.0.1:8080 --backend 127.0.0.1:9001
  = help: or a configuration:    pollux -c FILE
  = help: or look at it first:   pollux demo";

/// The configuration to serve, and its workers.
pub(super) struct Settled {
    pub(super) served: ServedSnapshot,
    pub(super) workers: Workers,
    /// Where the control socket is opened, if there is to be one.
    pub(super) control: Option<PathBuf>,
    /// The admin address, if there is to be one.
    pub(super) admin: Option<Admin>,
    /// The rules for the line of each exchange.
    pub(super) access_log: AccessLogRules,
    /// The warnings, as text.
    pub(super) warnings: Option<String>,
    /// The answers for the pools.
    pub(super) answers: Answers,
    /// The places of its parts in the files.
    pub(super) places: SourcePlaces,
    /// Its texts with environment variables.
    pub(super) written: Written,
    /// The file that could say something else the next time, if there is one.
    pub(super) file: Option<PathBuf>,
}

/// Whether what is to be served is said by a file, which could say something else the next time.
pub(super) fn has_file(args: &RunArgs) -> bool {
    args.config.is_some() || (args.backend.is_empty() && Path::new(DEFAULT_FILE).exists())
}

/// Makes out what is to be served, and by whom. Reports have colours if `colour`; where a name cannot be
/// resolved now, `known` may have its last good answer.
pub(super) fn settle(args: &RunArgs, colour: bool, known: &Answers) -> Result<Settled, Failure> {
    let file = match &args.config {
        Some(file) => Some(file.as_path()),
        None if !args.backend.is_empty() => None,
        None if Path::new(DEFAULT_FILE).exists() => Some(Path::new(DEFAULT_FILE)),
        None => return Err(Failure::usage(NOTHING_TO_SERVE)),
    };
    let mut names = AtOnce::new(known);
    let mut loaded = match file {
        Some(file) => from_file(file, args, colour, &mut names)?,
        None => Loaded {
            snapshot: from_flags(args),
            tls: Handles::default(),
            process: ProcessSettings::default(),
            answers: Answers::default(),
            places: SourcePlaces::default(),
            tests: Vec::new(),
            written: Written::default(),
            warnings: None,
        },
    };
    let mut warnings: Vec<String> = loaded.warnings.iter().map(|warnings| warnings.render(colour)).collect();
    if let ([pool], false) = (loaded.snapshot.pools.as_mut_slice(), args.backend.is_empty()) {
        tls_info::put_protocol(args, pool)?;
        warnings.extend(tls_info::put(args, pool, &mut loaded.tls)?);
        let sources = args.backend.iter().map(|flag| &flag.source);
        warnings.extend(named::put(sources, pool, &mut loaded.answers, &mut names)?);
    }
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let threads = args.threads.map(usize::from).or(loaded.process.threads).unwrap_or_else(cores);
    let cores = args.affinity.as_ref().map_or(Vec::new(), |cores| cores.0.clone());
    let mut admin = admin(args.admin.as_ref(), loaded.process.admin)?;
    for listener in &mut loaded.snapshot.listeners {
        make_ready(&listener.bind, &mut listener.socket.permissions);
    }
    if let Some(admin) = &mut admin {
        make_ready(&admin.bind, &mut admin.socket);
    }
    let mut access_log = loaded.process.access_log.unwrap_or_default();
    access_log.to = args.access_log.clone().or(access_log.to);
    Ok(Settled {
        admin,
        served: ServedSnapshot { snapshot: loaded.snapshot, tls: Arc::new(loaded.tls) },
        access_log,
        control: args.control.clone().or(loaded.process.control),
        workers: Workers { poller: args.poller.into(), cores, ..Workers::of(threads) },
        warnings: (!warnings.is_empty()).then(|| warnings.join("\n")),
        file: file.map(Path::to_owned),
        answers: loaded.answers,
        places: loaded.places,
        written: loaded.written,
    })
}

/// Waits for what the bind of a Unix socket may wait for: a directory of users, and the disk of its file. At a reload the bind is on
/// the main thread, and this is not.
fn make_ready(bind: &Address, permissions: &mut Permissions) {
    if let Address::Unix(path) = bind {
        look_up_owners(permissions);
        await_disk(path);
    }
}

/// The admin address that is typed, or else that of the file; the token is the file's.
fn admin(typed: Option<&Address>, filed: Option<Admin>) -> Result<Option<Admin>, Failure> {
    let Some(bind) = typed else { return Ok(filed) };
    let filed = filed.unwrap_or_else(|| Admin::at(bind.clone()));
    let admin = Admin { bind: bind.clone(), ..filed };
    if admin.is_safe() {
        return Ok(Some(admin));
    }
    Err(Failure::usage(format!(
        "--admin {bind} is open to everybody who can reach this machine\n  = help: use 127.0.0.1, or give `[admin]` of the configuration a `token_file`"
    )))
}

/// Reads a configuration file; its errors are the failure, its warnings are told.
pub(super) fn load(file: &Path) -> Result<Loaded, Failure> {
    let progress = Progress::start(format!("checking {}", file.display()), None);
    let outcome = config::load(file);
    drop(progress);
    let loaded = outcome.map_err(|report| Failure::usage(show(&report)))?;
    if let Some(warnings) = &loaded.warnings {
        super::complain(&show(warnings));
    }
    Ok(loaded)
}

/// A report for standard error.
pub(super) fn show(report: &ConfigReport) -> String {
    report.render(has_colours())
}

/// Whether standard error shows colours.
pub(super) fn has_colours() -> bool {
    use std::io::IsTerminal;
    std::io::stderr().is_terminal() && super::terminal::allows_colours()
}

fn from_file(file: &Path, args: &RunArgs, colour: bool, names: &mut AtOnce<'_>) -> Result<Loaded, Failure> {
    let mut loaded =
        config::load_at_once(file, names).map_err(|report| Failure::usage(report.render(colour)))?;
    let snapshot = &mut loaded.snapshot;
    if !args.backend.is_empty() && snapshot.pools.len() != 1 {
        return Err(Failure::usage(format!(
            "--backend does not say which of the {} pools of {} it is for; change the file instead",
            snapshot.pools.len(),
            file.display()
        )));
    }
    if let Some(balance) = args.balance {
        snapshot.pools.iter_mut().for_each(|pool| pool.balance = balance.into());
    }
    if let Some(mode) = args.mode {
        snapshot.listeners.iter_mut().for_each(|listener| listener.mode = mode.into());
    }
    if let (false, Some(first)) = (args.listen.is_empty(), snapshot.listeners.first()) {
        snapshot.listeners = listeners(args, first);
    }
    // The file's own listeners have been checked, and a TCP listener may route by the contents of a
    // ClientHello.
    let is_turned = args.mode.is_some();
    if let Some(listener) = snapshot.listeners.iter().find(|listener| is_turned && !is_fit(listener)) {
        return Err(Failure::usage(format!(
            "--mode tcp does not go with the routes of the listener `{}` of {}: bytes have no host and no path",
            listener.name,
            file.display()
        )));
    }
    Ok(loaded)
}

/// Whether the routes of a listener are of the kind that its mode can have.
fn is_fit(listener: &Listener) -> bool {
    let is_for_bytes = |route: &Route| {
        route.when.is_empty() && route.options.is_none() && route.action.pools().next().is_some()
    };
    match listener.mode {
        Mode::Http => true,
        Mode::Tcp => matches!(listener.routes.routes(), [route] if is_for_bytes(route)),
    }
}

fn from_flags(args: &RunArgs) -> Snapshot {
    let mode = args.mode.map_or(Mode::Http, Mode::from);
    let balance = args.balance.map_or_else(Balance::default, Balance::from);
    Snapshot {
        listeners: listeners(args, &Listener::to_pool("", ([127, 0, 0, 1], 8080).into(), mode, PoolId(0))),
        pools: vec![Pool { balance, ..Pool::new("default", Vec::new()) }],
        timeouts: Timeouts::default(),
        limits: Limits::default(),
    }
}

/// A listener like `model` for each --listen.
fn listeners(args: &RunArgs, model: &Listener) -> Vec<Listener> {
    let default = [Address::Ip(([127, 0, 0, 1], 8080).into())];
    let binds = if args.listen.is_empty() { &default } else { args.listen.as_slice() };
    let listener = |(index, bind): (usize, &Address)| Listener {
        name: format!("listener-{}", index + 1),
        bind: bind.clone(),
        ..model.clone()
    };
    binds.iter().enumerate().map(listener).collect()
}
