//! The part of the file that says where the credentials of task roles come from.

use std::{collections::BTreeMap, num::NonZeroU64, time::Duration};

use serde::{Deserialize, Deserializer, de::Error as _};

use super::words::AbsolutePath;
use crate::agent::RoleSource;

/// How long a program may take.
const LIMIT: u64 = 60;

/// A source for each role.
#[derive(Default)]
pub(super) struct Roles(BTreeMap<String, Source>);

impl<'de> Deserialize<'de> for Roles {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let roles: BTreeMap<String, Source> = BTreeMap::deserialize(from)?;
        let is_arn = |text: &str| text.starts_with("arn:") && text.contains(":role/");
        match roles.keys().find(|role| !is_arn(role)) {
            Some(role) => Err(D::Error::custom(format!("{role:?} is not the ARN of a role"))),
            None => Ok(Self(roles)),
        }
    }
}

impl From<Roles> for BTreeMap<String, RoleSource> {
    fn from(roles: Roles) -> Self {
        roles.0.into_iter().map(|(arn, source)| (arn, source.0)).collect()
    }
}

struct Source(RoleSource);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(rename = "static")]
    file: Option<AbsolutePath>,
    profile: Option<String>,
    credential_process: Option<Vec<String>>,
    timeout: Option<NonZeroU64>,
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match Written::deserialize(from)? {
            Written { file: Some(file), profile, credential_process: None, timeout: None } => {
                let profile = profile.unwrap_or_else(|| "default".to_owned());
                Ok(Self(RoleSource::Static { file: file.0, profile }))
            }
            Written { file: None, profile: None, credential_process: Some(command), timeout } => {
                if !command.first().is_some_and(|program| program.starts_with('/')) {
                    let why =
                        "credential_process is a list: the absolute path of a program, then its arguments";
                    return Err(D::Error::custom(why));
                }
                let limit = Duration::from_secs(timeout.map_or(LIMIT, NonZeroU64::get));
                Ok(Self(RoleSource::Process { command, limit }))
            }
            Written { .. } => Err(D::Error::custom(
                "a role has either static, a file, with its profile, or credential_process, a program, with its timeout",
            )),
        }
    }
}
