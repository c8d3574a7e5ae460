//! Commands of operators to a running Pollux, by the control socket or the admin address, and the replies.

use serde::{Deserialize, Serialize};

use crate::explain::Ask;
use crate::metrics::MetricsFormat;
use crate::snapshot::AdminState;
use crate::status::SessionsAsk;

/// The command that a caller wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorRequest {
    /// The action.
    pub command: Command,
}

/// The actions that a caller can ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// Read the configuration again.
    Reload,
    /// Say what it is at.
    Status,
    /// Say all that is known of a backend, by its name as `pool/backend`.
    Backend(String),
    /// Say what would become of a request now.
    Explain(Box<Ask>),
    /// Say what is remembered of exchanges.
    Recorder {
        /// Of that one; else a list.
        #[serde(default)]
        id: Option<String>,
        /// In a list, whether those are told too that ended well and fast.
        #[serde(default)]
        all: bool,
    },
    /// Give the metrics.
    Metrics(MetricsFormat),
    /// Let a new process of the executable, as it is now, take over.
    Upgrade,
    /// Change a backend.
    Operate {
        /// Its name, as `pool/backend`.
        backend: String,
        /// The state that the caller wants.
        wanted: WantedState,
    },
    /// Say which sessions there are.
    Sessions(SessionsAsk),
    /// End the session of that name.
    Kill(String),
    /// Say what is logged, after changing that if something is given: a level, or `target=level`.
    LogLevel(Option<String>),
    /// Say the configuration that holds, with what was changed while running.
    Config,
}

/// The answer to a caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The exit code of the command that has called.
    pub exit: u8,
    /// For people.
    pub text: String,
    /// The answer for programs.
    #[serde(default)]
    pub data: serde_json::Value,
}

impl Reply {
    /// An answer of words alone.
    #[must_use]
    pub fn text(exit: u8, text: impl Into<String>) -> Reply {
        Reply { exit, text: text.into(), data: serde_json::Value::Null }
    }
}

/// The state of a backend that an operator wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WantedState {
    /// The backend serves, is drained, or gets no requests.
    State(AdminState),
    /// Another weight; `None` is the one of the configuration.
    Weight(Option<u32>),
}
