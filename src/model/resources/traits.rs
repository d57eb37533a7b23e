//! What a host is, as against what it has: its processor, its system, what its operator allows.
//!
//! None of it is used up, so a task that wants another host never gets this one; waiting does not help.

use std::fmt;

use super::Shortage;
use crate::model::{
    cluster::Attribute,
    task::TaskOverride,
    task_definition::{
        ContainerDefinition, Document,
        requires::{OFFERED, PRIVILEGED},
    },
};

/// What a host is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traits {
    /// `x86_64` or `arm64`.
    pub architecture: String,
    /// The availability zone that it stands for, such as `us-east-1a`.
    pub zone: String,
    /// The release of hythe.
    pub version: String,
    /// Whether its operator grants `privileged`.
    pub allow_privileged: bool,
}

/// What a task wants a host to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// The processor, where the definition names one.
    pub architecture: Option<String>,
    /// The family of systems, where the definition names one.
    pub system: Option<String>,
    /// Whether any container wants a graphics processor.
    pub gpu: bool,
    /// Whether any container is `privileged`.
    pub privileged: bool,
}

/// What a host is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// Its processor is another one.
    Architecture,
    /// Its system is another one.
    System,
    /// Its operator does not allow `privileged`.
    Privileged,
}

impl Default for Traits {
    /// The host that this program was built for.
    fn default() -> Self {
        let architecture = match std::env::consts::ARCH {
            "aarch64" => "arm64",
            other => other,
        };
        Self {
            architecture: architecture.to_owned(),
            zone: "us-east-1a".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            allow_privileged: false,
        }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Architecture => "runtimePlatform names another cpuArchitecture than this host's",
            Self::System => "runtimePlatform names another operatingSystemFamily than LINUX",
            Self::Privileged => {
                "privileged containers are not allowed on this host: set allow_privileged in its configuration"
            }
        })
    }
}

impl Wants {
    /// What `document` wants, as `overrides` change it.
    #[must_use]
    pub fn of(document: &Document, overrides: &TaskOverride) -> Self {
        let platform = document.runtime_platform.as_ref();
        let containers = &document.container_definitions;
        Self {
            architecture: platform.and_then(|platform| platform.cpu_architecture.clone()),
            system: platform.and_then(|platform| platform.operating_system_family.clone()),
            gpu: containers.iter().any(|container| wants_gpu(container, overrides)),
            privileged: containers.iter().any(|container| container.privileged == Some(true)),
        }
    }
}

/// A RunTask call's list replaces the definition's.
fn wants_gpu(container: &ContainerDefinition, overrides: &TaskOverride) -> bool {
    let change = overrides.container_overrides.iter().find(|change| change.name == container.name);
    let own = change.and_then(|change| change.resource_requirements.as_ref()?.as_array());
    let list = own.unwrap_or(&container.resource_requirements);
    list.iter().any(|one| one["type"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("GPU")))
}

impl Traits {
    /// What a container instance is called by because of what the host is.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute> + '_ {
        let own = [
            ("ecs.cpu-architecture", self.architecture.as_str()),
            ("ecs.availability-zone", &self.zone),
            ("ecs.os-type", "linux"),
            ("ecs.os-family", "LINUX"),
        ];
        let own = own.map(|(name, value)| (name, Some(value.to_owned())));
        let privileged = self.allow_privileged.then_some(PRIVILEGED);
        let can = OFFERED.into_iter().chain(privileged).map(|name| (name, None));
        own.into_iter().chain(can).map(|(name, value)| Attribute { name: name.to_owned(), value })
    }

    /// What is missing of `wants`. No host has graphics processors to give.
    #[must_use]
    pub fn lack(&self, wants: &Wants) -> Option<Shortage> {
        let is_other = |wanted: &Option<String>, own: &str| {
            wanted.as_ref().is_some_and(|wanted| !wanted.eq_ignore_ascii_case(own))
        };
        if is_other(&wants.architecture, &self.architecture) {
            Some(Shortage::Trait(Lack::Architecture))
        } else if is_other(&wants.system, "LINUX") {
            Some(Shortage::Trait(Lack::System))
        } else if wants.privileged && !self.allow_privileged {
            Some(Shortage::Trait(Lack::Privileged))
        } else {
            wants.gpu.then_some(Shortage::Gpu)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lack(task: &str, container: &str, overrides: &str) -> Option<Shortage> {
        let text = format!(
            r#"{{"family": "f", "containerDefinitions": [{{"name": "web", "image": "i"{container}}}]{task}}}"#
        );
        let document = serde_json::from_str(&text).unwrap();
        let overrides = serde_json::from_str(overrides).unwrap();
        let traits = Traits { architecture: "x86_64".to_owned(), ..Traits::default() };
        traits.lack(&Wants::of(&document, &overrides))
    }

    #[test]
    fn another_processor_or_system_is_another_host() {
        let platform = |cpu: &str, system: &str| {
            let task = format!(
                r#", "runtimePlatform": {{"cpuArchitecture": "{cpu}", "operatingSystemFamily": "{system}"}}"#
            );
            lack(&task, "", "{}")
        };
        assert_eq!(platform("X86_64", "LINUX"), None);
        assert_eq!(platform("ARM64", "LINUX"), Some(Shortage::Trait(Lack::Architecture)));
        let windows = platform("X86_64", "WINDOWS_SERVER_2022_CORE");
        assert_eq!(windows, Some(Shortage::Trait(Lack::System)));
    }

    #[test]
    fn a_graphics_processor_is_what_no_host_has() {
        let gpu = r#", "resourceRequirements": [{"type": "GPU", "value": "1"}]"#;
        assert_eq!(lack("", gpu, "{}"), Some(Shortage::Gpu));
        let without = r#"{"containerOverrides": [{"name": "web", "resourceRequirements": []}]}"#;
        assert_eq!(lack("", gpu, without), None);
    }

    #[test]
    fn privileged_is_the_operators_to_grant() {
        let refused = lack("", r#", "privileged": true"#, "{}").unwrap();
        assert_eq!(refused.reason(), "ATTRIBUTE");
        assert!(refused.to_string().ends_with("set allow_privileged in its configuration"), "{refused}");
    }
}
