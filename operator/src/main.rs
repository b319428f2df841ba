//! The program `kv-operator`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(kv_operator::cli::main().code())
}
