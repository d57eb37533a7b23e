//! What every test stands on: an instance of its own, and proof that it left nothing behind.
//!
//! [`Instance`] is a daemon with its own state, runtime directory, cgroup parent, bridge, subnet and nftables
//! table, in a network namespace of its own, so tests run side by side and never touch the host's network.
//! [`leaks`] looks at the host before and after and names what is left. [`require!`] ends a test early when the
//! machine lacks something, says so, and tells the runner, so that a skipped test is never counted as passed.
//!
//! Nothing here sleeps: [`wait_for`] asks again until a limit, and fails with what it was waiting for.

#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "each folder of tests uses its own part of the harness"
)]

use std::{
    fs::OpenOptions,
    io::Write as _,
    thread,
    time::{Duration, Instant as Clock},
};

pub mod bus;
pub mod clients;
pub mod disk;
pub mod groups;
pub mod images;
pub mod instance;
pub mod leaks;
pub mod leftovers;
pub mod outside;
pub mod probe;
pub mod registry;
pub mod stage;
pub mod tasks;

pub use instance::Instance;

/// How long a test waits for something that should happen at once, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// `limit` on this machine: an emulated processor gets more time, by the factor in `HYTHE_TIME_SCALE`.
pub fn scaled(limit: Duration) -> Duration {
    let factor = std::env::var("HYTHE_TIME_SCALE").ok().and_then(|text| text.parse().ok());
    limit * factor.unwrap_or(1)
}

/// Ends the test here when the machine lacks one of the named capabilities (functions of [`probe`]).
macro_rules! require {
    ($($capability:ident),+ $(,)?) => {
        $(
            if let Err(reason) = $crate::harness::probe::$capability() {
                $crate::harness::skipped(&reason);
                return;
            }
        )+
    };
}
pub(crate) use require;

/// Says that the running test is skipped, on the terminal and to the runner.
///
/// The runner names a file in `HYTHE_SKIPS` and counts its lines.
pub fn skipped(reason: &str) {
    let name = thread::current().name().unwrap_or("a test").to_owned();
    println!("skipped: {reason}");
    if let Some(path) = std::env::var_os("HYTHE_SKIPS")
        && let Ok(mut file) = OpenOptions::new().create(true).append(true).open(path)
    {
        let _ = file.write_all(format!("{name}: {reason}\n").as_bytes());
    }
}

/// The whole disk, by major and minor number, that holds `path`; `None` for memory, networks and stacks of disks.
pub fn disk_of(path: &std::path::Path) -> Option<(u64, u64)> {
    let device = nix::sys::stat::stat(path).ok()?.st_dev;
    let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
    let here = std::fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok()?;
    let whole = if here.join("partition").exists() { here.parent()?.to_owned() } else { here };
    let text = std::fs::read_to_string(whole.join("dev")).ok()?;
    let (major, minor) = text.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Asks until there is an answer, and fails the test when none comes within `limit` (see [`scaled`]).
#[track_caller]
pub fn wait_for<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let (begin, limit) = (Clock::now(), scaled(limit));
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begin.elapsed() < limit, "waited {limit:?} for {what}");
        // Nobody unparks this thread: it only lets others have the processor before it asks again.
        thread::park_timeout(Duration::from_millis(20));
    }
}
