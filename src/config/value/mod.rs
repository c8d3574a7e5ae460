//! The values that a file and the command line share: addresses, times, sizes.
//!
//! Each reader takes the text of one value and gives a [`ValueError`] that knows nothing of files.

mod address;
mod backend;
mod dns;
mod duration;
mod endpoint;
mod fraction;
mod network;
mod size;

use std::fmt;

pub use address::{Resolve, parse_backend_literal, parse_backend_text, parse_bind, resolve};
pub(super) use address::{backend_addresses, bind_address, host_and_port};
pub use backend::{BackendFlag, parse_backend_flag};
pub(super) use backend::{is_https, named, question, without_scheme};
pub(super) use dns::{parse_server, service_name};
pub use duration::parse_duration;
pub(super) use duration::show_duration;
pub(super) use fraction::{parse_thousandths, show_thousandths};
pub use network::parse_network;
pub(super) use size::show_size;
pub use size::{parse_body, parse_size};

/// Why a text is not the value that it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueError {
    message: String,
    expected: &'static str,
    help: String,
}

impl ValueError {
    pub(super) fn new(
        message: impl Into<String>,
        expected: &'static str,
        help: impl Into<String>,
    ) -> ValueError {
        ValueError { message: message.into(), expected, help: help.into() }
    }

    /// What is wrong, without a full stop.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The form that was expected, such as `host:port`.
    #[must_use]
    pub fn expected(&self) -> &'static str {
        self.expected
    }

    /// How to mend it, without a full stop.
    #[must_use]
    pub fn help(&self) -> &str {
        &self.help
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.message, self.help)
    }
}

impl std::error::Error for ValueError {}
