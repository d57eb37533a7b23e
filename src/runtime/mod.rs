//! One OCI container. Knows nothing of tasks or of the daemon.
//!
//! A container is made in phases, each a type that the next one consumes:
//!
//! ```text
//! ContainerId::parse(&str) -> Result<ContainerId, InvalidId>
//! Bundle::load(dir: &Path) -> Result<Bundle, BundleError>            // reads dir/config.json
//! Bundle::new(dir: &Path, spec: Spec) -> Result<Bundle, BundleError>
//!
//! struct Stdio { stdin: Stream, stdout: Stream, stderr: Stream }     // Default: all Null
//! enum Stream { Inherit, Null, Fd(OwnedFd) }
//! struct Options { layout: Layout, die_with_parent: bool, start_socket: Option<PathBuf> }
//!
//! create(&ContainerId, &Bundle, Stdio, &Options) -> Result<Created, CreateError>
//! Created::{pid() -> Pid, pidfd() -> BorrowedFd, group() -> &Group, not_enforced() -> &[NotEnforced],
//!           timing() -> &Timing, start(self) -> Result<Running, StartError>, delete(self) -> Result<(), DeleteError>}
//! Running::{pid(), pidfd(), group(), try_wait() -> Result<Option<Exit>, Errno>, wait() -> Result<Exit, Errno>,
//!           signal(Signal) -> Result<(), Errno>, kill_all(), exec(&oci Process, Stdio) -> Result<Exec, ExecError>,
//!           pause(), resume(), delete(self) -> Result<(), DeleteError>}
//! Exec { pid: Pid, pidfd: Pidfd }
//! ```
