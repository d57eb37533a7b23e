//! `exec`: another process in a container.

use std::fs;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::str::FromStr;

use oci_spec::runtime::{Capability, Process, Spec, User};

use super::commands::{Known, write_pid_file};
use super::report::{Failure, Log};
use super::run::{check_console, check_descriptors};
use super::terminal::{Attended, FORWARDED, attend};
use super::{ExecArgs, Global};
use crate::kernel::cgroup::Below;
use crate::kernel::event::SignalFd;
use crate::runtime::{ExecError, ExecOptions, NotEnforced, Stdio, read_process};

/// The exit code of an exec that did not get as far as its program.
const NOT_RUN: i32 = 255;

pub(super) fn exec(global: &Global, args: &ExecArgs, log: &Log<'_>) -> Result<ExitCode, Failure> {
    start(global, args, log).map_err(|failure| match failure.code {
        1 => failure.with_code(NOT_RUN),
        _ => failure,
    })
}

fn start(global: &Global, args: &ExecArgs, log: &Log<'_>) -> Result<ExitCode, Failure> {
    check_descriptors(args.preserve_fds)?;
    let known = Known::find(global, &args.id)?;
    let running = known.open_for("cannot exec in a stopped container")?;
    if running.group().is_frozen() && !args.ignore_paused {
        return Err(Failure::new("cannot exec in a paused container (use --ignore-paused to override)"));
    }
    log.debug(&format!("running a process in container {}", known.id));
    let spec = known.records.spec(&known.id)?;
    let (process, missed) = process(&spec, args)?;
    check_console(process.terminal() == Some(true), args.detach, args.console_socket.is_some())?;
    let signals = if args.detach { None } else { Some(SignalFd::new(&FORWARDED)?) };
    let cgroups = args.cgroup.iter().map(|text| Below::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let options = ExecOptions {
        spec: Some(&spec),
        bundle: Some(&known.record.bundle),
        console_socket: args.console_socket.as_deref(),
        preserved_fds: args.preserve_fds,
        cgroups: &cgroups,
    };
    let mut started = running.exec(&process, Stdio::inherit(), &options).map_err(|err| match err {
        ExecError::Exec(failure) => {
            let code = failure.code();
            Failure::from(failure).with_code(code)
        }
        err @ (ExecError::Process(_)
        | ExecError::Plan(_)
        | ExecError::Cgroup(_)
        | ExecError::NotRunning(_)
        | ExecError::Make(_)
        | ExecError::Delivery(_)
        | ExecError::Step { .. }) => err.into(),
    })?;
    for missed in missed.iter().chain(&started.not_enforced) {
        log.warn(&format!("{} is not enforced: {}", missed.resource, missed.reason));
    }
    if let Some(path) = &args.pid_file {
        write_pid_file(path, started.pid.as_raw())?;
    }
    let Some(signals) = signals else { return Ok(ExitCode::SUCCESS) };
    let terminal = started.terminal.take();
    let attended = Attended {
        pidfd: started.pidfd.as_fd(),
        signal: &|signal| {
            let _ = started.pidfd.signal(signal);
        },
        try_wait: &|| started.pidfd.try_wait(),
    };
    let exit = attend(&attended, &signals, terminal)?;
    Ok(ExitCode::from(u8::try_from(exit.code()).unwrap_or(u8::MAX)))
}

/// The process to run: from a file, or the container's own with the changes that the flags ask for.
fn process(spec: &Spec, args: &ExecArgs) -> Result<(Process, Vec<NotEnforced>), Failure> {
    if let Some(path) = &args.process {
        let text = fs::read(path).map_err(|err| Failure::new(format!("read {}: {err}", path.display())))?;
        let (mut process, missed) = read_process(&text)
            .map_err(|err| Failure::new(format!("{} is not a process: {err}", path.display())))?;
        if args.tty {
            process.set_terminal(Some(true));
        }
        return Ok((process, missed));
    }
    if args.command.is_empty() {
        return Err(Failure::new("exec needs a command or --process"));
    }
    let mut process = spec.process().clone().ok_or_else(|| Failure::new("the container has no process"))?;
    process.set_terminal(Some(args.tty));
    process.set_console_size(None);
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
    if let Some(label) = &args.process_label {
        process.set_selinux_label(Some(label.clone()));
    }
    if let Some(profile) = &args.apparmor {
        process.set_apparmor_profile(Some(profile.clone()));
    }
    let missed = add_capabilities(&mut process, &args.cap);
    Ok((process, missed))
}

fn user(text: &str) -> Result<User, Failure> {
    let bad = || Failure::new(format!("user {text:?} is not UID or UID:GID"));
    let (uid, gid) = text.split_once(':').unwrap_or((text, "0"));
    let mut user = User::default();
    user.set_uid(uid.parse().map_err(|_| bad())?);
    user.set_gid(gid.parse().map_err(|_| bad())?);
    Ok(user)
}

/// Adds capabilities; what is none is told, as for those of a specification.
fn add_capabilities(process: &mut Process, names: &[String]) -> Vec<NotEnforced> {
    let mut missed = Vec::new();
    if names.is_empty() {
        return missed;
    }
    let mut sets = process.capabilities().clone().unwrap_or_default();
    for name in names {
        let upper = name.to_uppercase();
        let Ok(capability) = Capability::from_str(upper.trim_start_matches("CAP_")) else {
            missed.push(NotEnforced::lacking("--cap", format!("{name} is no capability")));
            continue;
        };
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
    missed
}
