//! A disk that a test may fill, and that only the test and what it starts can see: a small tmpfs, or a file with a file
//! system that counts projects.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use nix::{
    errno::Errno,
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
};

/// The disk, until it is given back.
pub struct Disk {
    at: PathBuf,
}

impl Disk {
    /// Moves the calling thread into a mount namespace of its own and mounts there, at `at`, what was wished for: a size
    /// such as `6m`, or `ext4` or `xfs`, of which is more than a task may fill.
    pub fn mount(at: &Path, wish: &str) -> Self {
        own_mounts();
        fs::create_dir(at).expect("a place for the disk");
        if ["ext4", "xfs"].contains(&wish) {
            let file = at.with_extension("disk");
            file_system(wish, &file, 64 << 30, "prjquota", at).expect("a disk that counts projects");
            return Self { at: at.to_owned() };
        }
        let size = wish;
        let options = format!("size={size}");
        mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))
            .expect("a tmpfs can be mounted");
        Self { at: at.to_owned() }
    }

    /// Where it is.
    pub fn at(&self) -> &Path {
        &self.at
    }

    /// Takes it away; an error when something still uses it.
    pub fn give_back(self) -> Result<(), Errno> {
        umount2(&self.at, MntFlags::empty()).inspect_err(|_| {
            let _ = umount2(&self.at, MntFlags::MNT_DETACH);
        })
    }
}

/// Moves the calling thread into a mount namespace of its own.
pub fn own_mounts() {
    unshare(CloneFlags::CLONE_NEWNS).expect("root may make a mount namespace");
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).expect("mounts can be made private");
}

/// Makes a file of so many bytes, of which few are written, into a file system with projects, and mounts it.
pub fn file_system(kind: &str, file: &Path, bytes: u64, options: &str, at: &Path) -> Result<(), String> {
    File::create(file).and_then(|file| file.set_len(bytes)).map_err(|err| err.to_string())?;
    let name = file.display().to_string();
    let make = match kind {
        "ext4" => ["mkfs.ext4", "-q", "-O", "project,quota", "-E", "quotatype=prjquota", &name].to_vec(),
        _ => vec!["mkfs.xfs", "-q", &name],
    };
    ran(&make)?;
    // Where nothing loads it by itself; built in, it is there already.
    let _ = ran(&["modprobe", "loop"]);
    let options = format!("loop,{options}");
    ran(&["mount", "-t", kind, "-o", &options, &name, &at.display().to_string()])
}

fn ran(words: &[&str]) -> Result<(), String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(words[0]);
    let output = command.args(&words[1..]).env("PATH", format!("{path}:/usr/sbin:/sbin")).output();
    let output = output.map_err(|err| format!("{}: {err}", words[0]))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ");
    if output.status.success() { Ok(()) } else { Err(format!("{}: {said}", words[0])) }
}
