//! What a shim does before its first container: its own place on the host, and the task's.

use std::{fs, io, path::PathBuf, time::Duration};

use super::{shared::ShareError, spec::TaskSpec};
use crate::model::task_definition::Condition;
use crate::{
    kernel::{
        cgroup::{CgroupError, CgroupPath, Group, Layout, NotEnforced, Scope},
        process::{Signal, UnknownSignal},
    },
    model::ids::ContainerName,
    plan::{
        health::Check,
        task::{ContainerView, Need, TaskView},
    },
};

/// Why a shim cannot begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetupError {
    /// A control group could not be made or used.
    #[error("make the control group {}", path.display())]
    Group {
        /// Its path below the mount points.
        path: PathBuf,
        /// Why.
        source: CgroupError,
    },
    /// The host's control groups could not be found.
    #[error("find the host's control groups")]
    Layout(#[source] CgroupError),
    /// A container names one that is not there.
    #[error("container {container} needs container {other}, which the task does not have")]
    NoContainer {
        /// The one that names it.
        container: ContainerName,
        /// The name.
        other: ContainerName,
    },
    /// A stop signal that is none.
    #[error("stop signal of container {container}")]
    StopSignal {
        /// The container.
        container: ContainerName,
        /// Why.
        source: UnknownSignal,
    },
    /// Something that the containers share.
    #[error(transparent)]
    Share(#[from] ShareError),
    /// The shim's own descriptors or socket.
    #[error("{what}")]
    Own {
        /// What was being done.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// The task's control group with its limits, and what of them this host does not hold.
pub(super) fn groups(spec: &TaskSpec, layout: &Layout) -> Result<(Group, Vec<NotEnforced>), SetupError> {
    let make = |path: &PathBuf, by: fn(&Layout, &CgroupPath) -> Result<Group, CgroupError>| {
        CgroupPath::parse(&path.to_string_lossy())
            .and_then(|parsed| by(layout, &parsed))
            .map_err(|source| SetupError::Group { path: path.clone(), source })
    };
    let own = if let Some(instance) = &spec.systemd {
        let scope = Scope::below(instance, spec.task.as_str());
        let begun = scope.begin_around_self().map_err(CgroupError::from);
        begun.map_err(|source| SetupError::Group { path: scope.unit().into(), source })?;
        make(&spec.shim_cgroup, Layout::create_leaf)?
    } else {
        make(&spec.shim_cgroup, |layout, path| {
            // The first shim makes it.
            let there = layout.group(path);
            let is_there = there.dirs().iter().all(|dir| dir.exists());
            if is_there { Ok(there) } else { layout.create(path) }
        })?
    };
    own.enter().map_err(|source| SetupError::Group { path: spec.shim_cgroup.clone(), source })?;
    let group = make(&spec.cgroup, Layout::create)?;
    let not_enforced = spec.resources.as_ref().map(|limits| group.apply(limits)).unwrap_or_default();
    Ok((group, not_enforced))
}

/// Makes the shim one of the last that the kernel kills for lack of memory, as far as that is allowed.
pub(super) fn outlive_the_others() {
    for score in ["-999", "-500", "-100", "-1"] {
        if fs::write("/proc/self/oom_score_adj", score).is_ok() {
            return;
        }
    }
}

/// What the spec says about the task's life.
pub(super) fn view(spec: &TaskSpec) -> Result<TaskView, SetupError> {
    let place = |container: &ContainerName, other: &ContainerName| {
        spec.containers
            .iter()
            .position(|candidate| candidate.name == *other)
            .ok_or_else(|| SetupError::NoContainer { container: container.clone(), other: other.clone() })
    };
    let seconds = |count: u32| Duration::from_secs(count.into());
    let mut containers = Vec::with_capacity(spec.containers.len());
    for container in &spec.containers {
        let mut view = ContainerView::new(container.name.clone(), container.essential, container.grace());
        for dependency in &container.depends_on {
            let on = place(&container.name, &dependency.container_name)?;
            view.needs.push(Need { on, condition: dependency.condition });
        }
        for other in &container.volumes_from {
            view.needs.push(Need { on: place(&container.name, other)?, condition: Condition::Start });
        }
        view.start_timeout = container.start_timeout.map(seconds);
        view.restart.clone_from(&container.restart_policy);
        view.check = container.health_check.as_ref().and_then(Check::of);
        containers.push(view);
    }
    Ok(TaskView::new(containers))
}

/// The signal that asks each container to stop.
pub(super) fn stop_signals(spec: &TaskSpec) -> Result<Vec<Signal>, SetupError> {
    let signal_of = |container: &super::spec::ContainerSpec| match &container.stop_signal {
        None => Ok(Signal::TERM),
        Some(text) => Signal::parse(text)
            .map_err(|source| SetupError::StopSignal { container: container.name.clone(), source }),
    };
    spec.containers.iter().map(signal_of).collect()
}
