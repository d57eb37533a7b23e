//! The images of this host, for tasks and for people.
//!
//! [`Images`] is what the rest of the program needs of the image store, in plain words: names are text, answers are
//! data. What tasks run from is never removed: a task's image is in use from the moment it is here until the task is
//! swept.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::mpsc;

use crate::agent::PullPolicy;
use crate::agent::failure::sentence;
use crate::image::credentials::Login;
use crate::image::digest::Digest;
use crate::image::platform::Platform;
use crate::image::pull::{Policy, Progress, PullError, PullFailure, PullOptions};
use crate::image::reference::Reference;
use crate::image::save::{Format, LoadError, SaveError};
use crate::image::store::{Image, ImageStore, Prune, StoreError};
use crate::model::ids::TaskId;
use crate::model::progress::LayerProgress;
use crate::model::time::Timestamp;

mod pull;
mod watch;

pub(crate) use pull::Pulled;

/// The images of this host. A clone is another handle to the same images.
#[derive(Debug, Clone)]
pub struct Images {
    store: ImageStore,
    policy: PullPolicy,
    options: PullOptions,
    in_use: Arc<Mutex<BTreeMap<TaskId, BTreeSet<Digest>>>>,
}

/// An image that is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageEntry {
    /// Its full name.
    pub name: String,
    /// The digest of its manifest.
    pub digest: String,
    /// `linux/amd64`.
    pub platform: String,
    /// Bytes in its layers.
    pub size: u64,
    /// When it came here.
    pub pulled_at: Timestamp,
    /// When it was built, as its configuration says, in RFC 3339.
    pub created: Option<String>,
    /// The digests of its layers, lowest first.
    pub layers: Vec<String>,
    /// How many tasks use it.
    pub used_by: usize,
}

/// What a removal removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemovedImages {
    /// Names that are gone.
    pub names: Vec<String>,
    /// How many layers are gone.
    pub layers: usize,
    /// Bytes that are free now.
    pub freed: u64,
    /// Whether something was left for later because a pull was under way.
    pub is_deferred: bool,
}

/// How to pull one image.
#[derive(Debug, Clone, Default)]
pub struct ImageRequest {
    /// What to pull.
    pub reference: String,
    /// `linux/arm64/v8`; this host's when absent.
    pub platform: Option<String>,
    /// `NAME:PASSWORD`; looked up in docker's configuration when absent.
    pub credentials: Option<String>,
    /// Speak plain HTTP to its registry.
    pub is_plain_http: bool,
}

/// Kinds of [`ImageError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageErrorKind {
    /// There is no such image.
    NotFound,
    /// The request makes no sense.
    Invalid,
    /// A task runs from it.
    InUse,
    /// The registry refused.
    AccessDenied,
    /// Nothing for this host, or a format that is not supported.
    Unsupported,
    /// It failed.
    Failed,
}

/// Why something with an image did not work: a kind for programs and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ImageError {
    /// The kind.
    pub kind: ImageErrorKind,
    /// The whole sentence.
    pub message: String,
}

/// What a check of an image found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFinding {
    /// The image or the layer.
    pub subject: String,
    /// Whether it is as it should be.
    pub is_sound: bool,
    /// What is wrong with it, or what was checked.
    pub message: String,
}

/// Progress of layers goes out through a channel, as fast as it comes.
struct Told(mpsc::UnboundedSender<LayerProgress>);

impl Progress for Told {
    fn layer(&self, progress: &LayerProgress) {
        let _ = self.0.send(progress.clone()); // nobody has to watch
    }
}

impl Images {
    /// Opens the store under `root`.
    pub(crate) fn open(root: &Path, policy: PullPolicy, options: PullOptions) -> Result<Self, StoreError> {
        Ok(Self { store: ImageStore::open(root)?, policy, options, in_use: Arc::default() })
    }

    pub(crate) fn store(&self) -> &ImageStore {
        &self.store
    }

    pub(crate) fn policy(&self) -> PullPolicy {
        self.policy
    }

    pub(crate) fn options(&self) -> &PullOptions {
        &self.options
    }

    /// Marks an image as used by a task.
    pub(crate) fn hold(&self, task: &TaskId, manifest: &Digest) {
        self.uses().entry(task.clone()).or_default().insert(manifest.clone());
    }

    /// Marks an image as used by a task, by the digest that was told of it.
    pub(crate) fn hold_told(&self, task: &TaskId, digest: &str) {
        if let Ok(digest) = Digest::parse(digest) {
            self.hold(task, &digest);
        }
    }

    /// The task uses no image any more.
    pub(crate) fn release(&self, task: &TaskId) {
        self.uses().remove(task);
    }

    /// The image, if all of it is here.
    pub(crate) fn complete(&self, reference: &Reference) -> Result<Option<Image>, StoreError> {
        let image = self.store.get(reference)?;
        Ok(image.filter(|image| image.layers.iter().all(|layer| layer.path.is_dir())))
    }

    /// All images, sorted by name.
    pub async fn list(&self) -> Result<Vec<ImageEntry>, ImageError> {
        let images = self.clone();
        blocking(move || {
            let uses = images.uses().clone();
            Ok(images.store.list()?.iter().map(|image| entry(image, &uses)).collect())
        })
        .await
    }

    /// One image: its configuration, its layers and its digests.
    pub async fn inspect(&self, reference: &str) -> Result<Value, ImageError> {
        let (images, reference) = (self.clone(), parse(reference)?);
        blocking(move || {
            let image = images.store.get(&reference)?;
            let image = image.ok_or_else(|| StoreError::NoSuchImage(reference.familiar()))?;
            let config: Value = serde_json::from_slice(&images.store.raw_config(&image)?).unwrap_or_default();
            let entry = entry(&image, &images.uses());
            Ok(serde_json::json!({
                "name": entry.name, "digest": entry.digest, "resolvedDigest": image.resolved_digest.to_string(),
                "configDigest": image.config_digest.to_string(), "platform": entry.platform, "size": entry.size,
                "pulledAt": entry.pulled_at, "layers": entry.layers, "isLoaded": image.is_loaded, "config": config,
            }))
        })
        .await
    }

    /// Brings an image here and says how its layers are doing.
    pub async fn pull(
        &self,
        request: &ImageRequest,
        progress: mpsc::UnboundedSender<LayerProgress>,
    ) -> Result<ImageEntry, ImageError> {
        let reference = parse(&request.reference)?;
        let mut options = self.options.clone();
        if let Some(platform) = &request.platform {
            let platform = Platform::parse(platform);
            options.platform = Some(platform.map_err(|err| ImageError::of(ImageErrorKind::Invalid, &err))?);
        }
        if let Some(credentials) = &request.credentials {
            options.login = Some(login(credentials)?);
        }
        if let Some(name) = reference.name().filter(|_| request.is_plain_http) {
            options.insecure_hosts.push(name.host().to_owned());
        }
        let image = self.store.pull(&reference, &options, Arc::new(Told(progress))).await?;
        Ok(entry(&image, &self.uses()))
    }

    /// Takes in the images of a layout or an archive: `oci:DIR[:tag]`, `oci-archive:FILE`, `docker-archive:FILE`, or
    /// the plain path of any of them. With a tag or a `name` it is one image, otherwise all that are there.
    pub async fn load(
        &self,
        source: &str,
        name: Option<&str>,
        progress: mpsc::UnboundedSender<LayerProgress>,
    ) -> Result<Vec<ImageEntry>, ImageError> {
        let told: Arc<dyn Progress> = Arc::new(Told(progress));
        // Whoever loads wants what is in the file now, not what once had the same name.
        let options = PullOptions { policy: Policy::Always, ..self.options.clone() };
        let path = plain_path(source);
        let is_one = name.is_some() || source.strip_prefix("oci:").is_some_and(|rest| rest != path);
        let images = if is_one {
            let name = name.map(parse).transpose()?;
            vec![self.store.load_one(&parse(source)?, name, &options, told).await?]
        } else {
            self.store.load(Path::new(path), &options, told).await?
        };
        let uses = self.uses();
        Ok(images.iter().map(|image| entry(image, &uses)).collect())
    }

    /// Writes an image to `oci:DIR` or `oci-archive:FILE`; a path without a kind is an archive.
    pub async fn save(&self, reference: &str, target: &str) -> Result<String, ImageError> {
        let (images, reference) = (self.clone(), parse(reference)?);
        let format = match target.split_once(':') {
            Some(("oci", _)) => Format::Layout,
            Some(("docker-archive", _)) => {
                let message = "docker archives can be loaded, not saved; save to oci-archive:FILE".to_owned();
                return Err(ImageError { kind: ImageErrorKind::Unsupported, message });
            }
            Some(_) | None => Format::OciArchive,
        };
        let path = plain_path(target).to_owned();
        let saved =
            tokio::task::spawn_blocking(move || images.store.save(&reference, Path::new(&path), format));
        Ok(saved.await.map_err(broken)??.to_string())
    }

    /// Removes a name, and the image with its last name.
    pub async fn remove(&self, reference: &str) -> Result<RemovedImages, ImageError> {
        let (images, reference) = (self.clone(), parse(reference)?);
        blocking(move || {
            let freed = images.store.remove(&reference, &images.in_use())?;
            Ok(RemovedImages {
                names: freed.images,
                layers: freed.layers,
                freed: freed.bytes,
                is_deferred: freed.is_deferred,
            })
        })
        .await
    }

    /// Removes what no name and no task needs; with `all`, also images with names that no task needs.
    pub async fn prune(&self, all: bool) -> Result<RemovedImages, ImageError> {
        let images = self.clone();
        blocking(move || {
            let which = if all { Prune::Unused } else { Prune::Leftovers };
            let freed = images.store.prune(which, &images.in_use())?;
            Ok(RemovedImages {
                names: freed.images,
                layers: freed.layers,
                freed: freed.bytes,
                is_deferred: freed.is_deferred,
            })
        })
        .await
    }

    /// Checks what is stored of one image, or of all: one finding for each that is sound, one for each flaw.
    pub async fn verify(&self, reference: Option<&str>) -> Result<Vec<ImageFinding>, ImageError> {
        let (images, reference) = (self.clone(), reference.map(parse).transpose()?);
        blocking(move || {
            let chosen = match reference {
                None => images.store.list()?,
                Some(reference) => {
                    let image = images.store.get(&reference)?;
                    vec![image.ok_or_else(|| StoreError::NoSuchImage(reference.familiar()))?]
                }
            };
            let mut findings = Vec::new();
            for image in &chosen {
                findings.extend(images.check(image)?);
            }
            Ok(findings)
        })
        .await
    }

    fn check(&self, image: &Image) -> Result<Vec<ImageFinding>, StoreError> {
        let subject = image.reference.familiar();
        let problems = self.store.verify(image)?;
        if problems.is_empty() {
            let message = format!("{} layers are as they were unpacked", image.layers.len());
            return Ok(vec![ImageFinding { subject, is_sound: true, message }]);
        }
        let finding = |problem: crate::image::store::Problem| ImageFinding {
            subject: subject.clone(),
            is_sound: false,
            message: format!("layer {}: /{}: {}", problem.layer, problem.path.display(), problem.what),
        };
        Ok(problems.into_iter().map(finding).collect())
    }

    fn in_use(&self) -> BTreeSet<Digest> {
        self.uses().values().flatten().cloned().collect()
    }

    fn uses(&self) -> MutexGuard<'_, BTreeMap<TaskId, BTreeSet<Digest>>> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry(image: &Image, uses: &BTreeMap<TaskId, BTreeSet<Digest>>) -> ImageEntry {
    let config = &image.config;
    ImageEntry {
        name: image.reference.to_string(),
        digest: image.manifest_digest.to_string(),
        platform: format!("{}/{}", config.os(), config.architecture()),
        size: image.size,
        pulled_at: Timestamp(image.pulled_at.saturating_mul(1000)),
        created: config.created().clone(),
        layers: image.layers.iter().map(|layer| layer.diff_id.to_string()).collect(),
        used_by: uses.values().filter(|used| used.contains(&image.manifest_digest)).count(),
    }
}

fn parse(text: &str) -> Result<Reference, ImageError> {
    Reference::parse(text).map_err(|err| ImageError::of(ImageErrorKind::Invalid, &err))
}

/// The path of a source or a target, without the kind before it and the tag behind it.
fn plain_path(text: &str) -> &str {
    for kind in ["oci:", "oci-archive:", "docker-archive:"] {
        if let Some(path) = text.strip_prefix(kind) {
            return path
                .rsplit_once(':')
                .filter(|(_, tag)| !tag.contains('/'))
                .map_or(path, |(path, _)| path);
        }
    }
    text
}

fn login(text: &str) -> Result<Login, ImageError> {
    let wrong = || ImageError {
        kind: ImageErrorKind::Invalid,
        message: "credentials are not NAME:PASSWORD".to_owned(),
    };
    let (name, password) = text.split_once(':').ok_or_else(wrong)?;
    Ok(Login::Basic { user: name.to_owned(), password: password.to_owned() })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ImageError> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(broken)??)
}

fn broken(_: tokio::task::JoinError) -> ImageError {
    ImageError { kind: ImageErrorKind::Failed, message: "the work on the image was broken off".to_owned() }
}

impl ImageError {
    fn of(kind: ImageErrorKind, error: &dyn std::error::Error) -> Self {
        Self { kind, message: sentence(error) }
    }
}

impl From<StoreError> for ImageError {
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::NoSuchImage(_) => ImageErrorKind::NotFound,
            StoreError::InUse(_) => ImageErrorKind::InUse,
            StoreError::Io(_, _)
            | StoreError::Record(_, _)
            | StoreError::Config(_, _)
            | StoreError::Damaged(_) => ImageErrorKind::Failed,
        };
        Self::of(kind, &error)
    }
}

impl From<PullError> for ImageError {
    fn from(error: PullError) -> Self {
        let kind = match error.kind() {
            PullFailure::NotFound => ImageErrorKind::NotFound,
            PullFailure::Unauthorised => ImageErrorKind::AccessDenied,
            PullFailure::Unsupported => ImageErrorKind::Unsupported,
            PullFailure::Unreachable
            | PullFailure::Throttled
            | PullFailure::Corrupt
            | PullFailure::DiskFull
            | PullFailure::Other => ImageErrorKind::Failed,
        };
        Self::of(kind, &error)
    }
}

impl From<LoadError> for ImageError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Pull(error) => error.into(),
            LoadError::Name(_) => Self::of(ImageErrorKind::Invalid, &error),
        }
    }
}

impl From<SaveError> for ImageError {
    fn from(error: SaveError) -> Self {
        match error {
            SaveError::Store(error) => error.into(),
            SaveError::Layer(_, _)
            | SaveError::Layout(_)
            | SaveError::Config(_)
            | SaveError::Output(_, _) => Self::of(ImageErrorKind::Failed, &error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::pull::{Approach, approach};
    use super::*;

    #[test]
    fn a_policy_says_when_to_ask() {
        use PullPolicy::{Always, Default, Once, PreferCached};
        for policy in [Default, Always, Once, PreferCached] {
            assert_eq!(approach(policy, false, false), Approach::Ask, "{policy:?}");
        }
        let here = [Default, Always, Once, PreferCached].map(|policy| approach(policy, true, false));
        assert_eq!(here, [Approach::AskOrTake, Approach::Ask, Approach::Take, Approach::Take]);
        for policy in [Default, Always, Once, PreferCached] {
            assert_eq!(approach(policy, true, true), Approach::Take, "{policy:?}");
        }
    }

    #[test]
    fn a_source_is_a_path_with_or_without_a_kind() {
        let texts = ["oci:/a/b:web", "oci:/a/b", "oci-archive:/x.tar", "docker-archive:/x.tar:a", "/plain:y"];
        assert_eq!(texts.map(plain_path), ["/a/b", "/a/b", "/x.tar", "/x.tar", "/plain:y"]);
    }
}
