//! The offline door to `src/image`: make, pull, unpack, pack, verify, push and mount root filesystems.
//!
//! Every command does one thing with one image and needs no daemon. Commands that keep something use a store
//! directory, which may be the daemon's own: the store is safe to share between processes.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use hythe::model::report::chain;

mod mount;
mod pack;
mod progress;
mod recipe;
mod store;

/// Make, pull, unpack, pack, verify, push and mount root filesystems without a daemon.
#[derive(Debug, Parser)]
#[command(name = "rootfs-tools", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an OCI image of directories and tar files, each a layer.
    Pack(pack::PackArguments),
    /// Make a ready image: busybox, nginx.
    Recipe(recipe::RecipeArguments),
    /// Fetch an image into a store.
    Pull(store::PullArguments),
    /// List stored images.
    Ls(store::ListArguments),
    /// Check the layers of stored images against what was unpacked.
    Verify(store::VerifyArguments),
    /// Unpack an image into a directory as one flat tree.
    Unpack(store::UnpackArguments),
    /// Send an image from an OCI layout to a registry.
    Push(store::PushArguments),
    /// Mount an image.
    Mount(mount::MountArguments),
    /// Unmount an image.
    Umount(mount::UmountArguments),
}

/// Any failure, already told in full by its chain.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Pack(arguments) => pack::run(arguments),
        Command::Recipe(arguments) => recipe::run(&arguments),
        Command::Pull(arguments) => store::pull(&arguments),
        Command::Ls(arguments) => store::list(&arguments),
        Command::Verify(arguments) => store::verify(&arguments),
        Command::Unpack(arguments) => store::unpack(&arguments),
        Command::Push(arguments) => store::send(&arguments),
        Command::Mount(arguments) => mount::run(&arguments),
        Command::Umount(arguments) => mount::undo(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("rootfs-tools: {}", chain(&*failure));
            ExitCode::FAILURE
        }
    }
}

/// `DIR[:TAG]` as a user writes an output.
fn output(text: &str) -> (PathBuf, String) {
    match text.rsplit_once(':').filter(|(_, tag)| !tag.is_empty() && !tag.contains('/')) {
        Some((directory, tag)) => (directory.into(), tag.to_owned()),
        None => (text.into(), "latest".to_owned()),
    }
}
