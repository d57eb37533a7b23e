//! Whether stored layers still are what was unpacked: every path of the inventory, and nothing else.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, major, minor};
use serde::{Deserialize, Serialize};

use super::{Image, ImageStore, StoreError, StoredLayer};
use crate::image::digest::{Algorithm, Hasher};
use crate::image::inventory::{self, Known};
use crate::kernel::fs::{file_type, get_xattr, open_beneath};

/// One thing that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The diffID of the layer.
    pub layer: String,
    /// The path in it; empty for the layer as a whole.
    pub path: PathBuf,
    /// What is wrong.
    pub what: String,
}

impl ImageStore {
    /// Reads every layer of `image` and its documents; an empty answer is good news.
    pub fn verify(&self, image: &Image) -> Result<Vec<Problem>, StoreError> {
        let mut problems = Vec::new();
        for digest in [&image.manifest_digest, &image.config_digest] {
            if self.read_blob(digest).is_err() {
                let what = "document is missing or damaged".to_owned();
                problems.push(Problem { layer: digest.to_string(), path: PathBuf::new(), what });
            }
        }
        for layer in &image.layers {
            problems.extend(self.verify_layer(layer));
        }
        Ok(problems)
    }

    fn verify_layer(&self, layer: &StoredLayer) -> Vec<Problem> {
        let problem = |path: &Path, what: String| Problem {
            layer: layer.diff_id.to_string(),
            path: path.to_owned(),
            what,
        };
        let inventory = self.layer_path(&layer.diff_id).join("inventory");
        let known = match inventory::read(&inventory) {
            Ok(known) => known,
            Err(err) => return vec![problem(Path::new(""), format!("read inventory: {err}"))],
        };
        let root = match File::open(&layer.path) {
            Ok(root) => OwnedFd::from(root),
            Err(err) => return vec![problem(Path::new(""), format!("open layer: {err}"))],
        };
        let mut problems = Vec::new();
        for (path, expected) in &known {
            match differs(&root, path, expected) {
                Ok(None) => {}
                Ok(Some(what)) => problems.push(problem(path, what.to_owned())),
                Err(err) if err.kind() == io::ErrorKind::NotFound => {
                    problems.push(problem(path, "missing".into()));
                }
                Err(err) => problems.push(problem(path, err.to_string())),
            }
        }
        if let Err(err) = strangers(&layer.path, Path::new(""), &known, &mut |path| {
            problems.push(problem(path, "was not in the layer".into()));
        }) {
            problems.push(problem(Path::new(""), format!("list layer: {err}")));
        }
        problems
    }
}

/// How what is at `path` differs from what was unpacked there.
fn differs(root: &OwnedFd, path: &Path, expected: &Known) -> io::Result<Option<&'static str>> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
    let fd = open_beneath(root, path, flags, Mode::empty())?;
    let stat = fstat(&fd)?;
    if expected.kind == 'h' {
        return is_same_file(root, &stat, expected);
    }
    if file_type(&stat) != type_of(expected.kind) {
        return Ok(Some("is of another kind"));
    }
    if expected.kind == 'w' {
        return Ok((stat.st_rdev != 0).then_some("is no longer a deletion"));
    }
    let is_opaque =
        || get_xattr(&fd, c"trusted.overlay.opaque").map(|value| value.is_some_and(|v| v == b"y"));
    if expected.is_opaque && !is_opaque()? {
        return Ok(Some("no longer hides the layers below"));
    }
    if expected.kind == 'i' {
        return Ok(None);
    }
    if (stat.st_mode & 0o7777, (stat.st_uid, stat.st_gid)) != (expected.mode, expected.owner)
        && expected.kind != 'l'
    {
        return Ok(Some("has another mode or owner"));
    }
    if stat.st_mtime != expected.mtime {
        return Ok(Some("was changed since"));
    }
    match expected.kind {
        'f' => file_differs(root, path, &stat, expected),
        'l' => {
            let target = readlinkat(&fd, "")?;
            Ok((target.as_bytes() != expected.detail).then_some("points elsewhere"))
        }
        'c' | 'b' => {
            let device = format!("{}:{}", major(stat.st_rdev), minor(stat.st_rdev));
            Ok((device.as_bytes() != expected.detail).then_some("is another device"))
        }
        _ => Ok(None),
    }
}

fn type_of(kind: char) -> SFlag {
    match kind {
        'd' | 'i' => SFlag::S_IFDIR,
        'l' => SFlag::S_IFLNK,
        'c' | 'w' => SFlag::S_IFCHR,
        'b' => SFlag::S_IFBLK,
        'p' => SFlag::S_IFIFO,
        _ => SFlag::S_IFREG,
    }
}

fn is_same_file(root: &OwnedFd, stat: &FileStat, expected: &Known) -> io::Result<Option<&'static str>> {
    let target = Path::new(std::ffi::OsStr::from_bytes(&expected.detail));
    let other = open_beneath(root, target, OFlag::O_PATH | OFlag::O_NOFOLLOW, Mode::empty());
    match other.and_then(fstat) {
        Ok(other) if (other.st_dev, other.st_ino) == (stat.st_dev, stat.st_ino) => Ok(None),
        // The first name may have been replaced by a later entry; the file lives on under this one.
        Ok(_) | Err(Errno::ENOENT) if stat.st_nlink >= 1 => Ok(None),
        Ok(_) => Ok(Some("is no longer the same file")),
        Err(errno) => Err(errno.into()),
    }
}

fn file_differs(
    root: &OwnedFd,
    path: &Path,
    stat: &FileStat,
    expected: &Known,
) -> io::Result<Option<&'static str>> {
    if u64::try_from(stat.st_size).ok() != Some(expected.length) {
        return Ok(Some("has another length"));
    }
    let fd = open_beneath(root, path, OFlag::O_RDONLY | OFlag::O_NOFOLLOW, Mode::empty())?;
    let mut file = File::from(fd);
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut buffer = vec![0; 1 << 17];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
    }
    Ok((hasher.finish().hex().as_bytes() != expected.detail).then_some("has other contents"))
}

/// Calls `found` with every path that the inventory does not know.
fn strangers(
    root: &Path,
    below: &Path,
    known: &BTreeMap<PathBuf, Known>,
    found: &mut dyn FnMut(&Path),
) -> io::Result<()> {
    // Listed before descending: a deep tree must not hold a descriptor for each level.
    let names: io::Result<Vec<_>> =
        std::fs::read_dir(root.join(below))?.map(|entry| entry.map(|entry| entry.file_name())).collect();
    for name in names? {
        let path = below.join(name);
        if !known.contains_key(&path) {
            found(&path);
        } else if root.join(&path).symlink_metadata()?.is_dir() {
            strangers(root, &path, known, found)?;
        }
    }
    Ok(())
}
