//! What a definition says about a container's output, and what that means on this host.
//!
//! ```text
//!   driver                                     where the output is
//!   none given, json-file                      files here
//!   awslogs                                    files here, found by group and stream
//!   journald, syslog                           gone to the host's journal, to a syslog server
//!   none                                       nowhere
//!   gelf, fluentd, splunk, awsfirelens         files here: their servers are not spoken to
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Secret, TaskDefinition};
use crate::model::ids::{ContainerName, TaskId};

mod pattern;
mod tag;

pub use pattern::{BadLogPattern, LogPattern};
pub use tag::{BadLogTag, LogTag, LogWords};

/// Where a container's output goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogConfiguration {
    /// Such as `json-file` or `awslogs`.
    pub log_driver: String,
    /// Options of the driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<BTreeMap<String, String>>,
    /// Options whose values are secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secret_options: Vec<Secret>,
}

/// What happens when whoever takes the output is slow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogMode {
    /// The container waits.
    Blocking,
    /// Lines are dropped and counted.
    #[default]
    NonBlocking,
}

/// Where the output of an `awslogs` container is found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogStream {
    /// The group, shared by many.
    pub group: String,
    /// The stream, one container's own.
    pub stream: String,
}

impl LogMode {
    /// `blocking` or `non-blocking`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "blocking" => Some(Self::Blocking),
            "non-blocking" => Some(Self::NonBlocking),
            _ => None,
        }
    }
}

impl LogConfiguration {
    /// The value of an option.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.as_ref().and_then(|options| options.get(name)).map(String::as_str)
    }

    /// The driver that takes the output away, so that nothing is kept here; none where something is.
    #[must_use]
    pub fn taken_by(&self) -> Option<&str> {
        match self.log_driver.as_str() {
            driver @ ("syslog" | "journald" | "none") => Some(driver),
            _ => None,
        }
    }

    /// The group and stream of the container `name` of `task`; none of another driver than `awslogs`.
    #[must_use]
    pub fn stream(&self, task: &TaskId, name: &ContainerName) -> Option<LogStream> {
        let group = self.option("awslogs-group").filter(|_| self.log_driver == "awslogs")?.to_owned();
        let stream = match self.option("awslogs-stream-prefix") {
            Some(prefix) => format!("{prefix}/{name}/{task}"),
            // What DescribeTasks shows as the runtime id.
            None => format!("{task}-{name}"),
        };
        Some(LogStream { group, stream })
    }
}

impl TaskDefinition {
    /// What is said about the output of each container; none where nothing is.
    pub fn logs(&self) -> impl Iterator<Item = (&ContainerName, Option<&LogConfiguration>)> {
        let containers = self.document.container_definitions.iter();
        containers.map(|container| (&container.name, container.log_configuration.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(driver: &str, options: &[(&str, &str)]) -> LogConfiguration {
        let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let options = Some(options.collect());
        LogConfiguration { log_driver: driver.to_owned(), options, secret_options: Vec::new() }
    }

    #[test]
    fn a_stream_is_named_by_prefix_container_and_task() {
        let task = TaskId::from_random([0xab; 16]);
        let name = ContainerName::parse("web").unwrap();
        let with = log("awslogs", &[("awslogs-group", "/ecs/a"), ("awslogs-stream-prefix", "p")]);
        let stream = with.stream(&task, &name).unwrap();
        assert_eq!((stream.group.as_str(), stream.stream), ("/ecs/a", format!("p/web/{task}")));
        let without = log("awslogs", &[("awslogs-group", "g")]).stream(&task, &name).unwrap();
        assert_eq!(without.stream, format!("{task}-web"));
        assert_eq!(log("gelf", &[("awslogs-group", "g")]).stream(&task, &name), None);
    }

    #[test]
    fn what_is_taken_away_is_known() {
        assert_eq!(log("journald", &[]).taken_by(), Some("journald"));
        assert_eq!(log("none", &[]).taken_by(), Some("none"));
        assert_eq!(log("syslog", &[]).taken_by(), Some("syslog"));
        for kept in ["json-file", "awslogs", "splunk", "fluentd", "gelf", "awsfirelens"] {
            assert_eq!(log(kept, &[]).taken_by(), None, "{kept}");
        }
    }
}
