//! The five capability sets of a thread.

use std::io;
use std::str::FromStr;

use nix::errno::Errno;
use nix::unistd::Pid;

/// `_LINUX_CAPABILITY_VERSION_3`: sets of 64 bits.
const VERSION: u32 = 0x2008_0522;

const AMBIENT_RAISE: libc::c_ulong = 2;
const AMBIENT_CLEAR: libc::c_ulong = 4;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Default, Clone, Copy)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// A set of capabilities, by number.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct CapabilitySet(u64);

impl CapabilitySet {
    /// No capability.
    pub const NONE: Self = Self(0);

    /// The set with the capability named, such as `CAP_CHOWN`; `None` if there is no such name.
    #[must_use]
    pub fn with(self, name: &str) -> Option<Self> {
        let capability = caps::Capability::from_str(name).ok()?;
        Some(Self(self.0 | capability.bitmask()))
    }

    /// Whether the capability named is in the set.
    #[must_use]
    pub fn has(self, name: &str) -> bool {
        caps::Capability::from_str(name).is_ok_and(|capability| self.0 & capability.bitmask() != 0)
    }

    /// Those in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those in this set and not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether the set is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names, in the order of their numbers.
    #[must_use]
    pub fn names(self) -> Vec<String> {
        let all = caps::all();
        let mut found: Vec<_> = all.into_iter().filter(|cap| self.0 & cap.bitmask() != 0).collect();
        found.sort_unstable_by_key(caps::Capability::index);
        found.iter().map(ToString::to_string).collect()
    }

    fn numbers(self) -> impl Iterator<Item = libc::c_ulong> {
        (0..64).filter(move |number| self.0 & (1 << number) != 0)
    }

    const fn low(self) -> u32 {
        (self.0 & 0xffff_ffff) as u32
    }

    const fn high(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// What this thread can do now (its effective set).
pub fn held() -> Result<CapabilitySet, Errno> {
    let mut header = Header { version: VERSION, pid: 0 };
    let mut halves = [Half::default(); 2];
    // SAFETY: version 3 of the call reads one header and fills two halves; both live across it.
    Errno::result(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, halves.as_mut_ptr()) })?;
    Ok(CapabilitySet(u64::from(halves[0].effective) | u64::from(halves[1].effective) << 32))
}

/// The bound of a process, beyond which neither it nor what it executes gets.
pub fn bounding_of(pid: Pid) -> io::Result<CapabilitySet> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let digits = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    let bits = digits.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    bits.map(CapabilitySet).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Every capability this kernel knows.
#[must_use]
pub fn known() -> CapabilitySet {
    CapabilitySet(caps::runtime::thread_all_supported().iter().fold(0, |set, cap| set | cap.bitmask()))
}

/// Sets the effective, permitted and inheritable sets of this thread.
pub fn set_capabilities(
    effective: CapabilitySet,
    permitted: CapabilitySet,
    inheritable: CapabilitySet,
) -> Result<(), Errno> {
    let mut header = Header { version: VERSION, pid: 0 };
    let halves = [
        Half { effective: effective.low(), permitted: permitted.low(), inheritable: inheritable.low() },
        Half { effective: effective.high(), permitted: permitted.high(), inheritable: inheritable.high() },
    ];
    // SAFETY: version 3 of the call reads one header and two halves; both live across it.
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, halves.as_ptr()) }).map(drop)
}

/// Gives up the capabilities in `set` for this thread and all that it will ever execute.
pub fn drop_bounding(set: CapabilitySet) -> Result<(), Errno> {
    for number in set.numbers() {
        // SAFETY: the call takes integers only.
        Errno::result(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) })?;
    }
    Ok(())
}

/// Empties the ambient set.
pub fn clear_ambient() -> Result<(), Errno> {
    // SAFETY: the call takes integers only.
    Errno::result(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, AMBIENT_CLEAR, 0, 0, 0) }).map(drop)
}

/// Raises `set` in the ambient set; each must be permitted and inheritable.
pub fn raise_ambient(set: CapabilitySet) -> Result<(), Errno> {
    for number in set.numbers() {
        // SAFETY: the call takes integers only.
        Errno::result(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, AMBIENT_RAISE, number, 0, 0) })?;
    }
    Ok(())
}

/// Whether a change from root to another user leaves the permitted set alone. Exec resets it.
pub fn keep_across_setuid(keep: bool) -> Result<(), Errno> {
    nix::sys::prctl::set_keepcaps(keep)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_sets_agree() {
        let set = CapabilitySet::NONE.with("CAP_CHOWN").unwrap().with("CAP_BPF").unwrap();
        assert!(set.has("CAP_BPF"));
        assert_eq!(set.names(), ["CAP_CHOWN", "CAP_BPF"]);
        assert!(set.without(set).is_empty());
        assert_eq!(CapabilitySet::NONE.with("CAP_NONSENSE"), None);
        assert_eq!((set.low(), set.high()), (1, 1 << (39 - 32)));
    }
}
