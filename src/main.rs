//! argv to one of four faces: the command line, the daemon, the shim, the OCI runtime.
//!
//! The shim and the OCI runtime fork, and what forks should be small: they are told apart before anything else is
//! set up. The daemon's arguments are read by the command line, which has the help for all of them.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use hythe::{
    cli::{self, Next},
    daemon,
};

fn main() -> ExitCode {
    let mut args: Vec<OsString> = std::env::args_os().collect();
    if is_oci_by_name(args.first()) {
        return cli::oci::main(args.into_iter());
    }
    if args.get(1).is_some_and(|word| word == "oci") {
        args.remove(0);
        return cli::oci::main(args.into_iter());
    }
    match cli::main() {
        Next::Exit(code) => code,
        Next::Daemon(configuration) => daemon::main(configuration.as_deref()),
    }
}

/// Container managers are configured with the path of a program, which a link named `hythe-oci` can be.
fn is_oci_by_name(program: Option<&OsString>) -> bool {
    let name = program.map(Path::new).and_then(Path::file_name);
    name.and_then(OsStr::to_str).is_some_and(|name| name.ends_with("hythe-oci"))
}
