//! Every protection that a file asks for is in the snapshot, or the check fails; and a warning changes
//! nothing in the snapshot.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use pollux::config::{self, Code, ConfigReport, ERRORS_MAX, Loaded, World};
use pollux::snapshot::{Announcing, Listener, Pool};
use pollux::tls::{ClientAuth, ExpiredCrl, MinVersion, UnknownNames, Verify};
use proptest::prelude::*;

use crate::tls::{POOL, made, revocations};

/// The first day of that year, in seconds since 1970.
const fn year(year: i64) -> i64 {
    (year - 1970) * 365 * 86_400 + (year - 1969) / 4 * 86_400
}

/// A machine with files, of which nothing can be read that is not there, at some time.
struct Desk {
    now: i64,
    /// The mode of all of its files.
    mode: u32,
}

/// Certificates until 2031, lists until 2031 and until 2029, and what is none.
static FILES: LazyLock<Vec<(&str, String)>> = LazyLock::new(|| {
    let (cert, key) = made(&["www.example.com"], (2028, 1, 1), (2031, 1, 1));
    let (stray, _) = made(&["stray.example"], (2028, 1, 1), (2031, 1, 1));
    let unordered = format!("{cert}{stray}");
    let token = String::from("0123456789abcdef0123456789abcdef");
    vec![
        ("cert.pem", cert),
        ("unordered.pem", unordered),
        ("key.pem", key),
        ("crl.pem", revocations(2031)),
        ("old.pem", revocations(2029)),
        ("admin.token", token),
        ("short.token", String::from("abc")),
        ("broken.pem", String::from("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")),
        ("empty.pem", String::new()),
    ]
});

impl World for Desk {
    fn resolve(&mut self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        Err(io::Error::other("no such name"))
    }

    fn unix_time(&mut self) -> i64 {
        self.now
    }

    fn variable(&mut self, _: &str) -> Option<String> {
        None
    }

    fn mode(&mut self, _: &Path) -> Option<u32> {
        Some(self.mode)
    }

    fn read(&mut self, path: &Path, _: usize) -> io::Result<Vec<u8>> {
        let file = FILES.iter().find(|(name, _)| Path::new(name) == path);
        file.map(|(_, text)| text.clone().into_bytes()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn files(&mut self, _: &str) -> Result<Vec<PathBuf>, String> {
        Ok(Vec::new())
    }
}

fn load(text: &str, now: i64) -> Result<Loaded, ConfigReport> {
    config::parse_in(text, "proxy.toml", &mut Desk { now, mode: 0o640 })
}

/// A key with one of its values, as it is written, and whether that is what the snapshot says.
type Holds = fn(&Listener, &Pool, &Loaded) -> bool;

/// Keys that protect, by the table in which they stand; the first value that is written beside each is good,
/// and what the snapshot has to say of it then. The others are of every kind that cannot be taken.
const KEYS: &[(&str, &str, &[&str], Holds)] = &[
    (
        "tls",
        "client_ca",
        &["\"cert.pem\"", "\"none.pem\"", "\"broken.pem\"", "\"empty.pem\"", "7"],
        |of, _, _| {
            of.tls.as_ref().is_some_and(|tls| {
                let is_named = tls.client_ca.as_deref() == Some(Path::new("cert.pem"));
                is_named && tls.client_auth != ClientAuth::Off
            })
        },
    ),
    ("tls", "client_crl", &["\"crl.pem\"", "\"none.pem\"", "\"cert.pem\"", "[]"], |of, _, _| {
        of.tls
            .as_ref()
            .is_some_and(|tls| tls.client_crl.is_some() && tls.client_crl_expired == ExpiredCrl::Refuse)
    }),
    ("tls", "client_auth", &["\"require\"", "\"requested\"", "true"], |of, _, _| {
        of.tls.as_ref().is_some_and(|tls| tls.client_auth == ClientAuth::Require)
    }),
    ("tls", "min_version", &["\"1.3\"", "1.3", "\"1.4\""], |of, _, _| {
        of.tls.as_ref().is_some_and(|tls| tls.min_version == MinVersion::Tls13)
    }),
    ("tls", "unknown_names", &["\"refuse\"", "\"refused\"", "1"], |of, _, _| {
        of.tls.as_ref().is_some_and(|tls| tls.unknown_names == UnknownNames::Refuse)
    }),
    ("tls", "alpn", &["[\"http/1.1\"]", "[\"\"]", "[1]", "\"http/1.1\""], |of, _, _| {
        of.tls.as_ref().is_some_and(|tls| tls.alpn == ["http/1.1"])
    }),
    (
        "listener",
        "trusted_proxies",
        &["[\"10.0.0.0/8\"]", "[\"10.0.0.0/99\"]", "[1]", "\"all\""],
        |of, _, _| of.trusted_proxies.len() == 1 && of.trusted_proxies[0].to_string() == "10.0.0.0/8",
    ),
    ("listener", "proxy_protocol", &["\"required\"", "\"require\"", "true"], |of, _, _| {
        of.announcing == Announcing::Required
    }),
    (
        "listener",
        "socket",
        &["{ mode = \"0600\" }", "{ mode = \"0999\" }", "{ mode = 600 }", "\"0600\""],
        |of, _, _| of.socket.permissions.mode == Some(0o600),
    ),
    ("match", "client", &["[\"10.0.0.0/8\"]", "[]", "[\"10.0.0.1/8\"]", "[7]"], |of, _, _| {
        !of.routes.routes()[0].when.clients.is_empty()
    }),
    (
        "match",
        "header",
        &["{ x-secret = \"abc\" }", "{ x-secret = [] }", "{ x-secret = {} }", "{ x-secret = 7 }"],
        |of, _, _| !of.routes.routes()[0].when.headers.is_empty(),
    ),
    (
        "match",
        "client_cert",
        &["\"verified\"", "[]", "\"good\"", "{ fingerprint = [] }", "{ state = [] }"],
        |of, _, _| of.routes.routes()[0].when.client_cert.is_some(),
    ),
    ("backends", "verify", &["\"full\"", "\"fully\"", "true"], |_, pool, _| {
        pool.tls.as_ref().is_some_and(|tls| tls.verify == Verify::Full)
    }),
    ("backends", "ca", &["\"cert.pem\"", "\"none.pem\"", "\"key.pem\"", "[]"], |_, pool, _| {
        pool.tls.as_ref().is_some_and(|tls| tls.ca.is_some())
    }),
    ("backends", "name", &["\"app.internal\"", "\"a b\"", "7"], |_, pool, _| {
        pool.tls.as_ref().is_some_and(|tls| tls.name.as_deref() == Some("app.internal"))
    }),
    ("sticky", "secret", &["\"0123456789abcdef\"", "\"short\"", "7"], |_, pool, _| {
        pool.sticky.as_ref().is_some_and(|sticky| sticky.secret.is_some())
    }),
    ("sticky", "secure", &["true", "\"true\"", "1"], |_, pool, _| {
        pool.sticky.as_ref().is_some_and(|sticky| sticky.is_secure)
    }),
    (
        "admin",
        "token_file",
        &["\"admin.token\"", "\"none.token\"", "\"short.token\"", "7"],
        |_, _, loaded| loaded.process.admin.as_ref().is_some_and(|admin| admin.token.is_some()),
    ),
    ("limits", "body", &["1000", "-1", "\"1 apple\"", "true"], |_, _, loaded| {
        loaded.snapshot.limits.body == Some(1000)
    }),
    ("limits", "sessions", &["50", "0", "\"50\"", "99999999999"], |_, _, loaded| {
        loaded.snapshot.limits.sessions == 50
    }),
    ("limits", "per_client", &["50", "0", "\"50\"", "99999999999"], |_, _, loaded| {
        loaded.snapshot.limits.per_client == Some(50)
    }),
    ("limits", "bytes_per_client", &["\"1MiB\"", "0", "\"1 apple\"", "true"], |_, _, loaded| {
        loaded.snapshot.limits.bytes_per_client == Some(1 << 20)
    }),
];

/// The draw: for each key the value that is written, if it is, and the warning that follows.
#[derive(Clone, Debug)]
struct Drawn {
    keys: Vec<Option<usize>>,
    unordered: bool,
    expired_list: bool,
    /// Pools to which nothing is sent: a warning each.
    unused: usize,
}

impl Drawn {
    fn text(&self) -> String {
        let mut tables: Vec<(&str, Vec<String>)> = Vec::new();
        for ((table, key, values, _), drawn) in KEYS.iter().zip(&self.keys) {
            let Some(place) = drawn else { continue };
            let is_old = self.expired_list && *key == "client_crl" && *place == 0;
            let value = if is_old { "\"old.pem\"" } else { values[*place] };
            let line = format!("{key} = {value}");
            match tables.iter_mut().find(|(known, _)| known == table) {
                Some((_, lines)) => lines.push(line),
                None => tables.push((table, vec![line])),
            }
        }
        let of = |table: &str| {
            tables
                .iter()
                .find(|(known, _)| *known == table)
                .map(|(_, lines)| lines.clone())
                .unwrap_or_default()
        };
        let is_asked = |table: &str| tables.iter().any(|(known, _)| *known == table);
        let inline = |key: &str, table: &str, first: &str| {
            let mut lines = of(table);
            if !first.is_empty() {
                lines.insert(0, first.to_owned());
            }
            format!("{key} = {{ {} }}\n", lines.join(", "))
        };
        let mut text = String::new();
        for (header, table, first) in
            [("[limits]\n", "limits", ""), ("[admin]\n", "admin", "bind = \"127.0.0.1:9900\"\n")]
        {
            if is_asked(table) {
                text += &format!("{header}{first}{}\n", of(table).join("\n"));
            }
        }
        text += "[[listener]]\nbind = \"unix:/run/web.sock\"\npool = \"app\"\n";
        text += &of("listener").join("\n");
        text.push('\n');
        if is_asked("tls") {
            let cert = if self.unordered { "unordered.pem" } else { "cert.pem" };
            let pair = format!("certificates = [{{ cert = \"{cert}\", key = \"key.pem\" }}]");
            text += &inline("tls", "tls", &pair);
        }
        if is_asked("match") {
            text += &format!("[[listener.route]]\npool = \"app\"\n{}", inline("match", "match", ""));
        }
        text += POOL;
        if is_asked("backends") {
            text += &inline("tls", "backends", "");
        }
        if is_asked("sticky") {
            text += &inline("sticky", "sticky", "cookie = \"srv\"");
        }
        for unused in 0..self.unused {
            text += &format!("[pool.unused-{unused}]\nbackends = [\"127.0.0.1:{}\"]\n", 10_000 + unused);
        }
        text
    }

    /// The keys that are written and that `loaded` does not hold to.
    fn lost(&self, loaded: &Loaded) -> Vec<&'static str> {
        let (listener, pool) = (&loaded.snapshot.listeners[0], &loaded.snapshot.pools[0]);
        let drawn = KEYS.iter().zip(&self.keys).filter(|(_, drawn)| drawn.is_some());
        drawn
            .filter(|((.., holds), _)| !holds(listener, pool, loaded))
            .map(|((_, key, ..), _)| *key)
            .collect()
    }
}

fn place(key: &str) -> usize {
    KEYS.iter().position(|(_, known, ..)| *known == key).unwrap()
}

/// Adds the keys without which others mean nothing.
fn complete(keys: &mut [Option<usize>]) {
    for (key, needs) in [
        ("client_crl", "client_ca"),
        ("client_auth", "client_ca"),
        ("client_cert", "client_ca"),
        ("proxy_protocol", "trusted_proxies"),
    ] {
        if keys[place(key)].is_some() {
            keys[place(needs)].get_or_insert(0);
        }
    }
}

/// Most keys are left out or good, so that most files have one mistake at most.
fn drawn() -> impl Strategy<Value = Drawn> {
    let key = |(_, _, values, _): &(&str, &str, &'static [&'static str], Holds)| prop_oneof![12 => Just(None), 12 => Just(Some(0)), 1 => (0..values.len()).prop_map(Some)];
    let keys: Vec<_> = KEYS.iter().map(key).collect();
    let unused = prop_oneof![8 => Just(0_usize), 1 => Just(3), 1 => Just(ERRORS_MAX + 5)];
    (keys, any::<bool>(), any::<bool>(), unused).prop_map(|(mut keys, unordered, expired_list, unused)| {
        complete(&mut keys);
        Drawn { keys, unordered, expired_list, unused }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn what_is_asked_of_protection_holds_or_the_check_fails(drawn in drawn()) {
        let text = drawn.text();
        // In 2030 the old list is out of date, in 2028 it is not; in 2040 the certificates are too.
        let [early, late, latest] = [2028, 2030, 2040].map(|of| load(&text, year(of)));
        for loaded in [&early, &late, &latest].into_iter().flatten() {
            prop_assert_eq!(drawn.lost(loaded), Vec::<&str>::new(), "{}", text);
        }
        prop_assert_eq!(early.is_ok(), late.is_ok(), "{}", text);
        prop_assert_eq!(early.is_ok(), latest.is_ok(), "{}", text);
        if let (Ok(early), Ok(late), Ok(latest)) = (early, late, latest) {
            prop_assert_eq!(&early.snapshot, &late.snapshot, "a warning changes the snapshot of\n{}", text);
            prop_assert_eq!(&early.snapshot, &latest.snapshot, "a warning changes the snapshot of\n{}", text);
            prop_assert_eq!(&early.process, &late.process);
        }
    }
}

/// Each value of each key by itself, and each beside more warnings than a report has room for.
#[test]
fn no_value_of_a_protecting_key_is_taken_for_its_absence() {
    let (mut good, mut bad) = (0, 0);
    for (at, (table, key, values, _)) in KEYS.iter().enumerate() {
        for value in 0..values.len() {
            for unused in [0, ERRORS_MAX + 5] {
                let mut keys = vec![None; KEYS.len()];
                keys[at] = Some(value);
                complete(&mut keys);
                let drawn = Drawn { keys, unordered: true, expired_list: true, unused };
                let text = drawn.text();
                match load(&text, year(2030)) {
                    Ok(loaded) => {
                        assert_eq!(drawn.lost(&loaded), Vec::<&str>::new(), "{text}");
                        assert_eq!(value, 0, "{table} {key}: taken\n{text}");
                        good += 1;
                    }
                    Err(report) => {
                        assert_ne!(value, 0, "{report}\n{text}");
                        assert!(report.len() <= ERRORS_MAX);
                        bad += 1;
                    }
                }
            }
        }
    }
    assert!(good == 2 * KEYS.len() && bad > 2 * KEYS.len(), "{good} {bad}");
}

#[test]
fn an_expired_list_is_warned_of_and_the_listener_keeps_its_tls() {
    for (word, rule) in [("refuse", ExpiredCrl::Refuse), ("accept", ExpiredCrl::Accept)] {
        let pair = "certificates = [{ cert = \"cert.pem\", key = \"key.pem\" }]";
        let crl =
            format!("client_ca = \"cert.pem\", client_crl = \"old.pem\", client_crl_expired = \"{word}\"");
        let text = format!("[[listener]]\nbind = \"127.0.0.1:8443\"\ntls = {{ {pair}, {crl} }}\n{POOL}");
        let loaded = load(&text, year(2030)).unwrap();
        assert_eq!(loaded.warnings.unwrap().codes().collect::<Vec<_>>(), [Code::CertificateDates]);
        let tls = loaded.snapshot.listeners[0].tls.clone().expect("TLS");
        assert_eq!(tls.client_crl_expired, rule);
        assert_eq!(tls.client_auth, ClientAuth::Require);
    }
}

#[test]
fn secrets_that_others_may_read_are_warned_of_and_change_nothing() {
    let pair = "{ cert = \"cert.pem\", key = \"key.pem\" }";
    let text = format!(
        "[admin]\nbind = \"127.0.0.1:9900\"\ntoken_file = \"admin.token\"\n[[listener]]\nbind = \"127.0.0.1:8443\"\n\
         tls = {{ certificates = [{pair}] }}\n{POOL}tls = {{ ca = \"cert.pem\", cert = \"cert.pem\", key = \"key.pem\" }}\n\
         sticky = {{ cookie = \"srv\", secret = \"0123456789abcdef\" }}\n"
    );
    let of = |mode| config::parse_in(&text, "proxy.toml", &mut Desk { now: year(2030), mode }).unwrap();
    let closed = of(0o640);
    assert!(closed.warnings.is_none());
    for (mode, may) in [(0o644, "may read the"), (0o602, "may write the"), (0o666, "may read and write the")]
    {
        let open = of(mode);
        let report = open.warnings.unwrap();
        assert_eq!(report.codes().collect::<Vec<_>>(), [Code::Exposed; 4], "{report}");
        let shown = report.to_string();
        assert!(shown.contains(may) && shown.contains(&format!("{mode:04o}")), "{shown}");
        assert!(!shown.contains("0123456789abcdef"), "{shown}");
        assert!(open.snapshot == closed.snapshot && open.process == closed.process);
    }
}
