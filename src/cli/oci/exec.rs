//! `exec`: another process in a container.

use std::fs;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::str::FromStr;

use oci_spec::runtime::{Capability, Process, User};

use super::commands::{Known, write_pid_file};
use super::report::{Failure, Log};
use super::{ExecArgs, Global};
use crate::kernel::event::{Interest, Poll, SignalFd, Token};
use crate::kernel::process::{Exit, Signal};
use crate::runtime::{Bundle, Exec, ExecError, Stdio};

/// Signals that are meant for the process when `exec` gets them.
const FORWARDED: [Signal; 6] =
    [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM, Signal::USR1, Signal::USR2];

pub(super) fn exec(global: &Global, args: &ExecArgs, log: &Log<'_>) -> Result<ExitCode, Failure> {
    if args.tty {
        return Err(Failure::new("--tty is not supported"));
    }
    let known = Known::find(global, &args.id)?;
    let running = known.open()?;
    if running.group().is_frozen() {
        return Err(Failure::new(format!("container {} is paused", known.id)));
    }
    let process = process(&known, args)?;
    let signals = if args.detach { None } else { Some(SignalFd::new(&FORWARDED)?) };
    let started = running.exec(&process, Stdio::inherit()).map_err(|err| match err {
        ExecError::Exec(failure) => {
            let code = failure.code();
            Failure::from(failure).with_code(code)
        }
        err @ (ExecError::Process(_)
        | ExecError::Plan(_)
        | ExecError::NotRunning(_)
        | ExecError::Make(_)
        | ExecError::Step { .. }) => err.into(),
    })?;
    for missed in &started.not_enforced {
        log.warn(&format!("{} is not enforced: {}", missed.resource, missed.reason));
    }
    if let Some(path) = &args.pid_file {
        write_pid_file(path, started.pid.as_raw())?;
    }
    let Some(signals) = signals else { return Ok(ExitCode::SUCCESS) };
    let exit = attend(&started, &signals)?;
    Ok(ExitCode::from(u8::try_from(exit.code()).unwrap_or(u8::MAX)))
}

fn attend(started: &Exec, signals: &SignalFd) -> Result<Exit, Failure> {
    let poll = Poll::new()?;
    poll.add(started.pidfd.as_fd(), Token(0), Interest::READ)?;
    poll.add(signals.as_fd(), Token(1), Interest::READ)?;
    let mut events = Vec::new();
    loop {
        poll.wait(&mut events, None)?;
        while let Some((signal, _)) = signals.read()? {
            // One that ends meanwhile is noticed below.
            let _ = started.pidfd.signal(signal);
        }
        if let Some(exit) = started.pidfd.try_wait()? {
            return Ok(exit);
        }
    }
}

/// The process to run: from a file, or the container's own with the changes that the flags ask for.
fn process(known: &Known, args: &ExecArgs) -> Result<Process, Failure> {
    if let Some(path) = &args.process {
        let text = fs::read(path).map_err(|err| Failure::new(format!("read {}: {err}", path.display())))?;
        return serde_json::from_slice(&text)
            .map_err(|err| Failure::new(format!("{} is not a process: {err}", path.display())));
    }
    if args.command.is_empty() {
        return Err(Failure::new("exec needs a command or --process"));
    }
    let mut process = Bundle::load(&known.record.bundle)?.process()?.clone();
    process.set_args(Some(args.command.clone()));
    if let Some(cwd) = &args.cwd {
        process.set_cwd(cwd.clone());
    }
    let mut env = process.env().clone().unwrap_or_default();
    for variable in &args.env {
        let name = variable.split('=').next().unwrap_or_default();
        env.retain(|known| known.split('=').next() != Some(name));
        env.push(variable.clone());
    }
    process.set_env(Some(env));
    if let Some(text) = &args.user {
        process.set_user(user(text)?);
    }
    if !args.additional_gids.is_empty() {
        process.user_mut().set_additional_gids(Some(args.additional_gids.clone()));
    }
    if args.no_new_privs {
        process.set_no_new_privileges(Some(true));
    }
    add_capabilities(&mut process, &args.cap)?;
    Ok(process)
}

fn user(text: &str) -> Result<User, Failure> {
    let bad = || Failure::new(format!("user {text:?} is not UID or UID:GID"));
    let (uid, gid) = text.split_once(':').unwrap_or((text, "0"));
    let mut user = User::default();
    user.set_uid(uid.parse().map_err(|_| bad())?);
    user.set_gid(gid.parse().map_err(|_| bad())?);
    Ok(user)
}

fn add_capabilities(process: &mut Process, names: &[String]) -> Result<(), Failure> {
    if names.is_empty() {
        return Ok(());
    }
    let mut sets = process.capabilities().clone().unwrap_or_default();
    for name in names {
        let upper = name.to_uppercase();
        let capability = Capability::from_str(upper.trim_start_matches("CAP_"))
            .map_err(|_| Failure::new(format!("unknown capability {name}")))?;
        for (get, set) in
            [(sets.bounding().clone(), 0), (sets.effective().clone(), 1), (sets.permitted().clone(), 2)]
        {
            let mut wider = get.unwrap_or_default();
            wider.insert(capability);
            match set {
                0 => sets.set_bounding(Some(wider)),
                1 => sets.set_effective(Some(wider)),
                _ => sets.set_permitted(Some(wider)),
            };
        }
    }
    process.set_capabilities(Some(sets));
    Ok(())
}
