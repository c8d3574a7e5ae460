//! The routing of a request: a pure function of the routes of its listener and of the request.
//!
//! A listener has an ordered list of routes, and the first one that matches wins. [`RouteTable`] is that
//! list, indexed when the configuration is loaded so that the work for a request does not grow with the
//! number of its routes; what it decides is what a scan of the list from its beginning would decide. [`miss`]
//! says of a single route why it does not match.

mod answer;
mod back;
pub mod credential;
pub mod hash;
pub(crate) mod host;
pub mod miss;
pub mod path;
mod pattern;
mod rule;
mod table;
mod template;
mod view;
mod wildcard;

pub use answer::RouteAnswer;
pub use back::{Back, Domains, RewriteBack};
pub use credential::CredentialRule;
pub use host::Host;
pub use pattern::{Pattern, PatternError};
pub use rule::{
    Action, AmbiguousPaths, Body, Conditions, Destinations, FieldEdits, Inquiry, Options, PrefixEdit,
    Redirect, Respond, Retry, Route, Split, SplitShare, Want,
};
pub use table::{Decision, RouteTable};
pub use template::{Context, LeadsAway, Template, TemplateError};
pub use view::RequestView;
