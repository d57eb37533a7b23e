//! The child: runs the list, reports, waits, executes. Allocates nothing.
//!
//! The child never executes our own program again: the list of steps is in the memory that clone has copied. So a
//! container finds no handle to the runtime's executable to overwrite, with three exceptions. An image whose
//! program is `/proc/self/exe` is refused by comparing what is about to be executed with ourselves. A script for
//! `#!/proc/self/exe` is not seen through; but who makes containers runs through a mount of its own that cannot be
//! written through (`close_own_program`). And a first process that attends the program is our own one, through such a
//! mount too.

mod copy;
mod home;
mod mounts;
mod program;
mod remount;
mod terminal;

pub(super) use program::Attendant;

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{FileStat, Mode, fstat};
use nix::unistd::chdir;

use super::handshake::{ChildEnd, Part, Report};
use super::hooks::{Inside, run_inside};
use super::steps::{Plan, Program, Step};
use crate::kernel::event::monotonic;
use crate::kernel::process::{
    self, CloneRequest, Pidfd, Signal, default_dispositions, duplicate_to, write_file,
};
use crate::kernel::security;
use crate::kernel::security::seccomp::Filter;
use crate::kernel::terminal::take_control;
use crate::kernel::{mount, namespace};
use program::{execute_under, find_program};

/// The first descriptor after the standard streams.
const FIRST_INHERITED: RawFd = 3;

/// Exit code of a child that failed; nobody but the parent, which knows better, sees it.
const FAILED: i32 = 1;

/// What the child brings along that is not in the list.
pub(super) struct Child<'a> {
    pub steps: &'a [Step],
    pub marks: [usize; 2],
    pub program: &'a Program,
    /// The filter that nothing but the program is to run under.
    pub late_filter: Option<&'a Filter>,
    /// The hooks within the container.
    pub hooks: &'a Inside,
    /// The mounts that the parent has made ready.
    pub sources: &'a [OwnedFd],
    pub stdio: [BorrowedFd<'a>; 3],
    pub to_parent: ChildEnd<'a>,
    /// The parent's end of the line. Held here as well, it would hide from us that the parent is gone.
    pub parents_end: Option<RawFd>,
    /// The container to join, for a process that is run in one.
    pub container: Option<&'a Pidfd>,
    /// Whether another process takes this one's place when the steps are done, and whether that dies with the parent.
    pub gives_way: Option<bool>,
    /// Our own executable, which no container gets to run.
    pub own_program: Option<FileStat>,
    /// The first process that attends the program, or takes its place.
    pub attendant: Option<Attendant<'a>>,
}

impl<'a> Child<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        brought: &'a Brought,
        stdio: [BorrowedFd<'a>; 3],
        to_parent: ChildEnd<'a>,
    ) -> Self {
        Self {
            steps: &plan.steps,
            marks: plan.marks,
            program: &plan.program,
            late_filter: plan.late_filter.as_ref(),
            hooks: &brought.hooks,
            sources: &brought.sources,
            stdio,
            to_parent,
            parents_end: None,
            container: None,
            gives_way: None,
            own_program: nix::sys::stat::stat(c"/proc/self/exe").ok(),
            attendant: None,
        }
    }
}

/// What is made ready for the child beside its plan.
#[derive(Debug, Default)]
pub(super) struct Brought {
    pub hooks: Inside,
    pub sources: Vec<OwnedFd>,
}

/// Descriptors that one step finds and later ones use.
#[derive(Default)]
pub(super) struct Found {
    root: Option<OwnedFd>,
    null: Option<OwnedFd>,
    blank: Option<OwnedFd>,
    directory_denied: bool,
}

/// A failed step's reason.
pub(super) struct Failure {
    pub part: Part,
    /// An error number, or what the part says it is.
    pub code: i32,
    /// Which hook, if it was one.
    pub hook: u16,
}

impl Failure {
    pub(super) const fn new(part: Part, code: i32) -> Self {
        Self { part, code, hook: 0 }
    }

    fn not_executed(&self) -> Report {
        Report::NotExecuted { part: self.part, code: self.code, hook: self.hook }
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::new(Part::Whole, errno as i32)
    }
}

pub(super) fn at(part: Part) -> impl FnOnce(Errno) -> Failure {
    move |errno| Failure::new(part, errno as i32)
}

/// What the child does from its first moment to exec. Returns an exit code only if it did not get there.
pub(super) fn run(child: &Child<'_>) -> i32 {
    if let Some(end) = child.parents_end {
        let _ = nix::unistd::close(end);
    }
    let mut times = [monotonic(); 4];
    let mut found = Found::default();
    for (number, step) in child.steps.iter().enumerate() {
        if let Some(mark) = child.marks.iter().position(|mark| *mark == number) {
            times[mark + 1] = monotonic();
        }
        if let Err(failure) = run_step(number, step, child, &mut found) {
            let Failure { part, code, hook } = failure;
            child.to_parent.send(Report::Failed { step: number, part, code, hook });
            return FAILED;
        }
    }
    times[3] = monotonic();
    drop(found);
    match child.gives_way {
        None => finish(child, times),
        Some(dies_with_parent) => give_way(child, times, dies_with_parent),
    }
}

/// Has another process go on, born in the pid namespace that this one has chosen for its children.
///
/// Who may trace others finds a process as soon as it is in a pid namespace. So it gets there when it has given up what
/// the container does not have: the host's root, descriptors, capabilities.
fn give_way(child: &Child<'_>, times: [Duration; 4], dies_with_parent: bool) -> i32 {
    let request = CloneRequest { is_sibling: true, ..CloneRequest::default() };
    let made = process::clone(&request, || match take_over(child, dies_with_parent) {
        Ok(()) => finish(child, times),
        Err(errno) => {
            child.to_parent.send(Failure::from(errno).not_executed());
            FAILED
        }
    });
    let told = made.and_then(|made| child.to_parent.give_way(made.pidfd.as_fd()));
    let Err(errno) = told else { return 0 };
    child.to_parent.send(Failure::from(errno).not_executed());
    FAILED
}

/// What a process does not have from the one in whose place it is.
fn take_over(child: &Child<'_>, dies_with_parent: bool) -> Result<(), Errno> {
    child.to_parent.wait()?;
    if dies_with_parent {
        process::die_with_parent(Signal::KILL)?;
    }
    process::new_session()?;
    if child.steps.iter().any(|step| matches!(step, Step::Terminal(_))) {
        take_control(process::own_stream(0))?;
    }
    Ok(())
}

/// From the last step to exec. Returns an exit code only if it did not get there.
fn finish(child: &Child<'_>, times: [Duration; 4]) -> i32 {
    if default_dispositions().is_err() {
        return FAILED;
    }
    // Whoever makes a container hears at once of a program that is not there, if one is to be executed.
    let is_alone = child.attendant.is_some_and(|attendant| attendant.is_alone);
    let has_program = !is_alone && !child.program.candidates.is_empty();
    if has_program && let Err((part, errno)) = find_program(child.program, child.own_program.as_ref()) {
        child.to_parent.send(Failure::new(part, errno as i32).not_executed());
        return FAILED;
    }
    let Some(answer) = child.to_parent.ready_and_wait(times) else { return FAILED };
    let Err(failure) = execute_under(child);
    answer.send(failure.not_executed());
    FAILED
}

#[allow(clippy::too_many_lines, reason = "a line a step")]
fn run_step(number: usize, step: &Step, child: &Child<'_>, found: &mut Found) -> Result<(), Failure> {
    match step {
        Step::Undumpable => process::undumpable()?,
        Step::DieWithParent => process::die_with_parent(Signal::KILL)?,
        Step::NewSession => process::new_session()?,
        Step::SessionKeyring => session_keyring()?,
        Step::Stdio => {
            for (number, stream) in (0..).zip(child.stdio) {
                duplicate_to(stream, number)?;
            }
        }
        Step::Umask(mask) => security::set_umask(*mask),
        Step::OomScore(_, score) => write_file(c"/proc/self/oom_score_adj", score.to_bytes())?,
        Step::JoinCgroup(file) => write_file(file, b"0")?,
        Step::JoinNamespace(kind, path) => {
            let file = open(path.as_c_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
                .map_err(at(Part::Source))?;
            namespace::enter(file, *kind)?;
        }
        Step::JoinContainer(kinds) => {
            let container = child.container.ok_or(Errno::ESRCH)?;
            namespace::enter_those_of(container, *kinds)?;
        }
        Step::NewNamespaces(kinds) => namespace::make(*kinds)?,
        Step::Ask(_) => child.to_parent.ask(number)?,
        Step::BecomeRoot => become_root()?,
        Step::TimeOffsets(lines) => write_file(c"/proc/self/timens_offsets", lines.to_bytes())?,
        Step::ContainerHooks => run_inside(&child.hooks.create_container, &child.hooks.creating)?,
        Step::Label(_, file, label) => write_file(file, label.to_bytes())?,
        Step::Personality(persona) => process::set_personality(*persona)?,
        Step::Scheduler(wanted) => process::schedule(wanted)?,
        Step::IoPriority(value) => process::set_io_priority(*value)?,
        Step::MemoryPolicy(mode, nodes) => process::set_memory_policy(*mode, nodes.as_ref())?,
        Step::Affinity(processors) => process::keep_to(processors)?,
        Step::HostName(name) => security::set_host_name(name)?,
        Step::DomainName(name) => security::set_domain_name(name)?,
        Step::Sysctl(_, file, value) => write_file(file, value.to_bytes())?,
        Step::HostPropagation(kind) => mount::set_propagation(c"/", *kind, true)?,
        Step::FindNull => found.null = Some(mounts::find_null()?),
        Step::MountRoot(root) => found.root = Some(mounts::mount_root(root, child.sources)?),
        Step::Mount(one) => mounts::mount_in(root(found)?, one, child.sources)?,
        Step::Remount(one) => remount::remount_in(root(found)?, one)?,
        Step::Node(node) => mounts::make_node(root(found)?, node)?,
        Step::Link(to, dir, name) => mounts::link(root(found)?, to, dir, name)?,
        Step::Directory(path) => {
            mount::make_in(root(found)?, path, mount::MadeKind::Directory)?;
        }
        Step::Mask(path) => mounts::mask(found, path)?,
        Step::ReadOnly(path) => mounts::make_read_only(root(found)?, path)?,
        Step::Attributes(path, attributes) => {
            let place = mount::open_in(root(found)?, path)?;
            mount::set_attributes(place.as_fd(), *attributes, None, false)?;
        }
        Step::ChangeRoot(other) => {
            match other {
                Some(path) => chdir(path.as_c_str()).map_err(at(Part::Source))?,
                None => nix::unistd::fchdir(root(found)?)?,
            }
            nix::unistd::chroot(c".")?;
        }
        Step::Pivot => {
            nix::unistd::fchdir(root(found)?)?;
            mount::pivot_here()?;
        }
        Step::MoveRoot(pseudo) => {
            for place in pseudo {
                match mount::detach(place) {
                    // Gone with the one it was mounted in.
                    Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
                    Err(errno) => return Err(at(Part::Target)(errno)),
                }
            }
            nix::unistd::fchdir(root(found)?)?;
            mount::move_here()?;
        }
        Step::RootPropagation(kind, deep) => mount::set_propagation(c"/", *kind, *deep)?,
        Step::CloseInherited(kept) => close_inherited(child, found, *kept)?,
        Step::Terminal(wanted) => terminal::give(number, wanted, child, found)?,
        Step::Filter(filter) => {
            if let Some(listener) = filter.load()? {
                child.to_parent.give(number, listener.as_fd()).map_err(at(Part::Target))?;
            }
        }
        Step::Limit(limit, soft, hard) => security::set_limit(*limit, *soft, *hard)?,
        Step::WorkingDirectory(path) => match change_directory(path) {
            // The directory may be open to the program's user only.
            Err(Errno::EACCES) => found.directory_denied = true,
            other => other?,
        },
        Step::WorkingDirectoryAsUser(path) => {
            if found.directory_denied {
                change_directory(path)?;
            }
        }
        Step::DropBounding(set) => security::drop_bounding(*set)?,
        Step::KeepCapabilities => security::keep_across_setuid(true)?,
        Step::Groups(groups) => security::set_groups(groups)?,
        Step::Group(gid) => security::set_group(*gid)?,
        Step::User(uid) => security::set_user(*uid)?,
        Step::Capabilities(sets) => {
            security::set_capabilities(sets.effective, sets.permitted, sets.inheritable)?;
            security::clear_ambient()?;
            security::raise_ambient(sets.ambient)?;
        }
        Step::NoNewPrivileges => security::no_new_privileges()?,
    }
    Ok(())
}

/// Takes on the numbers that the user namespace knows; until then this process has none of them.
fn become_root() -> Result<(), Errno> {
    match security::set_groups(&[]) {
        // Given up for the whole namespace by whoever mapped it without rights.
        Ok(()) | Err(Errno::EPERM) => {}
        Err(errno) => return Err(errno),
    }
    security::set_group(0)?;
    security::set_user(0)?;
    process::undumpable()
}

fn root(found: &Found) -> Result<BorrowedFd<'_>, Errno> {
    found.root.as_ref().map(AsFd::as_fd).ok_or(Errno::EBADF)
}

/// A kernel without keys has none to protect.
fn session_keyring() -> Result<(), Errno> {
    match process::session_keyring() {
        Err(Errno::ENOSYS) => Ok(()),
        other => other,
    }
}

/// Closes all descriptors of the host before anything can name them, such as a working directory
/// `/proc/self/fd/7`.
fn close_inherited(child: &Child<'_>, found: &mut Found, kept: u32) -> Result<(), Errno> {
    // Closed here by value, so that dropping them later does not close a number that means something else by then.
    found.root = None;
    found.null = None;
    found.blank = None;
    let (keep, keep_too): (RawFd, Option<RawFd>) = child.to_parent.descriptors();
    let program = child.attendant.map_or(keep, |attendant| attendant.program.as_raw_fd());
    process::close_inherited(FIRST_INHERITED + kept.cast_signed(), [keep, keep_too.unwrap_or(keep), program])
}

/// Changes directory, and makes sure that the place is one of the container's.
fn change_directory(path: &CStr) -> Result<(), Errno> {
    chdir(path)?;
    if process::is_here_reachable()? { Ok(()) } else { Err(Errno::ENOENT) }
}

/// The status of a descriptor's file, for the checks in `mounts`.
fn status(fd: impl AsFd) -> Result<FileStat, Errno> {
    let fd = fd.as_fd();
    debug_assert!(fd.as_raw_fd() >= 0);
    fstat(fd)
}
