//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use pollux::access::Destination;
use pollux::config::value::{BackendFlag, parse_backend_flag, parse_bind, parse_duration};
use pollux::control::KeptCapabilities;
use pollux::core::word::UnknownWord;
use pollux::os::usable_cores;
use pollux::session::SessionActivity;
use pollux::snapshot::{Address, Balance, Hashing, Mode};
use pollux::tls::Verify;
use pollux::worker::Poller;

const EXAMPLES: &str = "\
Examples:
  pollux --listen 127.0.0.1:8080 --backend 127.0.0.1:9001 --backend 127.0.0.1:9002
  pollux --listen 127.0.0.1:5432 --mode tcp --backend db1:5432 --backend db2:5432,weight=2
  pollux --listen '[::1]:8080' --backend unix:/run/app.sock
  pollux --listen 127.0.0.1:8080 --backend https://127.0.0.1:9443 --backend-ca ca.pem
  pollux -c proxy.toml
  pollux -c proxy.toml --listen 127.0.0.1:0 --threads 1
  pollux -c proxy.toml --control /run/pollux/control
  pollux reload --control /run/pollux/control
  pollux check -c proxy.toml
  pollux demo

Without -c and without --backend, ./proxy.toml is served if it is there.
Exit codes: 0 all went well, 1 something could not be done, 2 what was typed or configured is wrong,
3 a second signal ended the drain.
Environment: RUST_LOG filters the log, for example RUST_LOG=warn or RUST_LOG=info,access=off.";

/// A reverse proxy and load balancer for HTTP/1.1 and TCP: one poll(2) loop per thread.
#[derive(Debug, Parser)]
#[command(name = "pollux", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) run: RunArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve; the same as without a command.
    #[command(after_help = EXAMPLES)]
    Run(RunArgs),
    /// Read a configuration and say what is wrong with it, without serving.
    Check(CheckArgs),
    /// Have a running Pollux read its configuration again, and say what came of it.
    Reload(CallArgs),
    /// Have a new process of the executable, as it is now, take over from a running Pollux, which then drains.
    Upgrade(CallArgs),
    /// Say what a running Pollux is at: its clients by kind and age, the oldest of them, and when a drain ends.
    Status(StatusArgs),
    /// Say what a running Pollux remembers of exchanges that failed or were slow, and of one of them step by step.
    Recorder(RecorderArgs),
    /// Print the metrics of a running Pollux, in the text format of Prometheus.
    Metrics(CallArgs),
    /// Watch a running Pollux on a terminal, and drain backends there.
    Top(TopArgs),
    /// Drain a backend, take it out, take it in again, or give it another weight, while Pollux runs.
    Backend(BackendArgs),
    /// Print what was changed by `pollux backend` as a diff of the configuration.
    Changes(CallArgs),
    /// List the clients of a running Pollux, or end one.
    Session(SessionArgs),
    /// Say what a running Pollux logs, or change it.
    LogLevel(LogLevelArgs),
    /// Print the JSON Schema of proxy.toml, for editors.
    Schema,
    /// Run the [[test]] blocks of a configuration.
    Test(TestArgs),
    /// Say what would become of a request, and why: each route tried, the one taken, the backend picked.
    Explain(ExplainArgs),
    /// Say what a reload would do: what is opened, closed, added, drained, moved.
    Plan(PlanArgs),
    /// Say what a code such as P0012 in a diagnostic means.
    ExplainCode(ExplainCodeArgs),
    /// Say what the cause in an access line, an answer or Proxy-Status means, and what to do about it.
    Why(WhyArgs),
    /// Write completions for a shell.
    Completions(CompletionsArgs),
    /// Write the manual page.
    Man(ManArgs),
    /// Start three toy backends and Pollux in front of them, to try things out.
    Demo(DemoArgs),
}

/// The configuration to serve.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The configuration; flags beside it override what it says.
    #[arg(short, long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Addresses for clients; port 0 lets the system choose. May be repeated [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR", value_parser = bind)]
    pub(super) listen: Vec<Address>,
    /// A backend: HOST:PORT, https://HOST[:PORT], h2c://HOST:PORT, unix:PATH, srv:NAME or file:PATH, with ,weight=N for a share other than 1. May be repeated.
    #[arg(long, value_name = "ADDR[,weight=N]", value_parser = backend)]
    pub(super) backend: Vec<BackendFlag>,
    /// The authorities that issued the certificates of `https://` backends, or those certificates themselves, in
    /// PEM [default: the authorities that the system trusts].
    #[arg(long, value_name = "FILE", requires = "backend")]
    pub(super) backend_ca: Option<PathBuf>,
    /// The name that the certificates of `https://` backends have to be for, and that is asked for [default: that of the address].
    #[arg(long, value_name = "NAME", value_parser = tls_name, requires = "backend")]
    pub(super) backend_tls_name: Option<String>,
    /// Whether the certificates of `https://` backends are verified [default: full].
    #[arg(long, value_enum, value_name = "full|off", requires = "backend")]
    pub(super) backend_verify: Option<VerifyArg>,
    /// The protocol of the listeners [default: http].
    #[arg(long, value_enum)]
    pub(super) mode: Option<ModeArg>,
    /// The choice of a backend [default: round-robin].
    #[arg(long, value_enum)]
    pub(super) balance: Option<BalanceArg>,
    /// The number of poll loops, each in a thread with its own SO_REUSEPORT listeners [default: one per
    /// core].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) threads: Option<u16>,
    /// The cores that the threads are bound to, in turn: `auto` for all that may be used, or numbers such as 0,2.
    #[arg(long, value_name = "CORES", value_parser = cores)]
    pub(super) affinity: Option<Cores>,
    /// The way in which a thread waits: poll(2) over everything, or with quiet ones in an epoll instance (the
    /// parked set).
    #[arg(long, value_enum, value_name = "POLLER", default_value_t = PollerArg::PollAndEpoll)]
    pub(super) poller: PollerArg,
    /// Become this user, by name or number, once everything is bound; needs root.
    #[arg(long, value_name = "USER")]
    pub(super) user: Option<String>,
    /// And this group [default: that of the user].
    #[arg(long, value_name = "GROUP")]
    pub(super) group: Option<String>,
    /// Capabilities of root that this user keeps, by name: net_bind_service for low ports at a reload,
    /// dac_read_search for keys that only root may read.
    #[arg(long, value_name = "CAPABILITY", value_delimiter = ',', requires = "user")]
    pub(super) keep_capability: Vec<KeptCapabilities>,
    /// Let a debugger of the same user attach, and the kernel write core dumps; both can see keys.
    #[arg(long)]
    pub(super) debuggable: bool,
    /// Where a control socket is opened, for `pollux status` and `pollux reload` [default: as the configuration says, or none].
    #[arg(long, value_name = "PATH")]
    pub(super) control: Option<PathBuf>,
    /// Where the admin address is, for status, metrics and a dashboard over HTTP; of the loopback or a Unix socket, unless the
    /// configuration has a token [default: as the configuration says, or none].
    #[arg(long, value_name = "ADDR", value_parser = bind)]
    pub(super) admin: Option<Address>,
    /// The destination of the line for each exchange: on (standard error), stdout, off, syslog:udp://IP:PORT,
    /// syslog:unix:PATH, or a file, which SIGUSR1 opens anew [default: as the configuration says, or on].
    #[arg(long, value_name = "on|off|FILE|…", value_parser = access_log)]
    pub(super) access_log: Option<Destination>,
    /// The form of log lines.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    pub(super) log_format: LogFormat,
}

/// Which Pollux is meant.
#[derive(Debug, Args)]
pub(super) struct CallArgs {
    /// Its control socket [default: as the configuration says].
    #[arg(long, value_name = "PATH")]
    pub(super) control: Option<PathBuf>,
    /// The configuration that names the control socket [default: ./proxy.toml].
    #[arg(short, long, value_name = "FILE", conflicts_with = "control")]
    pub(super) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// A backend as `pool/backend`: all that is known of it, with what was last observed.
    #[arg(value_name = "POOL/BACKEND")]
    pub(super) backend: Option<String>,
    #[command(flatten)]
    pub(super) call: CallArgs,
    /// Write it as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct RecorderArgs {
    #[command(subcommand)]
    pub(super) action: Option<RecorderAction>,
    #[command(flatten)]
    pub(super) call: CallArgs,
    /// List those too that ended well and fast.
    #[arg(long)]
    pub(super) all: bool,
    /// Write it as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum RecorderAction {
    /// Say what happened to one exchange, step by step.
    Show(ShowArgs),
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Its name in the list.
    #[arg(value_name = "ID")]
    pub(super) id: String,
    #[command(flatten)]
    pub(super) call: CallArgs,
    /// Write it as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct TopArgs {
    #[command(flatten)]
    pub(super) call: CallArgs,
}

#[derive(Debug, Args)]
pub(super) struct BackendArgs {
    #[command(subcommand)]
    pub(super) verb: BackendVerb,
}

/// The change of a backend. It holds for all workers at once, survives a reload unless the file says
/// something else of that very thing then, and is shown by `pollux status`.
#[derive(Debug, Subcommand)]
pub(super) enum BackendVerb {
    /// It gets no new clients but those that are bound to it; what is under way goes on.
    Drain(NamedBackend),
    /// It serves again, as its health allows.
    Ready(NamedBackend),
    /// It gets no more requests; what is under way goes on.
    Down(NamedBackend),
    /// It gets another share of the traffic.
    Weight {
        #[command(flatten)]
        named: NamedBackend,
        /// Its weight, 0 to 1000 [default: as the configuration says].
        #[arg(value_name = "WEIGHT")]
        weight: Option<u32>,
    },
}

#[derive(Debug, Args)]
pub(super) struct NamedBackend {
    /// The backend, with its name or its address.
    #[arg(value_name = "POOL/BACKEND")]
    pub(super) backend: String,
    #[command(flatten)]
    pub(super) call: CallArgs,
}

#[derive(Debug, Args)]
pub(super) struct SessionArgs {
    #[command(subcommand)]
    pub(super) verb: SessionVerb,
}

#[derive(Debug, Subcommand)]
pub(super) enum SessionVerb {
    /// List clients one by one, each with the name by which it can be ended.
    List {
        /// Only those that are at this.
        #[arg(long, value_name = "KIND", value_parser = kind)]
        state: Option<SessionActivity>,
        /// Those first that have moved most bytes, not the oldest.
        #[arg(long)]
        biggest: bool,
        /// The number of entries at most.
        #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20)]
        count: usize,
        #[command(flatten)]
        call: CallArgs,
        /// Write it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// End a session: its connection ends visibly short, and its record has the cause `operator-killed`.
    Kill {
        /// Its name, as the list says it.
        #[arg(value_name = "SESSION")]
        session: String,
        #[command(flatten)]
        call: CallArgs,
    },
}

#[derive(Debug, Args)]
pub(super) struct LogLevelArgs {
    /// A level for everything, such as `warn`, or one for a part, such as `access=off`.
    #[arg(value_name = "LEVEL|TARGET=LEVEL")]
    pub(super) level: Option<String>,
    #[command(flatten)]
    pub(super) call: CallArgs,
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The configuration [default: ./proxy.toml].
    #[arg(value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// The same.
    #[arg(short, long, value_name = "FILE", conflicts_with = "file")]
    pub(super) config: Option<PathBuf>,
    /// Take warnings for errors.
    #[arg(long)]
    pub(super) strict: bool,
    /// Write what was found as JSON.
    #[arg(long)]
    pub(super) json: bool,
    /// Print the whole configuration that holds, defaults included, if it is good.
    #[arg(long, conflicts_with = "json")]
    pub(super) print: bool,
}

#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// The configuration [default: ./proxy.toml].
    #[arg(value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// The same.
    #[arg(short, long, value_name = "FILE", conflicts_with = "file")]
    pub(super) config: Option<PathBuf>,
    /// Write how they went as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// The configuration that would be loaded.
    #[arg(value_name = "NEW")]
    pub(super) new: PathBuf,
    /// The one that is in force [default: ./proxy.toml].
    #[arg(short, long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// An access log, text or JSON: how many of its requests would go elsewhere.
    #[arg(long, value_name = "ACCESSLOG")]
    pub(super) replay: Option<PathBuf>,
    /// Write it as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The request, such as 'GET https://api.example.com/v1/x?y=1'. Without it the question is about a connection to a TCP listener.
    #[arg(value_name = "REQUEST", required_unless_present_any = ["sni", "alpn", "listener"])]
    pub(super) request: Option<String>,
    /// The configuration [default: ./proxy.toml].
    #[arg(short, long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// A header field, such as 'Cookie: a=b'. May be repeated.
    #[arg(short = 'H', long, value_name = "NAME: VALUE", value_parser = header)]
    pub(super) header: Vec<(String, String)>,
    /// The client's address [default: 127.0.0.1].
    #[arg(long, value_name = "ADDR")]
    pub(super) from: Option<IpAddr>,
    /// To which listener [default: the one with the port of the URL, else the first].
    #[arg(long, value_name = "NAME")]
    pub(super) listener: Option<String>,
    /// The name that the client asks for by TLS (SNI) [default: the host of the URL].
    #[arg(long, value_name = "NAME")]
    pub(super) sni: Option<String>,
    /// A protocol that the client of a TCP listener offers by TLS (ALPN), such as h2. May be repeated.
    #[arg(long, value_name = "PROTOCOL")]
    pub(super) alpn: Vec<String>,
    /// The state of the client's certificate: none, verified, failed, or why it fails, such as expired
    /// [default: verified, if one is described].
    #[arg(long, value_name = "STATE")]
    pub(super) client_cert: Option<String>,
    /// The subject of the certificate that the client shows, such as 'CN=alice, O=Example'.
    #[arg(long, value_name = "SUBJECT")]
    pub(super) client_cert_subject: Option<String>,
    /// Its SHA-256, in hexadecimal digits with colons or without.
    #[arg(long, value_name = "SHA-256")]
    pub(super) client_cert_fingerprint: Option<String>,
    /// A backend that is down. May be repeated.
    #[arg(long, value_name = "POOL/BACKEND")]
    pub(super) down: Vec<String>,
    /// A backend that takes no more. May be repeated.
    #[arg(long, value_name = "POOL/BACKEND")]
    pub(super) full: Vec<String>,
    /// Ask a running Pollux: what it would do now, with the configuration that it has and in the state in which it is.
    #[arg(long)]
    pub(super) live: bool,
    /// Its control socket [default: as the configuration says].
    #[arg(long, value_name = "PATH", requires = "live", conflicts_with = "config")]
    pub(super) control: Option<PathBuf>,
    /// Write it as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ExplainCodeArgs {
    /// The code, such as P0012; without it, all codes are listed.
    #[arg(value_name = "CODE")]
    pub(super) code: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct WhyArgs {
    /// The cause, such as backend-refused; without it, all causes are listed.
    #[arg(value_name = "CAUSE")]
    pub(super) word: Option<String>,
    /// Write it as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum, value_name = "SHELL")]
    pub(super) shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Write pollux.1 and a page for each command into this folder instead.
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// End by itself after this time, such as 5s; without it Ctrl-C ends the demo.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub(super) span: Option<Duration>,
    /// No clients but yours; without it some come, so that there is something to see.
    #[arg(long)]
    pub(super) quiet: bool,
    /// Listen with TLS, with a certificate that is made at the start.
    #[arg(long)]
    pub(super) tls: bool,
}

/// The cores that --affinity names.
#[derive(Clone, Debug)]
pub(super) struct Cores(pub(super) Vec<usize>);

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum PollerArg {
    Poll,
    #[value(name = "poll+lot")]
    PollAndEpoll,
}

impl From<PollerArg> for Poller {
    fn from(poller: PollerArg) -> Poller {
        match poller {
            PollerArg::Poll => Poller::Poll,
            PollerArg::PollAndEpoll => Poller::PollAndEpoll,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum ModeArg {
    Http,
    Tcp,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Mode {
        match mode {
            ModeArg::Http => Mode::Http,
            ModeArg::Tcp => Mode::Tcp,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum BalanceArg {
    RoundRobin,
    LeastConnections,
    Random,
    TwoChoices,
    Latency,
    /// By the client's address.
    Hash,
    First,
}

impl From<BalanceArg> for Balance {
    fn from(balance: BalanceArg) -> Balance {
        match balance {
            BalanceArg::RoundRobin => Balance::RoundRobin,
            BalanceArg::LeastConnections => Balance::LeastConnections,
            BalanceArg::Random => Balance::Random,
            BalanceArg::TwoChoices => Balance::TwoChoices,
            BalanceArg::Latency => Balance::Latency,
            BalanceArg::Hash => Balance::Hash(Hashing::default()),
            BalanceArg::First => Balance::First,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    Text,
    Json,
}

/// See [`Verify`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum VerifyArg {
    /// They have to be for the name, of a known issuer, and valid now.
    #[default]
    Full,
    /// Any server at the address is trusted.
    Off,
}

impl From<VerifyArg> for Verify {
    fn from(arg: VerifyArg) -> Verify {
        match arg {
            VerifyArg::Full => Verify::Full,
            VerifyArg::Off => Verify::Off,
        }
    }
}

fn bind(text: &str) -> Result<Address, String> {
    parse_bind(text).map_err(|error| error.to_string())
}

fn backend(text: &str) -> Result<BackendFlag, String> {
    parse_backend_flag(text).map_err(|error| error.to_string())
}

fn tls_name(text: &str) -> Result<String, String> {
    if rustls::pki_types::ServerName::try_from(text).is_ok() {
        return Ok(text.to_owned());
    }
    Err("this is no name that a certificate can have: expected a host name or an address, without a port"
        .into())
}

/// Numbers of cores that this process may use, with commas between them, or all of those.
fn cores(text: &str) -> Result<Cores, String> {
    let usable = usable_cores().map_err(|error| error.to_string())?;
    if text == "auto" {
        return Ok(Cores(usable));
    }
    let core = |text: &str| {
        let number = text.trim().parse().map_err(|_| format!("`{text}` is not the number of a core"))?;
        if usable.contains(&number) {
            return Ok(number);
        }
        Err(format!("this process may not use core {number}, only {usable:?}"))
    };
    text.split(',').map(core).collect::<Result<_, _>>().map(Cores)
}

fn access_log(text: &str) -> Result<Destination, String> {
    Destination::parse(text, |path| PathBuf::from(path))
}

fn kind(text: &str) -> Result<SessionActivity, String> {
    let words = || SessionActivity::ALL.map(SessionActivity::as_str).join(", ");
    text.parse().map_err(|UnknownWord| format!("expected one of {}", words()))
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write it as `Name: value`")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}
