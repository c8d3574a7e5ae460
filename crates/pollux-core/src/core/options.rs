//! Rules that more than one of pools, routes and listeners set.

use std::time::Duration;

/// The Strict-Transport-Security field: browsers then reach the host by TLS only (RFC 6797).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hsts {
    /// For how many seconds; 0 makes clients forget it (6.1.1).
    pub max_age_s: u64,
    /// Whether the same holds for all names below (6.1.2).
    pub include_subdomains: bool,
    /// Whether those who make browsers may put the host on their lists.
    pub preload: bool,
}

/// Which interim responses (RFC 9110 §15.2) an HTTP/1.1 client gets. Many clients take any but 100 for the
/// final response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interims {
    /// 100 alone, once.
    #[default]
    Continue,
    /// All; of 100 the first.
    All,
}

impl Interims {
    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Interims::Continue => "continue",
            Interims::All => "all",
        }
    }
}

/// The treatment of an exchange whose client has ended its direction (RFC 9293 §3.6: it may still read).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientClose {
    /// It is given up [`ClientClose::GRACE`] later, unless bytes of it move.
    #[default]
    Abort,
    /// It goes on to its end.
    Finish,
}

impl ClientClose {
    /// The time that the answer to a client that has ended its direction may still take. Of the clients that
    /// do so most are gone, and the others have their answers by then.
    pub const GRACE: Duration = Duration::from_secs(1);

    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ClientClose::Abort => "abort",
            ClientClose::Finish => "finish",
        }
    }
}
