//! `rootfs-tools recipe`: ready images, each made by a shell script that ends in `rootfs-tools pack`.
//!
//! The scripts travel inside the program. A recipe whose result is already there, made by the same script from the same
//! sources, does nothing.

use std::ffi::OsStr;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use clap::{Args, ValueEnum};

use crate::{Failure, output};

/// Make a ready image: busybox, nginx.
#[derive(Debug, Args)]
pub(crate) struct RecipeArguments {
    /// Which image.
    #[arg(value_enum)]
    name: Name,
    /// The OCI layout directory, made when missing, and the tag in it.
    #[arg(short, long, value_name = "DIR[:TAG]")]
    output: String,
    /// Where downloaded packages are kept.
    #[arg(long, value_name = "DIR", default_value = "/var/cache/rootfs-tools")]
    cache: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Debian's static busybox: sh, httpd, wget, nc and some 270 more.
    Busybox,
    /// Debian with nginx, made by debootstrap.
    Nginx,
}

pub(crate) fn run(arguments: &RecipeArguments) -> Result<(), Failure> {
    let script = match arguments.name {
        Name::Busybox => include_str!("recipes/busybox"),
        Name::Nginx => include_str!("recipes/nginx"),
    };
    // The scripts change their directory.
    let (directory, tag) = output(&arguments.output);
    let directory = std::path::absolute(directory)?;
    let cache = std::path::absolute(&arguments.cache)?;
    std::fs::create_dir_all(&directory).map_err(|err| format!("make {}: {err}", directory.display()))?;
    let program = std::env::current_exe()?;
    let words: [&OsStr; 5] =
        [OsStr::new("-eus"), OsStr::new("--"), directory.as_os_str(), tag.as_ref(), cache.as_os_str()];
    let mut child =
        Command::new("sh").args(words).env("ROOTFS_TOOLS", program).stdin(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(script.as_bytes())?;
    }
    let status = child.wait()?;
    if status.success() { Ok(()) } else { Err(format!("recipe ended with {status}").into()) }
}
