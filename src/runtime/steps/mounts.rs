//! The mounts of a specification as steps, but for the root filesystem.

use std::cell::RefCell;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use oci_spec::runtime::Mount as SpecMount;

use super::label::CONTEXT;
use super::namespaces::mappings;
use super::options::Options;
use super::remount::check_versions;
use super::{FsOption, Host, Mount, Source, SourceWhat, Step, Users, What};
use crate::kernel::cgroup::CgroupPath;
use crate::kernel::mapping::Mappings;
use crate::kernel::mount::{Attributes, Keeping, Propagation};

/// Why a mount cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MountPlanError {
    /// An option that is not for this mount.
    #[error("mounts[{at}].options: {option:?} {reason}")]
    Option {
        /// Which mount.
        at: usize,
        /// Which option.
        option: String,
        /// Why not.
        reason: &'static str,
    },
    /// A bind mount of nothing.
    #[error("mounts[{at}].source: is missing")]
    NoSource {
        /// Which mount.
        at: usize,
    },
    /// A mount of no type.
    #[error("mounts[{at}].type: is missing")]
    NoType {
        /// Which mount.
        at: usize,
    },
    /// Layers whose paths do not fit.
    #[error("mounts[{at}].options: {length} bytes of overlay options, more than this kernel takes")]
    TooLong {
        /// Which mount.
        at: usize,
        /// How long they are.
        length: usize,
    },
    /// Owners that are mapped to nobody in particular.
    #[error("mounts[{at}].uidMappings: are missing, and there is no user namespace to take them from")]
    NoMappings {
        /// Which mount.
        at: usize,
    },
    /// Owners that cannot be mapped.
    #[error("mounts[{at}].uidMappings: only bind mounts and an overlay as the root can be mapped")]
    NotMappable {
        /// Which mount.
        at: usize,
    },
    /// Something else where the kernel shows processes and takes settings.
    #[error("mounts[{at}].destination: /proc is for a proc filesystem, and nothing else")]
    Proc {
        /// Which mount.
        at: usize,
    },
    /// A string with a zero byte.
    #[error("mounts[{at}]: a path or option holds a zero byte")]
    Zero {
        /// Which mount.
        at: usize,
    },
}

/// What surrounds the mounts.
pub(super) struct Scene<'a> {
    pub host: &'a Host,
    pub bundle: &'a Path,
    pub root: &'a Path,
    /// Whether the container has a control group namespace of its own.
    pub cgroup_namespace: bool,
    pub cgroup: &'a CgroupPath,
    /// Whether pivot_root cannot be used.
    pub no_pivot: bool,
    /// Whose users the container's are.
    pub users: &'a Users,
    /// The label of new filesystems.
    pub label: Option<&'a str>,
    /// Mounts that the parent is to make ready, so far.
    pub sources: RefCell<Vec<Source>>,
}

impl Scene<'_> {
    /// Has the parent make a mount ready, and returns its number.
    pub(super) fn prepare(
        &self,
        entry: Option<&Entry<'_>>,
        what: SourceWhat,
    ) -> Result<usize, MountPlanError> {
        let member = entry.map_or_else(|| "root.path".to_owned(), |entry| format!("mounts[{}]", entry.at));
        let mapped = entry.map(|entry| entry.mapped(self.users)).transpose()?.flatten();
        let mut sources = self.sources.borrow_mut();
        sources.push(Source { member, what, mapped });
        Ok(sources.len() - 1)
    }
}

/// A mount with its place in the specification, for errors.
pub(super) struct Entry<'a> {
    pub at: usize,
    mount: &'a SpecMount,
    pub options: Options,
}

impl<'a> Entry<'a> {
    pub(super) fn read(at: usize, mount: &'a SpecMount) -> Result<Self, MountPlanError> {
        let options = Options::read(mount.options().as_deref().unwrap_or_default());
        let entry = Self { at, mount, options };
        check_versions(&entry)?;
        if entry.covers_proc() { Err(MountPlanError::Proc { at }) } else { Ok(entry) }
    }

    /// Whether it changes what is mounted, and mounts nothing.
    pub(super) fn remounts(&self) -> bool {
        self.options.remounts
    }

    /// The place, as it reads from the root.
    pub(super) fn place(&self) -> String {
        clean(self.mount.destination())
    }

    /// Whether it would put something else in the place of `/proc`, by which processes are told apart and held. Places
    /// below it are looked at when they are mounted on.
    fn covers_proc(&self) -> bool {
        let is_proc = match self.bind() {
            Some(_) => self.mount.source().as_deref() == Some(Path::new("/proc")),
            None => self.mount.typ().as_deref() == Some("proc"),
        };
        self.place() == "/proc" && !is_proc && !self.remounts()
    }

    pub(super) fn is_root(&self) -> bool {
        self.mount.destination() == Path::new("/") && !self.remounts()
    }

    /// Whether it is a `/dev` apart from the root filesystem.
    pub(super) fn is_dev(&self) -> bool {
        self.place() == "/dev" && !self.remounts()
    }

    /// Whether the host's own directory becomes the container's `/dev`.
    pub(super) fn is_bound_dev(&self) -> bool {
        self.is_dev() && self.bind().is_some()
    }

    pub(super) fn bind(&self) -> Option<bool> {
        self.options.bind.or_else(|| (self.mount.typ().as_deref() == Some("bind")).then_some(false))
    }

    /// The users its files are mapped to: its own, or those of the container.
    pub(super) fn mapped(&self, users: &Users) -> Result<Option<(Mappings, bool)>, MountPlanError> {
        let own = |list: &Option<Vec<_>>| list.as_ref().is_some_and(|list| !list.is_empty());
        if own(self.mount.uid_mappings()) || own(self.mount.gid_mappings()) {
            let (users, groups) =
                (self.mount.uid_mappings().as_deref(), self.mount.gid_mappings().as_deref());
            return Ok(Some((mappings(users, groups), self.options.mapped.unwrap_or(false))));
        }
        match (self.options.mapped, users) {
            (None, _) => Ok(None),
            (Some(deep), Users::New(mappings)) => Ok(Some((mappings.clone(), deep))),
            (Some(_), Users::Host | Users::Joined(_)) => Err(MountPlanError::NoMappings { at: self.at }),
        }
    }

    pub(super) fn fstype(&self) -> Result<&str, MountPlanError> {
        let fstype = self.mount.typ().as_deref().filter(|fstype| !fstype.is_empty() && *fstype != "none");
        fstype.ok_or(MountPlanError::NoType { at: self.at })
    }

    pub(super) fn source(&self, scene: &Scene<'_>) -> Result<CString, MountPlanError> {
        let source = self.mount.source().as_ref().ok_or(MountPlanError::NoSource { at: self.at })?;
        self.text(scene.bundle.join(source).as_os_str().as_bytes())
    }

    pub(super) fn text(&self, bytes: impl Into<Vec<u8>>) -> Result<CString, MountPlanError> {
        CString::new(bytes).map_err(|_| MountPlanError::Zero { at: self.at })
    }

    pub(super) fn data(&self) -> Result<Vec<FsOption>, MountPlanError> {
        let data = self.options.data.iter();
        data.map(|(key, value)| {
            let value = value.as_ref().map(|value| self.text(value.as_bytes())).transpose()?;
            Ok((self.text(key.as_bytes())?, value))
        })
        .collect()
    }
}

pub(super) fn with_source(entry: &Entry<'_>) -> Result<Vec<FsOption>, MountPlanError> {
    let mut options = entry.data()?;
    if let Some(source) = entry.mount.source() {
        options.insert(0, (entry.text("source")?, Some(entry.text(source.as_os_str().as_bytes())?)));
    }
    Ok(options)
}

/// The steps of one mount within the root. The second list is for when everything else is in place.
pub(super) fn steps(scene: &Scene<'_>, entry: &Entry<'_>) -> Result<(Vec<Step>, Vec<Step>), MountPlanError> {
    let at = entry.place();
    let mut late = Vec::new();
    if let Some(deep) = entry.bind() {
        let source = entry.source(scene)?;
        let what = if scene.users.are_apart() || entry.mapped(scene.users)?.is_some() {
            What::Prepared(scene.prepare(Some(entry), SourceWhat::Tree(source, deep))?)
        } else {
            What::Bind(source, deep)
        };
        let propagation = Some(entry.options.propagation.unwrap_or((Propagation::Private, true)));
        return Ok((vec![mount(entry, &at, what, entry.options.attributes, propagation)?], late));
    }
    if entry.mapped(scene.users)?.is_some() {
        return Err(MountPlanError::NotMappable { at: entry.at });
    }
    let fstype = entry.fstype()?;
    if fstype == "cgroup" || fstype == "cgroup2" {
        return Ok((cgroup(scene, entry, &at)?, late));
    }
    let mut attributes = entry.options.attributes;
    if at == "/dev" && attributes.contains(Attributes::READ_ONLY) {
        // Nodes are still to be made in it.
        attributes = attributes.without(Attributes::READ_ONLY);
        late.push(Step::Attributes(entry.text(at.as_bytes())?, Attributes::READ_ONLY));
    }
    let or_bind = if fstype == "sysfs" { Some(entry.text("/sys")?) } else { None };
    let options = with_source(entry)?;
    let what = What::New { fstype: entry.text(fstype)?, options, or_bind };
    Ok((vec![mount(entry, &at, what, attributes, entry.options.propagation)?], late))
}

fn mount(
    entry: &Entry<'_>,
    at: &str,
    what: What,
    attributes: Attributes,
    propagation: Option<(Propagation, bool)>,
) -> Result<Step, MountPlanError> {
    // A /proc or /sys that is really somewhere else would be masked in the wrong place.
    let no_links =
        matches!(&what, What::New { fstype, .. } if [c"proc", c"sysfs"].contains(&fstype.as_c_str()));
    let keeping = entry.options.versions.map(|versions| Keeping {
        versions,
        synchronous: entry.options.has_flag("sync"),
        lazy_times: entry.options.has_flag("lazytime"),
    });
    Ok(Step::Mount(Box::new(Mount {
        at: entry.text(at)?,
        no_links,
        what,
        attributes,
        recursive: entry.options.recursive,
        propagation,
        copies_up: entry.options.copies_up,
        keeping,
    })))
}

/// The container's view of its control groups, in the host's version.
fn cgroup(scene: &Scene<'_>, entry: &Entry<'_>, at: &str) -> Result<Vec<Step>, MountPlanError> {
    let layout = &scene.host.layout;
    let attributes = entry.options.attributes;
    let new = |fstype: &str, options: Vec<FsOption>| -> Result<What, MountPlanError> {
        Ok(What::New { fstype: entry.text(fstype)?, options, or_bind: None })
    };
    let own = |from: &Path| -> Result<What, MountPlanError> {
        let own = from.join(scene.cgroup.as_path());
        Ok(What::Bind(entry.text(own.as_os_str().as_bytes())?, false))
    };
    let view = |fstype: &str, options: Vec<FsOption>, from: &Path| {
        if scene.cgroup_namespace { new(fstype, options) } else { own(from) }
    };
    if let (true, Some(unified)) = (layout.is_v2_only(), layout.unified()) {
        let what = view("cgroup2", Vec::new(), &unified.mount)?;
        return Ok(vec![mount(entry, at, what, attributes, None)?]);
    }
    let mut options = vec![(entry.text("mode")?, Some(entry.text("755")?))];
    if let Some(label) = scene.label {
        options.push((entry.text(CONTEXT)?, Some(entry.text(label)?)));
    }
    let tmpfs = What::New { fstype: entry.text("tmpfs")?, options, or_bind: None };
    let mut steps = vec![mount(entry, at, tmpfs, attributes.without(Attributes::READ_ONLY), None)?];
    for hierarchy in layout.hierarchies() {
        let mut options = Vec::new();
        for name in &hierarchy.controllers {
            match name.strip_prefix("name=") {
                Some(name) => {
                    options.push((entry.text("none")?, None));
                    options.push((entry.text("name")?, Some(entry.text(name)?)));
                }
                None => options.push((entry.text(name.as_bytes())?, None)),
            }
        }
        let label = hierarchy.label();
        // Mounted anew it would be the same directory; but for that the kernel first waits for the end of all groups of
        // version 2 that are on their way out, wherever.
        let is_own = !(scene.cgroup_namespace && scene.users.are_apart());
        let what = if is_own { own(&hierarchy.mount)? } else { new("cgroup", options)? };
        let propagation = is_own.then_some((Propagation::Private, true));
        steps.push(mount(entry, &format!("{at}/{label}"), what, attributes, propagation)?);
        for name in hierarchy.controllers.iter().filter(|name| **name != label && !name.starts_with("name="))
        {
            steps.push(Step::Link(
                entry.text(label.as_bytes())?,
                entry.text(at)?,
                entry.text(name.as_bytes())?,
            ));
        }
    }
    if let Some(unified) = layout.unified() {
        let what = view("cgroup2", Vec::new(), &unified.mount)?;
        steps.push(mount(entry, &format!("{at}/unified"), what, attributes, None)?);
    }
    if attributes.contains(Attributes::READ_ONLY) {
        steps.push(Step::Attributes(entry.text(at)?, Attributes::READ_ONLY));
    }
    Ok(steps)
}

/// An absolute path without `.`, `..` and doubled slashes, by its letters alone.
pub(super) fn clean(path: &Path) -> String {
    let mut parts: Vec<String> = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            Component::ParentDir => {
                parts.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    format!("/{}", parts.join("/"))
}
