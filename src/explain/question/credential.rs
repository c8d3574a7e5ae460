//! The certificate that a client of a question shows.

use serde::{Deserialize, Serialize};

use super::{Ask, QuestionError, Url};
use crate::core::subject::Subject;
use crate::core::tls_info::{CertError, CertificateInfo, ClientCertStatus, Credential, TlsInfo};
use crate::route::credential::fingerprint;
use crate::snapshot::ClientAuth;
use crate::snapshot::Listener;

/// A client certificate as an operator describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// `none`, `verified`, `failed`, or why it could not be verified, such as `expired`. By default a
    /// certificate that is described counts as verified. So does that of a client of a listener that requires
    /// one.
    pub state: Option<String>,
    /// Its subject, such as `CN=alice, O=Example`.
    pub subject: Option<String>,
    /// Its SHA-256, in hexadecimal digits with colons or without.
    pub fingerprint: Option<String>,
}

impl Ask {
    /// The TLS state of the connection by which `url` is asked for, if `listener` has TLS.
    pub(super) fn tls_info(
        &self,
        url: &Url<'_>,
        listener: &Listener,
    ) -> Result<Option<TlsInfo>, QuestionError> {
        let fail = |text: &str| Err(QuestionError::Tls(text.to_owned()));
        if !self.alpn.is_empty() {
            return fail(
                "what is agreed on with clients that speak HTTP is HTTP/1.1: leave the protocols out",
            );
        }
        let Some(tls) = &listener.tls else {
            if self.sni.is_some() {
                return fail(&format!("the listener `{}` has no TLS: nobody asks for a name", listener.name));
            }
            return self.client_cert.of(None, &listener.name).map(|_| None);
        };
        let host = url.authority.unwrap_or("localhost");
        let host = if host.starts_with('[') { "" } else { host.split(':').next().unwrap_or_default() };
        Ok(Some(TlsInfo {
            // As a client of today has it.
            version: "TLSv1.3",
            cipher: String::from("TLS13_AES_256_GCM_SHA384"),
            name: self.sni.as_deref().unwrap_or(host).to_ascii_lowercase(),
            covered: None,
            protocol: String::from("http/1.1"),
            is_resumed: false,
            client: self.client_cert.of(Some(tls.client_auth), &listener.name)?,
        }))
    }
}

impl Shown {
    /// The credential of such a client at the listener called `listener`; `auth` is `None` if it has no TLS.
    fn of(&self, auth: Option<ClientAuth>, listener: &str) -> Result<Credential, QuestionError> {
        let fail = |text: String| Err(QuestionError::ClientCert(text));
        let is_described = self.subject.is_some() || self.fingerprint.is_some();
        let lets_in_others = auth != Some(ClientAuth::Require);
        let (status, why) = match self.state.as_deref() {
            None if is_described || !lets_in_others => (ClientCertStatus::Verified, CertError::Other),
            None => (ClientCertStatus::None, CertError::Other),
            Some(word) => {
                let why = CertError::ALL.into_iter().find(|why| why.as_str() == word);
                match (word.parse().ok(), why) {
                    (Some(status), _) => (status, CertError::Other),
                    (None, Some(why)) => (ClientCertStatus::Failed, why),
                    (None, None) => {
                        let words = ClientCertStatus::ALL.map(ClientCertStatus::as_str).into_iter();
                        let words: Vec<&str> = words.chain(CertError::ALL.map(CertError::as_str)).collect();
                        let word = word.escape_debug();
                        return fail(format!(
                            "no certificate is `{word}`: it is one of {}",
                            words.join(", ")
                        ));
                    }
                }
            }
        };
        match (status, auth) {
            (ClientCertStatus::None, _) if is_described => {
                return fail(String::from("a certificate that is not there is of nobody"));
            }
            (ClientCertStatus::Verified | ClientCertStatus::Failed, None | Some(ClientAuth::Off)) => {
                return fail(format!("the listener `{listener}` asks nobody for a certificate"));
            }
            (ClientCertStatus::None | ClientCertStatus::Failed, Some(ClientAuth::Require)) => {
                return fail(format!(
                    "nobody comes in to `{listener}` without a certificate that is verified"
                ));
            }
            (ClientCertStatus::None, _) | (_, Some(ClientAuth::Request | ClientAuth::Require)) => {}
        }
        let identity = self.identity()?;
        Ok(match status {
            ClientCertStatus::None => Credential::None,
            ClientCertStatus::Verified => Credential::Verified(identity),
            ClientCertStatus::Failed => Credential::Failed(identity, why),
        })
    }

    fn identity(&self) -> Result<CertificateInfo, QuestionError> {
        let fail = |what: &str, text: &str, example: &str| {
            let text = text.escape_debug();
            QuestionError::ClientCert(format!("`{text}` is no {what}: write {example}"))
        };
        let subject = self.subject.as_deref().unwrap_or_default();
        let print = self.fingerprint.as_deref().unwrap_or_default();
        Ok(CertificateInfo {
            subject: Subject::parse(subject)
                .ok_or_else(|| fail("subject", subject, "attributes such as `CN=alice, O=Example`"))?,
            fingerprint: match print {
                "" => String::new(),
                text => fingerprint(text)
                    .ok_or_else(|| fail("SHA-256", text, "64 hexadecimal digits, with colons or without"))?,
            },
            ..CertificateInfo::default()
        })
    }
}
