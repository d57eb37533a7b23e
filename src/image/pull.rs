//! Getting an image: resolve its name, land its layers, then write it down.
//!
//! ```text
//! name -> (index ->) manifest -> config -> layers, a few at a time -> record
//! ```
//!
//! The record comes last. Whatever stops a pull before it leaves layers that the next pull finds, partial blobs that it
//! continues, and nothing that looks like an image. Two pulls that want the same layer meet at its lock: the second waits
//! and finds the layer there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;

use crate::image::credentials::Login;
use crate::image::download;
use crate::image::locks::{Lease, Subject};
use crate::image::manifest::Layer;
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::image::source::{Resolved, Source};
use crate::image::store::{Image, ImageStore, Record, StoreError};
use crate::model::progress::{LayerPhase, LayerProgress};

mod failure;

pub use failure::{PullError, PullFailure};

/// How to pull.
#[derive(Debug, Clone)]
pub struct PullOptions {
    /// What the image must run on; this host when missing.
    pub platform: Option<Platform>,
    /// Who to be; when missing, what docker's file says.
    pub login: Option<Login>,
    /// Docker's `config.json`, when it is not in its usual place.
    pub docker_config: Option<PathBuf>,
    /// Hosts that may be spoken to in plain HTTP. Loopback always may.
    pub insecure_hosts: Vec<String>,
    /// Files with certificates of further authorities.
    pub ca_files: Vec<PathBuf>,
    /// Whether an image that is here will do.
    pub policy: Policy,
    /// How many layers at a time.
    pub parallel: usize,
}

/// Whether an image that is here will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Ask where it comes from; what has not changed is not fetched again.
    Always,
    /// Ask only when it is not here.
    IfMissing,
}

impl Default for PullOptions {
    fn default() -> Self {
        Self {
            platform: None,
            login: None,
            docker_config: None,
            insecure_hosts: Vec::new(),
            ca_files: Vec::new(),
            policy: Policy::Always,
            parallel: 3,
        }
    }
}

/// Told how each layer is doing. Called from several threads; must not block.
pub trait Progress: Send + Sync {
    /// The image's name has led to its manifest: what it is made of is known.
    fn resolved(&self) {}

    /// One layer has come further.
    fn layer(&self, progress: &LayerProgress);
}

/// Progress that nobody watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Progress for Unwatched {
    fn layer(&self, _progress: &LayerProgress) {}
}

/// One pull under way, shared by its layers.
pub(crate) struct Pull {
    pub(crate) store: ImageStore,
    pub(crate) image: String,
    pub(crate) source: Source,
    pub(crate) progress: Arc<dyn Progress>,
    /// Held by every thread that unpacks, so that the end of all can be awaited.
    pub(crate) working: mpsc::Sender<()>,
}

impl ImageStore {
    /// Gets the image `reference` stands for, whatever of it is missing.
    pub async fn pull(
        &self,
        reference: &Reference,
        options: &PullOptions,
        progress: Arc<dyn Progress>,
    ) -> Result<Image, PullError> {
        self.pull_as(reference, reference, options, progress).await
    }

    /// Gets the image `reference` stands for, and keeps it as `name`.
    pub(crate) async fn pull_as(
        &self,
        reference: &Reference,
        name: &Reference,
        options: &PullOptions,
        progress: Arc<dyn Progress>,
    ) -> Result<Image, PullError> {
        let image = reference.familiar();
        let stored = |err: StoreError| self.explain(&image, PullError::Store(image.clone(), err));
        let known = self.record(name).map_err(stored)?.filter(|record| self.is_complete(record));
        if let (Policy::IfMissing, Some(record)) = (options.policy, &known) {
            return self.image(record.clone()).map_err(stored);
        }
        let keep = blocking({
            let store = self.clone();
            move || store.locks().keep().map_err(|err| StoreError::Io(store.path("lock"), err))
        });
        let _keep = keep.await.map_err(stored)?;
        let source = Source::open(reference, options, &self.path("tmp")).await?;
        let platform = options.platform.clone().unwrap_or_else(Platform::host);
        let resolved = source.resolve(&image, &platform).await?;
        progress.resolved();
        self.fetch(&image, source, &resolved.layers, options.parallel, progress).await?;
        self.record_image(name, &resolved, reference.name().is_none()).map_err(stored)
    }

    /// Lands all layers; on the first failure the others are given up and their threads awaited.
    async fn fetch(
        &self,
        image: &str,
        source: Source,
        layers: &[Layer],
        parallel: usize,
        progress: Arc<dyn Progress>,
    ) -> Result<(), PullError> {
        let (working, mut all_done) = mpsc::channel(1);
        let pull = Pull { store: self.clone(), image: image.to_owned(), source, progress, working };
        let mut wanted: Vec<Layer> = Vec::new();
        for layer in layers {
            if !wanted.iter().any(|known| known.diff_id == layer.diff_id) {
                wanted.push(layer.clone());
            }
        }
        let landing = stream::iter(wanted).map(|layer| pull.layer(layer)).buffer_unordered(parallel.max(1));
        let result = landing.try_collect::<()>().await;
        drop(pull);
        let _ = all_done.recv().await; // nothing is ever sent: this waits for the last sender to go
        result.map_err(|err| self.explain(image, err))
    }

    /// Writes down what has been fetched.
    fn record_image(
        &self,
        reference: &Reference,
        resolved: &Resolved,
        is_loaded: bool,
    ) -> Result<Image, StoreError> {
        for (digest, bytes) in &resolved.documents {
            self.write_blob(digest, bytes)?;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let record = Record {
            reference: reference.clone(),
            resolved: resolved.resolved.clone(),
            manifest: resolved.manifest.clone(),
            config: resolved.config.clone(),
            layers: resolved.layers.iter().map(|layer| layer.diff_id.clone()).collect(),
            pulled_at: now,
            is_loaded,
        };
        self.write_record(&record)?;
        self.image(record)
    }

    /// A full disk is told as that, wherever it showed.
    fn explain(&self, image: &str, error: PullError) -> PullError {
        let is_full = match &error {
            PullError::Layer(_, err) => err.is_disk_full(),
            PullError::Store(_, err) => err.is_disk_full(),
            PullError::Local(_, err) => err.kind() == PullFailure::DiskFull,
            PullError::Registry(_, _)
            | PullError::Credentials(_, _)
            | PullError::Manifest(_, _)
            | PullError::Digest { .. }
            | PullError::Platform { .. }
            | PullError::DiskFull { .. } => false,
        };
        if is_full {
            PullError::DiskFull { image: image.to_owned(), store: self.root().to_owned() }
        } else {
            error
        }
    }
}

impl Pull {
    /// Lands one layer, or waits for whoever is landing it.
    async fn layer(&self, layer: Layer) -> Result<(), PullError> {
        if self.store.has_layer(&layer.diff_id) {
            self.tell(&layer, LayerPhase::Exists, layer.size);
            return Ok(());
        }
        let lease = self.lease(Subject::Layer, &layer, layer.diff_id.hex()).await?;
        if self.store.has_layer(&layer.diff_id) {
            self.tell(&layer, LayerPhase::Exists, layer.size);
            return Ok(());
        }
        let result = match &self.source {
            Source::Local(local) => {
                let packed =
                    local.open_layer(&layer.blob).map_err(|err| PullError::Local(self.image.clone(), err))?;
                let (store, layer, working) = (self.store.clone(), layer.clone(), self.working.clone());
                self.tell(&layer, LayerPhase::Unpacking, 0);
                let landed = blocking(move || {
                    let _working = working;
                    store.land(&layer, packed, || {}, &lease)
                });
                landed.await.map_err(|err| PullError::Layer(self.image.clone(), err))
            }
            Source::Registry(registry) => {
                let blob = self.lease(Subject::Blob, &layer, layer.blob.hex()).await?;
                download::layer(self, registry, &layer, [lease, blob]).await
            }
        };
        let phase = if result.is_ok() { LayerPhase::Done } else { LayerPhase::Failed };
        self.tell(&layer, phase, layer.size);
        result
    }

    async fn lease(&self, subject: Subject, layer: &Layer, hex: &str) -> Result<Lease, PullError> {
        let locks = self.store.locks().clone();
        let failed = |err| PullError::Store(self.image.clone(), StoreError::Io(self.store.path("lock"), err));
        if let Some(lease) = locks.attempt(subject, hex).map_err(failed)? {
            return Ok(lease);
        }
        self.tell(layer, LayerPhase::Waiting, 0);
        let _turn = self.store.waiting().acquire().await; // never closed
        let hex = hex.to_owned();
        blocking(move || locks.wait(subject, &hex)).await.map_err(failed)
    }

    pub(crate) fn tell(&self, layer: &Layer, phase: LayerPhase, bytes: u64) {
        let progress = LayerProgress { layer: layer.blob.to_string(), phase, bytes, total: layer.size };
        self.progress.layer(&progress);
    }
}

/// Runs `work` where it may block. A panic there goes on here.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => unreachable!("work that has started is never cancelled"),
        },
    }
}
