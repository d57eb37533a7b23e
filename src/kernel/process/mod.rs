//! Processes: making them, naming them without races, waiting for them, signalling them.
//!
//! Two ways to make one. [`clone`] copies the caller, which must have one thread, and is how containers begin.
//! [`spawn`] executes a program from a process with any number of threads, which is how the daemon starts its
//! shims; between the two system calls its child touches only memory that was filled before.
//!
//! A process is held by its [`Pidfd`], never by its number alone, so a signal cannot reach a stranger that was
//! given the same number.

mod attend;
mod clone;
mod control;
mod pidfd;
mod rights;
mod schedule;
mod signal;
mod spawn;

pub use attend::{execute_init, execute_open, fork, put_in_front, reap_any, send, set_name, wait_for_signal};
pub use clone::{Child, CloneRequest, clone};
pub use control::{
    PointerList, close_all_but, close_inherited, die_with_parent, dup_above_stdio, duplicate_to, execute,
    exit_now, is_here_reachable, is_open, kernel_release, new_session, own_stream, session_keyring,
    set_subreaper, signal_group, undumpable, write_file,
};
pub use nix::unistd::Pid;
pub use pidfd::{Exit, Pidfd};
pub use rights::{MAX_RIGHTS, accept, recv_with_fds, send_with_fd, send_with_fds};
pub use schedule::{
    Processors, Scheduling, keep_to, schedule, set_io_priority, set_memory_policy, set_personality,
    take_short_turns, take_usual_turns,
};
pub use signal::{Signal, SignalMask, UnknownSignal, default_dispositions};
pub use spawn::{Spawn, SpawnError, Spawned, spawn};

#[cfg(test)]
mod tests;
