//! Methods (RFC 9110 §9).

/// The methods that Pollux must tell apart; they are case-sensitive (RFC 9110 §9.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// GET.
    #[default]
    Get,
    /// HEAD: its response has no body.
    Head,
    /// PUT or DELETE: they may be repeated.
    PutOrDelete,
    /// OPTIONS: the only one that may ask for `*`.
    Options,
    /// CONNECT and TRACE, which are refused.
    Refused,
    /// Any other, POST among them.
    Other,
}

impl Method {
    /// Finds the method.
    #[must_use]
    pub fn of(text: &str) -> Method {
        match text {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "PUT" | "DELETE" => Method::PutOrDelete,
            "OPTIONS" => Method::Options,
            "CONNECT" | "TRACE" => Method::Refused,
            _ => Method::Other,
        }
    }

    /// Whether sending the request twice does what sending it once does (RFC 9110 §9.2.2).
    #[must_use]
    pub fn is_idempotent(self) -> bool {
        match self {
            Method::Get | Method::Head | Method::PutOrDelete | Method::Options => true,
            Method::Refused | Method::Other => false,
        }
    }
}
