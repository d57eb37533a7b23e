//! Resource limits of a process.

use nix::errno::Errno;

/// A resource with a limit, by the kernel's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    number: u32,
    name: &'static str,
}

/// Numbers of x86-64, arm64 and riscv64, which agree.
const LIMITS: [&str; 16] = [
    "RLIMIT_CPU",
    "RLIMIT_FSIZE",
    "RLIMIT_DATA",
    "RLIMIT_STACK",
    "RLIMIT_CORE",
    "RLIMIT_RSS",
    "RLIMIT_NPROC",
    "RLIMIT_NOFILE",
    "RLIMIT_MEMLOCK",
    "RLIMIT_AS",
    "RLIMIT_LOCKS",
    "RLIMIT_SIGPENDING",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",
    "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME",
];

impl Limit {
    /// The limit with this name, such as `RLIMIT_NOFILE`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let at = LIMITS.iter().position(|known| *known == name)?;
        Some(Self { number: u32::try_from(at).ok()?, name: LIMITS[at] })
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.name
    }
}

/// This process's soft and hard limit.
pub fn limit_of(limit: Limit) -> Result<(u64, u64), Errno> {
    let mut found = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `found` is writable across the call.
    Errno::result(unsafe { libc::getrlimit(limit.number, &raw mut found) })?;
    Ok((found.rlim_cur, found.rlim_max))
}

/// Sets the soft and hard limit of another process.
pub fn set_limit_of(pid: nix::unistd::Pid, limit: Limit, soft: u64, hard: u64) -> Result<(), Errno> {
    let wanted = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    let none = std::ptr::null_mut::<libc::rlimit>();
    // SAFETY: `wanted` is readable across the call, and a null pointer asks for nothing back.
    Errno::result(unsafe { libc::prlimit(pid.as_raw(), limit.number, &raw const wanted, none) }).map(drop)
}

/// Sets this process's soft and hard limit.
pub fn set_limit(limit: Limit, soft: u64, hard: u64) -> Result<(), Errno> {
    let wanted = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: `wanted` is readable across the call.
    Errno::result(unsafe { libc::setrlimit(limit.number, &raw const wanted) }).map(drop)
}
