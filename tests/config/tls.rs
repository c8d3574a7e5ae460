//! Findings about certificates: those of the files that a configuration names, which are made here, as of a
//! time that is given.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use pollux::config::{self, Code, World};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer, KeyIdMethod, KeyPair,
    SerialNumber, date_time_ymd,
};

/// The first day of 2030, in seconds since 1970.
const NOW: i64 = 1_893_456_000;

/// A machine of files in memory, on the first day of 2030.
pub(crate) struct Shelf(pub(crate) Vec<(&'static str, String)>);

impl World for Shelf {
    fn resolve(&mut self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        Err(io::Error::other("no such name"))
    }

    fn unix_time(&mut self) -> i64 {
        NOW
    }

    fn variable(&mut self, _: &str) -> Option<String> {
        None
    }

    fn read(&mut self, path: &Path, _: usize) -> io::Result<Vec<u8>> {
        let file = self.0.iter().find(|(name, _)| Path::new(name) == path);
        file.map(|(_, text)| text.clone().into_bytes()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn files(&mut self, _: &str) -> Result<Vec<PathBuf>, String> {
        Ok(Vec::new())
    }
}

/// A certificate for `names` that is valid between two dates, and its key.
pub(crate) fn made(names: &[&str], from: (i32, u8, u8), until: (i32, u8, u8)) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params =
        CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    params.not_before = date_time_ymd(from.0, from.1, from.2);
    params.not_after = date_time_ymd(until.0, until.1, until.2);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// A list of revoked certificates, of which it has none, that is up to date until the beginning of that year.
pub(crate) fn revocations(until: i32) -> String {
    let issuer = Issuer::new(CertificateParams::default(), KeyPair::generate().unwrap());
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2020, 1, 1),
        next_update: date_time_ymd(until, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(&issuer).unwrap().pem().unwrap()
}

pub(crate) fn good() -> (String, String) {
    made(&["www.example.com", "*.apps.example.com"], (2029, 1, 1), (2031, 1, 1))
}

/// The codes of what is found in `text`, and all that is shown.
fn found(text: &str, files: &[(&'static str, &str)]) -> (Vec<Code>, String) {
    let mut shelf = Shelf(files.iter().map(|(name, text)| (*name, (*text).to_owned())).collect());
    let report = match config::parse_in(text, "proxy.toml", &mut shelf) {
        Ok(loaded) => loaded.warnings,
        Err(report) => Some(report),
    };
    report.map_or_else(Default::default, |report| (report.codes().collect(), report.to_string()))
}

pub(crate) const POOL: &str = "[pool.app]\nbackends = [\"127.0.0.1:9001\"]\n";

fn listener(tls: &str) -> String {
    format!("[[listener]]\nbind = \"127.0.0.1:8443\"\n{tls}\n{POOL}")
}

/// The findings about one certificate and key.
fn of_pair(cert: &str, key: &str) -> (Vec<Code>, String) {
    let text = listener("tls = { certificates = [{ cert = \"cert.pem\", key = \"key.pem\" }] }");
    found(&text, &[("cert.pem", cert), ("key.pem", key)])
}

#[test]
fn a_good_pair_is_not_talked_about() {
    let (cert, key) = good();
    assert_eq!(of_pair(&cert, &key), (vec![], String::new()));
}

#[test]
fn dates_are_held_against_the_clock() {
    for (from, until, says) in [
        ((2028, 1, 1), (2029, 12, 30), "the certificate has expired 2 days ago"),
        ((2030, 1, 4), (2031, 1, 1), "the certificate is not valid before 4 days from now"),
        ((2029, 1, 1), (2030, 1, 10), "the certificate expires in 9 days"),
    ] {
        let (cert, key) = made(&["a.example"], from, until);
        let (codes, shown) = of_pair(&cert, &key);
        assert_eq!(codes, [Code::CertificateDates], "{shown}");
        assert!(shown.contains(says), "{shown}");
    }
    let (cert, key) = made(&["a.example"], (2029, 1, 1), (2030, 1, 15));
    assert_eq!(of_pair(&cert, &key).0, [], "14 days are enough");
}

#[test]
fn a_pair_has_to_be_one() {
    let ((cert, _), (other, key)) = (good(), good());
    let (codes, shown) = of_pair(&cert, &key);
    assert_eq!(codes, [Code::KeyMismatch], "{shown}");
    let (codes, shown) = of_pair(&format!("{cert}{other}"), &key);
    assert!(codes == [Code::KeyMismatch] && shown.contains("certificate 2 of the file"), "{shown}");
    for (cert, key) in [
        ("", key.as_str()),
        (cert.as_str(), ""),
        (cert.as_str(), "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
    ] {
        assert_eq!(of_pair(cert, key).0, [Code::BadCertificate]);
    }
}

#[test]
fn a_chain_has_an_order() {
    let (root_key, middle_key, key) =
        (KeyPair::generate().unwrap(), KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let issuer = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params
    };
    let root = Issuer::new(issuer("root"), root_key);
    let middle_cert = issuer("middle").signed_by(&middle_key, &root).unwrap().pem();
    let middle = Issuer::new(issuer("middle"), middle_key);
    let leaf =
        CertificateParams::new(vec![String::from("a.example")]).unwrap().signed_by(&key, &middle).unwrap();
    let (stray, _) = good();
    let key = key.serialize_pem();
    assert_eq!(of_pair(&format!("{}{middle_cert}", leaf.pem()), &key).0, []);
    let (codes, shown) = of_pair(&format!("{}{stray}{middle_cert}", leaf.pem()), &key);
    assert_eq!(codes, [Code::ChainOrder], "{shown}");
}

#[test]
fn names_and_routes_are_held_against_each_other() {
    let (cert, key) = good();
    let of = |hosts: &[&str]| {
        let route = |host: &&str| format!("[[listener.route]]\nmatch.host = \"{host}\"\npool = \"app\"\n");
        let routes: String = hosts.iter().map(route).collect();
        let tls = "tls = { certificates = [{ cert = \"cert.pem\", key = \"key.pem\" }] }";
        found(
            &listener(&format!("{tls}\n{routes}")),
            &[("cert.pem", cert.as_str()), ("key.pem", key.as_str())],
        )
    };
    assert_eq!(of(&["www.example.com", "x.apps.example.com", "*.apps.example.com"]).0, []);
    let (codes, shown) = of(&["www.example.com", "api.example.com"]);
    assert!(
        codes == [Code::UncoveredName] && shown.contains("no certificate is for `api.example.com`"),
        "{shown}"
    );
    let (codes, shown) = of(&["other.example"]);
    assert_eq!(codes, [Code::UncoveredName, Code::UncoveredName], "{shown}");
    assert!(shown.contains("no route serves `www.example.com, *.apps.example.com`"), "{shown}");
}

#[test]
fn what_is_asked_of_clients_and_backends_has_to_go_together() {
    let (cert, key) = good();
    let (crl, old) = (revocations(2031), revocations(2029));
    let lists = [("crl.pem", crl.as_str()), ("old.pem", old.as_str())];
    let files = [("cert.pem", cert.as_str()), ("key.pem", key.as_str()), lists[0], lists[1]];
    let pair = "certificates = [{ cert = \"cert.pem\", key = \"key.pem\" }]";
    for (tls, codes) in [
        (format!("tls = {{ {pair}, client_auth = \"require\" }}"), vec![Code::MissingKey]),
        (
            format!("tls = {{ {pair}, client_ca = \"cert.pem\", client_auth = \"off\" }}"),
            vec![Code::NoEffect],
        ),
        (format!("tls = {{ {pair}, client_ca = \"key.pem\" }}"), vec![Code::BadCertificate]),
        (format!("tls = {{ {pair}, client_ca = \"none.pem\" }}"), vec![Code::Unreadable]),
        (format!("tls = {{ {pair}, client_ca = \"cert.pem\", client_crl = \"crl.pem\" }}"), vec![]),
        (
            format!("tls = {{ {pair}, client_ca = \"cert.pem\", client_crl = \"old.pem\" }}"),
            vec![Code::CertificateDates],
        ),
        (
            format!("tls = {{ {pair}, client_ca = \"cert.pem\", client_crl = \"cert.pem\" }}"),
            vec![Code::BadCertificate],
        ),
        (format!("tls = {{ {pair}, client_crl = \"crl.pem\" }}"), vec![Code::MissingKey]),
        (format!("tls = {{ {pair}, alpn = [\"h2\", \"http/1.1\"] }}"), vec![]),
        (format!("tls = {{ {pair}, alpn = [\"\"] }}"), vec![Code::BadValue]),
        (String::from("tls = {}"), vec![Code::MissingKey]),
        (String::from("tls = { certificates = [] }"), vec![Code::MissingKey]),
        (String::from("tls = { certificates = [{ cert = \"cert.pem\" }] }"), vec![Code::MissingKey]),
    ] {
        let (found, shown) = found(&listener(&tls), &files);
        assert_eq!(found, codes, "{tls}\n{shown}");
    }
    for (pool, codes) in [
        ("backends = [\"https://127.0.0.1:9443\"]\ntls = { ca = \"cert.pem\" }", vec![]),
        ("backends = [\"https://127.0.0.1:9443\", \"127.0.0.1:9444\"]", vec![Code::Contradiction]),
        ("backends = [\"127.0.0.1:9443\"]\ntls = { verify = \"off\" }", vec![Code::Unverified]),
        ("backends = [\"127.0.0.1:9443\"]\ntls = { cert = \"cert.pem\" }", vec![Code::MissingKey]),
        ("backends = [\"127.0.0.1:9443\"]\ntls = { name = \"a b\" }", vec![Code::BadValue]),
        ("backends = [\"127.0.0.1:9443\"]\ntls = { ca = \"key.pem\" }", vec![Code::BadCertificate]),
    ] {
        let text = format!("[[listener]]\nbind = \"127.0.0.1:8080\"\n[pool.app]\n{pool}\n");
        let (found, shown) = found(&text, &files);
        assert_eq!(found, codes, "{pool}\n{shown}");
    }
}
