//! Executing a program from a process that may have many threads.
//!
//! The child shares our memory until it executes (CLONE_VM and CLONE_VFORK), so starting one costs the same for a
//! small process and a large one. It runs only system calls over memory that was filled before, on a stack of its
//! own, with every signal blocked, while the calling thread is suspended.

use std::ffi::{CString, OsString, c_int, c_void};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::Pid;

use super::clone::CLONE_INTO_CGROUP;
use super::{Child, Pidfd, PointerList, SignalMask};

/// Bytes of stack for the child, which calls a handful of shallow functions.
const STACK: usize = 64 * 1024;

/// What to execute. No shell, no search path: `program` is a path.
#[derive(Debug, Default)]
pub struct Spawn<'a> {
    /// The program.
    pub program: Option<&'a Path>,
    /// All arguments, the program's own name first.
    pub args: &'a [OsString],
    /// The whole environment.
    pub env: &'a [(OsString, OsString)],
    /// Descriptors and the numbers they get. Of 0, 1 and 2, those not named are `/dev/null`; all others are closed.
    pub fds: &'a [(BorrowedFd<'a>, RawFd)],
    /// The working directory; ours if absent.
    pub dir: Option<&'a Path>,
    /// Whether the program leads a new session.
    pub new_session: bool,
    /// The version 2 control group to be born in, where the kernel can do that; moving there later waits for every
    /// fork on the host.
    pub cgroup: Option<BorrowedFd<'a>>,
}

/// Why a program was not started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// An argument, variable or path holds a zero byte, or there is no program.
    #[error("an argument of the new process cannot be passed on")]
    Argument,
    /// The process could not be made.
    #[error("make a process for {program}")]
    Clone {
        /// The program.
        program: String,
        /// The reason.
        source: Errno,
    },
    /// The process was made, but could not become the program.
    #[error("execute {program}")]
    Execute {
        /// The program.
        program: String,
        /// The reason.
        source: Errno,
    },
}

/// The started process: a child of ours, to be reaped by us.
pub type Spawned = Child;

/// Everything the child needs, filled before it exists.
struct Prepared {
    program: CString,
    args: PointerList,
    env: PointerList,
    dir: Option<CString>,
    /// (what to copy, its number in the child, a place for the copy that is out of everybody's way)
    fds: Vec<(RawFd, RawFd, RawFd)>,
    /// The first number above all wanted ones.
    above: RawFd,
    new_session: bool,
    failed: Option<Errno>,
}

/// Executes a program with exactly the descriptors, arguments and variables named.
pub fn spawn(request: &Spawn<'_>) -> Result<Spawned, SpawnError> {
    let null = nix::fcntl::open(
        c"/dev/null",
        nix::fcntl::OFlag::O_RDWR | nix::fcntl::OFlag::O_CLOEXEC,
        nix::sys::stat::Mode::empty(),
    )
    .map_err(|source| SpawnError::Clone { program: "/dev/null".to_owned(), source })?;
    let mut prepared = prepare(request, null.as_raw_fd())?;
    let program = prepared.program.to_string_lossy().into_owned();

    let made = match clone_and_execute(&mut prepared, request.cgroup) {
        // A group that takes no process is no reason to have none.
        Err(_) if request.cgroup.is_some() => clone_and_execute(&mut prepared, None),
        made => made,
    };
    let child = made.map_err(|source| SpawnError::Clone { program: program.clone(), source })?;
    if let Some(source) = prepared.failed {
        // The child has exited by now; reaping it cannot block.
        let _ = child.pidfd.wait();
        return Err(SpawnError::Execute { program, source });
    }
    Ok(child)
}

fn prepare(request: &Spawn<'_>, null: RawFd) -> Result<Prepared, SpawnError> {
    let text = |bytes: &[u8]| CString::new(bytes).map_err(|_| SpawnError::Argument);
    let program = text(request.program.ok_or(SpawnError::Argument)?.as_os_str().as_bytes())?;
    let args = request.args.iter().map(|arg| text(arg.as_bytes())).collect::<Result<_, _>>()?;
    let env = request
        .env
        .iter()
        .map(|(name, value)| text(&[name.as_bytes(), b"=", value.as_bytes()].concat()))
        .collect::<Result<_, _>>()?;
    let dir = request.dir.map(|dir| text(dir.as_os_str().as_bytes())).transpose()?;
    let mut fds: Vec<_> = request.fds.iter().map(|(fd, to)| (fd.as_raw_fd(), *to, -1)).collect();
    for stdio in 0..=2 {
        if !fds.iter().any(|(_, to, _)| *to == stdio) {
            fds.push((null, stdio, -1));
        }
    }
    let above = fds.iter().map(|(_, to, _)| *to + 1).max().unwrap_or(3);
    Ok(Prepared {
        program,
        args: PointerList::new(args),
        env: PointerList::new(env),
        dir,
        fds,
        above,
        new_session: request.new_session,
        failed: None,
    })
}

fn clone_and_execute(prepared: &mut Prepared, cgroup: Option<BorrowedFd<'_>>) -> Result<Child, Errno> {
    let mut stack = vec![0_u128; STACK / size_of::<u128>()];
    let mut pidfd: c_int = -1;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD;
    let into = if cgroup.is_some() { CLONE_INTO_CGROUP } else { 0 };
    let args = libc::clone_args {
        flags: u64::from(flags.cast_unsigned()) | into,
        pidfd: &raw mut pidfd as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: libc::SIGCHLD as u64,
        stack: stack.as_mut_ptr() as u64,
        stack_size: STACK as u64,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: cgroup.and_then(|fd| u64::try_from(fd.as_raw_fd()).ok()).unwrap_or(0),
    };
    let before = SignalMask::all().swap()?;
    // SAFETY: the stack is 16-byte aligned and outlives the child's use of it because CLONE_VFORK suspends this
    // thread until the child has executed or exited. `prepared` is not touched by us meanwhile, and no signal handler
    // of ours can run in the child because all signals are blocked. `run_child` does not return.
    let made = unsafe { clone_onto(&args, run_child, (&raw mut *prepared).cast::<c_void>()) };
    before.swap()?;
    let pid = Pid::from_raw(made?);
    // SAFETY: with CLONE_PIDFD the kernel has stored a new descriptor that only we own.
    let pidfd = Pidfd::from_owned(unsafe { OwnedFd::from_raw_fd(pidfd) });
    Ok(Child { pid, pidfd })
}

/// Makes a child that shares our memory and runs `run` on the stack that `args` names.
///
/// The C library has no such call: its own takes no control group.
///
/// # Safety
/// The stack must be aligned to 16 bytes and stay until the child has left it, `run` must not return, and `with` must be
/// what it takes.
#[cfg(target_arch = "x86_64")]
unsafe fn clone_onto(
    args: &libc::clone_args,
    run: extern "C" fn(*mut c_void) -> c_int,
    with: *mut c_void,
) -> Result<libc::pid_t, Errno> {
    let mut answer = libc::SYS_clone3;
    // SAFETY: in the parent this is one system call, with the registers that it changes named. The child begins on the
    // stack of `args`, touches nothing of this frame, and never comes back to it.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") answer,
            in("rdi") std::ptr::from_ref(args),
            in("rsi") size_of::<libc::clone_args>(),
            in("r12") with,
            in("r13") run,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    match i32::try_from(answer) {
        Ok(pid) if pid > 0 => Ok(pid),
        Ok(refused) => Err(Errno::from_raw(-refused)),
        Err(_) => Err(Errno::EOVERFLOW),
    }
}

/// The same by the C library's call, which puts nobody into a control group.
///
/// # Safety
/// As above.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn clone_onto(
    args: &libc::clone_args,
    run: extern "C" fn(*mut c_void) -> c_int,
    with: *mut c_void,
) -> Result<libc::pid_t, Errno> {
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    // SAFETY: the caller's promise; the stack grows down from its end, and `pidfd` is where the caller wants it.
    let pid = unsafe {
        let top = (args.stack + args.stack_size) as *mut c_void;
        libc::clone(run, top, flags, with, args.pidfd as *mut c_int)
    };
    Errno::result(pid)
}

extern "C" fn run_child(prepared: *mut c_void) -> c_int {
    // SAFETY: the pointer is the parent's exclusive reference, and the parent is suspended until we are done.
    let prepared = unsafe { &mut *prepared.cast::<Prepared>() };
    let Err(errno) = become_program(prepared);
    prepared.failed = Some(errno);
    super::exit_now(127)
}

fn become_program(prepared: &mut Prepared) -> Result<std::convert::Infallible, Errno> {
    super::default_dispositions()?;
    // Who asks for short turns does so for itself.
    let _ = super::schedule::take_usual_turns();
    if prepared.new_session {
        super::new_session()?;
    }
    if let Some(dir) = &prepared.dir {
        nix::unistd::chdir(dir.as_c_str())?;
    }
    // SAFETY (both loops): numbers only, in a descriptor table that is this child's own copy.
    for (from, _, aside) in &mut prepared.fds {
        // SAFETY: as above; the copy lands above every number wanted, so no later step overwrites it.
        *aside = Errno::result(unsafe { libc::fcntl(*from, libc::F_DUPFD_CLOEXEC, prepared.above) })?;
    }
    // SAFETY: marks descriptors of this child's own table; nothing is closed before exec.
    Errno::result(unsafe {
        libc::syscall(libc::SYS_close_range, 0, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
    })?;
    for (_, to, aside) in &prepared.fds {
        // SAFETY: as above; dup2 gives the copy without close-on-exec.
        Errno::result(unsafe { libc::dup2(*aside, *to) })?;
    }
    super::execute(&prepared.program, &prepared.args, &prepared.env)
}
