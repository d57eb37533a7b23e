//! What a profile means for one architecture: for each number the tests to make and what to answer. Pure.
//!
//! A call's rules with tests come before its rule without: a profile that denies one value of an argument and allows
//! the call otherwise means both. Among rules of a kind the first wins. Names that an architecture does not have are
//! left out, as profiles are written for many kernels at once.

use std::collections::BTreeMap;

use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator, LinuxSyscall,
};

use super::SeccompError;
use super::syscalls::{Arch, Calls, X32_BIT, other_door};

/// What the kernel is told to do (`SECCOMP_RET_*` in linux/seccomp.h).
const KILL_PROCESS: u32 = 0x8000_0000;
const KILL_THREAD: u32 = 0;
const TRAP: u32 = 0x0003_0000;
const ERRNO: u32 = 0x0005_0000;
const NOTIFY: u32 = 0x7fc0_0000;
const TRACE: u32 = 0x7ff0_0000;
const LOG: u32 = 0x7ffc_0000;
const ALLOW: u32 = 0x7fff_0000;

/// What is done about calls of an architecture that the profile does not list.
pub(super) const FOREIGN: u32 = KILL_PROCESS;

/// The answer to calls that the profile is too old to know.
pub(super) const NOT_IMPLEMENTED: u32 = ERRNO | libc::ENOSYS.cast_unsigned();

/// The error that is given where a profile names none.
const DEFAULT_ERRNO: u32 = libc::EPERM.cast_unsigned();

/// The largest error number the kernel lets a filter give.
const LARGEST_ERRNO: u32 = 4095;

/// The most arguments a system call has.
const ARGUMENTS: usize = 6;

/// A test of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Test {
    /// Which argument, from zero.
    pub argument: u32,
    /// How it is compared.
    pub operator: LinuxSeccompOperator,
    /// With what; for a masked comparison the mask.
    pub value: u64,
    /// What is expected under the mask.
    pub masked: u64,
}

/// An answer if all tests hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Conditional {
    pub tests: Vec<Test>,
    pub answer: u32,
}

/// What is answered to one call.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Asked in this order.
    pub conditionals: Vec<Conditional>,
    /// If none of them holds; `None` is the profile's default.
    pub otherwise: Option<u32>,
}

/// The rules of one architecture.
#[derive(Debug)]
pub(super) struct Rules {
    pub arch: Arch,
    pub calls: BTreeMap<u32, Verdict>,
    /// The answer to what is not among the calls.
    pub default: u32,
    /// Calls with numbers above this one are newer than the profile and do not exist.
    pub newest: Option<u32>,
}

impl Rules {
    /// The rules of `profile` for `arch`.
    pub(super) fn of(profile: &LinuxSeccomp, arch: Arch) -> Result<Self, SeccompError> {
        let default = answer("defaultErrnoRet", profile.default_action(), profile.default_errno_ret())?;
        let calls = Calls::of(arch);
        let mut rules = Self { arch, calls: BTreeMap::new(), default, newest: None };
        for (at, rule) in profile.syscalls().iter().flatten().enumerate() {
            let answer = answer(&format!("syscalls[{at}].errnoRet"), rule.action(), rule.errno_ret())?;
            let tests = tests(at, rule, arch)?;
            for name in rule.names() {
                rules.add(&calls, name, &tests, answer);
            }
        }
        if hides_new_calls(profile.default_action()) && default != NOT_IMPLEMENTED {
            rules.newest = rules.calls.keys().copied().filter(|number| !is_private(*number)).max();
        }
        Ok(rules)
    }

    /// Adds what a rule says of one call; `tests` are alternatives, none of them means always.
    fn add(&mut self, calls: &Calls, name: &str, tests: &[Vec<Test>], answer: u32) {
        if let Some(number) = calls.number(name) {
            let verdict = self.calls.entry(number).or_default();
            if tests.is_empty() {
                verdict.otherwise.get_or_insert(answer);
            }
            verdict
                .conditionals
                .extend(tests.iter().map(|tests| Conditional { tests: tests.clone(), answer }));
        }
        // What goes through the other door has its arguments in memory, where a filter cannot look.
        if let (true, Some((door, number))) = (tests.is_empty(), other_door(self.arch, name))
            && let Some(door) = calls.number(door)
        {
            let test =
                Test { argument: 0, operator: LinuxSeccompOperator::ScmpCmpEq, value: number, masked: 0 };
            let verdict = self.calls.entry(door).or_default();
            verdict.conditionals.push(Conditional { tests: vec![test], answer });
        }
    }
}

/// Whether a number is one of those that arm keeps apart for itself, far above all others.
fn is_private(number: u32) -> bool {
    number & !X32_BIT >= 0x000f_0000
}

/// A denial by default would hide from programs that a call is missing, and with it the way they have without it.
/// Tracers and logs are to see everything.
fn hides_new_calls(action: LinuxSeccompAction) -> bool {
    match action {
        LinuxSeccompAction::ScmpActAllow
        | LinuxSeccompAction::ScmpActLog
        | LinuxSeccompAction::ScmpActTrace => false,
        LinuxSeccompAction::ScmpActKill
        | LinuxSeccompAction::ScmpActKillThread
        | LinuxSeccompAction::ScmpActKillProcess
        | LinuxSeccompAction::ScmpActTrap
        | LinuxSeccompAction::ScmpActErrno
        | LinuxSeccompAction::ScmpActNotify => true,
    }
}

/// An action as the kernel is told it.
fn answer(member: &str, action: LinuxSeccompAction, errno: Option<u32>) -> Result<u32, SeccompError> {
    let invalid = |reason: String| SeccompError { member: member.to_owned(), reason };
    let bare = |answer| match errno {
        Some(_) => Err(invalid(format!("{action} has no error number"))),
        None => Ok(answer),
    };
    match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => bare(KILL_THREAD),
        LinuxSeccompAction::ScmpActKillProcess => bare(KILL_PROCESS),
        LinuxSeccompAction::ScmpActTrap => bare(TRAP),
        LinuxSeccompAction::ScmpActNotify => bare(NOTIFY),
        LinuxSeccompAction::ScmpActLog => bare(LOG),
        LinuxSeccompAction::ScmpActAllow => bare(ALLOW),
        LinuxSeccompAction::ScmpActErrno => {
            let errno = errno.unwrap_or(DEFAULT_ERRNO);
            if errno > LARGEST_ERRNO {
                return Err(invalid(format!("{errno} is no error number")));
            }
            Ok(ERRNO | errno)
        }
        LinuxSeccompAction::ScmpActTrace => {
            let message = errno.unwrap_or(DEFAULT_ERRNO);
            if message > u32::from(u16::MAX) {
                return Err(invalid(format!("{message} does not fit into 16 bits")));
            }
            Ok(TRACE | message)
        }
    }
}

/// A rule's tests as alternatives. All of them must hold, unless two look at the same argument: then each is a rule
/// of its own.
fn tests(at: usize, rule: &LinuxSyscall, arch: Arch) -> Result<Vec<Vec<Test>>, SeccompError> {
    let invalid = |member: String, reason: &str| SeccompError {
        member: format!("syscalls[{at}].{member}"),
        reason: reason.to_owned(),
    };
    if rule.names().is_empty() {
        return Err(invalid("names".to_owned(), "is empty"));
    }
    if let Some(number) = rule.names().iter().position(String::is_empty) {
        return Err(invalid(format!("names[{number}]"), "is empty"));
    }
    let mut all = Vec::new();
    for (number, wanted) in rule.args().iter().flatten().enumerate() {
        if wanted.index() >= ARGUMENTS {
            return Err(invalid(format!("args[{number}].index"), "is above 5"));
        }
        all.push(test(wanted, arch));
    }
    let is_twice = all
        .iter()
        .enumerate()
        .any(|(number, one)| all[..number].iter().any(|other| other.argument == one.argument));
    Ok(match (all.is_empty(), is_twice) {
        (true, _) => Vec::new(),
        (false, true) => all.into_iter().map(|one| vec![one]).collect(),
        (false, false) => vec![all],
    })
}

fn test(wanted: &LinuxSeccompArg, arch: Arch) -> Test {
    let width = if arch.is_narrow() { u64::from(u32::MAX) } else { u64::MAX };
    Test {
        argument: u32::try_from(wanted.index()).unwrap_or(u32::MAX),
        operator: wanted.op(),
        value: wanted.value() & width,
        masked: wanted.value_two().unwrap_or(0) & width,
    }
}
