//! Removing what a task has on the host. Every step is tried, whatever came of the one before; a step with nothing to do
//! is done.
//!
//! A task is STOPPED when it has let go of what others may want: its processes, its control group, its ports. What only
//! takes room goes after that, when nobody waits for it any more: its interface, for which the kernel waits for all
//! processors, and its directory, which is needed until it is written down elsewhere how the task ended.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::Hands;
use crate::agent::failure::sentence;
use crate::agent::kill_point::kill_point;
use crate::agent::storage;
use crate::model::fact::Seen;
use crate::model::ids::TaskId;
use crate::model::task::{StopCode, StopRequest};
use crate::shim::alive;

/// What is still there of a task.
#[derive(Debug, thiserror::Error)]
#[error("task {task} is not wholly removed: {}", .left.join("; "))]
pub(crate) struct ClearError {
    /// The task.
    pub task: TaskId,
    /// A sentence for each step that failed.
    pub left: Vec<String>,
}

impl Hands {
    /// Kills whatever is in the task's control group.
    pub(crate) async fn kill(self: &Arc<Self>, task: &TaskId) -> Result<(), ClearError> {
        self.steps(task, |hands, task| vec![step("kill its processes", || hands.groups.kill(task))]).await
    }

    /// Ends the task's shim if one lives, and kills whatever is left in its control group.
    pub(crate) async fn silence(self: &Arc<Self>, task: &TaskId) -> Result<(), ClearError> {
        self.steps(task, |hands, task| {
            vec![
                step("end its shim", || alive::end(&hands.places.task(task))),
                step("kill its processes", || hands.groups.kill(task)),
            ]
        })
        .await
    }

    /// Lets go of what others may want. Its shim must have said that all containers ended.
    pub(crate) async fn let_go(self: &Arc<Self>, task: &TaskId) -> Result<(), ClearError> {
        self.steps(task, Self::let_go_now).await
    }

    fn let_go_now(&self, task: &TaskId) -> Vec<Option<String>> {
        let mut done = vec![step("clear its control group", || self.groups.clear(task))];
        kill_point("group-removed");
        done.push(step("take its ports away", || self.networks.unpublish(task)));
        kill_point("ports-released");
        done
    }

    /// Removes everything but the logs.
    pub(crate) async fn clear(self: &Arc<Self>, task: &TaskId) -> Result<(), ClearError> {
        self.steps(task, Self::clear_now).await
    }

    fn clear_now(&self, task: &TaskId) -> Vec<Option<String>> {
        let mut done = vec![step("end its shim", || alive::end(&self.places.task(task)))];
        done.extend(self.let_go_now(task));
        let record = self.places.network(task);
        done.push(step("remove its interface", || self.networks.detach(task, &record)));
        kill_point("interface-removed");
        done.push(step("forget its control group", || self.groups.remove(task)));
        done.push(step("remove its socket", || gone(fs::remove_file(self.places.socket(task)))));
        let project = storage::of(&self.places, task);
        done.push(step("keep its logs", || storage::keep_logs(&self.places, task)));
        let removed = step("remove its directory", || remove_directory(&self.places.task(task)));
        if let Some(project) = project.filter(|_| removed.is_none()) {
            kill_point("directory-removed");
            done.push(step("take its quota away", || storage::release(&self.places, project)));
        }
        done.push(removed);
        self.images.release(task);
        done
    }

    /// Waits until a task is over, removes what is left of it, and says so; of one that let go that is no news.
    pub(crate) async fn sweep(self: &Arc<Self>, task: &TaskId) -> Result<(), ClearError> {
        if !self.is_over(task) {
            let reason = "Task removed from this host".to_owned();
            self.stop(task, &StopRequest { code: StopCode::UserInitiated, reason });
            self.over(task).await;
        }
        self.clear(task).await?;
        self.drop_task(task);
        self.teller.tell(task, Seen::Removed);
        Ok(())
    }

    async fn steps(
        self: &Arc<Self>,
        task: &TaskId,
        work: impl FnOnce(&Self, &TaskId) -> Vec<Option<String>> + Send + 'static,
    ) -> Result<(), ClearError> {
        let (hands, of) = (Arc::clone(self), task.clone());
        let done = spawn_blocking(move || work(&hands, &of)).await;
        let left = match done {
            Ok(done) => done.into_iter().flatten().collect(),
            Err(broken) => vec![sentence(&broken)],
        };
        if left.is_empty() { Ok(()) } else { Err(ClearError { task: task.clone(), left }) }
    }
}

/// Does a step and says what went wrong.
fn step<T, E: std::error::Error>(name: &str, work: impl FnOnce() -> Result<T, E>) -> Option<String> {
    work().err().map(|err| format!("{name}: {}", sentence(&err)))
}

fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The directory is moved out of the way first, so that a half-removed one is never taken for a task.
pub(super) fn remove_directory(path: &Path) -> io::Result<()> {
    let Some(name) = path.file_name() else { return Ok(()) };
    let aside = path.with_file_name(format!(".{}", name.to_string_lossy()));
    gone(fs::remove_dir_all(&aside))?;
    gone(fs::rename(path, &aside))?;
    kill_point("directory-aside");
    gone(fs::remove_dir_all(&aside))
}
