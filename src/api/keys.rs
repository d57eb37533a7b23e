//! The keys of callers over TCP: a file in the form of AWS's own credentials files.
//!
//! ```text
//!   [ada]
//!   aws_access_key_id = AKIDEXAMPLE
//!   aws_secret_access_key = …
//! ```
//!
//! A secret that others can read is none, so the file must be its owner's alone. No message here repeats a line of it.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

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
        let keys =
            parse(&text).map_err(|(line, why)| KeysError::Line { path: path.to_owned(), line, why })?;
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

/// The keys in the text of a file, or the line that is wrong and why.
fn parse(text: &str) -> Result<Vec<Key>, (usize, &'static str)> {
    let mut keys: Vec<Key> = Vec::new();
    let mut begun = 0;
    let is_whole = |key: Option<&Key>| key.is_none_or(|key| !key.id.is_empty() && !key.secret.is_empty());
    for (index, line) in text.lines().enumerate() {
        let (number, line) = (index + 1, line.trim());
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            if !is_whole(keys.last()) {
                return Err((begun, HALF));
            }
            begun = number;
            keys.push(Key { name: name.trim().to_owned(), id: String::new(), secret: String::new() });
            continue;
        }
        let (name, value) = line.split_once('=').ok_or((number, "a line is NAME = VALUE or [NAME]"))?;
        let key = keys.last_mut().ok_or((number, "a [NAME] comes before its key"))?;
        match name.trim().to_ascii_lowercase().as_str() {
            "aws_access_key_id" => value.trim().clone_into(&mut key.id),
            "aws_secret_access_key" => value.trim().clone_into(&mut key.secret),
            // Files of clients hold more: a region, an output format.
            _ => {}
        }
    }
    if !is_whole(keys.last()) {
        return Err((begun, HALF));
    }
    let is_again = |index: usize| keys[..index].iter().any(|key| key.id == keys[index].id);
    if (0..keys.len()).any(is_again) {
        return Err((begun, "an aws_access_key_id is there twice"));
    }
    Ok(keys)
}

const HALF: &str = "aws_access_key_id and aws_secret_access_key belong together";

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    #[test]
    fn the_files_of_clients_are_read() {
        let text = "# who\n[ada]\naws_access_key_id = A\naws_secret_access_key=s=1\nregion = x\n\n[eve]\n\
                    AWS_ACCESS_KEY_ID=E\naws_secret_access_key = t\n";
        let keys = Keys(parse(text).unwrap_or_default());
        assert_eq!(format!("{keys:?}"), "[\"ada\", \"eve\"]");
        assert_eq!(keys.find("A").map(|key| key.secret.as_str()), Some("s=1"));
        assert!(keys.find("B").is_none());
    }

    #[test]
    fn what_is_no_key_is_refused_by_its_line_without_repeating_it() {
        for (text, line) in [
            ("nonsense", 1),
            ("aws_access_key_id = A", 1),
            ("[ada]\naws_access_key_id = A\n\n[eve]\n", 1),
            ("[ada]\naws_secret_access_key = s", 1),
            (
                "[a]\naws_access_key_id=A\naws_secret_access_key=s\n[b]\naws_access_key_id=A\naws_secret_access_key=s",
                4,
            ),
        ] {
            assert_eq!(parse(text).err().map(|(line, _)| line), Some(line), "{text}");
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
