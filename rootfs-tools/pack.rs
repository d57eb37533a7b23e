//! `rootfs-tools pack`: directories and tar files to an OCI layout.

use std::collections::HashMap;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use hythe::image::layout::Layout;
use hythe::image::manifest::Compression;
use hythe::image::pack::{Clock, Recipe, pack};
use hythe::image::platform::Platform;
use oci_spec::image::Config;

use crate::{Failure, output};

/// Make an OCI image of directories and tar files, each a layer.
#[derive(Debug, Args)]
pub(crate) struct PackArguments {
    /// Directories and tar files, bottom layer first.
    #[arg(required = true, value_name = "DIR|TAR")]
    inputs: Vec<PathBuf>,
    /// The OCI layout directory, made when missing, and the tag in it.
    #[arg(short, long, value_name = "DIR[:TAG]")]
    output: String,
    /// The tag, instead of one in the output.
    #[arg(long)]
    tag: Option<String>,
    /// One word of the entrypoint; repeat for more.
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    entrypoint: Vec<String>,
    /// One word of the command; repeat for more.
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    cmd: Vec<String>,
    /// An environment variable.
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Who runs: name or number, with an optional group after a colon.
    #[arg(long)]
    user: Option<String>,
    /// Where it starts.
    #[arg(long)]
    workdir: Option<String>,
    /// A port it listens on, such as 80/tcp.
    #[arg(long, value_name = "PORT")]
    expose: Vec<String>,
    /// A directory meant to be a volume.
    #[arg(long, value_name = "PATH")]
    volume: Vec<String>,
    /// A label.
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// The signal that asks it to stop.
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
    /// How layers are compressed.
    #[arg(long, value_enum, default_value_t = Packing::Gzip)]
    compress: Packing,
    /// The platform it is for, this host's when missing.
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
    /// No file is younger than this, in seconds since 1970.
    #[arg(long, env = "SOURCE_DATE_EPOCH", value_name = "SECONDS", conflicts_with = "keep_times")]
    source_date_epoch: Option<u64>,
    /// Keep the times of files; without this or an epoch all times are zero.
    #[arg(long)]
    keep_times: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Packing {
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
    /// Bare tar.
    None,
}

impl From<Packing> for Compression {
    fn from(packing: Packing) -> Self {
        match packing {
            Packing::Gzip => Self::Gzip,
            Packing::Zstd => Self::Zstd,
            Packing::None => Self::None,
        }
    }
}

pub(crate) fn run(arguments: PackArguments) -> Result<(), Failure> {
    let (directory, tag) = output(&arguments.output);
    let tag = arguments.tag.clone().unwrap_or(tag);
    let clock = match (arguments.source_date_epoch, arguments.keep_times) {
        (Some(epoch), _) => Clock::NoLaterThan(epoch),
        (None, true) => Clock::Kept,
        (None, false) => Clock::Fixed(0),
    };
    let platform = arguments.platform.as_deref().map(Platform::parse).transpose()?;
    let recipe = Recipe {
        compression: arguments.compress.into(),
        clock,
        platform: platform.unwrap_or_else(Platform::usual),
        inputs: arguments.inputs.clone(),
        config: config(arguments)?,
    };
    let digest = pack(&recipe, &Layout::create(&directory)?, &tag)?;
    println!("{digest}");
    Ok(())
}

fn config(arguments: PackArguments) -> Result<Config, Failure> {
    let some = |words: Vec<String>| if words.is_empty() { None } else { Some(words) };
    let mut labels = HashMap::new();
    for label in &arguments.label {
        let (name, value) =
            label.split_once('=').ok_or_else(|| format!("label {label:?} is not NAME=VALUE"))?;
        labels.insert(name.to_owned(), value.to_owned());
    }
    if let Some(bad) = arguments.env.iter().find(|v| !v.contains('=')) {
        return Err(format!("environment variable {bad:?} is not NAME=VALUE").into());
    }
    let mut config = Config::default();
    config.set_entrypoint(some(arguments.entrypoint));
    config.set_cmd(some(arguments.cmd));
    config.set_env(some(arguments.env));
    config.set_user(arguments.user);
    config.set_working_dir(arguments.workdir);
    config.set_exposed_ports(some(arguments.expose));
    config.set_volumes(some(arguments.volume));
    config.set_labels(if labels.is_empty() { None } else { Some(labels) });
    config.set_stop_signal(arguments.stop_signal);
    Ok(config)
}
