//! A command in a container that runs: who it runs as, and the way to the shim that runs it.

use std::path::Path;

use tokio::{net::UnixStream, task::spawn_blocking};

use super::Agent;
use crate::image::users::{self, UserError};
use crate::model::exec::{ExecRequest, ExecUser};
use crate::model::ids::{ContainerName, TaskId};
use crate::shim::client::{self, ClientError};
use crate::shim::inside;

/// Why a command cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The container has no such user.
    #[error("find user {user:?} in container {container} of task {task}")]
    User {
        /// The task.
        task: TaskId,
        /// The container.
        container: ContainerName,
        /// The user.
        user: String,
        /// Why not.
        source: UserError,
    },
    /// The container's own files could not be read.
    #[error("read the users of container {container} of task {task}")]
    Users {
        /// The task.
        task: TaskId,
        /// The container.
        container: ContainerName,
        /// Why not.
        source: std::io::Error,
    },
    /// The shim cannot be reached.
    #[error(transparent)]
    Shim(#[from] ClientError),
    /// A thread of the agent was broken off.
    #[error("the work was broken off")]
    Broken,
}

impl Agent {
    /// Has a command run in a container whose first process is `pid`. The stream carries the frames of
    /// [`crate::model::exec`]; dropping it ends the command.
    ///
    /// A user is looked up in the files that the container has now, which may not be those of its image any more.
    pub async fn exec(
        &self,
        task: &TaskId,
        container: &ContainerName,
        pid: i32,
        request: ExecRequest,
    ) -> Result<UnixStream, ExecError> {
        let (owner, place, text) = (task.clone(), container.clone(), request.user.clone());
        let known = spawn_blocking(move || text.map(|text| user(owner, place, pid, text)).transpose());
        let user = known.await.map_err(|_| ExecError::Broken)??;
        Ok(client::exec(&self.hands.places.shim(task), container, request, user).await?)
    }
}

/// Whom `text` means in a container.
fn user(task: TaskId, container: ContainerName, pid: i32, text: String) -> Result<ExecUser, ExecError> {
    let read = |path: &str| inside::read(pid, Path::new(path));
    let files = read("etc/passwd").and_then(|passwd| Ok((passwd, read("etc/group")?)));
    let (passwd, group) = match files {
        Ok(files) => files,
        Err(source) => return Err(ExecError::Users { task, container, source }),
    };
    match users::resolve(&text, &passwd, &group) {
        Ok(user) => Ok(ExecUser {
            uid: user.uid,
            gid: user.gid,
            additional_gids: user.additional_gids,
            home: user.home,
        }),
        Err(source) => Err(ExecError::User { task, container, user: text, source }),
    }
}
