//! Who to be to a registry: docker's `config.json` and its credential helpers.
//!
//! A helper for the host comes first, then the general one, then what the file itself holds. Running
//! `docker-credential-NAME get` is the only program this room ever starts. Identity tokens of docker's own login flow are
//! refused by name, as nothing here could refresh them.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine;
use serde::Deserialize;

use crate::model::reading;

/// What a registry is told.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// Nothing.
    Anonymous,
    /// Name and password, also to get a token with.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// A token as it is.
    Token(String),
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Basic { user, .. } => write!(f, "Basic({user}, …)"),
            Self::Token(_) => f.write_str("Token(…)"),
        }
    }
}

/// Why credentials could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The file could not be read.
    #[error("read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// The file is not what docker writes.
    #[error("parse {}", .0.display())]
    Parse(PathBuf, #[source] serde_json::Error),
    /// An entry does not decode to `user:password`.
    #[error("credentials for {0} are not user:password in base64")]
    Entry(String),
    /// A login that needs docker itself.
    #[error("credentials for {0} are an identity token, which only docker can use")]
    IdentityToken(String),
    /// A helper with a path for a name.
    #[error("credential helper {0:?} is no plain name")]
    HelperName(String),
    /// A helper could not be run.
    #[error("run docker-credential-{0}")]
    Helper(String, #[source] io::Error),
    /// A helper failed.
    #[error("docker-credential-{0} failed: {1}")]
    HelperFailed(String, String),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct DockerConfig {
    auths: HashMap<String, Entry>,
    creds_store: Option<String>,
    cred_helpers: HashMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Where docker keeps its file for the current user.
pub fn default_config() -> Option<PathBuf> {
    let directory = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let directory = directory.or_else(|| std::env::home_dir().map(|home| home.join(".docker")));
    Some(directory?.join("config.json"))
}

/// What `config` says for `host`. A file that does not exist says nothing.
pub fn lookup(config: &Path, host: &str) -> Result<Login, CredentialsError> {
    let bytes = match fs::read(config) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Login::Anonymous),
        other => other.map_err(|err| CredentialsError::Read(config.to_owned(), err))?,
    };
    let config: DockerConfig =
        reading::from_slice(&bytes).map_err(|err| CredentialsError::Parse(config.to_owned(), err))?;
    // The hub is filed under the address of its first version.
    let key = if host == "docker.io" { "https://index.docker.io/v1/" } else { host };
    let own = config.cred_helpers.iter().find(|(name, _)| is_host(name, host)).map(|(_, helper)| helper);
    if let Some(helper) = own.or(config.creds_store.as_ref()).filter(|name| !name.is_empty()) {
        let login = ask(helper, key)?;
        if login != Login::Anonymous || own.is_some() {
            return Ok(login);
        }
    }
    let entry = config
        .auths
        .get(key)
        .or_else(|| config.auths.iter().find(|(name, _)| is_host(name, host)).map(|(_, entry)| entry));
    entry.map_or(Ok(Login::Anonymous), |entry| of_entry(entry, host))
}

/// Keys are hosts, addresses, or addresses with an API version.
fn is_host(key: &str, host: &str) -> bool {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let bare = bare.split('/').next().unwrap_or(bare);
    bare == host || host == "docker.io" && matches!(bare, "index.docker.io" | "registry-1.docker.io")
}

fn of_entry(entry: &Entry, host: &str) -> Result<Login, CredentialsError> {
    if let Some(token) = entry.registrytoken.as_ref().filter(|token| !token.is_empty()) {
        return Ok(Login::Token(token.clone()));
    }
    if entry.identitytoken.as_ref().is_some_and(|token| !token.is_empty()) {
        return Err(CredentialsError::IdentityToken(host.to_owned()));
    }
    if let (Some(user), Some(password)) = (&entry.username, &entry.password) {
        return Ok(Login::Basic { user: user.clone(), password: password.clone() });
    }
    let Some(auth) = entry.auth.as_ref().filter(|auth| !auth.is_empty()) else { return Ok(Login::Anonymous) };
    let decoded = base64::engine::general_purpose::STANDARD.decode(auth.trim());
    let decoded = decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = decoded.as_deref().and_then(|text| text.trim_end_matches('\0').split_once(':'));
    let (user, password) = pair.ok_or_else(|| CredentialsError::Entry(host.to_owned()))?;
    Ok(Login::Basic { user: user.to_owned(), password: password.to_owned() })
}

fn ask(helper: &str, key: &str) -> Result<Login, CredentialsError> {
    if !helper.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
        return Err(CredentialsError::HelperName(helper.to_owned()));
    }
    let failed = |err| CredentialsError::Helper(helper.to_owned(), err);
    let mut command = Command::new(format!("docker-credential-{helper}"));
    let command = command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read is one that will say why.
        let _ = stdin.write_all(key.as_bytes());
    }
    let output = child.wait_with_output().map_err(failed)?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        if text.contains("credentials not found") {
            return Ok(Login::Anonymous);
        }
        return Err(CredentialsError::HelperFailed(helper.to_owned(), text.trim().to_owned()));
    }
    let answer: Answer = reading::from_str(&text)
        .map_err(|err| CredentialsError::HelperFailed(helper.to_owned(), err.to_string()))?;
    if answer.username == "<token>" {
        return Err(CredentialsError::IdentityToken(key.to_owned()));
    }
    Ok(Login::Basic { user: answer.username, password: answer.secret })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str, host: &str) -> Result<Login, CredentialsError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        fs::write(&path, json).unwrap();
        lookup(&path, host)
    }

    fn basic(user: &str, password: &str) -> Login {
        Login::Basic { user: user.into(), password: password.into() }
    }

    #[test]
    fn keys_match_as_hosts_and_as_addresses() {
        let json = r#"{"auths":{"https://a.example/v2/":{"auth":"dTpw"},"b.example:5000":{"auth":"dTpwOjE="},
                       "https://index.docker.io/v1/":{"username":"h","password":"q"}}}"#;
        assert_eq!(of(json, "a.example").unwrap(), basic("u", "p"));
        assert_eq!(of(json, "b.example:5000").unwrap(), basic("u", "p:1"));
        assert_eq!(of(json, "docker.io").unwrap(), basic("h", "q"));
        assert_eq!(of(json, "b.example").unwrap(), Login::Anonymous);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let json =
            r#"{"auths":{"a.b":{"identitytoken":"x"},"c.d":{"auth":"!!"}},"credHelpers":{"e.f":"../sh"}}"#;
        assert!(matches!(of(json, "a.b"), Err(CredentialsError::IdentityToken(_))));
        assert!(matches!(of(json, "c.d"), Err(CredentialsError::Entry(_))));
        assert!(matches!(of(json, "e.f"), Err(CredentialsError::HelperName(_))));
    }

    #[test]
    fn no_file_is_no_login() {
        assert_eq!(lookup(Path::new("/nonexistent/config.json"), "a.b").unwrap(), Login::Anonymous);
    }
}
