//! Rules about where a task may run, and whether a container instance meets them.
//!
//! ```text
//!   distinctInstance            no other task of the same group
//!   memberOf EXPRESSION         the instance is what the expression says, in the cluster query language
//! ```
//!
//! On one host a rule is a yes or a no. The language is in [`Expression`]; what it may ask for is a [`Candidate`].

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

use super::{cluster::Attribute, ids::InstanceId, time::Timestamp};

mod expression;
mod parse;

pub use self::{expression::Expression, parse::BadExpression};

/// Most characters of an expression.
pub const MOST_CHARACTERS: usize = 2000;

/// Most rules of one task, those of its definition included.
pub const MOST_CONSTRAINTS: usize = 10;

/// What a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ConstraintKind {
    /// No other task of the group runs there.
    DistinctInstance,
    /// The instance meets an expression.
    MemberOf,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlacementConstraint {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: ConstraintKind,
    /// What `memberOf` asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
}

/// What is preferred of instances that all meet the rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlacementStrategy {
    /// How to choose.
    #[serde(rename = "type")]
    pub kind: StrategyKind,
    /// By what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

/// How to choose among instances. Of one host there is nothing to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StrategyKind {
    /// By chance.
    Random,
    /// As many to each value of the field.
    Spread,
    /// The one with the least left of the field.
    Binpack,
}

/// A rule that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadConstraint {
    /// `memberOf` without an expression.
    #[error("memberOf needs an expression, such as attribute:ecs.os-type == linux")]
    NoExpression,
    /// `distinctInstance` with one.
    #[error("distinctInstance takes no expression, and '{0}' is given")]
    Expression(String),
    /// An expression that is too long.
    #[error("an expression has at most {MOST_CHARACTERS} characters, and this has {0}")]
    TooLong(usize),
    /// An expression that is none.
    #[error(transparent)]
    Unreadable(#[from] BadExpression),
}

/// A rule that an instance does not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unmet {
    /// A task of the group is there.
    DistinctInstance,
    /// It is not what the expression says.
    MemberOf,
}

impl Unmet {
    /// The reason in an ECS `failures` entry, and what its events quote.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::DistinctInstance => "DistinctInstance placement constraint unsatisfied.",
            Self::MemberOf => "MemberOf placement constraint unsatisfied.",
        }
    }
}

impl fmt::Display for Unmet {
    /// What ECS writes after `The closest matching (container-instance ID)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "encountered error \"{}\"", self.reason())
    }
}

/// What a rule may ask of a container instance.
pub struct Candidate<'a> {
    /// What it is called by, its own attributes included.
    pub attributes: Vec<Attribute>,
    /// Its id.
    pub instance: &'a InstanceId,
    /// The release that runs there.
    pub version: &'a str,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// How many tasks run there.
    pub running: u32,
    /// The groups of the tasks that run there or are to.
    pub groups: BTreeSet<String>,
}

impl PlacementStrategy {
    /// What its field may be, where it is something else.
    #[must_use]
    pub fn fault(&self) -> Option<&'static str> {
        let field = self.field.as_deref();
        match self.kind {
            StrategyKind::Random => field.map(|_| "random takes no field"),
            StrategyKind::Spread => {
                let fits = |field: &str| {
                    ["instanceId", "host"].contains(&field)
                        || field.strip_prefix("attribute:").is_some_and(|name| !name.is_empty())
                };
                (!field.is_some_and(fits)).then_some("spread takes instanceId, host or attribute:NAME")
            }
            StrategyKind::Binpack => {
                let fits = field.is_some_and(|field| ["cpu", "memory"].contains(&field));
                (!fits).then_some("binpack takes cpu or memory")
            }
        }
    }
}

impl PlacementConstraint {
    /// Whether it can be; the expression of `memberOf`.
    pub fn read(&self) -> Result<Option<Expression>, BadConstraint> {
        match (self.kind, &self.expression) {
            (ConstraintKind::DistinctInstance, None) => Ok(None),
            (ConstraintKind::DistinctInstance, Some(text)) => Err(BadConstraint::Expression(text.clone())),
            (ConstraintKind::MemberOf, None) => Err(BadConstraint::NoExpression),
            (ConstraintKind::MemberOf, Some(text)) => {
                let length = text.chars().count();
                if length > MOST_CHARACTERS {
                    return Err(BadConstraint::TooLong(length));
                }
                Ok(Some(Expression::parse(text)?))
            }
        }
    }

    /// Whether tasks that come and go change whether it is met.
    #[must_use]
    pub fn is_about_tasks(&self) -> bool {
        match self.kind {
            ConstraintKind::DistinctInstance => true,
            ConstraintKind::MemberOf => {
                self.read().ok().flatten().is_some_and(|expression| expression.is_about_tasks())
            }
        }
    }

    /// Whether a task of `group` may go to `candidate`. A rule that cannot be is met by nobody.
    #[must_use]
    pub fn is_met(&self, candidate: &Candidate<'_>, group: &str) -> bool {
        match self.kind {
            ConstraintKind::DistinctInstance => !candidate.groups.contains(group),
            ConstraintKind::MemberOf => {
                self.read().ok().flatten().is_some_and(|expression| expression.holds(candidate))
            }
        }
    }

    /// What it needs of an instance, and what `candidate` has of that, for a task of `group`.
    #[must_use]
    pub fn told(&self, candidate: &Candidate<'_>, group: &str) -> (String, String) {
        match self.kind {
            ConstraintKind::DistinctInstance => {
                let has = if candidate.groups.contains(group) { "one is" } else { "none is" };
                (format!("no other task of {group}"), format!("{has} here"))
            }
            ConstraintKind::MemberOf => {
                let found = self.read().ok().flatten().map(|expression| expression.found(candidate));
                (self.expression.clone().unwrap_or_default(), found.unwrap_or_default())
            }
        }
    }

    fn unmet(&self) -> Unmet {
        match self.kind {
            ConstraintKind::DistinctInstance => Unmet::DistinctInstance,
            ConstraintKind::MemberOf => Unmet::MemberOf,
        }
    }
}

/// The first rule that `candidate` does not meet for a task of `group`.
pub fn unmet<'a>(
    constraints: impl IntoIterator<Item = &'a PlacementConstraint>,
    candidate: &Candidate<'_>,
    group: &str,
) -> Option<Unmet> {
    constraints.into_iter().find(|one| !one.is_met(candidate, group)).map(PlacementConstraint::unmet)
}

#[cfg(test)]
mod tests;
