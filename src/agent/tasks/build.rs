//! From pulled images to a directory that a shim can run: volumes, files of names, bundles, and the shim's own spec.
//!
//! Everything here blocks and belongs on a thread that may. A step that fails says which container it failed for; what
//! was made before it stays, and is removed with the task's directory.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::Hands;
use super::metadata::{self, Settled};
use crate::agent::StartTask;
use crate::agent::bundle::{self, Bind, Bundle, Recipe};
use crate::agent::environment;
use crate::agent::facts::Timer;
use crate::agent::failure::{Failure, Kind};
use crate::agent::images::Pulled;
use crate::agent::names::{HostNames, Names};
use crate::agent::network::Record;
use crate::agent::storage;
use crate::agent::volumes::{self, ImageVolumes};
use crate::image::store::Image;
use crate::model::ids::{ContainerName, TaskId};
use crate::model::task::ContainerOverride;
use crate::model::task_definition::{ContainerDefinition, Document, IpcMode, NetworkMode, PidMode};
use crate::shim::filter;
use crate::shim::metadata::document::Known;
use crate::shim::spec::{ContainerSpec, Network, SharedMemory, Sharing, TaskSpec};

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

/// A part of a bundle that could not be made.
#[derive(Debug, thiserror::Error)]
enum BuildError {
    #[error("make {}", path.display())]
    Make { path: PathBuf, source: io::Error },
    #[error("write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("its image was not pulled")]
    NoImage,
    #[error("put its configuration into words")]
    Json(#[source] serde_json::Error),
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

    fn container(
        &self,
        definition: &ContainerDefinition,
        images: &ImageVolumes,
        known: &mut Known,
        notes: &mut Vec<String>,
    ) -> Result<ContainerSpec, Failure> {
        let name = &definition.name;
        let failed = |err: BuildError| Failure::of(name, Kind::Create, &err);
        let image = self.image(name).ok_or_else(|| failed(BuildError::NoImage))?;
        let directory = self.hands.places.container(self.task(), name);
        directories(&directory, &image, self.users).map_err(failed)?;
        let names = self.names(definition, &self.host);
        notes.extend(names.note.clone());
        let mut binds = self.volumes(definition, images, &image)?;
        metadata::note_volumes(known, name, &binds);
        binds.extend(write_names(&directory, &names, &binds).map_err(failed)?);
        let mut endpoint = metadata::variables(known, name, self.settled.door);
        endpoint.extend(metadata::router(definition, self.document().network_mode()));
        let change = self.change(name);
        let Bundle { spec, notes: not_enforced } =
            self.bundle(definition, &image, &directory, &names.hostname, &binds, &endpoint)?;
        notes.extend(not_enforced);
        let path = directory.join("config.json");
        let text = serde_json::to_vec(&spec).map_err(|err| failed(BuildError::Json(err)))?;
        write_private(&path, &text).map_err(|source| failed(BuildError::Write { path, source }))?;
        filter::keep(&directory, &spec, &text)
            .map_err(|source| failed(BuildError::Write { path: directory.join("filter"), source }))?;
        let log = self.log(definition, &image, notes)?;
        let config = image.config.config().clone().unwrap_or_default();
        let linux = definition.linux_parameters.as_ref();
        let memory = change.and_then(|change| change.memory).or(definition.memory);
        Ok(ContainerSpec {
            name: name.clone(),
            bundle: directory,
            essential: definition.essential,
            depends_on: definition.depends_on.clone(),
            volumes_from: definition.volumes_from.iter().map(|from| from.source_container.clone()).collect(),
            shares: self.sharing(definition),
            start_timeout: definition.start_timeout,
            stop_timeout: definition.stop_timeout.or(Some(self.hands.stop_timeout())),
            stop_signal: config.stop_signal().clone(),
            restart_policy: definition.restart_policy.clone(),
            health_check: definition.health_check.clone(),
            memory: memory.map(u64::from),
            log,
            open_stdin: definition.interactive.unwrap_or(false),
            tty: definition.pseudo_terminal.unwrap_or(false),
            init: linux.is_some_and(|linux| linux.init_process_enabled == Some(true)),
        })
    }

    fn bundle(
        &self,
        definition: &ContainerDefinition,
        image: &Image,
        directory: &Path,
        hostname: &str,
        binds: &[Bind],
        endpoint: &[(String, String)],
    ) -> Result<Bundle, Failure> {
        let (name, change) = (&definition.name, self.change(&definition.name));
        let config = image.config.config().clone().unwrap_or_default();
        let secrets = super::secrets::of(self.hands, name, &definition.secrets)?;
        let files = change.and_then(|change| change.environment_files.as_ref());
        let buckets = &self.hands.config.local.environment_files;
        let files = environment::read_files(files.unwrap_or(&definition.environment_files), buckets);
        let files = files.map_err(|err| Failure::of(name, Kind::Resource, &err))?;
        let who = definition.user.as_deref().filter(|who| !who.is_empty());
        let user = image.resolve_user(who.or(config.user().as_deref()).unwrap_or_default());
        let user = user.map_err(|err| Failure::of(name, Kind::Create, &err))?;
        let devices =
            bundle::find_devices(definition).map_err(|err| Failure::of(name, Kind::Create, &err))?;
        let mut layers = image.overlay_lowerdirs();
        if layers.is_empty() {
            layers.push(directory.join("lower"));
        }
        let shared_memory = self.shared_memory().map(|memory| memory.path);
        let recipe = Recipe {
            document: self.document(),
            definition,
            change,
            image: &config,
            layers: &layers,
            user: &user,
            files: &files,
            secrets: &secrets,
            endpoint,
            directory,
            shared_memory: shared_memory.as_deref(),
            binds,
            devices: &devices,
            hostname,
            users: self.users,
            is_counted: self.project.is_some(),
            policy: &self.hands.config.policy,
        };
        bundle::spec(&recipe).map_err(|err| Failure::of(name, Kind::Create, &err))
    }

    pub(super) fn names(&self, definition: &ContainerDefinition, host: &HostNames) -> Names {
        let is_alone = definition.disable_networking == Some(true);
        let mode = if is_alone { NetworkMode::None } else { self.document().network_mode() };
        let attachment = self.record.attachment.as_ref().filter(|_| !is_alone);
        let address = attachment.map(|attachment| attachment.interface.address);
        Names::of(definition, self.task(), mode, address, host)
    }

    fn volumes(
        &self,
        definition: &ContainerDefinition,
        images: &ImageVolumes,
        image: &Image,
    ) -> Result<Vec<Bind>, Failure> {
        let name = &definition.name;
        let mounts = volumes::mounts(self.document(), name, images);
        let mounts = mounts.map_err(|err| Failure::of(name, Kind::Volume, &err))?;
        let mut binds = Vec::new();
        for mount in &mounts {
            let source = volumes::provide(&self.hands.places, self.task(), mount, image, self.is_wanted);
            let source = source.map_err(|err| Failure::of(name, Kind::Volume, &err))?;
            binds.push(Bind { source, destination: mount.destination.clone(), read_only: mount.read_only });
        }
        Ok(binds)
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

    /// The namespaces of the task, which the shim fills in.
    fn sharing(&self, definition: &ContainerDefinition) -> Sharing {
        let document = self.document();
        let has_own_network = definition.disable_networking == Some(true);
        Sharing {
            network: document.network_mode() != NetworkMode::Host && !has_own_network,
            pid: document.pid_mode == Some(PidMode::Task),
            ipc: document.ipc_mode == Some(IpcMode::Task),
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

/// The container's directories. The root of an overlay has the owner and mode of its upper directory, so that one
/// gets what the image's root has; where the task has its own users, as they see it.
fn directories(directory: &Path, image: &Image, users: Option<u32>) -> Result<(), BuildError> {
    for name in ["rootfs", "upper", "work"] {
        make(&directory.join(name))?;
    }
    let top = if let Some(top) = image.overlay_lowerdirs().into_iter().next() {
        top
    } else {
        make(&directory.join("lower"))?;
        directory.join("lower")
    };
    let upper = directory.join("upper");
    let first = users.unwrap_or(0);
    let like = |root: fs::Metadata| {
        chown(&upper, Some(first.saturating_add(root.uid())), Some(first.saturating_add(root.gid())))?;
        fs::set_permissions(&upper, fs::Permissions::from_mode(root.mode() & 0o7777))
    };
    fs::metadata(&top).and_then(like).map_err(|source| BuildError::Make { path: upper.clone(), source })
}

/// Writes a file that only root can read: the environment may hold secrets.
fn write_private(path: &Path, text: &[u8]) -> io::Result<()> {
    let file = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path);
    file?.write_all(text)
}

fn make(path: &Path) -> Result<(), BuildError> {
    fs::create_dir_all(path).map_err(|source| BuildError::Make { path: path.to_owned(), source })
}

/// Writes the files of names, and mounts those that the container has no volume for.
fn write_names(directory: &Path, names: &Names, binds: &[Bind]) -> Result<Vec<Bind>, BuildError> {
    let files = [
        ("hosts", "/etc/hosts", names.hosts.clone()),
        ("hostname", "/etc/hostname", format!("{}\n", names.hostname)),
        ("resolv.conf", "/etc/resolv.conf", names.resolv_conf.clone()),
    ];
    let mut mounts = Vec::new();
    for (name, destination, text) in files {
        let path = directory.join(name);
        fs::write(&path, text).map_err(|source| BuildError::Write { path: path.clone(), source })?;
        if !binds.iter().any(|bind| bind.destination == Path::new(destination)) {
            mounts.push(Bind { source: path, destination: destination.into(), read_only: false });
        }
    }
    Ok(mounts)
}
