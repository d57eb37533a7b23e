//! Where an image comes from: a registry, an OCI layout, or an archive. All give documents by digest and layers as bytes.
//!
//! An archive is never unpacked as a whole: its members are found once, and layers are read where they lie.

use std::path::Path;

use crate::image::credentials::{self, Login};
use crate::image::digest::Digest;
use crate::image::manifest::{
    Document, LARGEST_DOCUMENT, Layer, ManifestError, digest_of, layers, parse_config, require_image,
};
use crate::image::platform::Platform;
use crate::image::pull::{PullError, PullOptions, blocking};
use crate::image::reference::{Name, Reference};
use crate::image::registry::{Access, Registry};

mod local;
mod place;

pub(crate) use local::names_in;
pub use local::{LocalError, LocalImage};

/// Where an image comes from.
pub enum Source {
    /// A registry.
    Registry(Registry),
    /// A file or directory.
    Local(LocalImage),
}

/// An image found and understood, its layers not yet fetched.
#[derive(Debug)]
pub struct Resolved {
    /// What the name stands for: a manifest or an index.
    pub resolved: Digest,
    /// The image's manifest.
    pub manifest: Digest,
    /// Its config.
    pub config: Digest,
    /// Its layers, bottom first.
    pub layers: Vec<Layer>,
    /// Index, manifest and config as they came.
    pub documents: Vec<(Digest, Vec<u8>)>,
}

impl Source {
    /// Opens what `reference` names. A compressed archive is laid out in `scratch`, in a file without a name.
    pub async fn open(
        reference: &Reference,
        options: &PullOptions,
        scratch: &Path,
    ) -> Result<Self, PullError> {
        if let Some(name) = reference.name() {
            let registry = connect(name, options, false).await?;
            return Ok(Self::Registry(registry));
        }
        let image = reference.familiar();
        let (reference, scratch) = (reference.clone(), scratch.to_owned());
        let local = blocking(move || LocalImage::open(&reference, &scratch)).await;
        local.map(Self::Local).map_err(|err| PullError::Local(image, err))
    }

    /// Finds the image for `platform` and reads its documents.
    pub async fn resolve(&self, image: &str, platform: &Platform) -> Result<Resolved, PullError> {
        let wrong = |err: ManifestError| PullError::Manifest(image.to_owned(), err);
        let (resolved, bytes) = self.manifest(image, None).await?;
        let mut documents = vec![(resolved.clone(), bytes)];
        let mut manifest = Document::parse(&documents[0].1).map_err(wrong)?;
        if let Document::Index(index) = &manifest {
            let chosen = platform.choose(index.manifests()).ok_or_else(|| PullError::Platform {
                image: image.to_owned(),
                wanted: platform.clone(),
                available: index.manifests().iter().map(local::platform_text).collect(),
            })?;
            let digest = digest_of(chosen).map_err(wrong)?;
            documents.push(self.manifest(image, Some(&digest)).await?);
            manifest = Document::parse(&documents[1].1).map_err(wrong)?;
        }
        let Document::Image(manifest) = manifest else {
            return Err(wrong(ManifestError::Kind("image index within an image index".to_owned())));
        };
        require_image(&manifest).map_err(wrong)?;
        let digest = documents.last().map_or_else(|| resolved.clone(), |(digest, _)| digest.clone());
        let config = digest_of(manifest.config()).map_err(wrong)?;
        let bytes = self.document(image, &config).await?;
        let parsed = parse_config(&bytes).map_err(wrong)?;
        if !platform.runs(parsed.os(), parsed.architecture(), parsed.variant().as_deref()) {
            let available = vec![format!("{}/{}", parsed.os(), parsed.architecture())];
            return Err(PullError::Platform { image: image.to_owned(), wanted: platform.clone(), available });
        }
        let layers = layers(&manifest, &parsed).map_err(wrong)?;
        documents.push((config.clone(), bytes));
        Ok(Resolved { resolved, manifest: digest, config, layers, documents })
    }

    /// A manifest or index, checked: the one with `digest` or the one that the name stands for.
    async fn manifest(&self, image: &str, digest: Option<&Digest>) -> Result<(Digest, Vec<u8>), PullError> {
        match self {
            Self::Local(local) => {
                let digest = digest.unwrap_or_else(|| local.top()).clone();
                let bytes = self.document(image, &digest).await?;
                Ok((digest, bytes))
            }
            Self::Registry(registry) => {
                let bytes = registry.manifest(digest).await;
                let bytes = bytes.map_err(|err| PullError::Registry(image.to_owned(), err))?.to_vec();
                let pinned = registry.name.digest().and_then(|text| Digest::parse(text).ok());
                let wanted = digest.cloned().or(pinned).unwrap_or_else(|| Digest::of(&bytes));
                check(image, wanted, bytes)
            }
        }
    }

    /// A document with `digest`, checked.
    async fn document(&self, image: &str, digest: &Digest) -> Result<Vec<u8>, PullError> {
        let bytes = match self {
            Self::Local(local) => {
                local.document(digest).map_err(|err| PullError::Local(image.to_owned(), err))?
            }
            Self::Registry(registry) => {
                let bytes = registry.document(digest, LARGEST_DOCUMENT).await;
                bytes.map_err(|err| PullError::Registry(image.to_owned(), err))?
            }
        };
        check(image, digest.clone(), bytes).map(|(_, bytes)| bytes)
    }
}

fn check(image: &str, wanted: Digest, bytes: Vec<u8>) -> Result<(Digest, Vec<u8>), PullError> {
    if wanted.is_of(&bytes) {
        return Ok((wanted, bytes));
    }
    Err(PullError::Digest { image: image.to_owned(), actual: Digest::of(&bytes), wanted })
}

/// Introduces us to a registry as `options` say.
pub(crate) async fn connect(name: &Name, options: &PullOptions, push: bool) -> Result<Registry, PullError> {
    let image = Reference::Registry(name.clone()).familiar();
    let login = match (&options.login, options.docker_config.clone().or_else(credentials::default_config)) {
        (Some(login), _) => login.clone(),
        (None, None) => Login::Anonymous,
        (None, Some(config)) => {
            let host = name.host().to_owned();
            let found = blocking(move || credentials::lookup(&config, &host)).await;
            found.map_err(|err| PullError::Credentials(image.clone(), err))?
        }
    };
    let is_named = options.insecure_hosts.iter().any(|host| host == name.host());
    let access = Access { login, may_be_plain: is_named || name.is_loopback(), ca_files: &options.ca_files };
    Registry::connect(name, &access, push).await.map_err(|err| PullError::Registry(image, err))
}
