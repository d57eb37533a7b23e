//! Commands on a store: pull, ls, verify; and unpack and push, which need none.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use hythe::image::credentials::Login;
use hythe::image::layout::Layout;
use hythe::image::platform::Platform;
use hythe::image::pull::{Policy, PullOptions};
use hythe::image::push::push;
use hythe::image::reference::Reference;
use hythe::image::store::{Image, ImageStore};
use hythe::image::unpack_flat;

use crate::progress::watcher;
use crate::{Failure, output};

/// How to reach a registry.
#[derive(Debug, Args)]
pub(crate) struct Access {
    /// A user and password for the registry, instead of docker's config.json.
    #[arg(long, value_name = "USER:PASSWORD", env = "ROOTFS_TOOLS_CREDENTIALS", hide_env_values = true)]
    credentials: Option<String>,
    /// A host that may be spoken to in plain HTTP; loopback always may.
    #[arg(long, value_name = "HOST[:PORT]")]
    insecure: Vec<String>,
    /// A PEM file with certificates of a further authority.
    #[arg(long, value_name = "FILE")]
    ca_file: Vec<PathBuf>,
    /// The platform to choose, this host's when missing.
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
}

/// Where images are kept.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The store directory.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/hythe/images")]
    pub(crate) store: PathBuf,
}

/// Fetch an image into a store.
#[derive(Debug, Args)]
pub(crate) struct PullArguments {
    /// The image: a name, or oci:DIR, oci-archive:FILE, docker-archive:FILE.
    image: String,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    access: Access,
}

/// Check the layers of stored images against what was unpacked.
#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// The images; all when none is given.
    images: Vec<String>,
    #[command(flatten)]
    place: Place,
}

/// List stored images.
#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    place: Place,
}

/// Unpack an image into a directory as one flat tree.
#[derive(Debug, Args)]
pub(crate) struct UnpackArguments {
    /// The image: a name, or oci:DIR, oci-archive:FILE, docker-archive:FILE.
    image: String,
    /// The directory, made when missing; must be empty.
    directory: PathBuf,
    #[command(flatten)]
    access: Access,
}

/// Send an image from an OCI layout to a registry.
#[derive(Debug, Args)]
pub(crate) struct PushArguments {
    /// The layout and the tag in it.
    #[arg(value_name = "DIR[:TAG]")]
    layout: String,
    /// The name in the registry.
    image: String,
    #[command(flatten)]
    access: Access,
}

impl Access {
    pub(crate) fn options(&self, policy: Policy) -> Result<PullOptions, Failure> {
        let login = match &self.credentials {
            None => None,
            Some(text) => {
                let (user, password) = text.split_once(':').ok_or("credentials are not USER:PASSWORD")?;
                Some(Login::Basic { user: user.to_owned(), password: password.to_owned() })
            }
        };
        Ok(PullOptions {
            login,
            platform: self.platform.as_deref().map(Platform::parse).transpose()?,
            insecure_hosts: self.insecure.clone(),
            ca_files: self.ca_file.clone(),
            policy,
            ..PullOptions::default()
        })
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

pub(crate) fn fetch(store: &ImageStore, image: &str, options: &PullOptions) -> Result<Image, Failure> {
    let reference = Reference::parse(image)?;
    Ok(runtime()?.block_on(store.pull(&reference, options, watcher()))?)
}

pub(crate) fn pull(arguments: &PullArguments) -> Result<(), Failure> {
    let store = ImageStore::open(&arguments.place.store)?;
    let image = fetch(&store, &arguments.image, &arguments.access.options(Policy::Always)?)?;
    println!("{}", image.manifest_digest);
    Ok(())
}

pub(crate) fn list(arguments: &ListArguments) -> Result<(), Failure> {
    for image in ImageStore::open(&arguments.place.store)?.list()? {
        println!("{}  {}  {}", image.manifest_digest.short(), image.size, image.reference.familiar());
    }
    Ok(())
}

pub(crate) fn verify(arguments: &VerifyArguments) -> Result<(), Failure> {
    let store = ImageStore::open(&arguments.place.store)?;
    let mut images = Vec::new();
    for text in &arguments.images {
        let reference = Reference::parse(text)?;
        images.push(store.get(&reference)?.ok_or_else(|| format!("image {text} is not in the store"))?);
    }
    if arguments.images.is_empty() {
        images = store.list()?;
    }
    let mut damaged = 0;
    for image in images {
        let problems = store.verify(&image)?;
        for problem in &problems {
            println!(
                "{}: {} /{}: {}",
                image.reference.familiar(),
                problem.layer,
                problem.path.display(),
                problem.what
            );
        }
        damaged += usize::from(!problems.is_empty());
        if problems.is_empty() {
            println!("{}: good", image.reference.familiar());
        }
    }
    if damaged == 0 { Ok(()) } else { Err(format!("{damaged} damaged").into()) }
}

pub(crate) fn unpack(arguments: &UnpackArguments) -> Result<(), Failure> {
    let directory = &arguments.directory;
    fs::create_dir_all(directory).map_err(|err| format!("make {}: {err}", directory.display()))?;
    if fs::read_dir(directory)?.next().is_some() {
        return Err(format!("{} is not empty", directory.display()).into());
    }
    let reference = Reference::parse(&arguments.image)?;
    let options = arguments.access.options(Policy::Always)?;
    Ok(runtime()?.block_on(unpack_flat(&reference, &options, directory))?)
}

pub(crate) fn send(arguments: &PushArguments) -> Result<(), Failure> {
    let (directory, tag) = output(&arguments.layout);
    let reference = Reference::parse(&arguments.image)?;
    let name = reference.name().ok_or("an image is pushed to a registry only")?;
    let options = arguments.access.options(Policy::Always)?;
    let digest = runtime()?.block_on(push(&Layout::open(&directory)?, &tag, name, &options))?;
    println!("{digest}");
    Ok(())
}
