//! argv to one of four faces: the command line, the daemon, the shim, the OCI runtime.
//!
//! The shim and the OCI runtime fork, and what forks should be small: they are told apart before anything else is
//! set up. The daemon's arguments are read by the command line, which has the help for all of them.

use std::{ffi::OsString, path::Path, process::ExitCode};

use hythe::{
    cli::{self, Next},
    daemon, shim,
};

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    let rest: Vec<OsString> = words.collect();
    if Path::new(&name).file_name().is_some_and(|name| name == "hythe-oci") {
        return cli::oci::main(rest);
    }
    match rest.first().and_then(|word| word.to_str()) {
        Some("shim") => shim::main(rest.into_iter().skip(1)),
        Some("oci") => cli::oci::main(rest.into_iter().skip(1).collect()),
        _ => match cli::main() {
            Next::Exit(code) => code,
            Next::Daemon(configuration) => daemon::main(configuration.as_deref()),
        },
    }
}
