//! argv to one of four faces: the command line, the daemon, the shim, the OCI runtime.
//!
//! The shim and the OCI runtime fork, and what forks should be small: they are told apart before anything else is
//! set up. The daemon's arguments are read by the command line, which has the help for all of them.

use std::{env, ffi::OsStr, path::Path, process::ExitCode};

use hythe::{
    cli::{self, Next},
    daemon,
    kernel::{memory, process},
    shim,
};

/// Heaps of the daemon's threads: enough that two rarely wait for each other.
const HEAPS: u8 = 2;

fn main() -> ExitCode {
    let mut words = env::args_os();
    let name = words.next().unwrap_or_default();
    // Container managers are configured with the path of a program: a link to this one, named so.
    if Path::new(&name).file_name().is_some_and(|name| name == "hythe-oci") {
        return cli::oci::main(env::args_os());
    }
    match words.next().as_deref().and_then(OsStr::to_str) {
        Some("shim") => shim::main(words),
        Some("init") => shim::init::main(words),
        Some("oci") => cli::oci::main(env::args_os().skip(1)),
        Some(_) | None => match cli::main(daemon::examine) {
            Next::Exit(code) => code,
            Next::Daemon(configuration) => {
                // Before there is a second thread. Without it the daemon is only larger.
                let _ = memory::share_heaps(HEAPS);
                // Whoever calls is not to wait for the tasks that begin meanwhile. Without it only later.
                let _ = process::take_short_turns();
                daemon::main(configuration.as_deref(), work_for_tasks)
            }
            Next::Down(configuration) => daemon::take_down(configuration.as_deref()),
        },
    }
}

/// How a thread of the daemon begins that works for tasks, and not for callers.
fn work_for_tasks() {
    let _ = process::take_usual_turns();
}
