//! System call filters: the specification's form in, a program for the kernel out, and the call that loads it.
//!
//! [`Filter::compile`] is pure: it needs neither the kernel nor a library. [`Filter::load`] is one system call and
//! allocates nothing, so that it can run between clone and exec.
//!
//! The program ends a process that makes a call of an architecture the profile does not list. Where the profile denies
//! by default, calls newer than any it names answer ENOSYS, so that programs fall back on older ones.

mod program;
mod rules;
mod syscalls;

use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSeccompFilterFlag, LinuxSyscall};

use program::Instruction;
use rules::Rules;
use syscalls::Arch;

/// The most instructions the kernel takes (`BPF_MAXINSNS`).
const LONGEST: usize = 4096;

/// Flags of the call (linux/seccomp.h) that the C library crate has no names for.
const TSYNC_ESRCH: u64 = 1 << 4;
const WAIT_KILLABLE_RECV: u64 = 1 << 5;

/// A profile that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("linux.seccomp.{member}: {reason}")]
pub struct SeccompError {
    /// The member below `linux.seccomp`.
    pub member: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A profile as a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    program: Vec<Instruction>,
    flags: u64,
}

/// The profile that was asked for last, and its program.
static LAST: Mutex<Option<(LinuxSeccomp, Filter)>> = Mutex::new(None);

/// A program as the kernel takes it (`struct sock_fprog`).
#[repr(C)]
struct Program {
    length: libc::c_ushort,
    instructions: *const Instruction,
}

impl Filter {
    /// Compiles `profile` for the architectures that it names, and for this one in any case.
    pub fn compile(profile: &LinuxSeccomp) -> Result<Self, SeccompError> {
        let invalid = |member: &str, reason: String| SeccompError { member: member.to_owned(), reason };
        check_notify(profile)?;
        let native = Arch::NATIVE
            .ok_or_else(|| invalid("architectures", "filters are not known for this host's".to_owned()))?;
        let mut all = vec![native];
        for wanted in profile.architectures().iter().flatten().filter_map(|wanted| Arch::of(*wanted)) {
            if !all.contains(&wanted) {
                all.push(wanted);
            }
        }
        let rules: Vec<_> = all.into_iter().map(|arch| Rules::of(profile, arch)).collect::<Result<_, _>>()?;
        let program = program::compile(&rules);
        if program.len() > LONGEST {
            let reason = format!("{} instructions, of which the kernel takes {LONGEST}", program.len());
            return Err(invalid("syscalls", reason));
        }
        Ok(Self { program, flags: flags(profile) })
    }

    /// The same, compiled once for as long as the same profile is asked for again.
    pub fn compiled(profile: &LinuxSeccomp) -> Result<Self, SeccompError> {
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, filter)) = &*last
            && known == profile
        {
            return Ok(filter.clone());
        }
        let filter = Self::compile(profile)?;
        *last = Some((profile.clone(), filter.clone()));
        Ok(filter)
    }

    /// The program as bytes, for another process of this host to [know](Self::know).
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.program.iter().flat_map(|one| one.to_bytes()).collect()
    }

    /// Makes known what another process has compiled `profile` to, so that [`Self::compiled`] need not. Bytes that are no
    /// program, and a profile that somebody listens to, are passed over.
    pub fn know(profile: &LinuxSeccomp, bytes: &[u8]) {
        let (instructions, rest) = bytes.as_chunks();
        let program: Vec<Instruction> = instructions.iter().copied().map(Instruction::from_bytes).collect();
        if program.is_empty() || program.len() > LONGEST || !rest.is_empty() || is_notified(profile) {
            return;
        }
        let filter = Self { program, flags: flags(profile) };
        *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some((profile.clone(), filter));
    }

    /// How many instructions it has.
    #[must_use]
    pub fn length(&self) -> usize {
        self.program.len()
    }

    /// Whether calls are decided by somebody who listens.
    #[must_use]
    pub fn is_listened_to(&self) -> bool {
        self.flags & libc::SECCOMP_FILTER_FLAG_NEW_LISTENER != 0
    }

    /// Puts this thread, and all that it will execute, under the filter. Returns the listener's end if there is one.
    ///
    /// `EACCES` without no_new_privs or CAP_SYS_ADMIN. Allocates nothing.
    pub fn load(&self) -> Result<Option<OwnedFd>, Errno> {
        let length = libc::c_ushort::try_from(self.program.len()).map_err(|_| Errno::E2BIG)?;
        let program = Program { length, instructions: self.program.as_ptr() };
        let set = libc::c_long::from(libc::SECCOMP_SET_MODE_FILTER);
        // SAFETY: the call reads `program` and the `length` instructions it points to; both live across it.
        let done = unsafe { libc::syscall(libc::SYS_seccomp, set, self.flags, &raw const program) };
        let fd = RawFd::try_from(Errno::result(done)?).map_err(|_| Errno::EBADF)?;
        if !self.is_listened_to() {
            return Ok(None);
        }
        // SAFETY: with a new listener asked for, the kernel has just made this descriptor; nothing else owns it.
        Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }))
    }
}

fn is_notified(profile: &LinuxSeccomp) -> bool {
    let is_notify = |action| action == LinuxSeccompAction::ScmpActNotify;
    profile.syscalls().iter().flatten().any(|rule| is_notify(rule.action()))
}

/// A listener hears of its filter through this process, which would wait for its own answers.
fn check_notify(profile: &LinuxSeccomp) -> Result<(), SeccompError> {
    let invalid = |member: &str, reason: &str| {
        Err(SeccompError { member: member.to_owned(), reason: reason.to_owned() })
    };
    if profile.default_action() == LinuxSeccompAction::ScmpActNotify {
        return invalid("defaultAction", "SCMP_ACT_NOTIFY cannot be the default action");
    }
    let has_path = profile.listener_path().as_ref().is_some_and(|path| !path.as_os_str().is_empty());
    if !is_notified(profile) {
        let has_metadata = profile.listener_metadata().as_ref().is_some_and(|text| !text.is_empty());
        return if has_metadata && !has_path {
            invalid("listenerMetadata", "cannot be set without listenerPath")
        } else {
            Ok(())
        };
    }
    if !has_path {
        return invalid("listenerPath", "is missing although SCMP_ACT_NOTIFY is used");
    }
    let asks = |rule: &&LinuxSyscall| rule.action() == LinuxSeccompAction::ScmpActNotify;
    let mut names = profile.syscalls().iter().flatten().filter(asks).flat_map(LinuxSyscall::names);
    match names.find(|name| ["write", "sendmsg"].contains(&name.as_str())) {
        Some(name) => invalid("syscalls", &format!("SCMP_ACT_NOTIFY cannot be used for {name}")),
        None => Ok(()),
    }
}

/// Whether this kernel takes filters with the flag.
#[must_use]
pub fn is_supported(flag: LinuxSeccompFilterFlag) -> bool {
    let flags = match bit(flag) {
        WAIT_KILLABLE_RECV => WAIT_KILLABLE_RECV | libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
        other => other,
    };
    let set = libc::c_long::from(libc::SECCOMP_SET_MODE_FILTER);
    let nothing = std::ptr::null::<Program>();
    // SAFETY: there is no program, so the call looks at the flags and then fails; nothing is filtered.
    let done = unsafe { libc::syscall(libc::SYS_seccomp, set, flags, nothing) };
    Errno::result(done) == Err(Errno::EFAULT)
}

fn bit(flag: LinuxSeccompFilterFlag) -> u64 {
    match flag {
        LinuxSeccompFilterFlag::SeccompFilterFlagLog => libc::SECCOMP_FILTER_FLAG_LOG,
        LinuxSeccompFilterFlag::SeccompFilterFlagTsync => libc::SECCOMP_FILTER_FLAG_TSYNC,
        LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => WAIT_KILLABLE_RECV,
    }
}

fn flags(profile: &LinuxSeccomp) -> u64 {
    let named = profile.flags().iter().flatten().fold(0, |flags, flag| flags | bit(*flag));
    if !is_notified(profile) {
        // Without a listener nobody receives, and the kernel refuses the flag.
        return named & !WAIT_KILLABLE_RECV;
    }
    let listened = named | libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    // With a listener the result of the call is not free to tell which thread stood in the way.
    if listened & libc::SECCOMP_FILTER_FLAG_TSYNC != 0 { listened | TSYNC_ESRCH } else { listened }
}

#[cfg(test)]
mod tests;
