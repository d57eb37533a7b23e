//! The keys of callers over TCP: a file in the form of AWS's own credentials files, with one for each caller.
//!
//! A secret that others can read is none, so the file must be its owner's alone. No message here repeats a line of it.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use crate::model::credentials::{Fault, sections};

/// Most bytes of the file.
const MOST_BYTES: u64 = 1024 * 1024;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file cannot be read.
    #[error("read keys from {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others than its owner may read or change it.
    #[error("{} has mode {mode:04o}; make it its owner's alone: chmod 600 {}", path.display(), path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It belongs to somebody else.
    #[error("{} belongs to user {uid}; it must be root's or the daemon's own: chown root {}", path.display(), path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        uid: u32,
    },
    /// A line of it is not understood.
    #[error("{}:{line}: {why}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// There is none in it.
    #[error("{} has no key; write a [name], an aws_access_key_id and an aws_secret_access_key", .0.display())]
    None(PathBuf),
}

/// A key: an id that is sent and a secret that is not.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Key {
    /// Whose it is, for the log.
    pub(super) name: String,
    pub(super) id: String,
    pub(super) secret: String,
}

/// The keys of everybody who may call.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys(Vec<Key>);

impl std::fmt::Debug for Keys {
    /// Names, never secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.name)).finish()
    }
}

impl Keys {
    /// Reads the file at `path`, which nobody but root or this process's user may read.
    pub fn load(path: &Path) -> Result<Self, KeysError> {
        let failed = |source| KeysError::Read { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let (mode, uid) = (metadata.permissions().mode() & 0o7777, metadata.uid());
        if uid != 0 && uid != nix::unistd::geteuid().as_raw() {
            return Err(KeysError::Foreign { path: path.to_owned(), uid });
        }
        if mode & 0o077 != 0 {
            return Err(KeysError::Open { path: path.to_owned(), mode });
        }
        let mut text = String::new();
        file.by_ref().take(MOST_BYTES).read_to_string(&mut text).map_err(failed)?;
        let wrong = |Fault { line, why }| KeysError::Line { path: path.to_owned(), line, why };
        let keys = parse(&text).map_err(wrong)?;
        if keys.is_empty() { Err(KeysError::None(path.to_owned())) } else { Ok(Self(keys)) }
    }

    /// The key of that id.
    pub(super) fn find(&self, id: &str) -> Option<&Key> {
        self.0.iter().find(|key| key.id == id)
    }

    /// One key, for tests that need no file.
    #[cfg(test)]
    pub(super) fn one(id: &str, secret: &str) -> Self {
        Self(vec![Key { name: "test".into(), id: id.into(), secret: secret.into() }])
    }
}

/// The keys in the text of a file.
fn parse(text: &str) -> Result<Vec<Key>, Fault> {
    let mut keys: Vec<Key> = Vec::new();
    for section in sections(text)? {
        let wrong = |why| Fault { line: section.line, why };
        let (id, secret) = section.id().zip(section.secret()).ok_or(wrong(HALF))?;
        if keys.iter().any(|key| key.id == id) {
            return Err(wrong("an aws_access_key_id is there twice"));
        }
        keys.push(Key { name: section.name.to_owned(), id: id.to_owned(), secret: secret.to_owned() });
    }
    Ok(keys)
}

const HALF: &str = "aws_access_key_id and aws_secret_access_key belong together";

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    #[test]
    fn every_section_is_a_caller_with_a_whole_key_of_its_own() {
        let whole = "[a]\naws_access_key_id=A\naws_secret_access_key=s\n";
        let keys = Keys(parse(whole).unwrap_or_default());
        assert_eq!(format!("{keys:?}"), "[\"a\"]");
        assert_eq!(keys.find("A").map(|key| key.secret.as_str()), Some("s"));
        assert!(keys.find("B").is_none());
        for (more, line) in [
            ("[b]\naws_access_key_id = B\n", 4),
            ("[b]\naws_secret_access_key = s\n", 4),
            ("[b]\naws_access_key_id=A\naws_secret_access_key=t\n", 4),
        ] {
            assert_eq!(parse(&format!("{whole}{more}")).err().map(|fault| fault.line), Some(line), "{more}");
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_and_says_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        fs::write(&path, "[ada]\naws_access_key_id = A\naws_secret_access_key = s\n").unwrap();
        for mode in [0o644, 0o640, 0o602, 0o610] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let refused = Keys::load(&path).unwrap_err().to_string();
            assert!(refused.contains(&format!("has mode {mode:04o}")), "{refused}");
            assert!(refused.contains("chmod 600"), "{refused}");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert!(Keys::load(&path).is_ok());
        fs::write(&path, "# nothing\n").unwrap();
        assert!(matches!(Keys::load(&path), Err(KeysError::None(_))));
        assert!(matches!(Keys::load(&directory.path().join("other")), Err(KeysError::Read { .. })));
    }
}
