//! What can go wrong while a container is made, told by who was asked for what.

use std::path::PathBuf;

use nix::errno::Errno;

use crate::kernel::cgroup::{CgroupError, NotEnforced};
use crate::kernel::process::Exit;
use crate::kernel::resctrl::ResctrlError;
use crate::runtime::attend::DeliveryError;
use crate::runtime::bundle::BundleError;
use crate::runtime::failure::ExecFailure;
use crate::runtime::handshake::Part;
use crate::runtime::hooks::HookError;
use crate::runtime::net_devices::NetDeviceError;
use crate::runtime::sources::SourceError;
use crate::runtime::steps::PlanError;

/// Why a container was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The bundle is wrong.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The specification cannot be turned into steps.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The control group could not be made.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// Its class of service is none, or could not be made.
    #[error(transparent)]
    Class(#[from] ResctrlError),
    /// A limit is one that the kernel does not take.
    #[error("linux.resources.{}: {}", .0.resource, .0.reason)]
    Limit(NotEnforced),
    /// Somebody lives in the control group.
    #[error("control group {} has processes in it already", .0.display())]
    CgroupInUse(PathBuf),
    /// The specification's control group path is none.
    #[error("linux.cgroupsPath")]
    CgroupPath(#[source] CgroupError),
    /// Something the child needs could not be made ready.
    #[error("{what}")]
    Prepare {
        /// What.
        what: &'static str,
        /// Why.
        source: Errno,
    },
    /// A namespace could not be entered.
    #[error("join the namespace {}", path.display())]
    Namespace {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: Errno,
    },
    /// The process could not be made.
    #[error("make the container's process")]
    Clone(#[source] Errno),
    /// A step failed.
    #[error("{step}{}", detail(*part))]
    Step {
        /// The step, as a phrase.
        step: String,
        /// Which part of it.
        part: Part,
        /// Why.
        source: Errno,
    },
    /// Something the container has made did not reach who waits for it.
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
    /// A mount that the container may not make itself could not be made ready.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A network device could not be brought.
    #[error(transparent)]
    NetDevice(#[from] NetDeviceError),
    /// A hook failed.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The users of its user namespace could not be set.
    #[error("map the users of the user namespace")]
    Users(#[source] std::io::Error),
    /// Something that the parent does for the child failed.
    #[error("{step}")]
    ForChild {
        /// What, as a phrase.
        step: String,
        /// Why.
        source: Errno,
    },
    /// There is no program to execute.
    #[error(transparent)]
    Exec(#[from] ExecFailure),
    /// The limit is too small for the container to begin in.
    #[error("the container ran out of memory before its program was started")]
    OutOfMemory,
    /// The child ended without a word.
    #[error("the container's process ended before its program was started ({0:?})")]
    Ended(Option<Exit>),
}

pub(in crate::runtime) fn detail(part: Part) -> &'static str {
    match part {
        Part::Whole => "",
        Part::Source => ": the source",
        Part::Target => ": the place within the root filesystem",
        Part::Attributes => ": the attributes",
        Part::Type => ": the filesystem type",
        Part::Option => ": the options",
        Part::HookCode | Part::HookSignal | Part::HookTimeout => ": a hook",
    }
}
