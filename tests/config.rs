//! The configuration from outside: the example in the repository, and every diagnostic as it is shown.
//!
//! Beside each broken file `tests/config/NAME.toml` lies `NAME.txt`, all that is shown for it.
//! `UPDATE_EXPECT=1` writes the second anew; read the difference before keeping it.

#[path = "config/credentials.rs"]
mod credentials;
#[path = "config/documentation.rs"]
mod documentation;
#[path = "config/files.rs"]
mod files;
#[path = "config/keys.rs"]
mod keys;
#[path = "config/pages.rs"]
mod pages;
#[path = "config/protection.rs"]
mod protection;
#[path = "config/survival.rs"]
mod survival;
#[path = "config/tls.rs"]
mod tls;

use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pollux::access::{AccessLogRules, Destination};
use pollux::admin::Admin;
use pollux::config::{self, Code, ConfigReport, ERRORS_MAX, FILE_LEN_MAX, Loaded, ProcessSettings};
use pollux::snapshot::{Address, Backend, Limits, Listener, Mode, Pool, PoolId, Timeouts};

const EXAMPLE: &str = include_str!("../proxy.toml");

/// A resolver that knows one name, so that no test asks the network.
fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    match host {
        "localhost" => Ok(vec![(Ipv6Addr::LOCALHOST, port).into(), (Ipv4Addr::LOCALHOST, port).into()]),
        _ => Err(io::Error::other("no such name")),
    }
}

fn parse(text: &str) -> Result<Loaded, ConfigReport> {
    config::parse_with(text, "proxy.toml", &mut resolve)
}

fn loaded(text: &str) -> Loaded {
    parse(text).unwrap_or_else(|report| panic!("{report}"))
}

fn backend(text: &str, weight: u32) -> Backend {
    Backend::new(text, Address::Ip(text.parse().expect("an address")), weight)
}

/// The example with every commented key put into force.
fn example_in_full() -> String {
    let setting =
        |line: &str| line.strip_prefix("# ").is_some_and(|rest| rest.split(' ').nth(1) == Some("="));
    let line = |line: &'static str| if setting(line) { &line[2..] } else { line };
    EXAMPLE.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_is_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("proxy.toml");
    let Loaded { snapshot, process, .. } = config::load(&path).unwrap_or_else(|report| panic!("{report}"));

    assert_eq!(process, ProcessSettings::default());
    let bind = (Ipv4Addr::LOCALHOST, 8080).into();
    let listener = Listener::to_pool("web", bind, Mode::Http, PoolId(0));
    assert_eq!(snapshot.listeners, [listener]);
    let backends = ["127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003"].map(|text| backend(text, 1));
    let pool = Pool::new("app", backends.into());
    assert_eq!(snapshot.pools, [pool]);
    assert_eq!(snapshot.timeouts, Timeouts::default());
    assert_eq!(snapshot.limits, Limits::default());
}

#[test]
fn the_commented_keys_of_the_example_are_the_defaults_and_none_is_missing() {
    let text = example_in_full();
    let full = loaded(&text);
    assert_eq!(full.snapshot, loaded(EXAMPLE).snapshot);
    assert_eq!(full.process.threads, Some(2));

    // `Debug` names the fields, so a key that is new in the snapshot is missed here until the example has it.
    let limits = &full.snapshot.limits;
    let debug: [&dyn std::fmt::Debug; 3] = [&full.snapshot.timeouts, limits, &limits.recorder];
    for fields in debug.map(|fields| format!("{fields:#?}")) {
        let keys = fields.lines().filter_map(|line| line.strip_prefix("    ")?.split_once(": "));
        for (key, value) in keys.filter(|(key, _)| !key.starts_with(' ')) {
            // A key without a value by default has no default to write: another value stands there, indented.
            let may_be_none = matches!(value, "0ns," | "None,");
            let is_shown = |line: &str| {
                line.starts_with(&format!("{key} = "))
                    || line == format!("[{key}]")
                    || may_be_none && line.starts_with(&format!("#   {key} = "))
            };
            assert!(text.lines().any(is_shown), "{key} is not in proxy.toml");
        }
    }
}

#[test]
fn every_form_of_a_value_is_read() {
    let Loaded { snapshot, process, .. } = loaded(
        r#"
        threads = 4
        control = "run/control"
        access_log = "access.log"
        [[listener]]
        bind = "[::1]:8080"
        mode = "tcp"
        pool = "b"
        [[listener]]
        bind = "localhost:8081"
        pool = "a"
        [pool.b]
        balance = "round-robin"
        backends = ["localhost:9002", "unix:/run/app.sock", { address = "127.0.0.1:9003", weight = 3 }]
        [pool.a]
        backends = [{ address = "127.0.0.1:9003" }]
        [admin]
        bind = "127.0.0.1:9900"
        [timeouts]
        connect = "500ms"
        tunnel = "1h 30m"
        [limits]
        head = 4096
        request_line = "4KiB"
        body = "10MB"
        idle_per_backend = 0
        "#,
    );
    assert_eq!(
        process,
        ProcessSettings {
            threads: Some(4),
            control: Some("run/control".into()),
            access_log: Some(AccessLogRules {
                to: Some(Destination::File("access.log".into())),
                ..AccessLogRules::default()
            }),
            admin: Some(Admin::at(Address::Ip(([127, 0, 0, 1], 9900).into()))),
        }
    );
    let listeners: Vec<String> = snapshot
        .listeners
        .iter()
        .map(|l| {
            let pool = l.routes.routes()[0].action.pools().next().expect("a pool");
            format!("{} {} {} {}", l.name, l.bind, l.mode, snapshot.pool(pool).name)
        })
        .collect();
    assert_eq!(listeners, ["listener-1 [::1]:8080 tcp b", "listener-2 [::1]:8081 http a"]);
    let backends: Vec<String> = snapshot.pools[0]
        .backends
        .iter()
        .map(|b| format!("{} | {} | {}", b.name, b.address, b.weight))
        .collect();
    assert_eq!(
        backends,
        [
            "localhost:9002 ([::1]:9002) | [::1]:9002 | 1",
            "localhost:9002 (127.0.0.1:9002) | 127.0.0.1:9002 | 1",
            "unix:/run/app.sock | unix:/run/app.sock | 1",
            "127.0.0.1:9003 | 127.0.0.1:9003 | 3",
        ]
    );
    assert_eq!(snapshot.timeouts.connect, Duration::from_millis(500));
    assert_eq!(snapshot.timeouts.tunnel, Duration::from_secs(5400));
    let limits = &snapshot.limits;
    assert_eq!((limits.head, limits.request_line, limits.body), (4096, 4096, Some(10_000_000)));
    assert_eq!(limits.idle_per_backend, 0);
}

#[test]
fn each_broken_file_is_told_so_in_full() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("the folder of broken files")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    assert!(files.len() >= 20, "the broken files are gone");

    let mut wrong = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a readable file");
        let shown = match parse(&text) {
            Ok(Loaded { warnings: Some(report), .. }) => format!("{report}\n"),
            Ok(_) => String::from("no error\n"),
            Err(report) => format!("{report}\n"),
        };
        let expected = file.with_extension("txt");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&expected, &shown).expect("a writable file");
        } else if fs::read_to_string(&expected).unwrap_or_default() != shown {
            wrong.push(format!("{} is shown as\n\n{shown}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}\nUPDATE_EXPECT=1 takes this as expected", wrong.join("\n"));
}

#[test]
fn a_file_that_cannot_be_read_is_a_report() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let shown = |name: &str, bytes: Option<&[u8]>| {
        let path = folder.path().join(name);
        if let Some(bytes) = bytes {
            fs::write(&path, bytes).expect("a writable file");
        }
        let report = config::load(&path).expect_err("a report");
        assert_eq!(report.len(), 1);
        report.to_string().replace(&folder.path().display().to_string(), "FOLDER")
    };

    let missing = shown("missing.toml", None);
    assert!(missing.starts_with("error[P0004]: cannot read the configuration: "), "{missing}");
    assert!(missing.contains("FOLDER/missing.toml"), "{missing}");

    let latin = shown("latin.toml", Some(b"threads = 2\n# caf\xe9\n"));
    assert!(latin.starts_with("error[P0004]: the file is not UTF-8 text"), "{latin}");
    assert!(latin.contains("FOLDER/latin.toml:2:6"), "{latin}");

    let long = shown("long.toml", Some(&vec![b'#'; FILE_LEN_MAX + 1]));
    assert!(long.contains(&format!("longer than {FILE_LEN_MAX} bytes")), "{long}");
}

#[test]
fn a_file_at_the_bound_is_read_and_one_above_is_not() {
    let pad = |len: usize| format!("{EXAMPLE}#{}", "x".repeat(len - EXAMPLE.len() - 1));
    loaded(&pad(FILE_LEN_MAX));
    assert!(parse(&pad(FILE_LEN_MAX + 1)).is_err());
}

#[test]
fn the_errors_of_a_hostile_file_are_bounded() {
    let text = format!("[pool.a]\nbackends = [{}]", "\"a\",".repeat(FILE_LEN_MAX / 4 - 10));
    let report = parse(&text).expect_err("a report");
    assert_eq!(report.len(), ERRORS_MAX);
    let shown = report.to_string();
    assert!(shown.contains("proxy.toml:2:17") && shown.len() < 50_000, "{shown}");

    let mut asked = 0;
    let names = format!("[pool.a]\nbackends = [{}]", "\"a:1\",".repeat(100_000));
    let _ = config::parse_with(&names, "proxy.toml", &mut |_, _| {
        asked += 1;
        Err(io::Error::other("no such name"))
    });
    assert!(asked <= ERRORS_MAX, "the resolver was asked {asked} times");

    // Two places with most of the file between them are shown as two pieces.
    let first = "[[listener]]\nbind = \"127.0.0.1:1\"\n";
    let far = format!("{first}{}{first}", "# a comment\n".repeat(50_000));
    let shown = parse(&far).expect_err("a report").to_string();
    assert!(shown.contains("proxy.toml:50004:8") && shown.contains("proxy.toml:2:8"), "{shown}");
    assert!(shown.len() < 10_000);
}

#[test]
fn colour_is_only_there_when_asked_for() {
    let report = parse("threads = 0").expect_err("a report");
    assert!(!report.to_string().contains('\u{1b}'));
    assert!(report.render(true).contains('\u{1b}'));
}

#[test]
fn every_code_is_shown_somewhere() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let shown: String = fs::read_dir(&folder)
        .expect("the folder of broken files")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .map(|path| fs::read_to_string(path).expect("a readable file"))
        .collect();
    // These need a machine: a file that is not there, a variable that is not set.
    let elsewhere = [Code::Unreadable, Code::BadInclude, Code::SetTwice];
    // And these need certificates that are of some age: `tests/config/tls.rs` makes them.
    let of_tls = [
        Code::BadCertificate,
        Code::KeyMismatch,
        Code::CertificateDates,
        Code::ChainOrder,
        Code::UncoveredName,
        Code::Unverified,
        Code::Exposed,
    ];
    let elsewhere = [&elsewhere[..], &of_tls].concat();
    for code in Code::ALL.iter().filter(|code| !elsewhere.contains(code)) {
        assert!(
            shown.contains(&format!("[{code}]: ")),
            "no file of tests/config shows {code}, {}",
            code.title()
        );
    }
}

#[test]
fn a_report_is_json_too() {
    let report = parse(
        "[[listener]]\nbind = \"127.0.0.1:1\"\npool = \"ap\"\n[pool.app]\nbackends = [\"127.0.0.1:2\"]",
    )
    .expect_err("a report");
    let json = report.to_json();
    assert_eq!(json[0]["code"], "P0012");
    assert_eq!(json[0]["severity"], "error");
    assert_eq!(json[0]["places"][0]["line"], 3);
    assert_eq!(json[0]["places"][0]["column"], 8);
    assert_eq!(json[0]["places"][0]["end_column"], 12);
    assert_eq!(json[0]["places"][0]["file"], "proxy.toml");
}
