//! The environment of a container: who wins when several name one variable.
//!
//! From the weakest to the strongest: what every container has (`PATH`, `HOSTNAME`, `TERM`), the image, environment
//! files (an earlier file beats a later one), the definition, the RunTask call, secrets. A variable keeps the place of
//! its first mention, so that two starts of one definition give the same list.
//!
//! A file is lines of `NAME=value`: the value is kept as it stands, quotes and all; a line without `=`, without a
//! name or starting with `#` is passed over. `arn:aws:s3:::BUCKET/KEY` is the file `BUCKET/KEY` in a directory of the
//! operator's.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::model::task_definition::{EnvironmentFile, KeyValue};

/// Where programs are looked for when nobody says.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// More than any environment the kernel would take.
const LARGEST_FILE: u64 = 1 << 20;

/// Names and values in order.
pub(crate) type Variables = Vec<(String, String)>;

/// Everything that has a say.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sources<'a> {
    /// The name of the host inside.
    pub hostname: &'a str,
    /// The home directory of the user, by the image's `/etc/passwd`.
    pub home: Option<&'a str>,
    /// Whether there is a terminal.
    pub terminal: bool,
    /// `NAME=value` of the image.
    pub image: &'a [String],
    /// The files, in the definition's order.
    pub files: &'a [Variables],
    /// The definition's pairs.
    pub definition: &'a [KeyValue],
    /// The RunTask call's pairs.
    pub changes: &'a [KeyValue],
    /// The secrets.
    pub secrets: &'a [(String, String)],
    /// The variables by which a container asks about itself.
    pub endpoint: &'a [(String, String)],
}

/// An environment file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnvironmentError {
    /// It is no place.
    #[error("environment file {0:?} is neither an absolute path nor the ARN of an object in a bucket")]
    NoPlace(String),
    /// It cannot be read.
    #[error("read environment file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("environment file {} is larger than 1 MiB", .0.display())]
    TooLarge(PathBuf),
}

/// The list as the kernel takes it: `NAME=value`, each name once.
#[must_use]
pub(crate) fn resolve(sources: &Sources<'_>) -> Vec<String> {
    let mut list = Variables::new();
    set(&mut list, "PATH", PATH);
    set(&mut list, "HOSTNAME", sources.hostname);
    if sources.terminal {
        set(&mut list, "TERM", "xterm");
    }
    set(&mut list, "AWS_EXECUTION_ENV", "AWS_ECS_EXTERNAL");
    for pair in sources.image {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        set(&mut list, name, value);
    }
    for (name, value) in sources.files.iter().rev().flatten() {
        set(&mut list, name, value);
    }
    for pair in sources.definition.iter().chain(sources.changes) {
        set(&mut list, &pair.name, &pair.value);
    }
    for (name, value) in sources.secrets.iter().chain(sources.endpoint) {
        set(&mut list, name, value);
    }
    if let Some(home) = sources.home
        && !list.iter().any(|(name, _)| name == "HOME")
    {
        set(&mut list, "HOME", home);
    }
    list.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

fn set(list: &mut Variables, name: &str, value: &str) {
    if name.is_empty() {
        return;
    }
    match list.iter_mut().find(|(known, _)| known == name) {
        Some((_, old)) => value.clone_into(old),
        None => list.push((name.to_owned(), value.to_owned())),
    }
}

/// Reads the files, in order; buckets are directories in `buckets`.
pub(crate) fn read_files(
    files: &[EnvironmentFile],
    buckets: &Path,
) -> Result<Vec<Variables>, EnvironmentError> {
    files.iter().map(|file| read_file(&place(&file.value, buckets)?)).collect()
}

/// Where a file is on this host.
fn place(value: &str, buckets: &Path) -> Result<PathBuf, EnvironmentError> {
    if Path::new(value).is_absolute() {
        return Ok(value.into());
    }
    let parts: Vec<&str> = value.splitn(6, ':').collect();
    let is_inside = |key: &str| key.split('/').all(|part| !matches!(part, "" | "." | ".."));
    match parts.as_slice() {
        ["arn", _, "s3", "", "", key] if key.contains('/') && is_inside(key) => Ok(buckets.join(key)),
        _ => Err(EnvironmentError::NoPlace(value.to_owned())),
    }
}

fn read_file(path: &Path) -> Result<Variables, EnvironmentError> {
    let failed = |source| EnvironmentError::Read { path: path.to_owned(), source };
    let mut text = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")));
    }
    file.take(LARGEST_FILE + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > LARGEST_FILE {
        return Err(EnvironmentError::TooLarge(path.to_owned()));
    }
    Ok(parse(&String::from_utf8_lossy(&text)))
}

/// The pairs of a file; of two lines with one name the later counts.
#[must_use]
pub(crate) fn parse(text: &str) -> Variables {
    let mut list = Variables::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some((name, value)) = line.split_once('=') {
            set(&mut list, name, value);
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> KeyValue {
        KeyValue { name: name.to_owned(), value: value.to_owned() }
    }

    fn value<'a>(list: &'a [String], name: &str) -> Option<&'a str> {
        let mut found =
            list.iter().filter_map(|pair| pair.split_once('=')).filter(|(known, _)| *known == name);
        let first = found.next().map(|(_, value)| value);
        assert!(found.next().is_none(), "{name} is there twice");
        first
    }

    #[test]
    fn each_source_beats_the_one_before() {
        let image = ["A=image".to_owned(), "B=image".to_owned(), "C=image".to_owned(), "D=image".to_owned()];
        let files = [parse("B=first\nC=first\nD=first"), parse("B=second\nE=second")];
        let list = resolve(&Sources {
            hostname: "box",
            image: &image,
            files: &files,
            definition: &[pair("C", "definition"), pair("D", "definition")],
            changes: &[pair("D", "call")],
            ..Sources::default()
        });
        let expected = [("A", "image"), ("B", "first"), ("C", "definition"), ("D", "call"), ("E", "second")];
        for (name, wanted) in expected {
            assert_eq!(value(&list, name), Some(wanted), "{name}");
        }
        assert_eq!(value(&list, "HOSTNAME"), Some("box"));
        assert_eq!(value(&list, "PATH"), Some(PATH));
        assert_eq!(value(&list, "TERM"), None);
        assert_eq!(value(&list, "HOME"), None);
    }

    #[test]
    fn the_home_of_the_user_yields_to_any_other_word() {
        let list = resolve(&Sources { home: Some("/root"), ..Sources::default() });
        assert_eq!(value(&list, "HOME"), Some("/root"));
        let image = ["HOME=/srv".to_owned()];
        let list = resolve(&Sources { home: Some("/root"), image: &image, ..Sources::default() });
        assert_eq!(value(&list, "HOME"), Some("/srv"));
    }

    #[test]
    fn a_file_is_read_to_the_letter() {
        let list = parse("# a comment\nA=1\nB=\"two words\" \n=nobody\nnothing\n C=3\nA=4=5\nEMPTY=\n");
        let expected = [("A", "4=5"), ("B", "\"two words\" "), (" C", "3"), ("EMPTY", "")];
        assert_eq!(list, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_file_that_is_not_here_is_named() {
        let file = |value: &str| [EnvironmentFile { value: value.to_owned(), kind: "s3".to_owned() }];
        let buckets = Path::new("/buckets");
        let refused = read_files(&file("arn:aws:s3:::bucket/a/app.env"), buckets).unwrap_err();
        assert_eq!(refused.to_string(), "read environment file /buckets/bucket/a/app.env");
        let refused = read_files(&file("/nowhere/app.env"), buckets).unwrap_err();
        assert_eq!(refused.to_string(), "read environment file /nowhere/app.env");
        assert!(matches!(read_files(&file("/dev/zero"), buckets), Err(EnvironmentError::Read { .. })));
        for text in ["app.env", "arn:aws:s3:::bucket", "arn:aws:s3:::../app.env", "arn:aws:ssm:::b/a.env"] {
            let refused = read_files(&file(text), buckets);
            assert!(matches!(refused, Err(EnvironmentError::NoPlace(_))), "{text}");
        }
    }
}
