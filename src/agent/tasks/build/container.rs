//! One container: its directories, its names and volumes, its bundle, and what the shim is told of it.

use std::path::Path;

use super::Plot;
use super::files::{BuildError, directories, write_names, write_private};
use crate::agent::bundle::{self, Bind, Bundle, Recipe};
use crate::agent::environment;
use crate::agent::failure::{Failure, Kind};
use crate::agent::tasks::{metadata, secrets};
use crate::agent::volumes::{self, ImageVolumes};
use crate::image::store::Image;
use crate::model::task_definition::{ContainerDefinition, IpcMode, NetworkMode, PidMode};
use crate::shim::filter;
use crate::shim::metadata::document::Known;
use crate::shim::spec::{ContainerSpec, Sharing};

impl Plot<'_> {
    pub(super) fn container(
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
        let secrets = secrets::of(self.hands, name, &definition.secrets)?;
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
            policy: &self.hands.config.containers,
        };
        bundle::spec(&recipe).map_err(|err| Failure::of(name, Kind::Create, &err))
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
}
