//! TLS to the backends that `--backend` names.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use pollux::snapshot::{BackendProtocol, Pool};
use pollux::tls::{Handles, Origination, OriginationRules, Unusable};

use super::Failure;
use super::args::{RunArgs, VerifyArg};

const UNVERIFIED: &str = "\
warning: the certificates of backends are not verified: anybody on the way can take the place of one
  = help: name who has issued them instead: --backend-ca FILE";

/// Has `pool` speak HTTP/2 if its backends are written with `h2c://`.
///
/// # Errors
/// When some are written with it and others are not, or when the pool of the file speaks TLS.
pub(super) fn put_protocol(args: &RunArgs, pool: &mut Pool) -> Result<(), Failure> {
    if !args.backend.iter().any(|flag| flag.is_h2c) {
        return Ok(());
    }
    if !args.backend.iter().all(|flag| flag.is_h2c) {
        return Err(Failure::usage(
            "some backends are written with h2c://, and others are not\n  = help: write it before all of them, or serve two pools of a configuration: pollux -c FILE",
        ));
    }
    if pool.tls.is_some() {
        return Err(Failure::usage(
            "h2c:// is HTTP/2 without TLS, and the pool of the file speaks TLS\n  = help: write https:// or no scheme, and `protocol = \"h2\"` in the pool",
        ));
    }
    pool.protocol = BackendProtocol::Http2;
    Ok(())
}

/// Has `pool` speak TLS if its backends are written with `https://`, by what the other flags say of it. Where
/// they are not, it speaks as its file says. Returns a warning if nothing is verified.
///
/// # Errors
/// When some are written with it and others are not, when the flags are of no use, and when there is no
/// authority to trust.
pub(super) fn put(args: &RunArgs, pool: &mut Pool, made: &mut Handles) -> Result<Option<String>, Failure> {
    let is_asked =
        args.backend_ca.is_some() || args.backend_tls_name.is_some() || args.backend_verify.is_some();
    let is_https = args.backend.iter().any(|flag| flag.is_https);
    match (is_https, is_asked, pool.tls.is_some()) {
        (false, false, _) | (true, false, true) => return Ok(None),
        (false, true, false) => {
            let text = "no backend is spoken to with TLS, so what --backend-ca, --backend-tls-name and --backend-verify say is of no use\n  = help: write --backend https://HOST:PORT";
            return Err(Failure::usage(text));
        }
        (true, _, false) => check_all(args)?,
        (_, true, true) => {}
    }
    let verify = args.backend_verify.unwrap_or_default();
    if let (VerifyArg::Off, Some(_)) = (verify, &args.backend_ca) {
        return Err(Failure::usage(
            "--backend-ca is of no use with --backend-verify off\n  = help: leave one of the two out",
        ));
    }
    let rules = OriginationRules {
        ca: args.backend_ca.clone(),
        name: args.backend_tls_name.clone(),
        verify: verify.into(),
        ..OriginationRules::default()
    };
    let origination = origination(rules)?;
    pool.tls = Some(Arc::clone(origination.rules()));
    made.add_origination(Arc::new(origination));
    Ok((verify == VerifyArg::Off).then(|| UNVERIFIED.to_owned()))
}

/// A pool speaks to all of its backends with TLS, or to none.
fn check_all(args: &RunArgs) -> Result<(), Failure> {
    if args.backend.iter().all(|flag| flag.is_https) {
        return Ok(());
    }
    Err(Failure::usage(
        "some backends are written with https://, and others are not\n  = help: write it before all of them, or serve two pools of a configuration: pollux -c FILE",
    ))
}

fn origination(rules: OriginationRules) -> Result<Origination, Failure> {
    let read =
        |path: &Path| fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()));
    let ca = rules.ca.clone();
    let of_ca = |why: &str| {
        Failure::usage(match &ca {
            Some(ca) => format!(
                "--backend-ca {}: {why}\n  = help: expected certificates in PEM, such as `openssl x509 -in FILE -text` shows",
                ca.display()
            ),
            None => format!(
                "whom to believe of the https:// backends cannot be found out: {why}\n  = help: name who has issued their certificates: --backend-ca FILE\n  = help: or install those that the system believes, which are mostly in a package `ca-certificates`"
            ),
        })
    };
    let files = rules.read(read).map_err(|why| of_ca(&why))?;
    Origination::new(rules, &files).map_err(|unusable| match unusable {
        Unusable::Ca(why) => of_ca(&why.says),
        Unusable::Client(why) => Failure::usage(why.to_string()),
    })
}
