//! A daemon as a process: its configuration and threads before its life, its last words and exit status after it.

use std::{future::Future, path::Path, process::ExitCode};

use tokio::runtime::{Builder, Handle, Runtime};
use tracing::error;

use super::{config::Config, down, failure::DaemonError, life, logging, notify, report::chain};

/// Threads for work that waits for the kernel. Each takes some 70 KB, and most of what they wait for is one lock anyway.
const BLOCKING: usize = 64;

/// The same for callers, such as those who read logs.
const BLOCKING_FOR_CALLERS: usize = 16;

/// The daemon's face: runs until SIGTERM or SIGINT, with the configuration in the file at `path`.
///
/// Each thread that works for tasks begins with `begin_thread`; those that answer callers stay as this one is.
#[must_use]
pub fn main(path: Option<&Path>, begin_thread: fn()) -> ExitCode {
    as_process(path, begin_thread, life::run)
}

/// The daemon's other face: stops every task, gives the host back what it lent, and ends.
#[must_use]
pub fn take_down(path: Option<&Path>) -> ExitCode {
    as_process(path, || (), |config, _| down::run(config))
}

fn as_process<Life>(
    path: Option<&Path>,
    begin_thread: fn(),
    life: impl FnOnce(Config, Handle) -> Life,
) -> ExitCode
where
    Life: Future<Output = Result<(), DaemonError>>,
{
    logging::start();
    let ended = Config::load(path).map_err(DaemonError::from).and_then(|config| {
        let tasks = threads("hythe", BLOCKING, begin_thread)?;
        // While many tasks begin, the threads that work for them have no time for anybody else.
        let callers = threads("hythe-api", BLOCKING_FOR_CALLERS, || ())?;
        let ended = tasks.block_on(life(config, callers.handle().clone()));
        // Work on blocking threads may wait for the kernel; nothing of it has to be finished.
        callers.shutdown_background();
        tasks.shutdown_background();
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

fn threads(name: &str, blocking: usize, begin: fn()) -> Result<Runtime, DaemonError> {
    let what = "start the async runtime";
    let mut threads = Builder::new_multi_thread();
    threads.enable_all().thread_name(name).max_blocking_threads(blocking).on_thread_start(begin);
    threads.build().map_err(|source| DaemonError::System { what, source })
}
