//! Why a task could not be started, in ECS's words: `ErrorName: one sentence`.

use std::error::Error;
use std::iter;

use crate::model::fact::Seen;
use crate::model::ids::ContainerName;
use crate::model::report::chain;
use crate::model::task::{StopCode, StopRequest};

/// The longest reason that ECS gives.
const LONGEST: usize = 1024;

/// ECS's names of the ways to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An image cannot be had.
    Pull,
    /// An image cannot be had because nobody knows who asks.
    PullCredentials,
    /// A volume cannot be made.
    Volume,
    /// A container cannot be put together.
    Create,
    /// A container or its shim cannot be started.
    Start,
    /// The task's network cannot be made.
    Network,
    /// Something the containers need cannot be had: environment files, secrets.
    Resource,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Pull => "CannotPullContainerError",
            Self::PullCredentials => "CannotPullContainerAuthError",
            Self::Volume => "CannotCreateVolumeError",
            Self::Create => "CannotCreateContainerError",
            Self::Start => "CannotStartContainerError",
            Self::Network => "ContainerNetworkingError",
            Self::Resource => "ResourceInitializationError",
        }
    }
}

/// One failure of a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The container; none when it is the whole task's.
    pub container: Option<ContainerName>,
    /// `ErrorName: text`.
    pub reason: String,
}

impl Failure {
    /// A failure of one container.
    pub(crate) fn of(container: &ContainerName, kind: Kind, error: &dyn Error) -> Self {
        Self { container: Some(container.clone()), reason: reason(kind, &sentence(error)) }
    }

    /// A failure of the whole task.
    pub(crate) fn of_task(kind: Kind, error: &dyn Error) -> Self {
        Self { container: None, reason: reason(kind, &sentence(error)) }
    }

    /// A failure of one container, already a sentence.
    pub(crate) fn said(container: &ContainerName, kind: Kind, text: &str) -> Self {
        Self { container: Some(container.clone()), reason: reason(kind, text) }
    }

    /// What is told of it: which container failed, and that the task stops for it.
    pub(crate) fn facts(&self) -> impl Iterator<Item = Seen> + use<> {
        let (container, reason) = (self.container.clone(), self.reason.clone());
        let request = StopRequest { code: StopCode::TaskFailedToStart, reason: reason.clone() };
        let failed = container.map(|container| Seen::ContainerFailed { container, reason, exit: None });
        failed.into_iter().chain(iter::once(Seen::Stopping { request }))
    }
}

fn reason(kind: Kind, text: &str) -> String {
    let mut reason = format!("{}: {text}", kind.name());
    if reason.len() > LONGEST {
        let end = (0..=LONGEST - '…'.len_utf8()).rev().find(|at| reason.is_char_boundary(*at));
        reason.truncate(end.unwrap_or_default());
        reason.push('…');
    }
    reason
}

/// The whole chain of an error on one line.
pub(crate) fn sentence(error: &dyn Error) -> String {
    chain(error).replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("pull image {0}")]
    struct Outer(String, #[source] std::fmt::Error);

    #[test]
    fn a_reason_is_the_name_and_the_whole_chain() {
        let web = ContainerName::parse("web").unwrap();
        let failure = Failure::of(&web, Kind::Pull, &Outer("web:1".to_owned(), std::fmt::Error));
        let chain = std::fmt::Error.to_string();
        assert_eq!(failure.reason, format!("CannotPullContainerError: pull image web:1: {chain}"));
        let facts: Vec<Seen> = failure.facts().collect();
        assert!(
            matches!(&facts[0], Seen::ContainerFailed { container, exit: None, .. } if *container == web)
        );
        assert!(
            matches!(&facts[1], Seen::Stopping { request } if request.code == StopCode::TaskFailedToStart)
        );
    }

    #[test]
    fn a_long_reason_is_cut_between_letters() {
        let failure = Failure::said(&ContainerName::parse("web").unwrap(), Kind::Create, &"ä".repeat(2000));
        assert!(failure.reason.len() <= LONGEST);
        assert!(failure.reason.ends_with("ä…"));
    }
}
