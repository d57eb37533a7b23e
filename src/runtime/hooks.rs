//! Hooks: programs of the container's author that are told the state and must succeed in time.
//!
//! [`Prepared`] holds everything a hook needs, so that running it allocates nothing: the child runs some between clone
//! and exec, within the container. The state goes to the hook's standard input.

mod outside;

pub use outside::Outside;
pub(super) use outside::{describe, run_all, run_outside};

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{pipe2, read, write};
use oci_spec::runtime::{Hook, Hooks};

use super::attend::HookState;
use super::handshake::Part;
use super::init::Failure;
use crate::kernel::event::monotonic;
use crate::kernel::process::{
    self, CloneRequest, Exit, Pidfd, PointerList, Signal, close_inherited, default_dispositions,
    duplicate_to, execute,
};

/// What the hook's process ends with if it could not become the hook.
const NOT_EXECUTED: i32 = 127;

/// A hook that is ready to be run.
#[derive(Debug)]
pub(super) struct Prepared {
    program: CString,
    args: PointerList,
    env: PointerList,
    timeout: Option<Duration>,
}

/// The hooks that run within the container.
#[derive(Debug, Default)]
pub(super) struct Inside {
    /// Before the root is changed.
    pub create_container: Vec<Prepared>,
    /// Before the program is executed.
    pub start_container: Vec<Prepared>,
    /// The state while the container is made, up to its first process's number.
    pub creating: Vec<u8>,
    /// The same when it is started.
    pub created: Vec<u8>,
}

impl Inside {
    /// Makes the hooks within the container ready.
    pub(super) fn of(hooks: Option<&Hooks>, state: &HookState) -> Result<Self, HookError> {
        let Some(hooks) = hooks else { return Ok(Self::default()) };
        let all = |kind, list: &Option<Vec<Hook>>| {
            let one = |(at, hook)| {
                Prepared::of(hook).ok_or_else(|| HookError {
                    kind,
                    at,
                    reason: "holds a zero byte".to_owned(),
                })
            };
            list.iter().flatten().enumerate().map(one).collect::<Result<Vec<_>, _>>()
        };
        // Everything but the first process's number, which only the child knows as the container does.
        let head = |status| {
            let mut text = state.at(status, None).to_string().into_bytes();
            text.pop();
            text.extend_from_slice(br#","pid":"#);
            text
        };
        Ok(Self {
            create_container: all("createContainer", hooks.create_container())?,
            start_container: all("startContainer", hooks.start_container())?,
            creating: head("creating"),
            created: head("created"),
        })
    }
}

/// A hook that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("hooks.{kind}[{at}]: {reason}")]
pub struct HookError {
    /// Which sort.
    pub kind: &'static str,
    /// Which of them.
    pub at: usize,
    /// What became of it.
    pub reason: String,
}

impl Prepared {
    /// Makes a hook ready; `None` for strings with a zero byte.
    pub(super) fn of(hook: &Hook) -> Option<Self> {
        let text = |bytes: &[u8]| CString::new(bytes).ok();
        let list = |list: &[String]| list.iter().map(|one| text(one.as_bytes())).collect::<Option<Vec<_>>>();
        let path = hook.path().as_os_str().as_bytes();
        let args = match hook.args().as_deref() {
            Some(args) if !args.is_empty() => list(args)?,
            Some(_) | None => vec![text(path)?],
        };
        let seconds = hook.timeout().and_then(|seconds| u64::try_from(seconds).ok());
        Some(Self {
            program: text(path)?,
            args: PointerList::new(args),
            env: PointerList::new(environment(hook)?),
            timeout: seconds.map(Duration::from_secs),
        })
    }

    /// Runs the hook, gives it the pieces of the state, and waits for its success. The caller must have one thread.
    pub(super) fn run(&self, state: [&[u8]; 3]) -> Result<(), Failure> {
        let (input, state_end) = pipe2(OFlag::O_CLOEXEC)?;
        let (told, tell) = pipe2(OFlag::O_CLOEXEC)?;
        let made = process::clone(&CloneRequest::default(), || self.become_hook(&input, &tell))?;
        drop(tell);
        let verdict = self.see_through(&made.pidfd, (input, state_end), state);
        if verdict.is_err() {
            let _ = made.pidfd.signal(Signal::KILL);
        }
        let exit = made.pidfd.wait()?;
        verdict?;
        let mut errno = [0; 4];
        if read(&told, &mut errno) == Ok(errno.len()) {
            return Err(Failure::new(Part::Source, i32::from_le_bytes(errno)));
        }
        match exit {
            Exit::Code(0) => Ok(()),
            Exit::Code(code) => Err(Failure::new(Part::HookCode, code)),
            Exit::Signal(signal) => Err(Failure::new(Part::HookSignal, signal.as_raw())),
        }
    }

    fn become_hook(&self, input: &OwnedFd, tell: &OwnedFd) -> i32 {
        // A hook does not outlive who waits for it.
        let ready = process::die_with_parent(Signal::KILL)
            .and_then(|()| default_dispositions())
            .and_then(|()| duplicate_to(input.as_fd(), 0))
            .and_then(|()| close_inherited(3, [tell.as_raw_fd()]));
        let reason = match ready {
            Ok(()) => match execute(&self.program, &self.args, &self.env) {
                Ok(never) => match never {},
                Err(errno) => errno,
            },
            Err(errno) => errno,
        };
        // Nobody can be told if this fails; the exit code says that something did.
        let _ = write(tell, &(reason as i32).to_le_bytes());
        NOT_EXECUTED
    }

    /// Writes the state as the hook takes it, and waits until it has ended or its time is over.
    ///
    /// The reading end stays open here as long as there is something to write, so a hook that does not care for the
    /// state does no harm.
    fn see_through(
        &self,
        hook: &Pidfd,
        (input, output): (OwnedFd, OwnedFd),
        state: [&[u8]; 3],
    ) -> Result<(), Failure> {
        let deadline = self.timeout.map(|timeout| monotonic() + timeout);
        fcntl(&output, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let mut ends = Some((input, output));
        let (mut piece, mut from) = (0, 0);
        loop {
            while let Some((_, output)) = &ends {
                let Some(rest) = state.get(piece) else {
                    ends = None;
                    continue;
                };
                match write(output, &rest[from..]) {
                    Ok(written) if from + written < rest.len() => from += written,
                    Ok(_) => (piece, from) = (piece + 1, 0),
                    Err(Errno::EAGAIN) => break,
                    Err(errno) => return Err(errno.into()),
                }
            }
            let left = deadline.map(|deadline| deadline.saturating_sub(monotonic()));
            if left.is_some_and(|left| left.is_zero()) {
                let seconds = self.timeout.map_or(0, |timeout| timeout.as_secs());
                return Err(Failure::new(Part::HookTimeout, i32::try_from(seconds).unwrap_or(i32::MAX)));
            }
            let limit = left.map_or(PollTimeout::NONE, |left| {
                // Rounded up, so that the time is over when the wait is.
                PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
            });
            let ended = PollFd::new(hook.as_fd(), PollFlags::POLLIN);
            let done = if let Some((_, output)) = &ends {
                let mut fds = [ended, PollFd::new(output.as_fd(), PollFlags::POLLOUT)];
                poll(&mut fds, limit).map(|_| is_ready(&fds[0]))
            } else {
                let mut fds = [ended];
                poll(&mut fds, limit).map(|_| is_ready(&fds[0]))
            };
            match done {
                Ok(true) => return Ok(()),
                Ok(false) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

fn is_ready(fd: &PollFd<'_>) -> bool {
    fd.revents().is_some_and(|events| !events.is_empty())
}

/// Runs the hooks within the container, in the child. A failure says which.
pub(super) fn run_inside(hooks: &[Prepared], state: &[u8]) -> Result<(), Failure> {
    if hooks.is_empty() {
        // Not even a look at our own number, which a filter may not allow.
        return Ok(());
    }
    let mut digits = [0; 12];
    let pid = decimal(nix::unistd::getpid().as_raw().unsigned_abs(), &mut digits);
    (0..).zip(hooks).try_for_each(|(number, hook)| {
        hook.run([state, pid, b"}"]).map_err(|failure| Failure { hook: number, ..failure })
    })
}

/// The digits of a number, without allocating.
fn decimal(mut number: u32, into: &mut [u8; 12]) -> &[u8] {
    let mut from = into.len();
    loop {
        from -= 1;
        into[from] = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        if number == 0 {
            return &into[from..];
        }
    }
}

/// A hook's own environment; one that has none in its specification has this process's, by which it finds programs.
fn environment(hook: &Hook) -> Option<Vec<CString>> {
    if let Some(env) = hook.env() {
        return env.iter().map(|variable| CString::new(variable.as_bytes()).ok()).collect();
    }
    let own = std::env::vars_os().map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat());
    own.map(|variable| CString::new(variable).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(script: &str, timeout: Option<i64>) -> Prepared {
        let mut hook = Hook::default();
        hook.set_path("/bin/sh".into())
            .set_args(Some(["sh", "-c", script].map(ToOwned::to_owned).to_vec()))
            .set_env(Some(vec!["COLOUR=red".to_owned()]))
            .set_timeout(timeout);
        Prepared::of(&hook).unwrap()
    }

    #[test]
    fn a_hook_reads_the_state_and_has_its_own_environment() {
        let check = r#"read state; test "$state" = '{"pid":17}' && test "$COLOUR" = red && test -z "$HOME""#;
        assert!(hook(check, None).run([br#"{"pid":"#, b"17", b"}\n"]).is_ok());
        // One that does not read is no failure, however much there is to read.
        assert!(hook("true", None).run([&vec![b' '; 300_000], b"", b""]).is_ok());
    }

    #[test]
    fn a_hook_that_fails_says_how() {
        let failed = |script, timeout| {
            let failure = hook(script, timeout).run([b"", b"", b""]).err().unwrap();
            (failure.part, failure.code)
        };
        assert_eq!(failed("exit 3", None), (Part::HookCode, 3));
        assert_eq!(failed("kill -9 $$", None), (Part::HookSignal, 9));
        assert_eq!(failed("exec sleep 1000", Some(1)), (Part::HookTimeout, 1));
        let mut nowhere = Hook::default();
        nowhere.set_path("/no/such/hook".into());
        let failure = Prepared::of(&nowhere).unwrap().run([b"", b"", b""]).err().unwrap();
        assert_eq!((failure.part, failure.code), (Part::Source, libc::ENOENT));
    }

    #[test]
    fn numbers_are_written_without_allocating() {
        for number in [0, 7, 10, 4_194_304, u32::MAX] {
            assert_eq!(decimal(number, &mut [0; 12]), number.to_string().as_bytes());
        }
    }
}
