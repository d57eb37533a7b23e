//! An expression of the cluster query language: `SUBJECT OPERATOR [ARGUMENT]`, joined by and, or, not.
//!
//! What has several values (the groups of an instance's tasks) meets a comparison when one of them does. An operator
//! with a `!` is the opposite of the one without, also for an attribute that is not there.

use std::{cmp::Ordering, collections::BTreeSet, fmt};

use regex_lite::Regex;

use super::Candidate;
use crate::model::cluster::Attribute;

/// A condition on a container instance.
#[derive(Clone, Debug)]
pub enum Expression {
    /// Both hold.
    And(Box<Expression>, Box<Expression>),
    /// One of them holds.
    Or(Box<Expression>, Box<Expression>),
    /// It does not hold.
    Not(Box<Expression>),
    /// Something about the instance compares so.
    Is(Subject, Test),
}

/// What is compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// Whether the daemon is there; it always is.
    AgentConnected,
    /// The release of hythe.
    AgentVersion,
    /// An attribute's value.
    Attribute(String),
    /// The id of the host; the container instance's own, because there is no other.
    InstanceId,
    /// When it was registered, in seconds since 1970.
    RegisteredAt,
    /// How many tasks run there.
    RunningTasksCount,
    /// The groups of its tasks.
    TaskGroup,
}

/// How it is compared.
#[derive(Clone, Debug)]
pub enum Test {
    /// It has a value at all.
    Exists,
    /// It is equal.
    Equals(String),
    /// It is less or greater, or equal where that is allowed.
    Order(Ordering, bool, String),
    /// It is one of these.
    In(Vec<String>),
    /// The whole of it matches a regular expression.
    Matches(Regex),
}

impl Expression {
    /// Whether `candidate` meets it.
    #[must_use]
    pub fn holds(&self, candidate: &Candidate<'_>) -> bool {
        match self {
            Self::And(one, other) => one.holds(candidate) && other.holds(candidate),
            Self::Or(one, other) => one.holds(candidate) || other.holds(candidate),
            Self::Not(inner) => !inner.holds(candidate),
            Self::Is(subject, test) => {
                subject.values(candidate).iter().any(|value| test.holds(value.as_deref()))
            }
        }
    }

    /// What `candidate` has of everything that it asks for: `attribute:rack is 7, task:group is nothing`.
    #[must_use]
    pub fn found(&self, candidate: &Candidate<'_>) -> String {
        let told = self.subjects().into_iter().map(|subject| {
            let values: Vec<String> =
                subject.values(candidate).into_iter().map(Option::unwrap_or_default).collect();
            let values = if values.is_empty() { "nothing".to_owned() } else { values.join(" ") };
            format!("{subject} is {values}")
        });
        told.collect::<Vec<_>>().join(", ")
    }

    fn subjects(&self) -> BTreeSet<&Subject> {
        match self {
            Self::And(one, other) | Self::Or(one, other) => &one.subjects() | &other.subjects(),
            Self::Not(inner) => inner.subjects(),
            Self::Is(subject, _) => BTreeSet::from([subject]),
        }
    }

    /// Whether tasks that come and go change what it says.
    #[must_use]
    pub fn is_about_tasks(&self) -> bool {
        match self {
            Self::And(one, other) | Self::Or(one, other) => one.is_about_tasks() || other.is_about_tasks(),
            Self::Not(inner) => inner.is_about_tasks(),
            Self::Is(subject, _) => match subject {
                Subject::RunningTasksCount | Subject::TaskGroup => true,
                Subject::AgentConnected
                | Subject::AgentVersion
                | Subject::Attribute(_)
                | Subject::InstanceId
                | Subject::RegisteredAt => false,
            },
        }
    }
}

impl fmt::Display for Subject {
    /// As it is written in an expression.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AgentConnected => f.write_str("agentConnected"),
            Self::AgentVersion => f.write_str("agentVersion"),
            Self::Attribute(name) => write!(f, "attribute:{name}"),
            Self::InstanceId => f.write_str("ec2InstanceId"),
            Self::RegisteredAt => f.write_str("registeredAt"),
            Self::RunningTasksCount => f.write_str("runningTasksCount"),
            Self::TaskGroup => f.write_str("task:group"),
        }
    }
}

impl Subject {
    /// What an instance has of it: none, one or several; an attribute may be there without a value.
    fn values(&self, candidate: &Candidate<'_>) -> Vec<Option<String>> {
        match self {
            Self::AgentConnected => vec![Some("true".to_owned())],
            Self::AgentVersion => vec![Some(candidate.version.to_owned())],
            Self::Attribute(name) => {
                let of_it = |attribute: &&Attribute| attribute.name == *name;
                candidate.attributes.iter().filter(of_it).map(|attribute| attribute.value.clone()).collect()
            }
            Self::InstanceId => vec![Some(candidate.instance.to_string())],
            Self::RegisteredAt => vec![Some((candidate.registered_at.0 / 1000).to_string())],
            Self::RunningTasksCount => vec![Some(candidate.running.to_string())],
            Self::TaskGroup => candidate.groups.iter().cloned().map(Some).collect(),
        }
    }
}

impl Test {
    /// Whether one value passes; none is that of an attribute that has only a name.
    fn holds(&self, value: Option<&str>) -> bool {
        let Some(value) = value else {
            return match self {
                Self::Exists => true,
                Self::Equals(_) | Self::Order(..) | Self::In(_) | Self::Matches(_) => false,
            };
        };
        match self {
            Self::Exists => true,
            Self::Equals(wanted) => value == wanted,
            Self::Order(side, or_equal, wanted) => {
                let found = compare(value, wanted);
                found == *side || (*or_equal && found == Ordering::Equal)
            }
            Self::In(list) => list.iter().any(|wanted| value == wanted),
            Self::Matches(pattern) => pattern.is_match(value),
        }
    }
}

/// Numbers and versions compare as such, everything else by its letters.
fn compare(one: &str, other: &str) -> Ordering {
    let numbers =
        |text: &str| text.split('.').map(|part| part.parse::<u64>().ok()).collect::<Option<Vec<u64>>>();
    match (numbers(one), numbers(other)) {
        (Some(one), Some(other)) => one.cmp(&other),
        (Some(_) | None, Some(_) | None) => one.cmp(other),
    }
}
