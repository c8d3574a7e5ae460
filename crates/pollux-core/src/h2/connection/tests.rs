//! The connection by rules and by a table of cases, in every split; against itself through a transport that cuts; its memory; its budget;
//! what other implementations were seen to get wrong.

mod budget;
mod hostile;
mod lessons;
mod memory;
mod pair;
mod peer_settings;
mod rules;
mod script;
mod states;
mod table;
