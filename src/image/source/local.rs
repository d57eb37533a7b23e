//! Images in directories and tar files: OCI layouts, OCI archives, and what `docker save` writes.
//!
//! What docker saves has no manifest in the registry's sense; one is made up from its list of layers, so that everything
//! after this file sees one shape only.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use oci_spec::image::{Descriptor, ImageIndex};
use serde::Deserialize;
use serde_json::json;

use super::place::{Place, Section};
use crate::image::digest::Digest;
use crate::image::layout::tag_of;
use crate::image::manifest::{LARGEST_DOCUMENT, parse_config};
use crate::image::pull::PullFailure;
use crate::image::reference::Reference;

/// Why a file or directory gave no image.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// It could not be read.
    #[error("read {}", .0.display())]
    Io(PathBuf, #[source] io::Error),
    /// Part of it is missing.
    #[error("{path} has no {name}", path = .0.display(), name = .1)]
    Missing(PathBuf, String),
    /// Part of it is not what it should be.
    #[error("parse {name} in {path}", path = .0.display(), name = .1)]
    Parse(PathBuf, String, #[source] serde_json::Error),
    /// It has no image under this tag.
    #[error("{} has no image tagged {tag:?}; it has {}", path.display(), available.join(", "))]
    Tag {
        /// The file or directory.
        path: PathBuf,
        /// What was asked for.
        tag: String,
        /// What there is.
        available: Vec<String>,
    },
    /// It has several images and no tag was given.
    #[error("{} has several images; choose one of {}", .0.display(), .1.join(", "))]
    Ambiguous(PathBuf, Vec<String>),
    /// Something in it cannot be used.
    #[error("{} holds something that cannot be used", .0.display())]
    Manifest(PathBuf, #[source] crate::image::manifest::ManifestError),
}

impl LocalError {
    /// What kind of failure it is.
    pub fn kind(&self) -> PullFailure {
        match self {
            Self::Io(_, err) if err.kind() == io::ErrorKind::NotFound => PullFailure::NotFound,
            Self::Io(_, err) if crate::image::unpack::is_full(err) => PullFailure::DiskFull,
            Self::Tag { .. } | Self::Ambiguous(_, _) => PullFailure::NotFound,
            Self::Missing(_, _) | Self::Parse(_, _, _) | Self::Manifest(_, _) => PullFailure::Corrupt,
            Self::Io(_, _) => PullFailure::Other,
        }
    }
}

/// One image in a file or directory.
#[derive(Debug)]
pub struct LocalImage {
    place: Place,
    top: Digest,
    /// Documents that are in no file.
    made_up: HashMap<Digest, Vec<u8>>,
    /// Members that do not lie under their digest.
    members: HashMap<Digest, String>,
}

/// One image in the list that docker writes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl LocalImage {
    /// Opens the image that a local reference names. A compressed archive is first laid out in `scratch`.
    pub(crate) fn open(reference: &Reference, scratch: &Path) -> Result<Self, LocalError> {
        match reference {
            Reference::Layout(local) => Self::oci(Place::Directory(local.path().to_owned()), local.tag()),
            Reference::OciArchive(local) => Self::oci(Place::tar(local.path(), scratch)?, local.tag()),
            Reference::DockerArchive(local) => Self::docker(Place::tar(local.path(), scratch)?, local.tag()),
            Reference::Registry(name) => Err(LocalError::Missing(name.to_string().into(), "file".into())),
        }
    }

    fn oci(place: Place, tag: Option<&str>) -> Result<Self, LocalError> {
        let index: ImageIndex = place.parse("index.json")?;
        let entries = index.manifests();
        let available = || entries.iter().map(|entry| tag_of(entry).unwrap_or("<none>").to_owned()).collect();
        let chosen = match (tag, entries.as_slice()) {
            (Some(tag), _) => entries.iter().find(|entry| tag_of(entry) == Some(tag)).ok_or_else(|| {
                LocalError::Tag { path: place.path().to_owned(), tag: tag.to_owned(), available: available() }
            })?,
            (None, [only]) => only,
            (None, _) => entries
                .iter()
                .find(|entry| tag_of(entry) == Some("latest"))
                .ok_or_else(|| LocalError::Ambiguous(place.path().to_owned(), available()))?,
        };
        let top = crate::image::manifest::digest_of(chosen);
        let top = top.map_err(|err| LocalError::Manifest(place.path().to_owned(), err))?;
        Ok(Self { place, top, made_up: HashMap::new(), members: HashMap::new() })
    }

    fn docker(place: Place, tag: Option<&str>) -> Result<Self, LocalError> {
        let list: Vec<Saved> = place.parse("manifest.json")?;
        let tags = |saved: &Saved| saved.repo_tags.clone().unwrap_or_default();
        let available = || list.iter().flat_map(tags).collect::<Vec<_>>();
        let same = |a: &str, b: &str| {
            a == b || Reference::parse(a).ok().is_some_and(|a| Reference::parse(b) == Ok(a))
        };
        let chosen = match (tag, list.as_slice()) {
            (Some(tag), _) => list
                .iter()
                .find(|saved| tags(saved).iter().any(|known| same(known, tag)))
                .ok_or_else(|| LocalError::Tag {
                    path: place.path().to_owned(),
                    tag: tag.to_owned(),
                    available: available(),
                })?,
            (None, [only]) => only,
            (None, _) => return Err(LocalError::Ambiguous(place.path().to_owned(), available())),
        };
        let config = place.read(&chosen.config, LARGEST_DOCUMENT)?;
        let mut members = HashMap::new();
        let parsed =
            parse_config(&config).map_err(|err| LocalError::Manifest(place.path().to_owned(), err))?;
        let diff_ids = parsed.rootfs().diff_ids();
        let mut layers = Vec::new();
        for (at, name) in chosen.layers.iter().enumerate() {
            let diff_id = diff_ids.get(at).and_then(|text| Digest::parse(text).ok());
            let (digest, size, media_type) = place.describe(name, diff_id)?;
            layers.push(json!({"mediaType": media_type, "digest": digest.to_string(), "size": size}));
            members.insert(digest, name.clone());
        }
        let config_digest = Digest::of(&config);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                       "digest": config_digest.to_string(), "size": config.len()},
            "layers": layers,
        });
        let manifest = manifest.to_string().into_bytes();
        let top = Digest::of(&manifest);
        let made_up = HashMap::from([(top.clone(), manifest), (config_digest, config)]);
        Ok(Self { place, top, made_up, members })
    }

    /// The manifest or index it starts at.
    pub(crate) fn top(&self) -> &Digest {
        &self.top
    }

    pub(crate) fn document(&self, digest: &Digest) -> Result<Vec<u8>, LocalError> {
        match self.made_up.get(digest) {
            Some(bytes) => Ok(bytes.clone()),
            None => self.place.read(&self.member(digest), LARGEST_DOCUMENT),
        }
    }

    /// The bytes of a layer.
    pub(crate) fn open_layer(&self, digest: &Digest) -> Result<Section, LocalError> {
        self.place.open(&self.member(digest))
    }

    fn member(&self, digest: &Digest) -> String {
        let by_digest = || format!("blobs/{}/{}", digest.algorithm().name(), digest.hex());
        self.members.get(digest).cloned().unwrap_or_else(by_digest)
    }
}

/// An index entry's platform, for messages.
pub(super) fn platform_text(entry: &Descriptor) -> String {
    entry.platform().as_ref().map_or_else(
        || "no platform".to_owned(),
        |platform| {
            let variant =
                platform.variant().as_ref().map(|variant| format!("/{variant}")).unwrap_or_default();
            format!("{}/{}{variant}", platform.os(), platform.architecture())
        },
    )
}

/// The images in a file or directory, as references that [`LocalImage::open`] takes, with the names they were saved by.
pub(crate) fn names_in(path: &Path, scratch: &Path) -> Result<Vec<(Reference, Option<String>)>, LocalError> {
    use crate::image::reference::Local;
    let place = if path.is_dir() { Place::Directory(path.to_owned()) } else { Place::tar(path, scratch)? };
    if matches!(&place, Place::Tar { members, .. } if !members.contains_key("index.json")) {
        let list: Vec<Saved> = place.parse("manifest.json")?;
        let names = list.iter().flat_map(|saved| saved.repo_tags.clone().unwrap_or_default());
        let found: Vec<_> = names
            .map(|name| (Reference::DockerArchive(Local::new(path, Some(name.clone()))), Some(name)))
            .collect();
        let untagged = (Reference::DockerArchive(Local::new(path, None)), None);
        return Ok(if found.is_empty() { vec![untagged] } else { found });
    }
    let index: ImageIndex = place.parse("index.json")?;
    let wrap = |tag: Option<&str>| {
        let local = Local::new(path, tag.map(str::to_owned));
        if path.is_dir() { Reference::Layout(local) } else { Reference::OciArchive(local) }
    };
    let full_name = |entry: &Descriptor| {
        entry.annotations().as_ref().and_then(|all| all.get("io.containerd.image.name")).cloned()
    };
    let entries = index.manifests().iter();
    Ok(entries
        .map(|entry| (wrap(tag_of(entry)), full_name(entry).or_else(|| tag_of(entry).map(str::to_owned))))
        .collect())
}
