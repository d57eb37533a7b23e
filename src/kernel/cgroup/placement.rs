//! How a process gets into a group, or into one below it.

use std::ffi::CString;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{CgroupError, CgroupPath, Group};

/// How a new process gets into a group: be born in one, and join the others itself.
///
/// A process that writes `0` to its own `tasks` file is moved without waiting for every fork on the host, which moving
/// it from outside would. Version 2 has no such file, but clone3 can make a process there in the first place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The version 2 directory for clone3.
    pub born_in: Option<PathBuf>,
    /// The files to write `0` to.
    pub join: Vec<CString>,
}

/// A group below another: in all hierarchies, or in those of some controllers of version 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Below {
    controllers: Vec<String>,
    path: PathBuf,
}

impl Below {
    /// Reads `path` or `controllers:path`; `/` is the group itself.
    pub fn parse(text: &str) -> Result<Self, CgroupError> {
        let (controllers, path) = text.split_once(':').unwrap_or(("", text));
        let is_itself = !path.is_empty() && path.chars().all(|letter| letter == '/');
        let path = if is_itself { PathBuf::new() } else { CgroupPath::parse(path)?.0 };
        let controllers = controllers.split(',').filter(|name| !name.is_empty());
        Ok(Self { controllers: controllers.map(ToOwned::to_owned).collect(), path })
    }
}

impl fmt::Display for Below {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.controllers.is_empty() {
            write!(f, "{}:", self.controllers.join(","))?;
        }
        write!(f, "/{}", self.path.display())
    }
}

impl Group {
    /// How a process that is about to be made gets into the group.
    #[must_use]
    pub fn placement(&self) -> Placement {
        let join = self
            .layout()
            .hierarchies()
            .iter()
            .map(|hierarchy| hierarchy.mount.join(self.path().as_path()).join("tasks"))
            .filter_map(|path| CString::new(path.as_os_str().as_bytes()).ok())
            .collect();
        Placement { born_in: self.unified_dir(), join }
    }

    /// The same for groups below this one, which must be there.
    pub fn placement_below(&self, wanted: &[Below]) -> Result<Placement, CgroupError> {
        let all = wanted.iter().find(|one| one.controllers.is_empty());
        let within = |mount: &Path, below: Option<&Below>| {
            let dir = mount.join(self.path().as_path()).join(below.map_or(Path::new(""), |one| &one.path));
            if dir.is_dir() { Ok(dir) } else { Err(CgroupError::Missing(dir)) }
        };
        let has_one = |one: &Below| {
            one.controllers
                .iter()
                .all(|name| self.layout().hierarchies().iter().any(|hierarchy| hierarchy.has(name)))
        };
        if let Some(lost) = wanted.iter().find(|one| !has_one(one)) {
            return Err(CgroupError::Path(lost.to_string()));
        }
        let join = self.layout().hierarchies().iter().map(|hierarchy| {
            let own = wanted.iter().find(|one| one.controllers.iter().any(|name| hierarchy.has(name)));
            let dir = within(&hierarchy.mount, own.or(all))?.join("tasks");
            CString::new(dir.as_os_str().as_bytes()).map_err(|_| CgroupError::Path(dir.display().to_string()))
        });
        let join = join.collect::<Result<_, _>>()?;
        let born_in = self.layout().unified().map(|unified| within(&unified.mount, all)).transpose()?;
        Ok(Placement { born_in, join })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_below_may_be_for_some_controllers() {
        let shown = |text: &str| Below::parse(text).ok().map(|below| below.to_string());
        assert_eq!(shown("a/b").unwrap(), "/a/b");
        assert_eq!(shown("/").unwrap(), "/");
        assert_eq!(shown("cpu,memory:/a").unwrap(), "cpu,memory:/a");
        assert_eq!(["", "../a", "memory:", "memory:.."].map(shown), [const { None }; 4]);
    }
}
