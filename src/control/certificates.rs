//! Looks at the files of certificates once a second, and has new ones taken as soon as they can be used.
//!
//! Nothing else of the configuration is read again: the renewal of a certificate must not bring other edits
//! into force. A file that is half written, or a certificate whose key has not come yet, is logged, and the
//! certificates in use stay.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::discovery::Stamp;
use crate::metrics::Expiry;
use crate::os::unix_time;
use crate::snapshot::{Pool, Snapshot};
use crate::status::CertificateStatus;
use crate::tls::certificate::{FILE_LEN_MAX, Facts, Term};
use crate::tls::{Handles, Origination, Pair, Stale, Termination};

/// The interval at which files are looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// The interval at which the log warns of certificates that expire soon.
const REMINDER: Duration = Duration::from_secs(24 * 60 * 60);

/// The interval at which the log says again that files cannot be used.
const COMPLAINT: Duration = Duration::from_secs(60 * 60);

/// Begins to look after the certificates of `snapshot`, for as long as what it gives lives; `None` if there are none, or there can be
/// no thread.
pub(super) fn look_after(snapshot: &Snapshot, tls: &Handles) -> Option<Sender<()>> {
    let watched: Vec<Watched> =
        snapshot.listeners.iter().filter_map(|listener| Watched::of(listener, tls)).collect();
    let pools: Vec<Towards> = snapshot.pools.iter().filter_map(|pool| Towards::of(pool, tls)).collect();
    if watched.is_empty() && pools.is_empty() {
        return None;
    }
    let (sender, end) = channel();
    match thread::Builder::new().name("certificates".into()).spawn(move || look(watched, pools, &end)) {
        Ok(_) => Some(sender),
        Err(error) => {
            tracing::error!(%error, "certificates are not looked after: there can be no thread");
            None
        }
    }
}

/// The validity of the certificates of all listeners.
pub(super) fn expiries(snapshot: &Snapshot, tls: &Handles) -> Vec<Expiry> {
    let expiry = |certificate: CertificateStatus| Expiry {
        listener: certificate.listener,
        certificate: certificate.file,
        not_after: certificate.not_after,
        days: certificate.days_left,
        stale_s: certificate.stale_s.unwrap_or(0),
    };
    certificates(snapshot, tls).into_iter().map(expiry).collect()
}

/// The certificates of all listeners.
pub(super) fn certificates(snapshot: &Snapshot, tls: &Handles) -> Vec<CertificateStatus> {
    let now = unix_time();
    let of = |listener: &crate::snapshot::Listener| {
        let (name, tls) = (listener.name.clone(), tls.termination(listener)?);
        let pairs = tls.facts().into_iter().zip(&tls.rules().certificates);
        let stale = tls.stale();
        let told = |(facts, pair): (Facts, &Pair)| {
            let days_left = facts.days_left(now);
            CertificateStatus {
                listener: name.clone(),
                file: pair.cert.display().to_string(),
                not_after: facts.not_after,
                days_left,
                term: Term::of(days_left).as_str(),
                names: facts.names.to_vec(),
                stale_s: stale.as_ref().map(|stale| (now - stale.since).max(0)),
                stale_why: stale.as_ref().map(|stale| stale.why.clone()),
            }
        };
        Some(pairs.map(told).collect::<Vec<_>>())
    };
    snapshot.listeners.iter().filter_map(of).flatten().collect()
}

fn look(mut watched: Vec<Watched>, mut pools: Vec<Towards>, end: &Receiver<()>) {
    let mut reminded: Option<Instant> = None;
    // The process may have become another user since the files were read.
    watched.iter_mut().for_each(Watched::look_first);
    loop {
        if reminded.is_none_or(|at| at.elapsed() >= REMINDER) {
            reminded = Some(Instant::now());
            watched.iter().for_each(Watched::remind);
        }
        if end.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        watched.iter_mut().for_each(Watched::look);
        pools.iter_mut().for_each(Towards::look);
    }
}

/// The files by which a pool speaks TLS to its backends.
struct Towards {
    pool: String,
    origination: Arc<Origination>,
    /// The stamps of the files when they were last read.
    stamps: Vec<Option<Stamp>>,
    /// Why they could not be taken the last time, and when the log last said so.
    failed: Option<(String, Instant)>,
}

impl Towards {
    fn of(pool: &Pool, tls: &Handles) -> Option<Towards> {
        let origination = Arc::clone(tls.origination(pool)?);
        let stamps = stamps_of(origination.rules().paths());
        let is_watched = !stamps.is_empty();
        is_watched.then(|| Towards { pool: pool.name.clone(), origination, stamps, failed: None })
    }

    fn look(&mut self) {
        let now = stamps_of(self.origination.rules().paths());
        // As with listeners: what failed is tried again.
        if now == self.stamps && self.failed.is_none() {
            return;
        }
        self.stamps = now;
        let files = self.origination.rules().read(read);
        let taken = files.and_then(|files| self.origination.replace(&files).map_err(|why| why.to_string()));
        match taken {
            Ok(()) => {
                self.failed = None;
                tracing::info!(
                    pool = self.pool,
                    "the certificates for connections to backends were replaced"
                );
            }
            Err(why) => self.fail(why),
        }
    }

    fn fail(&mut self, why: String) {
        let told = self.failed.as_ref().filter(|(before, at)| *before == why && at.elapsed() < COMPLAINT);
        if told.is_none() {
            tracing::warn!(
                pool = self.pool,
                "the certificates for connections to backends stay as they are: {why}"
            );
            self.failed = Some((why, Instant::now()));
        }
    }
}

/// The certificates of a listener.
struct Watched {
    listener: String,
    termination: Arc<Termination>,
    /// The stamps of the files when they were last read.
    stamps: Vec<Option<Stamp>>,
    /// When the log last said that they cannot be taken.
    complained: Option<Instant>,
}

impl Watched {
    fn of(listener: &crate::snapshot::Listener, tls: &Handles) -> Option<Watched> {
        let termination = Arc::clone(tls.termination(listener)?);
        let stamps = stamps(&termination);
        Some(Watched { listener: listener.name.clone(), termination, stamps, complained: None })
    }

    /// Says at the start what can be read no more.
    fn look_first(&mut self) {
        if let Err(why) = self.termination.rules().read(read) {
            let (listener, user) = (&self.listener, nix::unistd::geteuid());
            tracing::warn!(
                listener,
                "renewed certificates will not be taken, nor will a reload succeed: user {user} cannot read what was read at the start: {why}; \
                 let its group read the files: `chgrp GROUP FILE && chmod 640 FILE`, and enter their folders: `chmod g+x FOLDER`"
            );
            self.note(&why);
        }
    }

    fn look(&mut self) {
        let now = stamps(&self.termination);
        // A failed load is tried again even if the files look the same: rights may have changed, or a mount.
        if now == self.stamps && self.termination.stale().is_none() {
            return;
        }
        let has_changed = now != self.stamps;
        // Taken before the files are read: what changes meanwhile is read again.
        self.stamps = now;
        let files = match self.termination.rules().read(read) {
            Ok(files) => files,
            Err(why) => return self.fail(&why),
        };
        if let Err(why) = self.termination.replace(&files) {
            return self.fail(&why.to_string());
        }
        let was_stale = self.termination.stale().is_some();
        self.termination.note_stale(None);
        self.complained = None;
        if has_changed || was_stale {
            tracing::info!(
                listener = self.listener,
                days_left = self.days_left(),
                "the certificates were replaced"
            );
            self.remind();
        }
    }

    /// Takes note that the files cannot be taken. The log says it at once, when there is another reason, and from time to time.
    fn fail(&mut self, why: &str) {
        let listener = self.listener.clone();
        if let Some(stale_s) = self.note(why) {
            tracing::warn!(listener, stale_s, "the certificates stay as they are: {why}");
            self.remind();
        }
    }

    /// Takes note of the same; gives for how many seconds it is so, if it is to be told.
    fn note(&mut self, why: &str) -> Option<i64> {
        let before = self.termination.stale();
        let is_new = before.as_ref().is_none_or(|stale| stale.why != why);
        let since = before.map_or_else(unix_time, |stale| stale.since);
        self.termination.note_stale(Some(Stale { since, why: why.to_owned() }));
        if !is_new && self.complained.is_some_and(|at| at.elapsed() < COMPLAINT) {
            return None;
        }
        self.complained = Some(Instant::now());
        Some(unix_time() - since)
    }

    /// Of the first that ends.
    fn days_left(&self) -> Option<i64> {
        self.termination.facts().iter().map(|facts| facts.days_left(unix_time())).min()
    }

    fn remind(&self) {
        let rules = self.termination.rules();
        for (facts, pair) in self.termination.facts().iter().zip(&rules.certificates) {
            let days_left = facts.days_left(unix_time());
            let (listener, file) = (&self.listener, pair.cert.display());
            let is_stale = self.termination.stale().is_some();
            match (Term::of(days_left), is_stale) {
                (Term::Valid, _) => {}
                (Term::Expired, true) => {
                    tracing::error!(listener, %file, days_left, "a certificate has expired, and a new one cannot be taken");
                }
                (Term::ExpiresSoon, true) => {
                    tracing::error!(listener, %file, days_left, "a certificate expires soon, and a new one cannot be taken");
                }
                (Term::Expired, false) => {
                    tracing::warn!(listener, %file, days_left, "a certificate has expired");
                }
                (Term::ExpiresSoon, false) => {
                    tracing::warn!(listener, %file, days_left, "a certificate expires soon");
                }
            }
        }
    }
}

fn stamps(termination: &Termination) -> Vec<Option<Stamp>> {
    stamps_of(termination.rules().paths())
}

fn stamps_of<'a>(paths: impl Iterator<Item = &'a Path>) -> Vec<Option<Stamp>> {
    paths.map(Stamp::of).collect()
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    if bytes.len() > FILE_LEN_MAX {
        return Err(format!("{}: it is longer than {FILE_LEN_MAX} bytes", path.display()));
    }
    Ok(bytes)
}
