//! The connection by rules, in every split; against itself through a transport that cuts; its memory; its budget.

mod budget;
mod memory;
mod pair;
mod rules;
mod script;
mod states;
