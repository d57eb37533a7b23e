//! Files by name, in a directory or in a tar file that is never unpacked as a whole: its members are found once and read
//! where they lie.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::local::LocalError;
use crate::image::digest::{Algorithm, Digest, Hasher};
use crate::image::layer::{decoder, sniff};
use crate::image::manifest::{Compression, LARGEST_DOCUMENT};
use crate::model::reading;

#[derive(Debug, Clone)]
pub(super) enum Place {
    /// A directory.
    Directory(PathBuf),
    /// A tar file and where its members are.
    Tar { path: PathBuf, file: Arc<File>, members: HashMap<String, Member> },
}

#[derive(Debug, Clone)]
pub(super) enum Member {
    File { offset: u64, length: u64 },
    Link(String),
}

impl Place {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Directory(path) | Self::Tar { path, .. } => path,
        }
    }

    /// Finds the members of a tar file.
    pub(super) fn tar(path: &Path, scratch: &Path) -> Result<Self, LocalError> {
        let failed = |err| LocalError::Io(path.to_owned(), err);
        let mut file = File::open(path).map_err(failed)?;
        let mut magic = [0; 4];
        let length = file.read(&mut magic).map_err(failed)?;
        let compression = sniff(&magic[..length]);
        let mut file = File::open(path).map_err(failed)?;
        if compression != Compression::None {
            file = inflate(compression, &file, scratch).map_err(failed)?;
        }
        let members = members(&file).map_err(failed)?;
        Ok(Self::Tar { path: path.to_owned(), file: Arc::new(file), members })
    }

    pub(super) fn open(&self, name: &str) -> Result<Section, LocalError> {
        match self {
            Self::Directory(path) => {
                let path = path.join(name);
                let open = || {
                    let file = File::open(&path)?;
                    let left = file.metadata()?.len();
                    Ok(Section { file: Arc::new(file), offset: 0, left })
                };
                open().map_err(|err: io::Error| {
                    if err.kind() == io::ErrorKind::NotFound && self.path().exists() {
                        LocalError::Missing(self.path().to_owned(), name.to_owned())
                    } else {
                        LocalError::Io(path.clone(), err)
                    }
                })
            }
            Self::Tar { file, members, .. } => {
                let mut name = name.to_owned();
                for _ in 0..8 {
                    match members.get(&name) {
                        Some(Member::File { offset, length }) => {
                            return Ok(Section { file: file.clone(), offset: *offset, left: *length });
                        }
                        Some(Member::Link(target)) => name.clone_from(target),
                        None => break,
                    }
                }
                Err(LocalError::Missing(self.path().to_owned(), name))
            }
        }
    }

    pub(super) fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, LocalError> {
        let section = self.open(name)?;
        let failed = |err| LocalError::Io(self.path().join(name), err);
        if section.left > limit {
            return Err(failed(io::ErrorKind::FileTooLarge.into()));
        }
        let mut bytes = Vec::new();
        let mut section = section;
        section.read_to_end(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    pub(super) fn parse<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, LocalError> {
        let bytes = self.read(name, LARGEST_DOCUMENT)?;
        reading::from_slice(&bytes)
            .map_err(|err| LocalError::Parse(self.path().to_owned(), name.to_owned(), err))
    }

    /// Digest, length and media type of a layer in docker's archive. A bare tar has its diffID for a digest.
    pub(super) fn describe(
        &self,
        name: &str,
        diff_id: Option<Digest>,
    ) -> Result<(Digest, u64, &'static str), LocalError> {
        let section = self.open(name)?;
        let failed = |err| LocalError::Io(self.path().join(name), err);
        let mut magic = [0; 4];
        let length = section.clone().read(&mut magic).map_err(failed)?;
        let compression = sniff(&magic[..length]);
        let media_type = match compression {
            Compression::None => "application/vnd.oci.image.layer.v1.tar",
            Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Compression::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        };
        let size = section.left;
        match diff_id {
            Some(diff_id) if compression == Compression::None => Ok((diff_id, size, media_type)),
            Some(_) | None => Ok((section.digest().map_err(failed)?, size, media_type)),
        }
    }
}

/// Part of a file, read without moving anybody's offset.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    file: Arc<File>,
    offset: u64,
    left: u64,
}

impl Section {
    fn digest(mut self) -> io::Result<Digest> {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        let mut buffer = vec![0; 1 << 17];
        loop {
            match self.read(&mut buffer)? {
                0 => return Ok(hasher.finish()),
                read => hasher.update(&buffer[..read]),
            }
        }
    }
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.file.read_at(&mut buffer[..wanted], self.offset)?;
        self.offset += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

/// Decompresses into a file that has no name and goes with its last reader.
fn inflate(compression: Compression, packed: &File, scratch: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    let mut plain = options.read(true).write(true).custom_flags(nix::libc::O_TMPFILE).open(scratch)?;
    io::copy(&mut decoder(compression, packed)?, &mut plain)?;
    io::Seek::rewind(&mut plain)?;
    Ok(plain)
}

fn members(file: &File) -> io::Result<HashMap<String, Member>> {
    let mut archive = tar::Archive::new(io::BufReader::new(file.try_clone()?));
    let mut members = HashMap::new();
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
        let kind = entry.header().entry_type();
        if kind.is_file() {
            members.insert(name, Member::File { offset: entry.raw_file_position(), length: entry.size() });
        } else if let Some(target) =
            entry.link_name_bytes().filter(|_| kind.is_symlink() || kind.is_hard_link())
        {
            let target = String::from_utf8_lossy(&target).into_owned();
            let target = if kind.is_symlink() { beside(&name, &target) } else { target };
            members.insert(name, Member::Link(target));
        }
    }
    Ok(members)
}

/// `target` as seen from `name`: docker points one layer's file at another's with `../other/layer.tar`.
fn beside(name: &str, target: &str) -> String {
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            other => parts.push(other),
        }
    }
    parts.join("/")
}
