//! The command `pollux`.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
