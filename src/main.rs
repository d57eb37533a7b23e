//! argv to one of four faces: the command line, the daemon, the shim, the OCI runtime.
//!
//! The shim and the OCI runtime fork, and what forks should be small: they are told apart before anything else is
//! set up. The daemon's arguments are read by the command line, which has the help for all of them.

use std::process::ExitCode;

use hythe::{
    cli::{self, Next},
    daemon,
};

fn main() -> ExitCode {
    match cli::main() {
        Next::Exit(code) => code,
        Next::Daemon(configuration) => daemon::main(configuration.as_deref()),
    }
}
