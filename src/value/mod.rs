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
pub(crate) mod quote;
mod size;
pub(crate) mod suggest;

use std::fmt;

pub use address::{Resolve, parse_backend_literal, parse_backend_text, parse_bind, resolve};
pub(crate) use address::{backend_addresses, bind_address, host_and_port};
pub use backend::{BackendFlag, parse_backend_flag};
pub(crate) use backend::{is_h2c, is_https, named, question, without_scheme};
pub(crate) use dns::{parse_server, service_name};
pub use duration::parse_duration;
pub(crate) use duration::show_duration;
pub(crate) use fraction::{parse_thousandths, show_thousandths};
pub use network::parse_network;
pub(crate) use size::show_size;
pub use size::{parse_body, parse_size};

/// Why a text is not the value that it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueError {
    message: String,
    expected: &'static str,
    help: String,
}

impl ValueError {
    pub(crate) fn new(
        message: impl Into<String>,
        expected: &'static str,
        help: impl Into<String>,
    ) -> ValueError {
        ValueError { message: message.into(), expected, help: help.into() }
    }

    /// The mistake, without a full stop.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The form that was expected, such as `host:port`.
    #[must_use]
    pub fn expected(&self) -> &'static str {
        self.expected
    }

    /// The way to mend it, without a full stop.
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
