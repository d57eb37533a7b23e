//! Secrets of this host: what a definition names, and a directory of the operator's holds.
//!
//! ```text
//!   valueFrom                                                   file below the directory          member
//!   prod/db, /prod/db                                           prod/db
//!   arn:aws:ssm:R:A:parameter/prod/db                           prod/db
//!   arn:aws:secretsmanager:R:A:secret:prod/db-AbCdEf            prod/db-AbCdEf, else prod/db
//!   arn:aws:secretsmanager:R:A:secret:prod/db-AbCdEf:user::     the same                          user
//!   arn:aws:secretsmanager:R:A:secret:prod/db:user:AWSPREVIOUS: prod/db@AWSPREVIOUS               user
//! ```
//!
//! A file is one value; a single line end behind it is the editor's and not part of the value. Only root may be able
//! to read the file, and nobody else may change a directory on the way to it: otherwise the value is refused, because
//! somebody else may know it or have put it there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::geteuid;

use crate::image::credentials::Login;

mod name;

use name::SecretName;

/// The largest value that Secrets Manager keeps.
const LARGEST: u64 = 64 << 10;

/// The directory.
#[derive(Debug, Clone)]
pub(crate) struct SecretStore {
    directory: PathBuf,
}

/// A secret that cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    /// The name is none.
    #[error("{0:?} is neither the name nor the ARN of a secret or parameter")]
    Name(String),
    /// There is none of that name.
    #[error("there is no {}", .0.display())]
    Missing(PathBuf),
    /// Somebody else could have read or written it.
    #[error("{} {what}", path.display())]
    Loose {
        /// The file, or a directory on the way to it.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The system does not let us read it.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A variable cannot hold it.
    #[error("{} is not a text of at most 64 KiB without zero bytes", .0.display())]
    Text(PathBuf),
    /// A member is wanted of something that has none.
    #[error("{} has no member {member:?}: it should be a JSON object that has it", path.display())]
    Member {
        /// The file.
        path: PathBuf,
        /// The member.
        member: String,
    },
}

impl SecretStore {
    /// The secrets in `directory`, which need not be there.
    pub(crate) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// The value that a `valueFrom` stands for.
    pub(crate) fn value(&self, value_from: &str) -> Result<String, SecretError> {
        let name = SecretName::parse(value_from).ok_or_else(|| SecretError::Name(value_from.to_owned()))?;
        let mut missing = None;
        for relative in &name.files {
            match self.read(relative) {
                Err(SecretError::Missing(path)) => missing = Some(path),
                found => return member(found?, self.directory.join(relative), name.member.as_deref()),
            }
        }
        Err(SecretError::Missing(missing.unwrap_or_else(|| self.directory.clone())))
    }

    /// The user and password of a registry: a secret with the members `username` and `password`.
    pub(crate) fn login(&self, parameter: &str) -> Result<Login, SecretError> {
        let value = self.value(parameter)?;
        let path = self.directory.clone();
        let user = member(value.clone(), path.clone(), Some("username"))?;
        Ok(Login::Basic { user, password: member(value, path, Some("password"))? })
    }

    /// Whether the directory is as it should be; one that is not there is.
    pub(crate) fn check(&self) -> Result<(), SecretError> {
        match check_directory(&self.directory) {
            Err(SecretError::Missing(_)) => Ok(()),
            checked => checked,
        }
    }

    fn read(&self, relative: &str) -> Result<String, SecretError> {
        let mut path = self.directory.clone();
        for part in relative.split('/') {
            check_directory(&path)?;
            path.push(part);
        }
        let text = read_private(&path)?;
        Ok(text.strip_suffix('\n').map_or_else(|| text.clone(), str::to_owned))
    }
}

/// Reads a small text that only this user may read: secrets, keys.
pub(crate) fn read_private(path: &Path) -> Result<String, SecretError> {
    let failed = |source| SecretError::Read { path: path.to_owned(), source };
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits()).open(path) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            return Err(SecretError::Missing(path.to_owned()));
        }
        other => other.map_err(failed)?,
    };
    check_file(path, &file)?;
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    let is_text = bytes.len() as u64 <= LARGEST && !bytes.contains(&0);
    let text = String::from_utf8(bytes).ok().filter(|_| is_text);
    text.ok_or_else(|| SecretError::Text(path.to_owned()))
}

fn check_file(path: &Path, file: &File) -> Result<(), SecretError> {
    let loose = |what| Err(SecretError::Loose { path: path.to_owned(), what });
    let read = file.metadata().map_err(|source| SecretError::Read { path: path.to_owned(), source })?;
    if !read.is_file() {
        return loose("is not a regular file");
    }
    if read.uid() != geteuid().as_raw() {
        return loose("does not belong to the user that hythe runs as");
    }
    if read.mode() & 0o077 != 0 {
        return loose("is open to others: its mode should be 0600");
    }
    Ok(())
}

fn check_directory(path: &Path) -> Result<(), SecretError> {
    let loose = |what| Err(SecretError::Loose { path: path.to_owned(), what });
    let read = match fs::symlink_metadata(path) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            return Err(SecretError::Missing(path.to_owned()));
        }
        other => other.map_err(|source| SecretError::Read { path: path.to_owned(), source })?,
    };
    if !read.is_dir() {
        return loose("is not a directory");
    }
    if read.uid() != geteuid().as_raw() {
        return loose("does not belong to the user that hythe runs as");
    }
    if read.mode() & 0o022 != 0 {
        return loose("can be changed by others: its mode should be 0700");
    }
    Ok(())
}

/// The member of a value that is a JSON object, or the value itself.
fn member(value: String, path: PathBuf, member: Option<&str>) -> Result<String, SecretError> {
    let Some(member) = member else { return Ok(value) };
    let object: Option<serde_json::Map<String, serde_json::Value>> = serde_json::from_str(&value).ok();
    let found = object.and_then(|mut object| object.remove(member));
    let found = found.map(|found| found.as_str().map_or_else(|| found.to_string(), str::to_owned));
    found.ok_or_else(|| SecretError::Member { path, member: member.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct Safe(tempfile::TempDir);

    impl Safe {
        fn with(files: &[(&str, &str)]) -> Self {
            let safe = Self(tempfile::tempdir().unwrap());
            for (name, value) in files {
                let path = safe.0.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, value).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            }
            safe
        }

        fn value(&self, from: &str) -> Result<String, String> {
            SecretStore::new(self.0.path())
                .value(from)
                .map_err(|err| err.to_string().replace(&self.0.path().display().to_string(), "SAFE"))
        }
    }

    const ARN: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:prod/db-AbCdEf";

    #[test]
    fn a_secret_is_found_by_its_name_and_by_its_arn() {
        let safe = Safe::with(&[("prod/db", "hush\n")]);
        let parameter = "arn:aws:ssm:us-east-1:000000000000:parameter/prod/db";
        for from in ["prod/db", "/prod/db", ARN, parameter] {
            assert_eq!(safe.value(from).as_deref(), Ok("hush"), "{from}");
        }
    }

    #[test]
    fn a_member_and_a_version_can_be_asked_for() {
        let safe = Safe::with(&[
            ("prod/db", r#"{"user": "now", "port": 5432}"#),
            ("prod/db@AWSPREVIOUS", r#"{"user": "then"}"#),
        ]);
        assert_eq!(safe.value(&format!("{ARN}:user::")).as_deref(), Ok("now"));
        assert_eq!(safe.value(&format!("{ARN}:port:AWSCURRENT:")).as_deref(), Ok("5432"));
        assert_eq!(safe.value(&format!("{ARN}:user:AWSPREVIOUS:")).as_deref(), Ok("then"));
        let refused = safe.value(&format!("{ARN}:host::")).unwrap_err();
        assert_eq!(refused, "SAFE/prod/db has no member \"host\": it should be a JSON object that has it");
    }

    #[test]
    fn what_others_can_read_or_change_is_refused() {
        let safe = Safe::with(&[("open", "x"), ("way/in", "x")]);
        let chmod = |name: &str, mode| {
            fs::set_permissions(safe.0.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        chmod("open", 0o640);
        chmod("way", 0o777);
        std::os::unix::fs::symlink("open", safe.0.path().join("link")).unwrap();
        assert_eq!(safe.value("open").unwrap_err(), "SAFE/open is open to others: its mode should be 0600");
        let refused = safe.value("way/in").unwrap_err();
        assert_eq!(refused, "SAFE/way can be changed by others: its mode should be 0700");
        assert_eq!(safe.value("link").unwrap_err(), "read SAFE/link");
        assert_eq!(safe.value("way").unwrap_err(), "SAFE/way is not a regular file");
        assert_eq!(safe.value("none").unwrap_err(), "there is no SAFE/none");
    }

    #[test]
    fn a_registry_login_has_a_user_and_a_password() {
        let safe = Safe::with(&[("registry", r#"{"username": "u", "password": "p"}"#)]);
        let login = SecretStore::new(safe.0.path()).login("registry").unwrap();
        assert_eq!(login, Login::Basic { user: "u".to_owned(), password: "p".to_owned() });
    }
}
