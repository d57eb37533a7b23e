//! The child: runs the list, reports, waits, executes. Allocates nothing.
//!
//! The child never executes our own program again: the list of steps is in the memory that clone has copied. So a
//! container finds no handle to the runtime's executable to overwrite, with two exceptions. An image whose
//! program is `/proc/self/exe` is refused by comparing what is about to be executed with ourselves. And a first
//! process that attends the program is our own one, through a mount of its own that cannot be written through.

mod copy;
mod home;
mod mounts;

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, open};
use nix::sys::stat::{FileStat, Mode, fstat};
use nix::unistd::{AccessFlags, chdir, faccessat};

use super::handshake::{ChildEnd, Part, Report};
use super::hooks::{Inside, run_inside};
use super::steps::{Plan, Program, Step, Terminal};
use crate::kernel::event::monotonic;
use crate::kernel::process::{
    self, Pidfd, PointerList, Signal, default_dispositions, duplicate_to, execute, write_file,
};
use crate::kernel::security;
use crate::kernel::security::seccomp::Filter;
use crate::kernel::{mount, namespace, terminal};

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
    /// Our own executable, which no container gets to run.
    pub own_program: Option<FileStat>,
    /// The first process that attends the program, or takes its place.
    pub attendant: Option<Attendant<'a>>,
}

/// A first process of ours, as an open program.
#[derive(Clone, Copy)]
pub(super) struct Attendant<'a> {
    /// Where it is open.
    pub program: BorrowedFd<'a>,
    /// Whether nothing else is executed.
    pub is_alone: bool,
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
    if default_dispositions().is_err() {
        return FAILED;
    }
    // Whoever makes a container hears at once of a program that is not there, if one is to be executed.
    let is_alone = child.attendant.is_some_and(|attendant| attendant.is_alone);
    if !is_alone && let Err((part, errno)) = find_program(child.program, child.own_program.as_ref()) {
        child.to_parent.send(Failure::new(part, errno as i32).not_executed());
        return FAILED;
    }
    let Some(answer) = child.to_parent.ready_and_wait(times) else { return FAILED };
    let Err(failure) = execute_under(child);
    answer.send(failure.not_executed());
    FAILED
}

/// Executes the program under its filter, and before it the attendant if it has one. Returns only on failure.
fn execute_under(child: &Child<'_>) -> Result<std::convert::Infallible, Failure> {
    let with_home = home::environment(child.program);
    let env = with_home.as_ref().unwrap_or(&child.program.env);
    if let Some(attendant) = child.attendant {
        // Before the filter, which may not know of this.
        let made = if attendant.is_alone { None } else { process::fork()? };
        if attendant.is_alone || made.is_some() {
            made.into_iter().for_each(process::put_in_front);
            load(child)?;
            return Ok(process::execute_init(attendant.program, made)?);
        }
        // We are the program now: it ends with its attendant, and the terminal's keys are for it.
        process::die_with_parent(Signal::KILL)?;
        nix::unistd::setpgid(nix::unistd::Pid::from_raw(0), nix::unistd::Pid::from_raw(0))?;
    }
    load(child)?;
    run_inside(&child.hooks.start_container, &child.hooks.created)?;
    let (part, errno) = try_candidates(child.program, env, child.own_program.as_ref());
    Err(at(part)(errno))
}

fn load(child: &Child<'_>) -> Result<(), Failure> {
    if let Some(filter) = child.late_filter {
        // One with a listener is loaded earlier, while the parent can take the listener's end.
        filter.load().map_err(at(Part::Attributes))?;
    }
    Ok(())
}

/// Tries each path; returns the reason that says most, which is not "not there" if anything else came up.
fn try_candidates(program: &Program, env: &PointerList, own: Option<&FileStat>) -> (Part, Errno) {
    let mut reason = Errno::ENOENT;
    for candidate in &program.candidates {
        if is_own_program(candidate, own) {
            return (Part::Source, Errno::EACCES);
        }
        match execute(candidate, &program.args, env) {
            Err(Errno::ENOENT | Errno::ENOTDIR) if program.is_searched => {}
            Err(Errno::EACCES) if program.is_searched => reason = Errno::EACCES,
            Err(errno) => return (Part::Whole, errno),
        }
    }
    (Part::Whole, reason)
}

/// Whether there is a program to execute, as far as can be seen without doing it.
fn find_program(program: &Program, own: Option<&FileStat>) -> Result<(), (Part, Errno)> {
    let mut reason = Errno::ENOENT;
    for candidate in &program.candidates {
        if is_own_program(candidate, own) {
            return Err((Part::Source, Errno::EACCES));
        }
        match faccessat(AT_FDCWD, candidate.as_c_str(), AccessFlags::X_OK, AtFlags::AT_EACCESS) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            Err(Errno::EACCES) => reason = Errno::EACCES,
            // Anything else is better told by the attempt.
            Ok(()) | Err(_) => return Ok(()),
        }
    }
    Err((Part::Whole, reason))
}

fn is_own_program(candidate: &CStr, own: Option<&FileStat>) -> bool {
    let (Some(own), Ok(found)) = (own, nix::sys::stat::stat(candidate)) else { return false };
    (own.st_dev, own.st_ino) == (found.st_dev, found.st_ino)
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
        Step::Terminal(wanted) => give_terminal(number, wanted, child, found)?,
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

/// Makes a terminal from the container's own devpts the process's, and hands the other end to the parent.
fn give_terminal(number: usize, wanted: &Terminal, child: &Child<'_>, found: &Found) -> Result<(), Failure> {
    let own_root;
    let root = if let Some(root) = &found.root {
        root.as_fd()
    } else {
        own_root = mount::open_directory(c"/")?;
        own_root.as_fd()
    };
    let pair = terminal::open_pair(root).map_err(at(Part::Source))?;
    if let Some(size) = wanted.size {
        terminal::set_size(pair.master.as_fd(), size)?;
    }
    if wanted.is_console {
        mounts::bind_console(root, pair.slave.as_fd()).map_err(at(Part::Target))?;
    }
    terminal::give_to(pair.slave.as_fd(), wanted.owner).map_err(at(Part::Attributes))?;
    terminal::take_control(pair.slave.as_fd())?;
    for stream in 0..FIRST_INHERITED {
        duplicate_to(pair.slave.as_fd(), stream)?;
    }
    Ok(child.to_parent.give(number, pair.master.as_fd())?)
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
