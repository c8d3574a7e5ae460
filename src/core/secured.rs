//! What is known of a connection that is encrypted: what was agreed on, and who the client has shown to be.

/// An encrypted connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secured {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite, by its name in the registry of TLS.
    pub cipher: String,
    /// The name that the client asked for (SNI), in lower case; empty if it asked for none.
    pub name: String,
    /// The protocol that was agreed on (ALPN); empty if none was.
    pub protocol: String,
    /// Whether an earlier session was resumed.
    pub is_resumed: bool,
    /// The client, if it has shown a certificate, which was verified.
    pub client: Option<Identity>,
}

/// The owner of a certificate that was verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its subject, such as `CN=alice, O=Example`.
    pub subject: String,
    /// Its issuer.
    pub issuer: String,
    /// Its serial number, in hexadecimal digits.
    pub serial: String,
    /// The SHA-256 of the whole certificate, in hexadecimal digits.
    pub fingerprint: String,
}
