//! Commands in containers: which container is meant, and whether it runs.

use tokio::net::UnixStream;

use crate::{
    agent::{Agent, ExecError},
    api::live::{LiveError, LiveErrorKind},
    daemon::report::chain,
    model::{
        exec::ExecRequest,
        ids::TaskId,
        task::{Container, ContainerStatus, Task},
    },
    store::Snapshot,
};

/// Has a command run in a container of a task.
pub(super) async fn begin(
    snapshot: &Snapshot,
    agent: &Agent,
    task: &TaskId,
    request: ExecRequest,
) -> Result<UnixStream, LiveError> {
    let stored = snapshot.task(task);
    let stored =
        stored.ok_or_else(|| refused(LiveErrorKind::NotFound, format!("there is no task {task}")))?;
    let container = meant(stored, &request)?;
    let not_running = || {
        let message = format!("container {} of task {task} is not running", container.name);
        refused(LiveErrorKind::Invalid, message)
    };
    let is_running = container.known_status == ContainerStatus::Running;
    let pid = container.pid.filter(|_| is_running).ok_or_else(not_running)?;
    agent.exec(task, &container.name, pid, request).await.map_err(|error| failed(&error))
}

/// The container that is named, or the only one.
fn meant<'a>(task: &'a Task, request: &ExecRequest) -> Result<&'a Container, LiveError> {
    let names = || {
        let names: Vec<&str> = task.containers.iter().map(|container| container.name.as_str()).collect();
        names.join(", ")
    };
    match (&request.container, task.containers.as_slice()) {
        (Some(name), _) => task.container(name).ok_or_else(|| {
            let message = format!("task {} has no container {name}; it has {}", task.id, names());
            refused(LiveErrorKind::NotFound, message)
        }),
        (None, [only]) => Ok(only),
        (None, _) => {
            let message =
                format!("task {} has several containers, of which one must be named: {}", task.id, names());
            Err(refused(LiveErrorKind::Invalid, message))
        }
    }
}

fn failed(error: &ExecError) -> LiveError {
    let kind = match error {
        ExecError::User { .. } => LiveErrorKind::Invalid,
        ExecError::Users { .. } | ExecError::Shim(_) | ExecError::Broken => LiveErrorKind::Failed,
    };
    refused(kind, chain(error))
}

fn refused(kind: LiveErrorKind, message: String) -> LiveError {
    LiveError::new(kind, message)
}
