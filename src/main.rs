//! argv to one of four faces: the command line, the daemon, the shim, the OCI runtime.
//!
//! The shim and the OCI runtime fork, and what forks should be small: they are told apart before anything else is
//! set up. The daemon's arguments are read by the command line, which has the help for all of them.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use hythe::cli::{self, Next};
use hythe::shim;

fn main() -> ExitCode {
    let mut args: Vec<OsString> = std::env::args_os().collect();
    if is_oci_by_name(args.first()) {
        return cli::oci::main(args.into_iter());
    }
    match args.get(1).and_then(|word| word.to_str()) {
        Some("shim") => return shim::main(args.into_iter().skip(2)),
        Some("oci") => {
            args.remove(0);
            return cli::oci::main(args.into_iter());
        }
        Some(_) | None => {}
    }
    match cli::main() {
        Next::Exit(code) => code,
        Next::Daemon(_) => ExitCode::FAILURE,
    }
}

/// Container managers are configured with the path of a program, which a link named `hythe-oci` can be.
fn is_oci_by_name(program: Option<&OsString>) -> bool {
    let name = program.map(Path::new).and_then(Path::file_name);
    name.and_then(OsStr::to_str).is_some_and(|name| name.ends_with("hythe-oci"))
}
