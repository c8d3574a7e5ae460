//! The keys of the process: threads, control, the admin address, the access log.

use crate::config::ProcessSettings;
use crate::config::language::{ACCESS_LOG, ADMIN, FILE, destination_alone};
use crate::config::settings::print_lines;

pub(super) fn print_process(out: &mut String, process: &ProcessSettings) {
    print_lines(out, &FILE, process);
    // Keys stand before the first header.
    if let Some(rules) = process.access_log.as_ref().filter(|rules| destination_alone(rules).is_none()) {
        out.push_str("\n[access_log]\n");
        print_lines(out, &ACCESS_LOG, rules);
    }
    if !out.is_empty() {
        out.push('\n');
    }
    if let Some(admin) = &process.admin {
        out.push_str("[admin]\n");
        print_lines(out, &ADMIN, admin);
        out.push('\n');
    }
}
