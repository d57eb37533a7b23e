//! The credentials of task roles: whom the operator has named for each, asked when tasks need them.
//!
//! ```text
//!   role -> file of AWS's form, for root alone     [`profile`]
//!        -> program that prints a document         [`process`]
//! ```
//!
//! All tasks of a role have the same credentials, asked for once and again before they end. They are in this process's
//! memory and in those of the shims, and no error or log says anything of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use tokio::sync::Mutex;

use super::facts::now;
use super::secrets::SecretError;
use crate::model::time::{Timestamp, date_and_time};
use crate::shim::protocol::Hidden;

mod process;
mod profile;

/// How long credentials that have no end of their own are said to hold: clients ask again before then.
const USUAL: Duration = Duration::from_secs(60 * 60);

/// Clients ask for others so long before the end, at the latest; others are here by then.
const AHEAD: Duration = Duration::from_secs(20 * 60);

/// Whom a role's credentials come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleSource {
    /// A file in the form of AWS's own credentials files.
    Static {
        /// The file, which only root may read.
        file: PathBuf,
        /// The section of it.
        profile: String,
    },
    /// A program that prints version 1 of the document of `credential_process`.
    Process {
        /// The program, by its path, and its arguments.
        command: Vec<String>,
        /// How long it may take.
        limit: Duration,
    },
}

/// Credentials as a source gives them.
pub(super) struct Keys {
    id: String,
    secret: String,
    token: Option<String>,
    until: Option<Timestamp>,
}

/// Credentials as a task is told them.
#[derive(Debug, Clone)]
pub(crate) struct Vended {
    /// The document.
    pub document: Hidden,
    /// When they end.
    pub until: Timestamp,
    /// When to ask for others.
    pub renew: Timestamp,
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RoleError {
    /// The file cannot be used.
    #[error("read the static credentials")]
    File(#[from] SecretError),
    /// The file has none.
    #[error(
        "{} has no profile [{profile}] with an aws_access_key_id and an aws_secret_access_key",
        file.display()
    )]
    Profile {
        /// The file.
        file: PathBuf,
        /// The section.
        profile: String,
    },
    /// A line of the file is not understood.
    #[error("{}:{line}: {why}", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The program cannot be run.
    #[error("run credential_process {program}")]
    Run {
        /// The program.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The program took too long.
    #[error("credential_process {program} was not done after {} s and was ended", limit.as_secs())]
    Late {
        /// The program.
        program: String,
        /// What it had.
        limit: Duration,
    },
    /// The program failed.
    #[error("credential_process {program} ended with {status}: run it by hand to see why")]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// The program printed something else.
    #[error("credential_process {program} did not print {what}")]
    Printed {
        /// The program.
        program: String,
        /// What it should have.
        what: &'static str,
    },
    /// Nobody is named for the role.
    #[error("hythe's configuration names no source of them: name one under [roles]")]
    Nobody,
    /// What came is of no use any more.
    #[error("the credentials that came have expired already")]
    Expired,
}

/// A role that has a source.
#[derive(Debug)]
struct Role {
    source: RoleSource,
    held: Mutex<Option<Vended>>,
}

/// The roles that have a source.
#[derive(Debug, Default)]
pub(crate) struct Roles(BTreeMap<String, Role>);

impl Roles {
    pub(crate) fn new(sources: BTreeMap<String, RoleSource>) -> Self {
        let role = |source| Role { source, held: Mutex::default() };
        Self(sources.into_iter().map(|(arn, source)| (arn, role(source))).collect())
    }

    /// The ARN of the role that a definition names by its ARN or by its name.
    pub(crate) fn find(&self, named: &str) -> Option<&str> {
        let is_it = |arn: &&String| {
            arn.as_str() == named || (!named.starts_with("arn:") && arn.rsplit('/').next() == Some(named))
        };
        self.0.keys().find(is_it).map(String::as_str)
    }

    /// The credentials of a role that was found: those that are here while they are fresh, else others.
    pub(crate) async fn credentials(&self, arn: &str) -> Result<Vended, RoleError> {
        let role = self.0.get(arn).ok_or(RoleError::Nobody)?;
        // Whoever comes meanwhile waits for the one answer.
        let mut held = role.held.lock().await;
        if let Some(fresh) = held.as_ref().filter(|held| now() < held.renew) {
            return Ok(fresh.clone());
        }
        let vended = role.source.ask().await?.vend(arn, now())?;
        *held = Some(vended.clone());
        Ok(vended)
    }
}

impl RoleSource {
    async fn ask(&self) -> Result<Keys, RoleError> {
        match self {
            Self::Static { file, profile } => profile::read(file, profile),
            Self::Process { command, limit } => process::run(command, *limit).await,
        }
    }
}

impl Keys {
    fn vend(self, arn: &str, now: Timestamp) -> Result<Vended, RoleError> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let until = self.until.unwrap_or(Timestamp(now.0 + millis(USUAL)));
        if until <= now {
            return Err(RoleError::Expired);
        }
        let left = until.0 - now.0;
        // Of what lives shorter than clients plan ahead, half is what can be had.
        let renew = Timestamp(until.0 - millis(AHEAD).min(left / 2));
        // A file may change at any time.
        let renew = if self.until.is_none() { Timestamp(now.0 + millis(USUAL) / 4) } else { renew };
        let document = json!({
            "RoleArn": arn,
            "AccessKeyId": self.id,
            "SecretAccessKey": self.secret,
            "Token": self.token.unwrap_or_default(),
            "Expiration": format!("{}Z", date_and_time(until.0 / 1000)),
        });
        Ok(Vended { document: Hidden::new(document.to_string()), until, renew })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(until: Option<u64>) -> Keys {
        Keys { id: "A".to_owned(), secret: "s".to_owned(), token: None, until: until.map(Timestamp) }
    }

    #[test]
    fn a_role_is_found_by_its_arn_and_by_its_name() {
        let source = RoleSource::Process { command: vec!["x".to_owned()], limit: USUAL };
        let arn = "arn:aws:iam::000000000000:role/team/app";
        let roles = Roles::new(BTreeMap::from([(arn.to_owned(), source)]));
        assert_eq!((roles.find(arn), roles.find("app")), (Some(arn), Some(arn)));
        assert_eq!((roles.find("arn:aws:iam::000000000000:role/app"), roles.find("ap")), (None, None));
    }

    #[test]
    fn others_are_asked_for_well_before_the_end() {
        const MINUTE: u64 = 60_000;
        let times = |until: Option<u64>| {
            let vended = keys(until).vend("arn", Timestamp(MINUTE)).unwrap();
            (vended.until.0 / MINUTE, vended.renew.0 / MINUTE)
        };
        assert_eq!(times(Some(361 * MINUTE)), (361, 341));
        assert_eq!(times(Some(11 * MINUTE)), (11, 6));
        assert_eq!(times(None), (61, 16));
        assert!(matches!(keys(Some(MINUTE)).vend("arn", Timestamp(MINUTE)), Err(RoleError::Expired)));
    }

    #[test]
    fn the_document_has_what_clients_read() {
        let vended = keys(Some(951_782_400_000)).vend("arn", Timestamp(0)).unwrap();
        let document: serde_json::Value = serde_json::from_str(vended.document.reveal()).unwrap();
        let expected = json!({
            "RoleArn": "arn", "AccessKeyId": "A", "SecretAccessKey": "s", "Token": "",
            "Expiration": "2000-02-29T00:00:00Z",
        });
        assert_eq!(document, expected);
        assert!(!format!("{vended:?}").contains("AccessKeyId"));
    }
}
