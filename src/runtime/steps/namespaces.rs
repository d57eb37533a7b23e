//! Which namespaces a container is born in, which it joins, and which it makes when the time has come.

use std::path::PathBuf;

use oci_spec::runtime::{Linux, LinuxIdMapping, LinuxNamespace, LinuxNamespaceType, LinuxTimeOffset};

use super::process::text;
use super::{PlanError, Request, Step};
use crate::kernel::mapping::Mappings;
use crate::kernel::namespace::Namespaces;

/// Whose users the container's are.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub enum Users {
    /// The host's.
    #[default]
    Host,
    /// Those of a new namespace.
    New(Mappings),
    /// Those of the namespace with this file.
    Joined(PathBuf),
}

impl Users {
    /// Whether the container's root is another user than the host's.
    #[must_use]
    pub fn are_apart(&self) -> bool {
        match self {
            Self::Host => false,
            Self::New(_) | Self::Joined(_) => true,
        }
    }
}

/// The namespaces of a container, sorted by how it gets there.
pub(super) struct Wanted {
    /// New from birth.
    pub clone: Namespaces,
    /// A pid namespace to be born in.
    pub pid: Option<PathBuf>,
    pub users: Users,
    /// To be entered before birth, because later the right to do so is lost.
    pub first: Vec<(Namespaces, PathBuf)>,
    pub steps: Vec<Step>,
    pub has_cgroup: bool,
}

impl Wanted {
    pub(super) fn of(linux: &Linux) -> Result<Self, PlanError> {
        let all = linux.namespaces().as_deref().unwrap_or_default();
        let users = users(linux);
        let apart = users.are_apart();
        let mut out = Self {
            clone: Namespaces::NONE,
            pid: None,
            steps: Vec::new(),
            first: Vec::new(),
            has_cgroup: all.iter().any(|one| one.typ() == LinuxNamespaceType::Cgroup),
            users,
        };
        if matches!(out.users, Users::New(_)) {
            out.clone = Namespaces::USER;
        }
        out.steps.extend(apart.then_some(Step::Ask(Request::MapUsers)));
        // The offsets are written to a file that is the host's root's, which this process is until it becomes another.
        if all.iter().any(|one| one.typ() == LinuxNamespaceType::Time && !is_joined(one)) {
            out.steps.extend(new_time(linux)?);
        }
        out.steps.extend(apart.then_some(Step::BecomeRoot));
        let mut last = None;
        for namespace in all.iter().filter(|one| one.typ() != LinuxNamespaceType::User) {
            let kind = kind_of(namespace.typ());
            match path_of(namespace) {
                Some(path) if kind == Namespaces::PID => out.pid = Some(path.clone()),
                Some(path) if apart => out.first.push((kind, path.clone())),
                Some(path) => {
                    let step = Step::JoinNamespace(kind, text(path.as_os_str().as_encoded_bytes())?);
                    // The others' files are to be found where we come from.
                    if kind == Namespaces::MOUNT { last = Some(step) } else { out.steps.push(step) }
                }
                // Made once the control groups are joined, which then are its root.
                None if kind == Namespaces::CGROUP => out.steps.push(Step::NewNamespaces(kind)),
                None if kind == Namespaces::TIME => {}
                None => out.clone = out.clone | kind,
            }
        }
        out.steps.extend(last);
        Ok(out)
    }
}

fn path_of(namespace: &LinuxNamespace) -> Option<&PathBuf> {
    namespace.path().as_ref().filter(|path| !path.as_os_str().is_empty())
}

fn is_joined(namespace: &LinuxNamespace) -> bool {
    path_of(namespace).is_some()
}

fn users(linux: &Linux) -> Users {
    let wanted = linux.namespaces().iter().flatten().find(|one| one.typ() == LinuxNamespaceType::User);
    let Some(wanted) = wanted else { return Users::Host };
    match path_of(wanted) {
        Some(path) => Users::Joined(path.clone()),
        None => Users::New(mappings(linux.uid_mappings().as_deref(), linux.gid_mappings().as_deref())),
    }
}

/// Mappings as the kernel reads them.
pub(super) fn mappings(users: Option<&[LinuxIdMapping]>, groups: Option<&[LinuxIdMapping]>) -> Mappings {
    let lines = |list: Option<&[LinuxIdMapping]>| {
        let line =
            |one: &LinuxIdMapping| format!("{} {} {}\n", one.container_id(), one.host_id(), one.size());
        list.unwrap_or_default().iter().map(line).collect()
    };
    Mappings { users: lines(users), groups: lines(groups) }
}

/// A time namespace takes its offsets before anybody is in it; its maker then moves in through the file that is there
/// for its children.
fn new_time(linux: &Linux) -> Result<Vec<Step>, PlanError> {
    let mut steps = vec![Step::NewNamespaces(Namespaces::TIME)];
    let mut offsets: Vec<_> = linux.time_offsets().iter().flatten().collect();
    offsets.sort_unstable_by_key(|(clock, _)| clock.as_str());
    let line = |(clock, offset): (&String, &LinuxTimeOffset)| {
        format!("{clock} {} {}\n", offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0))
    };
    let lines: String = offsets.into_iter().map(line).collect();
    if !lines.is_empty() {
        steps.push(Step::TimeOffsets(text(lines)?));
    }
    steps.push(Step::JoinNamespace(Namespaces::TIME, c"/proc/self/ns/time_for_children".to_owned()));
    Ok(steps)
}

fn kind_of(kind: LinuxNamespaceType) -> Namespaces {
    match kind {
        LinuxNamespaceType::Mount => Namespaces::MOUNT,
        LinuxNamespaceType::Cgroup => Namespaces::CGROUP,
        LinuxNamespaceType::Uts => Namespaces::UTS,
        LinuxNamespaceType::Ipc => Namespaces::IPC,
        LinuxNamespaceType::User => Namespaces::USER,
        LinuxNamespaceType::Pid => Namespaces::PID,
        LinuxNamespaceType::Network => Namespaces::NETWORK,
        LinuxNamespaceType::Time => Namespaces::TIME,
    }
}
