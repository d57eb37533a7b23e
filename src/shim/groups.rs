//! Where the tasks of an instance are among the host's control groups, and what they have left there.
//!
//! ```text
//!   files     <parent>/<task>/<container>                                            <parent>/shims
//!   systemd   <parent>.slice/<parent>-<task>.scope/task/<container>                  …-<task>.scope/shim
//! ```
//!
//! A scope of systemd's is made around the shim, which is delegated all that is below it; so it lasts exactly as long as
//! the shim and its containers. The limits of a task are in a group of its own there, which systemd leaves alone.
//!
//! What is to be removed is looked for in both places: the driver may have been another one when the task began.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{
    kernel::cgroup::{CgroupError, CgroupPath, Group, Layout, Scope, systemd_answers},
    model::ids::TaskId,
};

/// The group of a task in its scope, with that of its shim beside it.
const TASK: &str = "task";
const SHIM: &str = "shim";

/// Who makes the control groups of tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CgroupDriver {
    /// This program, in the hierarchies themselves.
    #[default]
    Files,
    /// systemd, which is asked on the system bus for a scope for each task.
    Systemd,
}

impl CgroupDriver {
    /// Whether it can be had here.
    ///
    /// # Errors
    /// Why systemd does not answer.
    pub fn try_it(self) -> Result<(), CgroupError> {
        match self {
            Self::Files => Ok(()),
            Self::Systemd => Ok(systemd_answers()?),
        }
    }
}

/// The control groups of an instance.
#[derive(Clone, Debug)]
pub struct Groups {
    parent: String,
    driver: CgroupDriver,
}

impl Groups {
    /// Those below `parent`, such as `hythe`: letters, digits, `-`, `_` and `.`, in parts separated by `/`.
    #[must_use]
    pub fn new(parent: &str, driver: CgroupDriver) -> Self {
        Self { parent: parent.trim_matches('/').to_owned(), driver }
    }

    /// The name of the instance for [`super::spec::TaskSpec::systemd`].
    #[must_use]
    pub fn systemd(&self) -> Option<String> {
        match self.driver {
            CgroupDriver::Files => None,
            CgroupDriver::Systemd => Some(self.parent.clone()),
        }
    }

    /// The group of a task that begins, as a path below the mount points.
    #[must_use]
    pub fn task(&self, task: &TaskId) -> PathBuf {
        match self.driver {
            CgroupDriver::Files => Path::new(&self.parent).join(task.as_str()),
            CgroupDriver::Systemd => self.scope(task).place().join(TASK),
        }
    }

    /// The group of its shim.
    #[must_use]
    pub fn shim(&self, task: &TaskId) -> PathBuf {
        match self.driver {
            CgroupDriver::Files => Path::new(&self.parent).join("shims"),
            CgroupDriver::Systemd => self.scope(task).place().join(SHIM),
        }
    }

    /// Kills everything in a task's group and below it, and waits until all of it has ended.
    pub fn kill(&self, task: &TaskId) -> Result<(), CgroupError> {
        let layout = Layout::detect()?;
        layout.group(&self.by_files(task)?).kill()?;
        layout.group(&self.scope(task).path()?.join(TASK)?).kill()
    }

    /// Kills everything in a task's group, and removes it. A scope stays as long as the shim does.
    pub fn clear(&self, task: &TaskId) -> Result<(), CgroupError> {
        let layout = Layout::detect()?;
        for path in [self.by_files(task)?, self.scope(task).path()?.join(TASK)?] {
            let group = layout.group(&path);
            group.kill()?;
            group.delete()?;
        }
        Ok(())
    }

    /// Removes a task's group and those below it, and has systemd forget its scope. There must be no process left in it.
    pub fn remove(&self, task: &TaskId) -> Result<(), CgroupError> {
        let layout = Layout::detect()?;
        layout.group(&self.by_files(task)?).delete()?;
        let scope = self.scope(task);
        end(&layout.group(&scope.path()?), scope)
    }

    /// The tasks that have a group, whoever has made it.
    pub fn tasks(&self) -> Result<BTreeSet<TaskId>, CgroupError> {
        let layout = Layout::detect()?;
        let parent = layout.group(&CgroupPath::parse(&self.parent)?);
        let slice = self.slice(&layout)?;
        // A name of a scope: what stands before the task's id, and what after it.
        let unit = Scope::below(&self.parent, "");
        let (before, after) = unit.unit().split_at(unit.unit().len() - ".scope".len());
        let mut found = BTreeSet::new();
        for dir in parent.dirs() {
            found.extend(names(&dir).filter_map(|name| TaskId::parse(name).ok()));
        }
        for dir in slice.dirs() {
            let ids = names(&dir)
                .filter_map(|name| TaskId::parse(name.strip_prefix(before)?.strip_suffix(after)?).ok());
            found.extend(ids);
        }
        Ok(found)
    }

    /// Removes what all tasks have together. There must be none left.
    pub fn leave(&self) -> Result<(), CgroupError> {
        let layout = Layout::detect()?;
        layout.group(&CgroupPath::parse(&self.parent)?).delete()?;
        end(&self.slice(&layout)?, Scope::named(Scope::below(&self.parent, "").slice()))
    }

    fn by_files(&self, task: &TaskId) -> Result<CgroupPath, CgroupError> {
        CgroupPath::parse(&format!("{}/{task}", self.parent))
    }

    fn scope(&self, task: &TaskId) -> Scope {
        Scope::below(&self.parent, task.as_str())
    }

    fn slice(&self, layout: &Layout) -> Result<Group, CgroupError> {
        let scope = layout.group(&Scope::below(&self.parent, "").path()?);
        scope.parent().ok_or_else(|| CgroupError::Path(self.parent.clone()))
    }
}

/// Has systemd end a unit whose group is still there, and removes what it leaves of that.
fn end(group: &Group, unit: Scope) -> Result<(), CgroupError> {
    if group.exists() { group.clone().in_scope(Some(unit)).delete() } else { Ok(()) }
}

/// The names of the groups directly in a directory; none where it is not there.
fn names(dir: &Path) -> impl Iterator<Item = String> + use<> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let groups = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    groups.map(|entry| entry.file_name().to_string_lossy().into_owned())
}

/// The layout of this host's control groups, and which of these controllers, named as in version 2, it has not.
pub fn lacking<'name>(wanted: &[&'name str]) -> Result<(&'static str, Vec<&'name str>), CgroupError> {
    let layout = Layout::detect()?;
    let missing = wanted.iter().copied().filter(|controller| !layout.offers(controller));
    Ok((layout.describe(), missing.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_has_the_same_name_with_both_drivers() {
        let task = TaskId::from_random([7; 16]);
        let place = |parent: &str, driver| {
            let groups = Groups::new(parent, driver);
            [groups.task(&task), groups.shim(&task)]
                .map(|path| path.display().to_string().replace(task.as_str(), "ID"))
        };
        assert_eq!(place("hythe", CgroupDriver::Files), ["hythe/ID", "hythe/shims"]);
        assert_eq!(
            place("hythe", CgroupDriver::Systemd),
            ["hythe.slice/hythe-ID.scope/task", "hythe.slice/hythe-ID.scope/shim"]
        );
        // A dash in a slice's name is a level, unless it is written otherwise.
        assert_eq!(
            place("edge/a-b", CgroupDriver::Systemd)[0],
            r"edge.slice/edge-a\x2db.slice/edge-a\x2db-ID.scope/task"
        );
    }
}
