//! From pulled images to a directory that a shim can run: volumes, files of names, bundles, and the shim's own spec.
//!
//! Everything here blocks and belongs on a thread that may. A step that fails says which container it failed for; what
//! was made before it stays, and is removed with the task's directory.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::Hands;
use super::metadata::Settled;
use crate::agent::StartTask;
use crate::agent::bundle;
use crate::agent::facts::Timer;
use crate::agent::failure::{Failure, Kind};
use crate::agent::images::Pulled;
use crate::agent::names::{HostNames, Names};
use crate::agent::network::Record;
use crate::agent::storage;
use crate::agent::volumes::ImageVolumes;
use crate::image::store::Image;
use crate::model::ids::{ContainerName, TaskId};
use crate::model::task::ContainerOverride;
use crate::model::task_definition::{ContainerDefinition, Document, IpcMode, NetworkMode};
use crate::shim::metadata::document::Known;
use crate::shim::spec::{ContainerSpec, Network, SharedMemory, TaskSpec};

mod container;
mod files;

use files::{BuildError, make};

/// What is built from.
pub(super) struct Plot<'a> {
    pub(super) hands: &'a Hands,
    pub(super) start: &'a StartTask,
    pub(super) pulled: &'a [Pulled],
    /// The first of the users of its own, if it has them.
    pub(super) users: Option<u32>,
    /// What counts what it writes, if something does.
    pub(super) project: Option<u32>,
    /// What the task holds of the network.
    pub(super) record: &'a Record,
    /// What is settled already.
    pub(super) settled: Settled,
    /// What the host says of names.
    pub(super) host: HostNames,
    /// Whether anybody still wants it.
    pub(super) is_wanted: &'a dyn Fn() -> bool,
}

impl Plot<'_> {
    pub(super) fn document(&self) -> &Document {
        &self.start.definition.document
    }

    pub(super) fn task(&self) -> &TaskId {
        &self.start.task.id
    }

    /// Makes everything and returns what is not enforced, a sentence each.
    pub(super) fn build(&self, timer: &mut Timer) -> Result<Vec<String>, Failure> {
        let images = self.image_volumes();
        let mut notes: Vec<String> = self.pulled.iter().filter_map(|pulled| pulled.note.clone()).collect();
        notes.dedup();
        if let Some(project) = self.project {
            let counted = storage::count_task(&self.hands.places, self.task(), project);
            counted.map_err(|err| Failure::of_task(Kind::Create, &err))?;
        }
        let logs = self.hands.places.logs(self.task());
        make(&logs).map_err(|err| Failure::of_task(Kind::Create, &err))?;
        let mut known = self.known();
        let mut containers = Vec::new();
        for definition in &self.document().container_definitions {
            let from = Instant::now();
            containers.push(self.container(definition, &images, &mut known, &mut notes)?);
            timer.note("bundle", Some(&definition.name), from);
        }
        let metadata = self.save_known(&known)?;
        let task =
            self.task_spec(containers, metadata).map_err(|err| Failure::of_task(Kind::Create, &err))?;
        let saved = task.save(&self.hands.places.task(self.task()));
        saved.map_err(|err| Failure::of_task(Kind::Create, &err))?;
        Ok(notes)
    }

    fn save_known(&self, known: &Known) -> Result<PathBuf, Failure> {
        let path = self.hands.places.metadata(self.task());
        let failed = |source| BuildError::Write { path: path.clone(), source };
        known.save(&path).map_err(|source| Failure::of_task(Kind::Create, &failed(source)))?;
        Ok(path)
    }

    fn task_spec(
        &self,
        containers: Vec<ContainerSpec>,
        metadata: PathBuf,
    ) -> Result<TaskSpec, bundle::BundleError> {
        let (places, groups, task) = (&self.hands.places, &self.hands.groups, self.task());
        Ok(TaskSpec {
            task: task.clone(),
            cgroup: groups.task(task),
            shim_cgroup: groups.shim(task),
            systemd: groups.systemd(),
            resources: Some(bundle::task_resources(self.document(), &self.start.task.overrides)?),
            network: match self.document().network_mode() {
                NetworkMode::Host => Network::Host,
                NetworkMode::Awsvpc | NetworkMode::Bridge | NetworkMode::None => Network::Inherited,
            },
            shared_memory: self.shared_memory(),
            users: self.users,
            containers,
            begun_us: self.settled.begun_us,
            metadata: self.is_answered().then_some(metadata),
            socket: places.socket(task),
            ledger: places.ledger(task),
        })
    }

    pub(super) fn names(&self, definition: &ContainerDefinition, host: &HostNames) -> Names {
        let is_alone = definition.disable_networking == Some(true);
        let mode = if is_alone { NetworkMode::None } else { self.document().network_mode() };
        let attachment = self.record.attachment.as_ref().filter(|_| !is_alone);
        let address = attachment.map(|attachment| attachment.interface.address);
        Names::of(definition, self.task(), mode, address, host)
    }

    /// The volumes that the images declare, by container.
    fn image_volumes(&self) -> ImageVolumes {
        let declared = |pulled: &Pulled| {
            let config = pulled.image.config.config().as_ref();
            let mut volumes = config.and_then(|config| config.volumes().clone()).unwrap_or_default();
            volumes.sort(); // a map on the wire: its order means nothing
            (pulled.container.clone(), volumes)
        };
        self.pulled.iter().map(declared).collect()
    }

    pub(super) fn image(&self, container: &ContainerName) -> Option<Arc<Image>> {
        let found = self.pulled.iter().find(|pulled| pulled.container == *container);
        found.map(|pulled| Arc::clone(&pulled.image))
    }

    pub(super) fn change(&self, container: &ContainerName) -> Option<&ContainerOverride> {
        let changes = &self.start.task.overrides.container_overrides;
        changes.iter().find(|change| change.name == *container)
    }

    /// Whether anybody listens where the task asks about itself.
    fn is_answered(&self) -> bool {
        match self.document().network_mode() {
            NetworkMode::Awsvpc | NetworkMode::Bridge => true,
            NetworkMode::Host => self.settled.door.is_some(),
            NetworkMode::None => false,
        }
    }

    /// The memory that the containers share, if they do.
    fn shared_memory(&self) -> Option<SharedMemory> {
        (self.document().ipc_mode == Some(IpcMode::Task)).then(|| SharedMemory {
            path: self.hands.places.shared_memory(self.task()),
            size: bundle::shared_memory(self.document()),
        })
    }
}
