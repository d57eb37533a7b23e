//! A container's bundle, with what it could not know when it was written.
//!
//! The agent writes `config.json` before the task runs. The shim fills in the place in the task's control group, the
//! task's network namespace, and the namespaces of containers that run already. The file itself stays as it is, and
//! is read anew for each run and each probe: a shim keeps no specification in memory.

use std::{
    fs, io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use oci_spec::{
    OciSpecError,
    runtime::{
        BoxBuilder, Linux, LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType, Process, Spec,
        UserBuilder,
    },
};

use super::{
    filter,
    shared::Shared,
    spec::{ContainerSpec, Network, TaskSpec},
};
use crate::{
    kernel::process::Pid,
    model::{
        exec::{ExecRequest, ExecUser},
        task_definition::HealthCheck,
    },
    runtime::{Bundle, BundleError},
};

/// Why a bundle could not be prepared.
#[derive(Debug, thiserror::Error)]
pub(super) enum PrepareError {
    /// It could not be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not an OCI specification.
    #[error("{} is not an OCI specification", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The task's network was to be used, but the shim was given none.
    #[error("the task has no network namespace")]
    NoNetwork,
    /// A namespace of the task was to be used, but the shim holds none of the kind.
    #[error("the task shares no {0} namespace")]
    NotShared(&'static str),
    /// Nothing says what runs in it.
    #[error("the container's bundle has no process")]
    NoProcess,
    /// What was filled in is not a specification any more.
    #[error("fill in {} of the specification", what)]
    FillIn {
        /// The part.
        what: &'static str,
        /// Why.
        source: OciSpecError,
    },
    /// The runtime refuses it.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

/// The bundle of a container, ready to run.
pub(super) fn prepare(
    task: &TaskSpec,
    container: &ContainerSpec,
    shared: &Shared,
) -> Result<Bundle, PrepareError> {
    let mut spec = load(&container.bundle)?;
    let mut linux = spec.linux().clone().unwrap_or_default();
    linux.set_cgroups_path(Some(Path::new("/").join(&task.cgroup).join(container.name.as_str())));
    if let Some(users) = &shared.users {
        join(&mut linux, LinuxNamespaceType::User, path_of(users))?;
    }
    if container.shares.network && task.network == Network::Inherited {
        let network = shared.network.as_ref().ok_or(PrepareError::NoNetwork)?;
        join(&mut linux, LinuxNamespaceType::Network, path_of(network))?;
    }
    if container.shares.pid {
        let path = shared.processes().ok_or(PrepareError::NotShared("pid"))?;
        join(&mut linux, LinuxNamespaceType::Pid, path)?;
    }
    if container.shares.ipc {
        let queues = shared.queues.as_ref().ok_or(PrepareError::NotShared("ipc"))?;
        join(&mut linux, LinuxNamespaceType::Ipc, path_of(queues))?;
    }
    spec.set_linux(Some(linux));
    if let Some(process) = spec.process_mut() {
        // A child would have the shim's own score, which shields it.
        process.set_oom_score_adj(process.oom_score_adj().or(Some(0)));
    }
    Ok(Bundle::new(&container.bundle, spec)?)
}

/// A command in a container, and the specification whose walls it gets.
pub(super) struct Command {
    /// What is run.
    pub(super) process: Process,
    /// The container's.
    pub(super) spec: Spec,
}

/// Where another process finds an open file of this one.
pub(super) fn path_of(file: &OwnedFd) -> String {
    format!("/proc/{}/fd/{}", Pid::this(), file.as_raw_fd())
}

/// A container's health probe: its own process, with another command.
pub(super) fn probe(container: &ContainerSpec, check: &HealthCheck) -> Result<Command, PrepareError> {
    let mut command = own_process(container)?;
    command.process.set_args(Some(words(check)));
    command.process.set_terminal(Some(false));
    Ok(command)
}

/// What somebody wants run in a container: its own process, with another command and what else was asked for.
pub(super) fn command(
    container: &ContainerSpec,
    request: &ExecRequest,
    user: Option<&ExecUser>,
) -> Result<Command, PrepareError> {
    let mut command = own_process(container)?;
    let process = &mut command.process;
    process.set_args(Some(request.command.clone()));
    process.set_terminal(Some(request.terminal));
    if let Some(directory) = &request.working_directory {
        process.set_cwd(directory.into());
    }
    if let Some(user) = user {
        become_user(process, user)?;
    }
    let home = user.map(|user| format!("HOME={}", user.home));
    let term = request.terminal.then(|| "TERM=xterm".to_owned());
    let mut env = process.env().clone().unwrap_or_default();
    if let Some(term) = term.filter(|term| !env.iter().any(|known| is_same_name(known, term))) {
        env.push(term);
    }
    for variable in home.iter().chain(&request.environment) {
        env.retain(|known| !is_same_name(known, variable));
        env.push(variable.clone());
    }
    process.set_env(Some(env));
    if request.terminal && request.rows > 0 && request.columns > 0 {
        let size = BoxBuilder::default().height(request.rows).width(request.columns).build();
        let size =
            size.map_err(|source| PrepareError::FillIn { what: "the size of the terminal", source })?;
        process.set_console_size(Some(size));
    }
    Ok(command)
}

fn is_same_name(one: &str, other: &str) -> bool {
    one.split('=').next() == other.split('=').next()
}

/// Root has what the container may have at most; anybody else begins with nothing.
fn become_user(process: &mut Process, user: &ExecUser) -> Result<(), PrepareError> {
    let mut builder = UserBuilder::default().uid(user.uid).gid(user.gid);
    if !user.additional_gids.is_empty() {
        builder = builder.additional_gids(user.additional_gids.clone());
    }
    let built = builder.build().map_err(|source| PrepareError::FillIn { what: "the user", source })?;
    process.set_user(built);
    let mut sets = process.capabilities().clone();
    if let Some(sets) = &mut sets {
        let own = sets.bounding().clone().filter(|_| user.uid == 0).unwrap_or_default();
        sets.set_effective(Some(own.clone())).set_permitted(Some(own));
        sets.set_inheritable(None).set_ambient(None);
    }
    process.set_capabilities(sets);
    Ok(())
}

/// The container's specification and its own process, as a start for another.
fn own_process(container: &ContainerSpec) -> Result<Command, PrepareError> {
    let spec = load(&container.bundle)?;
    let mut process = spec.process().clone().ok_or(PrepareError::NoProcess)?;
    // A child would have the score of the shim, which shields it.
    process.set_oom_score_adj(process.oom_score_adj().or(Some(0)));
    Ok(Command { process, spec })
}

/// The command of a health check: `CMD` and words, `CMD-SHELL` and a line, or words alone.
fn words(check: &HealthCheck) -> Vec<String> {
    match check.command.split_first() {
        Some((kind, line)) if kind == "CMD-SHELL" => {
            [&["/bin/sh".to_owned(), "-c".to_owned()], line].concat()
        }
        Some((kind, words)) if kind == "CMD" => words.to_vec(),
        Some(_) | None => check.command.clone(),
    }
}

fn load(bundle: &Path) -> Result<Spec, PrepareError> {
    let path = bundle.join("config.json");
    let text = fs::read(&path).map_err(|source| PrepareError::Read { path: path.clone(), source })?;
    let spec = serde_json::from_slice(&text).map_err(|source| PrepareError::Parse { path, source })?;
    filter::know(bundle, &spec, &text);
    Ok(spec)
}

/// Makes a container join a namespace by its path, whatever it had before.
pub(super) fn join(linux: &mut Linux, kind: LinuxNamespaceType, path: String) -> Result<(), PrepareError> {
    let namespace = LinuxNamespaceBuilder::default()
        .typ(kind)
        .path(path)
        .build()
        .map_err(|source| PrepareError::FillIn { what: "a namespace", source })?;
    let others = linux.namespaces().iter().flatten().filter(|other| other.typ() != kind).cloned();
    let all: Vec<LinuxNamespace> = others.chain([namespace]).collect();
    linux.set_namespaces(Some(all));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &[&str]) -> HealthCheck {
        HealthCheck {
            command: words.iter().map(ToString::to_string).collect(),
            interval: None,
            timeout: None,
            retries: None,
            start_period: None,
        }
    }

    #[test]
    fn a_health_check_is_words_or_a_line_for_the_shell() {
        assert_eq!(words(&check(&["CMD", "wget", "-q"])), ["wget", "-q"]);
        assert_eq!(words(&check(&["CMD-SHELL", "true || false"])), ["/bin/sh", "-c", "true || false"]);
        assert_eq!(words(&check(&["wget", "-q"])), ["wget", "-q"]);
    }

    #[test]
    fn another_user_than_root_begins_with_no_capability() {
        let mut process = Process::default();
        process.set_capabilities(Some(crate::runtime::defaults::capabilities()));
        let user = |uid| ExecUser { uid, gid: 7, additional_gids: vec![8], home: "/".to_owned() };
        become_user(&mut process, &user(7)).unwrap();
        let sets = process.capabilities().clone().unwrap();
        assert_eq!(sets.permitted().clone().unwrap_or_default().len(), 0);
        become_user(&mut process, &user(0)).unwrap();
        let sets = process.capabilities().clone().unwrap();
        assert_eq!(sets.permitted(), sets.bounding());
        assert_eq!(process.user().additional_gids().as_deref(), Some(&[8][..]));
    }

    #[test]
    fn a_namespace_is_joined_once() {
        let mut linux = Linux::default();
        join(&mut linux, LinuxNamespaceType::Network, "/proc/1/ns/net".to_owned()).unwrap();
        join(&mut linux, LinuxNamespaceType::Network, "/proc/2/ns/net".to_owned()).unwrap();
        let namespaces = linux.namespaces().clone().unwrap();
        let networks: Vec<_> =
            namespaces.iter().filter(|namespace| namespace.typ() == LinuxNamespaceType::Network).collect();
        assert_eq!(networks.len(), 1);
        assert_eq!(networks[0].path().as_deref(), Some(Path::new("/proc/2/ns/net")));
        assert!(namespaces.iter().any(|namespace| namespace.typ() == LinuxNamespaceType::Mount));
    }
}
