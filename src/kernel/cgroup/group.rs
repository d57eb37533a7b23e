//! One group: the same path in every hierarchy.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{CgroupError, CgroupPath, Layout, Scope};
use crate::kernel::process::Pid;

/// Controllers of version 2 that are passed down to our groups, where the host offers them.
const PASSED_DOWN: [&str; 7] = ["cpu", "cpuset", "hugetlb", "io", "memory", "pids", "rdma"];

/// Where processes go that stand in the way at the top of what was delegated to us.
const TOP_LEAF: &str = "init";

/// The files that a new group of the version 1 cpuset controller must be given before it takes a process.
const CPUSET_INHERITED: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];

/// A group, made in every hierarchy of its layout.
#[derive(Debug, Clone)]
pub struct Group {
    layout: Layout,
    path: CgroupPath,
    scope: Option<Scope>,
}

/// Where one controller of a group lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Home {
    V1(PathBuf),
    V2(PathBuf),
}

impl Layout {
    /// Makes the group in every hierarchy, with the groups above it. One that is there already stays as it is.
    ///
    /// If it cannot be made everywhere, what was made of the last component is removed again.
    pub fn create(&self, path: &CgroupPath) -> Result<Group, CgroupError> {
        self.make(path, pass_controllers_down)
    }

    /// The same for a leaf whose process is still in the group above: that one is left as it is. With a process in it, a
    /// group of version 2 passes down only the controllers of threads, and then no process can enter the groups below it
    /// (Linux' cgroup-v2.rst, "Threads").
    pub fn create_leaf(&self, path: &CgroupPath) -> Result<Group, CgroupError> {
        self.make(path, |_, _| {})
    }

    fn make(&self, path: &CgroupPath, pass_down: fn(&Path, bool)) -> Result<Group, CgroupError> {
        let group = self.group(path);
        let made = self.create_everywhere(path, pass_down);
        if made.is_err() {
            for dir in group.dirs() {
                // Only an empty group can be removed; one that others use survives this.
                let _ = fs::remove_dir(dir);
            }
        }
        made.map(|()| group)
    }

    fn create_everywhere(&self, path: &CgroupPath, pass_down: fn(&Path, bool)) -> Result<(), CgroupError> {
        for hierarchy in self.hierarchies() {
            let is_cpuset = hierarchy.has("cpuset");
            if make_last(&hierarchy.mount, path)? && (!is_cpuset || is_filled(&hierarchy.mount, path)) {
                continue;
            }
            make_below(&hierarchy.mount, path, |parent, dir, is_new| {
                if is_cpuset { inherit_cpuset(parent, dir, is_new) } else { Ok(()) }
            })?;
        }
        if let Some(unified) = self.unified() {
            make_below(&unified.mount, path, |parent, _, _| {
                pass_down(parent, parent == unified.mount);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// A handle to a group that may or may not exist.
    #[must_use]
    pub fn group(&self, path: &CgroupPath) -> Group {
        Group { layout: self.clone(), path: path.clone(), scope: None }
    }
}

impl Group {
    /// Its path below the hierarchies' roots.
    #[must_use]
    pub fn path(&self) -> &CgroupPath {
        &self.path
    }

    /// The group above it; none above those at the top.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let path = self.path.as_path().parent().filter(|path| path.parent().is_some())?;
        Some(self.layout.group(&CgroupPath(path.to_owned())))
    }

    /// The same group as one that systemd has made, if it has.
    #[must_use]
    pub fn in_scope(self, scope: Option<Scope>) -> Self {
        Self { scope, ..self }
    }

    /// systemd's name for it, if it has made it.
    #[must_use]
    pub fn scope(&self) -> Option<&Scope> {
        self.scope.as_ref()
    }

    /// The layout it belongs to.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Whether it exists in any hierarchy.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.dirs().iter().any(|dir| dir.exists())
    }

    /// Its directory in every hierarchy.
    #[must_use]
    pub fn dirs(&self) -> Vec<PathBuf> {
        let unified = self.layout.unified().map(|unified| &unified.mount);
        let all = self.layout.hierarchies().iter().map(|hierarchy| &hierarchy.mount).chain(unified);
        all.map(|mount| mount.join(self.path.as_path())).collect()
    }

    /// Its directory in version 2, if that is mounted.
    #[must_use]
    pub fn unified_dir(&self) -> Option<PathBuf> {
        self.layout.unified().map(|unified| unified.mount.join(self.path.as_path()))
    }

    /// Where a controller lives, named as in version 2. Version 1 has it if both claim it.
    pub(super) fn home(&self, controller: &str) -> Option<Home> {
        let old = if controller == "io" { "blkio" } else { controller };
        if let Some(hierarchy) = self.layout.hierarchies().iter().find(|hierarchy| hierarchy.has(old)) {
            return Some(Home::V1(hierarchy.mount.join(self.path.as_path())));
        }
        let unified = self.layout.unified()?;
        // Neither is a controller there: every group freezes, and devices are a program's business.
        let is_core = ["freezer", "devices"].contains(&controller);
        (is_core || unified.controllers.contains(controller))
            .then(|| Home::V2(unified.mount.join(self.path.as_path())))
    }

    /// Moves a process, with all its threads, into the group.
    pub fn add(&self, pid: Pid) -> Result<(), CgroupError> {
        for dir in self.dirs() {
            write(&dir.join("cgroup.procs"), &pid.to_string())?;
        }
        Ok(())
    }

    /// Moves this process, which must have one thread, into the group.
    ///
    /// Where it can be done without waiting for every fork on the host it is: a thread moves itself in version 1, and
    /// in version 2 whoever was born in the group stays.
    pub fn enter(&self) -> Result<(), CgroupError> {
        for hierarchy in self.layout.hierarchies() {
            write(&hierarchy.mount.join(self.path.as_path()).join("tasks"), "0")?;
        }
        match self.unified_dir() {
            Some(dir) if !self.is_own_unified() => write(&dir.join("cgroup.procs"), "0"),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether this process is in the group's version 2 directory.
    fn is_own_unified(&self) -> bool {
        let text = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let own = text.lines().find_map(|line| line.strip_prefix("0::"));
        own.is_some_and(|own| Path::new(own).strip_prefix("/").is_ok_and(|own| own == self.path.as_path()))
    }

    /// The processes in the group and in all groups below it, each once.
    pub fn procs(&self) -> Result<Vec<Pid>, CgroupError> {
        let mut pids = Vec::new();
        for dir in self.dirs() {
            collect_procs(&dir, &mut pids)?;
        }
        pids.sort_unstable();
        pids.dedup();
        Ok(pids)
    }
}

/// Makes the last directory of `path` below `mount`. False when those above it are not all there, or it is there itself.
fn make_last(mount: &Path, path: &CgroupPath) -> Result<bool, CgroupError> {
    let dir = mount.join(path.as_path());
    match fs::create_dir(&dir) {
        Ok(()) => Ok(true),
        Err(err) if matches!(err.kind(), ErrorKind::AlreadyExists | ErrorKind::NotFound) => Ok(false),
        Err(source) => Err(CgroupError::Make { path: dir, source }),
    }
}

/// Whether a new group of the cpuset controller has been given what the one above it has, by the kernel.
fn is_filled(mount: &Path, path: &CgroupPath) -> bool {
    let dir = mount.join(path.as_path());
    CPUSET_INHERITED.iter().all(|file| read(&dir.join(file)).is_ok_and(|text| !text.trim().is_empty()))
}

/// Makes each missing directory of `path` below `mount`, calling `prepare` with its parent, itself and
/// whether it is new.
fn make_below(
    mount: &Path,
    path: &CgroupPath,
    prepare: impl Fn(&Path, &Path, bool) -> Result<(), CgroupError>,
) -> Result<(), CgroupError> {
    let mut dir = mount.to_path_buf();
    for part in path.as_path() {
        let parent = dir.clone();
        dir.push(part);
        let is_new = match fs::create_dir(&dir) {
            Ok(()) => true,
            Err(err) if err.kind() == ErrorKind::AlreadyExists => false,
            Err(source) => return Err(CgroupError::Make { path: dir, source }),
        };
        prepare(&parent, &dir, is_new)?;
    }
    Ok(())
}

/// Copies the parent's value of each file that is still empty in `dir`. Where `dir` is ours the kernel is to do so for the
/// groups below it from now on: writing the files makes it look at the processors of every group on the host.
fn inherit_cpuset(parent: &Path, dir: &Path, is_ours: bool) -> Result<(), CgroupError> {
    for file in CPUSET_INHERITED {
        if read(&dir.join(file))?.trim().is_empty() {
            let value = read(&parent.join(file))?;
            write(&dir.join(file), value.trim())?;
        }
    }
    if is_ours {
        // Where it cannot be had, the files are written each time.
        let _ = write(&dir.join("cgroup.clone_children"), "1");
    }
    Ok(())
}

/// Offers `parent`'s controllers to the groups below it.
///
/// Each on its own: one that the host keeps back must not take the others with it. What is missing afterwards shows
/// when a limit is applied.
fn pass_controllers_down(parent: &Path, is_top: bool) {
    if is_top {
        clear_the_top(parent);
    }
    let file = parent.join("cgroup.subtree_control");
    let offered = read(&parent.join("cgroup.controllers")).unwrap_or_default();
    let passed = read(&file).unwrap_or_default();
    let has = |text: &str, name: &str| text.split_whitespace().any(|word| word == name);
    for name in PASSED_DOWN {
        if !has(&offered, name) || has(&passed, name) {
            continue;
        }
        let _ = write(&file, &format!("+{name}"));
    }
}

/// Moves what sits in the topmost group that we can see into a leaf below it.
///
/// In a control group namespace the top is somebody's ordinary group, delegated to us with our own processes in it. A
/// group with processes passes the controllers of domains down to none below it (Linux' cgroup-v2.rst, "No Internal
/// Process Constraint"), and those of threads to groups that no process can be born in ("Threads"). The real root, which
/// is exempt from that, has no `cgroup.type`.
fn clear_the_top(top: &Path) {
    if !top.join("cgroup.type").exists() {
        return;
    }
    let members = read(&top.join("cgroup.procs")).unwrap_or_default();
    let leaf = top.join(TOP_LEAF);
    if members.is_empty() || fs::create_dir(&leaf).is_err_and(|err| err.kind() != ErrorKind::AlreadyExists) {
        return;
    }
    let target = leaf.join("cgroup.procs");
    // One that has ended meanwhile cannot be moved and need not be.
    members.lines().filter(|pid| *pid != "0").for_each(|pid| drop(write(&target, pid)));
}

/// Adds the processes of `dir` and of the groups below it; a group that vanishes meanwhile has none.
fn collect_procs(dir: &Path, into: &mut Vec<Pid>) -> Result<(), CgroupError> {
    let file = dir.join("cgroup.procs");
    match fs::read_to_string(&file) {
        // Zero stands for a process that this pid namespace cannot see.
        Ok(text) => into.extend(
            text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).map(Pid::from_raw),
        ),
        Err(err) if is_gone(&err) => return Ok(()),
        Err(source) => return Err(CgroupError::Read { path: file, source }),
    }
    for below in subgroups(dir)? {
        collect_procs(&below, into)?;
    }
    Ok(())
}

/// The groups directly below `dir`; none if it is gone.
pub(super) fn subgroups(dir: &Path) -> Result<Vec<PathBuf>, CgroupError> {
    // Each group below is a link to this one, which has two without any. To list a group's many files takes longer.
    if fs::metadata(dir).is_ok_and(|found| found.nlink() == 2) {
        return Ok(Vec::new());
    }
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(err) if is_gone(&err) => return Ok(Vec::new()),
        Err(source) => return Err(CgroupError::Read { path: dir.to_path_buf(), source }),
    };
    let is_dir = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    Ok(entries.flatten().filter(is_dir).map(|entry| entry.path()).collect())
}

/// A removed group's files are gone (ENOENT) or, if opened before, dead (ENODEV).
pub(super) fn is_gone(err: &std::io::Error) -> bool {
    err.kind() == ErrorKind::NotFound || err.raw_os_error() == Some(libc::ENODEV)
}

pub(super) fn read(path: &Path) -> Result<String, CgroupError> {
    fs::read_to_string(path).map_err(|source| CgroupError::Read { path: path.to_path_buf(), source })
}

pub(super) fn write(path: &Path, value: &str) -> Result<(), CgroupError> {
    let put = || {
        let mut file = fs::OpenOptions::new().write(true).open(path)?;
        std::io::Write::write_all(&mut file, value.as_bytes())
    };
    put().map_err(|source| CgroupError::Write { path: path.to_path_buf(), value: value.to_owned(), source })
}
