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

use crate::agent::{ImagesConfig, PullPolicy};
use crate::image::credentials::Login;
use crate::image::digest::Digest;
use crate::image::platform::Platform;
use crate::image::pull::{Policy, Progress, PullOptions};
use crate::image::reference::Reference;
use crate::image::save::Format;
use crate::image::store::{Image, ImageStore, Prune, StoreError};
use crate::model::ids::TaskId;
use crate::model::progress::LayerProgress;

mod again;
mod error;
mod found;
mod pin;
mod pull;
mod watch;

pub use error::{ImageError, ImageErrorKind};
use found::entry;
pub use found::{ImageEntry, ImageFinding, ImageRequest, RemovedImages};
pub(crate) use pull::{Pulled, Wanted};

/// The images of this host. A clone is another handle to the same images.
#[derive(Debug, Clone)]
pub struct Images {
    store: ImageStore,
    policy: PullPolicy,
    options: PullOptions,
    attempts: u32,
    in_use: Arc<Mutex<BTreeMap<TaskId, BTreeSet<Digest>>>>,
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
    pub(crate) fn open(root: &Path, config: &ImagesConfig) -> Result<Self, StoreError> {
        Ok(Self {
            store: ImageStore::open(root)?,
            policy: config.pull_policy,
            options: config.options(),
            attempts: config.pull_attempts,
            in_use: Arc::default(),
        })
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
        blocking(move || Ok(images.store.remove(&reference, &images.in_use())?.into())).await
    }

    /// Removes what no name and no task needs; with `all`, also images with names that no task needs.
    pub async fn prune(&self, all: bool) -> Result<RemovedImages, ImageError> {
        let images = self.clone();
        blocking(move || {
            let which = if all { Prune::Unused } else { Prune::Leftovers };
            Ok(images.store.prune(which, &images.in_use())?.into())
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
