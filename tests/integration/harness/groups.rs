//! Who makes control groups, and where those of an instance are.

use std::path::PathBuf;

use super::probe::cgroup_mounts;

/// Who makes control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// hythe, by the files of the hierarchies.
    Files,
    /// The systemd of this host.
    Systemd,
}

impl Driver {
    /// What tests use that say nothing of it: files, unless `HYTHE_CGROUP_DRIVER` is `systemd`.
    pub fn usual() -> Self {
        match std::env::var_os("HYTHE_CGROUP_DRIVER") {
            Some(name) if name == "systemd" => Self::Systemd,
            Some(_) | None => Self::Files,
        }
    }
}

/// The control groups of an instance.
#[derive(Debug, Clone)]
pub struct Groups {
    /// What its configuration calls them.
    pub parent: String,
    /// Who makes them.
    pub driver: Driver,
}

impl Groups {
    /// The group above all of them: a name, with systemd that of a slice, where a dash would be one level down.
    pub fn top(&self) -> String {
        match self.driver {
            Driver::Files => self.parent.clone(),
            Driver::Systemd => format!("{}.slice", self.stem()),
        }
    }

    /// The group of a task, from the root of a hierarchy.
    pub fn task(&self, id: &str) -> PathBuf {
        match self.driver {
            Driver::Files => PathBuf::from(&self.parent).join(id),
            Driver::Systemd => PathBuf::from(self.top()).join(self.unit(id)).join("task"),
        }
    }

    /// systemd's name for the group of a task.
    pub fn unit(&self, id: &str) -> String {
        format!("{}-{id}.scope", self.stem())
    }

    /// The groups that stay when no task runs, in every hierarchy.
    pub fn lasting(&self) -> Vec<PathBuf> {
        let top = self.top();
        let below = |mount: PathBuf| [mount.join(&top), mount.join(&top).join("shims")];
        cgroup_mounts().into_iter().flat_map(|mount| below(mount.at)).collect()
    }

    /// The configuration with the driver in it.
    pub fn with_driver(&self, configuration: &str) -> String {
        let line = "[containers]\ncgroup_driver = \"systemd\"\n";
        match self.driver {
            Driver::Files => configuration.to_owned(),
            Driver::Systemd if configuration.contains("[containers]\n") => {
                configuration.replace("[containers]\n", line)
            }
            // Before the table of the network, which a test may add to.
            Driver::Systemd => configuration.replace("[network]\n", &format!("{line}[network]\n")),
        }
    }

    fn stem(&self) -> String {
        self.parent.replace('-', r"\x2d")
    }
}
