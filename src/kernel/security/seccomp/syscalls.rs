//! System calls by name: which number each architecture gives them. Pure data and look-ups.

use oci_spec::runtime::Arch as SpecArch;

/// One line a call: its name and its number for each of [`Arch::ALL`].
const TABLE: &str = include_str!("syscalls.txt");

/// The bit that marks the numbers of x32, which shares the kernel's architecture code with x86_64.
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// An architecture whose system calls a kernel we run on can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arch {
    X86_64,
    X86,
    X32,
    Aarch64,
    Arm,
    Riscv64,
}

impl Arch {
    /// In the order of the table's columns.
    const ALL: [Self; 6] = [Self::X86_64, Self::X86, Self::X32, Self::Aarch64, Self::Arm, Self::Riscv64];

    /// The architecture that this program is built for.
    pub(super) const NATIVE: Option<Self> = if cfg!(target_arch = "x86_64") {
        Some(Self::X86_64)
    } else if cfg!(target_arch = "aarch64") {
        Some(Self::Aarch64)
    } else if cfg!(target_arch = "riscv64") {
        Some(Self::Riscv64)
    } else {
        None
    };

    /// The specification's word as one of ours. Others never make a call on a kernel we run on.
    pub(super) const fn of(wanted: SpecArch) -> Option<Self> {
        match wanted {
            SpecArch::ScmpArchNative => Self::NATIVE,
            SpecArch::ScmpArchX86 => Some(Self::X86),
            SpecArch::ScmpArchX86_64 => Some(Self::X86_64),
            SpecArch::ScmpArchX32 => Some(Self::X32),
            SpecArch::ScmpArchArm => Some(Self::Arm),
            SpecArch::ScmpArchAarch64 => Some(Self::Aarch64),
            SpecArch::ScmpArchRiscv64 => Some(Self::Riscv64),
            SpecArch::ScmpArchMips
            | SpecArch::ScmpArchMips64
            | SpecArch::ScmpArchMips64n32
            | SpecArch::ScmpArchMipsel
            | SpecArch::ScmpArchMipsel64
            | SpecArch::ScmpArchMipsel64n32
            | SpecArch::ScmpArchPpc
            | SpecArch::ScmpArchPpc64
            | SpecArch::ScmpArchPpc64le
            | SpecArch::ScmpArchS390
            | SpecArch::ScmpArchS390x
            | SpecArch::ScmpArchParisc
            | SpecArch::ScmpArchParisc64
            | SpecArch::ScmpArchLoongarch64
            | SpecArch::ScmpArchM68k
            | SpecArch::ScmpArchSh
            | SpecArch::ScmpArchSheb => None,
        }
    }

    /// The kernel's code for it (`AUDIT_ARCH_*` in linux/audit.h).
    pub(super) const fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
            Self::Riscv64 => 0xc000_00f3,
        }
    }

    /// Whether an argument is 32 bits wide.
    pub(super) const fn is_narrow(self) -> bool {
        match self {
            Self::X86 | Self::Arm => true,
            Self::X86_64 | Self::X32 | Self::Aarch64 | Self::Riscv64 => false,
        }
    }

    fn column(self) -> usize {
        Self::ALL.iter().position(|one| *one == self).unwrap_or(0)
    }
}

/// All calls of one architecture, sorted by name.
#[derive(Debug)]
pub(super) struct Calls(Vec<(&'static str, u32)>);

impl Calls {
    /// Reads the table's column for `arch`. The numbers are as the kernel shows them to a filter.
    pub(super) fn of(arch: Arch) -> Self {
        let mark = if arch == Arch::X32 { X32_BIT } else { 0 };
        let read = |line: &'static str| {
            let mut words = line.split(' ');
            let name = words.next()?;
            let number: u32 = words.nth(arch.column())?.parse().ok()?;
            Some((name, number | mark))
        };
        let mut calls: Vec<_> =
            TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(read).collect();
        calls.sort_unstable();
        Self(calls)
    }

    /// The number of the call named, if this architecture has it.
    pub(super) fn number(&self, name: &str) -> Option<u32> {
        let at = self.0.binary_search_by_key(&name, |(known, _)| known).ok()?;
        Some(self.0[at].1)
    }
}

/// Calls that 32-bit x86 also offers through `socketcall` or `ipc`, and their numbers there (linux/net.h, linux/ipc.h).
const MULTIPLEXED: [(&str, &str, u64); 32] = [
    ("socket", "socketcall", 1),
    ("bind", "socketcall", 2),
    ("connect", "socketcall", 3),
    ("listen", "socketcall", 4),
    ("accept", "socketcall", 5),
    ("getsockname", "socketcall", 6),
    ("getpeername", "socketcall", 7),
    ("socketpair", "socketcall", 8),
    ("send", "socketcall", 9),
    ("recv", "socketcall", 10),
    ("sendto", "socketcall", 11),
    ("recvfrom", "socketcall", 12),
    ("shutdown", "socketcall", 13),
    ("setsockopt", "socketcall", 14),
    ("getsockopt", "socketcall", 15),
    ("sendmsg", "socketcall", 16),
    ("recvmsg", "socketcall", 17),
    ("accept4", "socketcall", 18),
    ("recvmmsg", "socketcall", 19),
    ("sendmmsg", "socketcall", 20),
    ("semop", "ipc", 1),
    ("semget", "ipc", 2),
    ("semctl", "ipc", 3),
    ("semtimedop", "ipc", 4),
    ("msgsnd", "ipc", 11),
    ("msgrcv", "ipc", 12),
    ("msgget", "ipc", 13),
    ("msgctl", "ipc", 14),
    ("shmat", "ipc", 21),
    ("shmdt", "ipc", 22),
    ("shmget", "ipc", 23),
    ("shmctl", "ipc", 24),
];

/// The other door to a call of 32-bit x86: the call that leads there, and its first argument.
pub(super) fn other_door(arch: Arch, name: &str) -> Option<(&'static str, u64)> {
    let found = MULTIPLEXED.iter().find(|(known, _, _)| *known == name);
    found.filter(|_| arch == Arch::X86).map(|(_, door, number)| (*door, *number))
}
