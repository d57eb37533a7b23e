//! A daemon as a process: its configuration and threads before its life, its last words and exit status after it.

use std::{future::Future, path::Path, process::ExitCode};

use tracing::error;

use super::{config::Config, down, failure::DaemonError, life, logging, notify, report::chain};

/// Threads for work that waits for the kernel. Each takes some 70 KB, and most of what they wait for is one lock anyway.
const BLOCKING: usize = 64;

/// The daemon's face: runs until SIGTERM or SIGINT, with the configuration in the file at `path`.
#[must_use]
pub fn main(path: Option<&Path>) -> ExitCode {
    as_process(path, life::run)
}

/// The daemon's other face: stops every task, gives the host back what it lent, and ends.
#[must_use]
pub fn take_down(path: Option<&Path>) -> ExitCode {
    as_process(path, down::run)
}

fn as_process<Life>(path: Option<&Path>, life: impl FnOnce(Config) -> Life) -> ExitCode
where
    Life: Future<Output = Result<(), DaemonError>>,
{
    logging::start();
    let ended = Config::load(path).map_err(DaemonError::from).and_then(|config| {
        let what = "start the async runtime";
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_name("hythe")
            .max_blocking_threads(BLOCKING)
            .build()
            .map_err(|source| DaemonError::System { what, source })?;
        let ended = runtime.block_on(life(config));
        // Work on blocking threads may wait for the kernel; nothing of it has to be finished.
        runtime.shutdown_background();
        ended
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let sentence = chain(&why);
            error!(error = %sentence, "daemon ended");
            notify::tell(&format!("STATUS={sentence}"));
            why.exit_code()
        }
    }
}
