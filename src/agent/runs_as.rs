//! Whom the program of a container runs as, read back from its bundle: what was done, whatever was meant.

use std::fs;

use oci_spec::runtime::Spec;
use tokio::task::spawn_blocking;

use super::Agent;
use super::users;
use crate::model::ids::{ContainerName, TaskId};

/// A user, as the container sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunsAs {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Further groups.
    pub groups: Vec<u32>,
    /// What the host counts the container's root as, if the task has users of its own.
    pub root_on_host: Option<u32>,
}

impl Agent {
    /// Whom a container's program runs as; nothing before its bundle is made and after that is gone.
    pub async fn runs_as(&self, task: &TaskId, container: &ContainerName) -> Option<RunsAs> {
        let places = &self.hands.places;
        let (task, bundle) = (places.task(task), places.container(task, container));
        let read = spawn_blocking(move || {
            let spec: Spec = serde_json::from_slice(&fs::read(bundle.join("config.json")).ok()?).ok()?;
            let user = spec.process().as_ref()?.user().clone();
            let groups = user.additional_gids().clone().unwrap_or_default();
            Some(RunsAs { uid: user.uid(), gid: user.gid(), groups, root_on_host: users::of(&task) })
        });
        read.await.ok().flatten()
    }
}
