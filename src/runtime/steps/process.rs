//! The steps that make a process the one asked for: limits, directory, identity, capabilities.
//!
//! The same for a container's first process and for one run in it later.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

use oci_spec::runtime::{Capabilities, Linux, Process};

use super::{CapabilitySets, Host, PlanError, Step, Terminal};
use crate::kernel::cgroup::NotEnforced;
use crate::kernel::process::PointerList;
use crate::kernel::security::seccomp::Filter;
use crate::kernel::security::{CapabilitySet, Limit};
use crate::kernel::terminal::Size;

/// Where programs are looked for when the environment does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is executed at the end.
#[derive(Debug)]
pub struct Program {
    /// As it was asked for.
    pub name: String,
    /// The paths to try, in order; none for a process that is never to execute anything.
    pub candidates: Vec<CString>,
    /// Whether they come from the search path.
    pub is_searched: bool,
    /// The arguments.
    pub args: PointerList,
    /// The environment.
    pub env: PointerList,
    /// The user whose home is to be added to it.
    pub home_of: Option<u32>,
}

impl Program {
    fn nothing() -> Self {
        Self {
            name: String::new(),
            candidates: Vec::new(),
            is_searched: false,
            args: PointerList::new(Vec::new()),
            env: PointerList::new(Vec::new()),
            home_of: None,
        }
    }

    /// Prepares the arguments, the environment and the search of `process`.
    pub fn of(process: &Process) -> Result<Self, PlanError> {
        let args = process.args().as_deref().unwrap_or_default();
        let env = process.env().as_deref().unwrap_or_default();
        let Some(name) = args.first().cloned() else { return Ok(Self::nothing()) };
        let is_searched = !name.contains('/');
        let candidates = if is_searched {
            let path =
                env.iter().rev().find_map(|variable| variable.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
            let dirs = path.split(':').map(|dir| if dir.is_empty() { "." } else { dir });
            dirs.map(|dir| text(format!("{dir}/{name}"))).collect::<Result<_, _>>()?
        } else {
            vec![text(name.as_str())?]
        };
        let all = |list: &[String]| list.iter().map(|one| text(one.as_str())).collect::<Result<Vec<_>, _>>();
        Ok(Self {
            name,
            candidates,
            is_searched,
            args: PointerList::new(all(args)?),
            env: PointerList::new(all(env)?),
            home_of: (!env.iter().any(|variable| variable.starts_with("HOME=")))
                .then(|| process.user().uid()),
        })
    }
}

pub(super) fn text(bytes: impl Into<Vec<u8>>) -> Result<CString, PlanError> {
    CString::new(bytes).map_err(|_| PlanError::Zero)
}

/// The steps that need the host's /proc, to be run first.
pub fn early(process: &Process, host: &Host, missed: &mut Vec<NotEnforced>) -> Result<Vec<Step>, PlanError> {
    let mut steps = Vec::new();
    if let Some(wanted) = process.oom_score_adj() {
        let mut score = wanted;
        if wanted < host.oom_score && !host.can_raise_limits() {
            score = host.oom_score;
            missed.push(NotEnforced::lacking(
                "process.oomScoreAdj",
                format!("lowering it to {wanted} needs CAP_SYS_RESOURCE; it stays at {score}"),
            ));
        }
        if score != host.oom_score {
            steps.push(Step::OomScore(score, text(score.to_string())?));
        }
    }
    Ok(steps)
}

/// The steps after the root filesystem is in place, up to the point where only exec is missing.
///
/// A filter that cannot wait until then is taken: without no_new_privs it needs a capability that is given up on the
/// way, and with a listener it needs the parent.
pub fn process_steps(
    process: &Process,
    host: &Host,
    filter: &mut Option<Filter>,
    preserved: u32,
    missed: &mut Vec<NotEnforced>,
) -> Result<Vec<Step>, PlanError> {
    let cwd = text(process.cwd().as_os_str().as_bytes())?;
    let user = process.user();
    let mut steps = vec![Step::CloseInherited(preserved)];
    steps.extend(limits(process, host, missed));
    // Before the filter, under which it may no longer be possible to see where one is.
    steps.push(Step::WorkingDirectory(cwd.clone()));
    let is_bound = process.no_new_privileges() == Some(true);
    if !is_bound && let Some(filter) = filter.take() {
        steps.push(Step::Filter(Box::new(filter)));
    }
    steps.extend(identity(process, host, missed)?);
    steps.push(Step::WorkingDirectoryAsUser(cwd));
    if is_bound {
        steps.push(Step::NoNewPrivileges);
    }
    steps.push(Step::Umask(user.umask().unwrap_or(0o022)));
    if let Some(filter) = filter.take_if(|filter| filter.is_listened_to()) {
        steps.push(Step::Filter(Box::new(filter)));
    }
    Ok(steps)
}

/// The container's filter, compiled.
pub(in crate::runtime) fn filter_of(linux: Option<&Linux>) -> Result<Option<Filter>, PlanError> {
    let profile = linux.and_then(|linux| linux.seccomp().as_ref());
    Ok(profile.map(Filter::compiled).transpose()?)
}

/// The terminal that `process` asks for.
pub(in crate::runtime) fn terminal_of(process: &Process, is_console: bool) -> Option<Step> {
    if process.terminal() != Some(true) {
        return None;
    }
    let clamp = |number: u64| u16::try_from(number).unwrap_or(u16::MAX);
    let size = process.console_size();
    let size = size.map(|size| Size { rows: clamp(size.height()), columns: clamp(size.width()) });
    let size = size.filter(|size| size.rows > 0 || size.columns > 0);
    Some(Step::Terminal(Terminal { size, owner: process.user().uid(), is_console }))
}

fn limits(process: &Process, host: &Host, missed: &mut Vec<NotEnforced>) -> Vec<Step> {
    let mut steps = Vec::new();
    for wanted in process.rlimits().iter().flatten() {
        let Some(limit) = Limit::named(&wanted.typ().to_string()) else { continue };
        let (mut soft, mut hard) = (wanted.soft(), wanted.hard());
        let ours = host.hard_limits.iter().find(|(known, _)| *known == limit).map(|(_, hard)| *hard);
        if let Some(ours) = ours.filter(|ours| hard > *ours && !host.can_raise_limits()) {
            missed.push(NotEnforced::lacking(
                &format!("process.rlimits.{}", limit.name()),
                format!("raising it to {} needs CAP_SYS_RESOURCE; it is {ours}", limit_text(hard)),
            ));
            hard = ours;
            soft = soft.min(ours);
        }
        if limit.name() == "RLIMIT_NOFILE" && hard > host.open_files {
            let most = host.open_files;
            missed.push(NotEnforced::lacking(
                &format!("process.rlimits.{}", limit.name()),
                format!("{} is more than this host's fs.nr_open, which is {most}", limit_text(hard)),
            ));
            hard = most;
            soft = soft.min(most);
        }
        steps.push(Step::Limit(limit, soft, hard));
    }
    steps
}

fn limit_text(limit: u64) -> String {
    if limit == u64::MAX { "unlimited".to_owned() } else { limit.to_string() }
}

fn identity(process: &Process, host: &Host, missed: &mut Vec<NotEnforced>) -> Result<Vec<Step>, PlanError> {
    let user = process.user();
    let sets = capability_sets(process, host, missed)?;
    let mut steps = Vec::new();
    if let Some((bounding, _)) = &sets {
        // Beyond what the kernel knows there is nothing to give up.
        let dropped = host.known.without(*bounding);
        if !dropped.is_empty() {
            steps.push(Step::DropBounding(dropped));
        }
        if user.uid() != 0 {
            steps.push(Step::KeepCapabilities);
        }
    }
    let groups = user.additional_gids().clone().unwrap_or_default();
    // Who asks for some hears that they cannot be had.
    steps.extend((!groups.is_empty() || !host.keeps_groups).then_some(Step::Groups(groups)));
    steps.push(Step::Group(user.gid()));
    steps.push(Step::User(user.uid()));
    if let Some((_, sets)) = sets {
        steps.push(Step::Capabilities(Box::new(sets)));
    }
    Ok(steps)
}

/// The bounding set and the other four, cut to what this process can give.
fn capability_sets(
    process: &Process,
    host: &Host,
    missed: &mut Vec<NotEnforced>,
) -> Result<Option<(CapabilitySet, CapabilitySets)>, PlanError> {
    let Some(wanted) = process.capabilities() else { return Ok(unasked_sets(process, host)) };
    let read = |list: &Option<Capabilities>| {
        list.iter().flatten().try_fold(CapabilitySet::NONE, |set, capability| {
            let name = format!("CAP_{}", capability.to_string().trim_start_matches("CAP_"));
            set.with(&name).ok_or(PlanError::Capability(name))
        })
    };
    let bounding = read(wanted.bounding())?.without(host.withheld);
    let permitted = read(wanted.permitted())?.without(host.withheld);
    let missing = permitted.without(host.held);
    if !missing.is_empty() {
        missed.push(NotEnforced::lacking(
            "process.capabilities",
            format!("{} cannot be given because this process lacks it", missing.names().join(" ")),
        ));
    }
    let permitted = permitted.and(host.held);
    let inheritable = read(wanted.inheritable())?.and(host.held).without(host.withheld);
    let sets = CapabilitySets {
        effective: read(wanted.effective())?.and(permitted),
        permitted,
        inheritable,
        // The kernel takes only what is both permitted and inheritable.
        ambient: read(wanted.ambient())?.and(permitted).and(inheritable),
    };
    Ok(Some((bounding, sets)))
}

/// The sets of a process that asks for none in particular: it keeps ours, so only what is withheld makes a difference.
fn unasked_sets(process: &Process, host: &Host) -> Option<(CapabilitySet, CapabilitySets)> {
    if host.withheld.is_empty() {
        return None;
    }
    let is_root = process.user().uid() == 0;
    let kept = if is_root { host.held.without(host.withheld) } else { CapabilitySet::NONE };
    let none = CapabilitySet::NONE;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: none, ambient: none };
    Some((host.known.without(host.withheld), sets))
}
