//! Where things are: every path of an instance in one place.
//!
//! ```text
//!   <state>/tasks/<task>/            task.json · spec.json · metadata.json · ledger · network.json · boot · project
//!                        shm · volumes/<name>
//!                        containers/<name>/  config.json · filter · rootfs · upper · work · hosts · hostname · resolv.conf
//!   <state>/projects/<number>
//!   <state>/volumes/<name>
//!   <state>/logs/<task>/<name>.log
//!   <runtime>/tasks/<task>.sock
//! ```
//!
//! Names are checked words, so none of them leads out of its directory.

use std::path::{Path, PathBuf};

use crate::model::ids::{ContainerName, TaskId, VolumeName};
use crate::shim::client::Address;
use crate::shim::metadata;

/// What a task's directory keeps of the order to start it.
pub(crate) const KEPT: &str = "task.json";

/// The directories of an instance.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    state: PathBuf,
    runtime: PathBuf,
}

impl Places {
    pub(crate) fn new(state: &Path, runtime: &Path) -> Self {
        Self { state: state.to_owned(), runtime: runtime.to_owned() }
    }

    /// The directory of all tasks.
    pub(crate) fn tasks(&self) -> PathBuf {
        self.state.join("tasks")
    }

    /// The directory of one task.
    pub(crate) fn task(&self, task: &TaskId) -> PathBuf {
        self.tasks().join(task.as_str())
    }

    /// The order to start it.
    pub(crate) fn kept(&self, task: &TaskId) -> PathBuf {
        self.task(task).join(KEPT)
    }

    /// What the shim tells.
    pub(crate) fn ledger(&self, task: &TaskId) -> PathBuf {
        self.task(task).join("ledger")
    }

    /// The address and the ports of a task.
    pub(crate) fn network(&self, task: &TaskId) -> PathBuf {
        self.task(task).join("network.json")
    }

    /// What the task may learn of itself.
    pub(crate) fn metadata(&self, task: &TaskId) -> PathBuf {
        self.task(task).join(metadata::document::FILE)
    }

    /// What says which project ids are this instance's: an empty file each.
    pub(crate) fn projects(&self) -> PathBuf {
        self.state.join("projects")
    }

    /// One of them.
    pub(crate) fn project(&self, project: u32) -> PathBuf {
        self.projects().join(project.to_string())
    }

    /// Which boot of the host a task was started in.
    pub(crate) fn boot(&self, task: &TaskId) -> PathBuf {
        self.task(task).join("boot")
    }

    /// Where the memory that a task's containers share is mounted, for its shim only.
    pub(crate) fn shared_memory(&self, task: &TaskId) -> PathBuf {
        self.task(task).join("shm")
    }

    /// The bundles of a task's containers.
    pub(crate) fn containers(&self, task: &TaskId) -> PathBuf {
        self.task(task).join("containers")
    }

    /// The bundle of a container.
    pub(crate) fn container(&self, task: &TaskId, container: &ContainerName) -> PathBuf {
        self.containers(task).join(container.as_str())
    }

    /// The volumes that live as long as their task.
    pub(crate) fn task_volumes(&self, task: &TaskId) -> PathBuf {
        self.task(task).join("volumes")
    }

    /// One of them.
    pub(crate) fn task_volume(&self, task: &TaskId, volume: &VolumeName) -> PathBuf {
        self.task_volumes(task).join(volume.as_str())
    }

    /// The volumes that outlive tasks.
    pub(crate) fn volumes(&self) -> PathBuf {
        self.state.join("volumes")
    }

    /// The images.
    pub(crate) fn images(&self) -> PathBuf {
        self.state.join("image")
    }

    /// The directory of all logs.
    pub(crate) fn all_logs(&self) -> PathBuf {
        self.state.join("logs")
    }

    /// The logs of a task.
    pub(crate) fn logs(&self, task: &TaskId) -> PathBuf {
        self.all_logs().join(task.as_str())
    }

    /// The log of a container.
    pub(crate) fn log(&self, task: &TaskId, container: &ContainerName) -> PathBuf {
        self.logs(task).join(format!("{container}.log"))
    }

    /// The directory of all shims' sockets.
    pub(crate) fn sockets(&self) -> PathBuf {
        self.runtime.join("tasks")
    }

    /// Where a task's shim listens.
    pub(crate) fn socket(&self, task: &TaskId) -> PathBuf {
        self.sockets().join(format!("{task}.sock"))
    }

    /// Where a task's shim is met.
    pub(crate) fn shim(&self, task: &TaskId) -> Address {
        Address { task: task.clone(), socket: self.socket(task), ledger: self.ledger(task) }
    }
}
