//! Installs what is missing, starts what tests need, runs a command, stops everything. The work is in
//! `testkit::services`.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = testkit::services::main(env::args().skip(1));
    if let Some(counts) = outcome.counts {
        // Whoever asked may have closed the pipe already; the exit code still tells.
        let _ = writeln!(io::stdout(), "telerad: {counts}");
    }
    ExitCode::from(outcome.code)
}
