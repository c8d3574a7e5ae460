//! Certificates of listeners, and how long they are valid.

use std::fmt;

use serde::Serialize;

/// The most names of a certificate that are shown to people.
const SHOWN_MAX: usize = 3;

/// A certificate that clients may get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CertificateStatus {
    /// The name of its listener.
    pub listener: String,
    /// Its file.
    pub file: String,
    /// The names that it is for.
    pub names: Vec<String>,
    /// Until then, in seconds since 1970.
    pub not_after: i64,
    /// In whole days from now; below 0 once it has expired.
    pub days_left: i64,
    /// `valid`, `expires-soon` from 14 days on, or `expired`.
    pub term: &'static str,
    /// For how many seconds its files could not be taken again; `None` if they can be.
    pub stale_s: Option<i64>,
    /// Why not.
    pub stale_why: Option<String>,
}

impl fmt::Display for CertificateStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CertificateStatus { listener, file, names, not_after: _, days_left, term, .. } = self;
        write!(f, "certificate {file} of {listener}")?;
        match names.as_slice() {
            [] => {}
            few if few.len() <= SHOWN_MAX => write!(f, " for {}", few.join(", "))?,
            many => {
                write!(f, " for {} and {} more", many[..SHOWN_MAX].join(", "), many.len() - SHOWN_MAX)?;
            }
        }
        let days = |days: u64| if days == 1 { String::from("1 day") } else { format!("{days} days") };
        match *term {
            "expired" => write!(f, ": EXPIRED {} ago", days(days_left.unsigned_abs())),
            "expires-soon" => write!(f, ": EXPIRES SOON, {} left", days(days_left.unsigned_abs())),
            _ => write!(f, ": {} left", days(days_left.unsigned_abs())),
        }?;
        if let (Some(stale), Some(why)) = (self.stale_s, &self.stale_why) {
            let since = humantime::format_duration(std::time::Duration::from_secs(stale.unsigned_abs()));
            write!(f, ", and a new one CANNOT BE TAKEN for {since}: {why}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::certificate::Term;

    fn good() -> CertificateStatus {
        CertificateStatus {
            listener: String::from("web"),
            file: String::from("cert.pem"),
            names: Vec::new(),
            not_after: 0,
            days_left: 3,
            term: "valid",
            stale_s: None,
            stale_why: None,
        }
    }

    #[test]
    fn a_certificate_is_a_line() {
        let line = |days_left: i64, names: &[&str]| {
            let certificate = CertificateStatus {
                listener: String::from("web"),
                file: String::from("cert.pem"),
                names: names.iter().map(|name| (*name).to_owned()).collect(),
                not_after: 0,
                days_left,
                term: Term::of(days_left).as_str(),
                stale_s: None,
                stale_why: None,
            };
            certificate.to_string()
        };
        let stale = CertificateStatus { stale_s: Some(90), stale_why: Some(String::from("why")), ..good() };
        assert!(
            stale.to_string().ends_with("3 days left, and a new one CANNOT BE TAKEN for 1m 30s: why"),
            "{stale}"
        );
        for (days, end) in [
            (15, "15 days left"),
            (14, "14 days left"),
            (13, "EXPIRES SOON, 13 days left"),
            (1, "EXPIRES SOON, 1 day left"),
            (0, "EXPIRES SOON, 0 days left"),
            (-1, "EXPIRED 1 day ago"),
            (-30, "EXPIRED 30 days ago"),
        ] {
            assert_eq!(line(days, &[]), format!("certificate cert.pem of web: {end}"));
        }
        assert_eq!(line(20, &["a", "b"]), "certificate cert.pem of web for a, b: 20 days left");
        assert_eq!(
            line(20, &["a", "b", "c", "d", "e"]),
            "certificate cert.pem of web for a, b, c and 2 more: 20 days left"
        );
    }
}
