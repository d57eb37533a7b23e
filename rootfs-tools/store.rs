//! Commands on a store: pull, ls, verify, unpack, mount, umount; and push, which needs none.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::Args;
use hythe::image::credentials::Login;
use hythe::image::layout::Layout;
use hythe::image::platform::Platform;
use hythe::image::pull::{Policy, PullOptions};
use hythe::image::push::push;
use hythe::image::reference::Reference;
use hythe::image::store::{Image, ImageStore};
use hythe::image::unpack_flat;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

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
    store: PathBuf,
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

/// Mount an image.
#[derive(Debug, Args)]
pub(crate) struct MountArguments {
    /// The image; pulled when it is not in the store.
    image: String,
    /// Where to mount it.
    directory: PathBuf,
    /// A directory that keeps changes; without it the mount is read-only.
    #[arg(long, value_name = "DIR")]
    upper: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    access: Access,
}

/// Unmount an image.
#[derive(Debug, Args)]
pub(crate) struct UmountArguments {
    /// Where it is mounted.
    directory: PathBuf,
}

impl Access {
    fn options(&self, policy: Policy) -> Result<PullOptions, Failure> {
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

fn fetch(store: &ImageStore, image: &str, options: &PullOptions) -> Result<Image, Failure> {
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

pub(crate) fn attach(arguments: &MountArguments) -> Result<(), Failure> {
    let store = ImageStore::open(&arguments.place.store)?;
    let image = fetch(&store, &arguments.image, &arguments.access.options(Policy::IfMissing)?)?;
    let mut lower = image.overlay_lowerdirs();
    let upper = if let Some(upper) = &arguments.upper {
        let (changes, work) = (upper.join("upper"), upper.join("work"));
        fs::create_dir_all(&changes)?;
        fs::create_dir_all(&work)?;
        format!(",upperdir={},workdir={}", option(&changes.canonicalize()?), option(&work.canonicalize()?))
    } else {
        // A read-only overlay wants two directories at least; an empty one changes nothing.
        let empty = store.root().join("empty");
        fs::create_dir_all(&empty)?;
        lower.push(empty.clone());
        String::new()
    };
    let lower: Vec<String> = lower.iter().map(|path| option(path)).collect();
    let data = CString::new(format!("lowerdir={}{upper}", lower.join(":")))?;
    let flags = if arguments.upper.is_some() { MsFlags::empty() } else { MsFlags::MS_RDONLY };
    mount(Some("overlay"), &arguments.directory, Some("overlay"), flags, Some(data.as_c_str()))
        .map_err(|errno| format!("mount overlay on {}: {errno}", arguments.directory.display()).into())
}

pub(crate) fn detach(arguments: &UmountArguments) -> Result<(), Failure> {
    umount2(&arguments.directory, MntFlags::UMOUNT_NOFOLLOW)
        .map_err(|errno| format!("unmount {}: {errno}", arguments.directory.display()).into())
}

/// A path as a mount option: the separators in it escaped.
fn option(path: &Path) -> String {
    let text = String::from_utf8_lossy(path.as_os_str().as_bytes()).into_owned();
    text.replace('\\', "\\\\").replace(':', "\\:").replace(',', "\\,")
}
