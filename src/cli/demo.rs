//! `pollux demo`: three toy backends, Pollux in front of them, clients, a dashboard, and a line for each
//! request of yours.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pollux::access::{AccessLogRules, Destination};
use pollux::admin::{Admin, AdminDoor, Callers, Readiness};
use pollux::config::{ProcessSettings, Written};
use pollux::control::{
    Command, ControlEvent, DiscoveryStatus, Events, Manager, Reply, Server, StartError, Taken, Workers,
};
use pollux::core::outcome::{Journal, Record};
use pollux::snapshot::{Address, Backend, Limits, Listener, Mode, Pool, PoolId, Snapshot, Timeouts};
use pollux::tls::{Files, Handles, ServedSnapshot, Termination, TerminationRules};
use rcgen::{CertificateParams, KeyPair};
use toy_backends::{Behaviour, Toy};
use tracing_appender::non_blocking::NonBlocking;

use super::answer::{self, Around};
use super::args::{DemoArgs, LogFormat};
use super::crowd::{self, Crowd};
use super::logging::{self, Logs};
use super::watchdog::Watchdog;
use super::{FAILED, Failure, stop};

const FIRST_PORT: u16 = 8080;
const FIRST_ADMIN_PORT: u16 = 9900;
const PORTS_TRIED: u16 = 100;

pub(super) fn demo(args: &DemoArgs) -> Result<ExitCode, Failure> {
    let logs = Logs::start(
        LogFormat::Text,
        &AccessLogRules { to: Some(Destination::Off), ..AccessLogRules::default() },
    );
    let (out, _out_guard) = logging::unhurried_stdout();
    let say = |text: &str| say_to(&out, text);
    let events = Events::default();
    events.take_over_signals(Taken::End).map_err(Failure::failed)?;
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let toys = ["a", "b", "c"].map(|name| Toy::start(any_port, name, Behaviour::Echo));
    let toys = toys.into_iter().collect::<Result<Vec<_>, _>>().map_err(Failure::failed)?;
    let certificate = if args.tls { Some(Certificate::make()?) } else { None };
    let mut server = start(&toys, certificate.as_ref(), &out)?;
    let Some(Address::Ip(address)) = server.addresses().first().cloned() else {
        return Err(Failure::failed("the demo listens at no port"));
    };
    let readiness = Readiness::default();
    let mut admin_door = open_admin(&events, &readiness)?;
    let path = std::env::temp_dir().join(format!("pollux-demo-{}", std::process::id()));
    let socket = events.open_socket(&path).map_err(Failure::failed)?;
    readiness.set(true);
    admin_door.serve();
    for toy in &toys {
        say(&format!("backend {} answers on {}", toy.name(), toy.address()));
    }
    let line = match &certificate {
        None => format!("curl -i http://{address}/hello"),
        Some(made) => {
            format!("curl -i --cacert {} https://localhost:{}/hello", made.file.display(), address.port())
        }
    };
    say(&format!("Pollux listens on {address} and takes them in turn. Try it:\n\n    {line}\n"));
    say(&format!(
        "Dashboard:     http://{}/\nIn a terminal: pollux top --control {}\n",
        admin_door.address(),
        path.display()
    ));
    // They do not speak TLS.
    let has_crowd = !args.quiet && !args.tls;
    let crowd = has_crowd.then(|| Crowd::come(address)).transpose().map_err(Failure::failed)?;
    if crowd.is_some() {
        say("Some clients come and go, so that there is something to see (--quiet for none).");
    }
    say("Every request of yours will be shown here. Ctrl-C ends the demo.");
    let process = ProcessSettings::default();
    let discovery_status = DiscoveryStatus::default();
    let around = Around {
        file: None,
        process: &process,
        written: &Written::default(),
        logs: &logs,
        discovery_status: &discovery_status,
    };
    serve(&mut server, &events, &around, args.span);
    say("stopping");
    drop(crowd);
    readiness.set(false);
    server.drain();
    let code = stop::stop(
        server,
        &events,
        &around,
        Watchdog::new(Manager::default()),
        (Some(admin_door), Callers::default()),
    );
    drop(socket);
    Ok(code)
}

/// Answers callers until a signal comes or the time is over.
fn serve(server: &mut Server, events: &Events, around: &Around<'_>, span: Option<Duration>) {
    let end = span.map(|span| Instant::now() + span);
    loop {
        match events.next(end.map(|end| end.saturating_duration_since(Instant::now()))) {
            Some(ControlEvent::Call(call)) => {
                let command = &call.request.command;
                let reply = around.answer(server, command, &call.by);
                let reply = reply.unwrap_or_else(|| {
                    if let Command::Operate { backend, wanted } = command {
                        return answer::operate(server, backend, *wanted, &call.by);
                    }
                    Reply::text(FAILED, "the demo has no configuration to work with")
                });
                call.answer(reply);
            }
            // Nothing else comes but signals, and each of them ends the demo.
            Some(
                ControlEvent::Signal(_)
                | ControlEvent::Upgraded(_)
                | ControlEvent::Discovered(_)
                | ControlEvent::Done,
            )
            | None => return,
        }
    }
}

/// On the first free port.
fn open_admin(events: &Events, readiness: &Readiness) -> Result<AdminDoor, Failure> {
    for port in FIRST_ADMIN_PORT..FIRST_ADMIN_PORT + PORTS_TRIED {
        let admin = Admin { writable: true, ..Admin::at(Address::Ip(([127, 0, 0, 1], port).into())) };
        match events.open_admin(&admin, None, readiness) {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
            outcome => return outcome.map_err(Failure::failed),
        }
    }
    Err(Failure::failed(format!("no port from {FIRST_ADMIN_PORT} on is free on 127.0.0.1")))
}

/// A certificate that has signed itself, and the file by which a client can believe it, for as long as this
/// lives.
struct Certificate {
    termination: Arc<Termination>,
    file: PathBuf,
}

impl Certificate {
    fn make() -> Result<Certificate, Failure> {
        let names = ["localhost", "127.0.0.1"].map(String::from).to_vec();
        let key = KeyPair::generate().map_err(Failure::failed)?;
        let made = CertificateParams::new(names).and_then(|params| params.self_signed(&key));
        let pem = made.map_err(Failure::failed)?.pem();
        let files = Files {
            pairs: vec![(pem.clone().into_bytes(), key.serialize_pem().into_bytes())],
            client_ca: None,
            client_crl: None,
        };
        let rules =
            TerminationRules { alpn: vec!["h2".into(), "http/1.1".into()], ..TerminationRules::default() };
        let termination = Termination::new("demo", rules, &files).map_err(Failure::failed)?;
        let file = std::env::temp_dir().join(format!("pollux-demo-{}.pem", std::process::id()));
        // Every user may write to that folder, so an existing file or link is not written to.
        let made = std::fs::File::create_new(&file).and_then(|mut made| made.write_all(pem.as_bytes()));
        made.map_err(|error| Failure::failed(format!("{}: {error}", file.display())))?;
        Ok(Certificate { termination: Arc::new(termination), file })
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        // It may have been removed.
        let _ = std::fs::remove_file(&self.file);
    }
}

/// Listens on the first free port.
fn start(toys: &[Toy], certificate: Option<&Certificate>, out: &NonBlocking) -> Result<Server, Failure> {
    for port in FIRST_PORT..FIRST_PORT + PORTS_TRIED {
        match Server::start(served(toys, certificate, port), &Workers::of(1), || Box::new(Lines(out.clone())))
        {
            Err(StartError::Bind { error, .. }) if error.kind() == std::io::ErrorKind::AddrInUse => {}
            outcome => return outcome.map_err(Failure::failed),
        }
    }
    let last = FIRST_PORT + PORTS_TRIED - 1;
    Err(Failure::failed(format!("no port from {FIRST_PORT} to {last} is free on 127.0.0.1")))
}

fn served(toys: &[Toy], certificate: Option<&Certificate>, port: u16) -> ServedSnapshot {
    let backend = |toy: &Toy| Backend::new(toy.name(), Address::Ip(toy.address()), 1);
    let listener = Listener::to_pool("demo", ([127, 0, 0, 1], port).into(), Mode::Http, PoolId(0));
    let mut made = Handles::default();
    let tls = certificate.map(|certificate| {
        made.add_termination(Arc::clone(&certificate.termination));
        Arc::clone(certificate.termination.rules())
    });
    let snapshot = Snapshot {
        listeners: vec![Listener { tls, ..listener }],
        pools: vec![Pool::new("toys", toys.iter().map(backend).collect())],
        timeouts: Timeouts::default(),
        limits: Limits::default(),
    };
    ServedSnapshot { snapshot, tls: Arc::new(made) }
}

/// Shows each exchange on the terminal.
struct Lines(NonBlocking);

fn say_to(out: &NonBlocking, text: &str) {
    use std::io::Write;
    // A reader that has gone is no reason to stop.
    let _ = out.clone().write_all(format!("{text}\n").as_bytes());
}

impl Journal for Lines {
    fn record(&mut self, record: &Record<'_>, _at: Duration) {
        if record.client.ip() == crowd::HOME {
            return;
        }
        let text = |bytes| String::from_utf8_lossy(bytes);
        let request = if record.method.is_empty() {
            "(no request)".into()
        } else {
            format!("{} {}", text(record.method), text(record.target))
        };
        let backend = record.backend.map_or_else(String::new, |name| format!(" from backend {name}"));
        let cause = record.outcome.cause.map_or_else(String::new, |cause| format!(" because {cause}"));
        let took_ms = record.spans.whole.as_secs_f64() * 1e3;
        say_to(&self.0, &format!("{request} -> {}{backend} in {took_ms:.2} ms{cause}", record.status));
    }
}
