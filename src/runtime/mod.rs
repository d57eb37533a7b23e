//! One OCI container. Knows nothing of tasks or of the daemon.
//!
//! ```text
//! Bundle --plan--> [Step] --clone--> child runs the list --ready--> Created --start--> Running --delete--> nothing
//! ```
//!
//! A specification is checked and turned into a list of steps before any process exists (`bundle`, `steps`). The
//! child runs the list, says which step failed or that it is ready, and waits (`init`, `handshake`). What has been
//! made is a type for each phase (`create`, `ops`); what must outlive the caller is a small file (`state`).
//!
//! A container's mounts, the root filesystem's among them, exist only in its own mount namespace. So whatever dies,
//! in whatever order, the host is left with nothing to unmount.
//!
//! Functions that make a process want a caller with one thread.

mod attend;
mod bundle;
mod create;
pub mod defaults;
mod exec;
mod failure;
mod handshake;
mod hooks;
mod inherited;
mod init;
mod launch;
mod net_devices;
mod ops;
mod sources;
pub mod state;
pub mod steps;
mod streams;

pub use attend::{DeliveryError, run_hooks};
pub use bundle::{Bundle, BundleError, ContainerId, InvalidId, check_process, read_process};
pub use create::{
    CreateError, FirstProcess, Options, Timing, class_of, close_own_program, create, hold_own_program, place,
};
pub use exec::{Exec, ExecError, ExecOptions, may_trace};
pub use failure::ExecFailure;
pub use handshake::Part;
pub use hooks::{HookError, Outside};
pub use inherited::unmount_inherited;
pub use net_devices::{NetDeviceError, NetDeviceFailure};
pub use ops::{Created, DeleteError, Running, StartError, start_waiting};
pub use sources::SourceError;
pub use steps::{Host, MountPlanError, Plan, PlanError, Step};
pub use streams::{Stdio, Stream};

pub use crate::kernel::cgroup::NotEnforced;
