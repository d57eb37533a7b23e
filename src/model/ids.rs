//! Names and identifiers, parsed once.
//!
//! A value of one of these types is well formed by construction, deserialised ones included. The rules are those
//! of the ECS service model; ids that hythe makes itself are built from random bytes that the caller supplies,
//! because this room has no source of randomness.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A name or an identifier that does not have its form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} is not valid: {rule}")]
pub struct BadName {
    /// What the text was meant to be, such as `cluster name`.
    pub what: &'static str,
    /// The text as it was given.
    pub text: String,
    /// The rule it breaks.
    pub rule: &'static str,
}

const NAME_RULE: &str = "1 to 255 letters, digits, hyphens and underscores";

fn is_name(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn is_task_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn is_deployment_id(text: &str) -> bool {
    text.strip_prefix("ecs-svc/")
        .is_some_and(|digits| digits.len() == 19 && digits.bytes().all(|b| b.is_ascii_digit()))
}

fn is_revision_id(text: &str) -> bool {
    text.len() == 19 && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_record_id(text: &str) -> bool {
    text.len() == 21 && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path, $rule:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// Takes `text` if it has the form, and says which rule it breaks otherwise.
            pub fn parse(text: impl Into<String>) -> Result<Self, BadName> {
                let text = text.into();
                if $check(&text) { Ok(Self(text.into())) } else { Err(BadName { what: $what, text, rule: $rule }) }
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;

            fn try_from(text: String) -> Result<Self, BadName> {
                Self::parse(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.into()
            }
        }

        impl std::str::FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, BadName> {
                Self::parse(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

text_type!(
    /// The name of a cluster.
    ClusterName, "cluster name", is_name, NAME_RULE
);
text_type!(
    /// The name of a service, unique in its cluster while the service is not INACTIVE.
    ServiceName, "service name", is_name, NAME_RULE
);
text_type!(
    /// The family of a task definition: the name that its revisions share.
    Family, "task definition family", is_name, NAME_RULE
);
text_type!(
    /// The name of a container, unique in its task definition.
    ContainerName, "container name", is_name, NAME_RULE
);
text_type!(
    /// The name of a volume in a task definition.
    VolumeName, "volume name", is_name, NAME_RULE
);
text_type!(
    /// A task: 32 lowercase hexadecimal digits.
    TaskId, "task id", is_task_id, "32 lowercase hexadecimal digits"
);
text_type!(
    /// A container instance, that is, this host as one cluster sees it: 32 lowercase hexadecimal digits.
    InstanceId, "container instance id", is_task_id, "32 lowercase hexadecimal digits"
);
text_type!(
    /// A deployment of a service: `ecs-svc/` and 19 digits.
    DeploymentId, "deployment id", is_deployment_id, "ecs-svc/ and 19 digits"
);

text_type!(
    /// A revision of a service: 19 digits, those of the deployment that brought it.
    RevisionId, "service revision id", is_revision_id, "19 digits"
);
text_type!(
    /// The record of a deployment: 21 letters and digits.
    RecordId, "service deployment id", is_record_id, "21 letters and digits"
);

impl TaskId {
    /// The id that these random bytes make.
    #[must_use]
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(hex(bytes).into())
    }

    /// The first eight digits, what people type and tables show.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..8]
    }
}

impl InstanceId {
    /// The id that these random bytes make.
    #[must_use]
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(hex(bytes).into())
    }
}

impl DeploymentId {
    /// The id that this random number makes.
    #[must_use]
    pub fn from_random(number: u64) -> Self {
        Self(format!("ecs-svc/{:019}", number % 10_000_000_000_000_000_000).into())
    }

    /// The 19 digits.
    #[must_use]
    pub fn digits(&self) -> &str {
        self.0.strip_prefix("ecs-svc/").unwrap_or(&self.0)
    }
}

impl RevisionId {
    /// The revision that a deployment brings.
    #[must_use]
    pub fn of(deployment: &DeploymentId) -> Self {
        Self(deployment.digits().into())
    }
}

impl RecordId {
    /// The record of a deployment. It follows from the deployment's id, so one id leads to the other.
    #[must_use]
    pub fn of(deployment: &DeploymentId) -> Self {
        const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        let mut mixed = deployment.digits().bytes().fold(0_u128, |number, digit| {
            (number ^ u128::from(digit)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
        });
        let text = (0..21).map(|_| {
            let digit = usize::try_from(mixed % 36).unwrap_or_default();
            mixed /= 36;
            char::from(DIGITS[digit])
        });
        Self(text.collect::<String>().into())
    }
}

fn hex(bytes: [u8; 16]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(32), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// One revision of a task definition: `family:revision`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TaskDefinitionId {
    /// The family.
    pub family: Family,
    /// The revision, from 1, never reused.
    pub revision: u32,
}

impl TaskDefinitionId {
    /// Reads `family:revision`.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let bad = || BadName { what: "task definition", text: text.to_owned(), rule: "family:revision" };
        let (family, revision) = text.rsplit_once(':').ok_or_else(bad)?;
        let revision = revision.parse().ok().filter(|&number| number > 0).ok_or_else(bad)?;
        Ok(Self { family: Family::parse(family)?, revision })
    }
}

impl fmt::Display for TaskDefinitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.family, self.revision)
    }
}

impl TryFrom<String> for TaskDefinitionId {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        Self::parse(&text)
    }
}

impl From<TaskDefinitionId> for String {
    fn from(id: TaskDefinitionId) -> String {
        id.to_string()
    }
}

/// Sixteen random bytes as a UUID.
#[must_use]
pub fn uuid(bytes: [u8; 16]) -> String {
    let number = u128::from_be_bytes(bytes);
    // Version 4, variant 1.
    let number = (number & !(0xf << 76) | (0x4 << 76)) & !(0x3 << 62) | (0x2 << 62);
    let digits = format!("{number:032x}");
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_slash_is_refused_and_says_why() {
        let refused = ClusterName::parse("a/b").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "cluster name \"a/b\" is not valid: 1 to 255 letters, digits, hyphens and underscores"
        );
    }

    #[test]
    fn ids_made_from_random_bytes_parse_again() {
        let task = TaskId::from_random([0xa5; 16]);
        assert_eq!(TaskId::parse(task.as_str()), Ok(task));
        let deployment = DeploymentId::from_random(u64::MAX);
        assert_eq!(DeploymentId::parse(deployment.as_str()), Ok(deployment));
    }

    #[test]
    fn a_deployment_leads_to_its_revision_and_its_record() {
        let records = (0..1000).map(|number| RecordId::of(&DeploymentId::from_random(number)));
        assert_eq!(records.clone().collect::<std::collections::BTreeSet<_>>().len(), 1000);
        assert!(records.into_iter().all(|id| RecordId::parse(id.as_str()).is_ok()));
        let deployment = DeploymentId::from_random(7);
        assert_eq!(RevisionId::of(&deployment).as_str(), "0000000000000000007");
    }

    #[test]
    fn a_revision_starts_at_one() {
        assert!(TaskDefinitionId::parse("web:0").is_err());
        assert_eq!(TaskDefinitionId::parse("web:12").unwrap().to_string(), "web:12");
    }

    #[test]
    fn a_uuid_says_that_it_is_random() {
        assert_eq!(uuid([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(uuid([0; 16]), "00000000-0000-4000-8000-000000000000");
    }
}
