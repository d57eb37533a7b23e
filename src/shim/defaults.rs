//! What every container has, for the agent, which writes bundles and may not know the runtime.

pub use crate::runtime::defaults::{
    capability_sets, device_rules, keep_project, masked_paths, mounts, namespaces, readonly_paths,
};

use oci_spec::OciSpecError;
use oci_spec::runtime::{Capabilities, Capability, LinuxSeccomp};

use crate::kernel::process::kernel_release;
use crate::runtime::defaults;

/// The filter of system calls of a container with these capabilities at most, on this kernel.
pub fn seccomp(capabilities: &Capabilities) -> Result<LinuxSeccomp, OciSpecError> {
    defaults::seccomp(capabilities, kernel_release())
}

/// The capabilities of an ordinary container.
#[must_use]
pub fn capabilities() -> Capabilities {
    defaults::CAPABILITIES.into_iter().collect()
}

/// Every capability there is; what the kernel does not know is left out by the runtime.
#[must_use]
pub fn all_capabilities() -> Capabilities {
    use Capability::{
        AuditControl, AuditRead, AuditWrite, BlockSuspend, Bpf, CheckpointRestore, Chown, DacOverride,
        DacReadSearch, Fowner, Fsetid, IpcLock, IpcOwner, Kill, Lease, LinuxImmutable, MacAdmin, MacOverride,
        Mknod, NetAdmin, NetBindService, NetBroadcast, NetRaw, Perfmon, Setfcap, Setgid, Setpcap, Setuid,
        SysAdmin, SysBoot, SysChroot, SysModule, SysNice, SysPacct, SysPtrace, SysRawio, SysResource,
        SysTime, SysTtyConfig, Syslog, WakeAlarm,
    };
    Capabilities::from([
        AuditControl,
        AuditRead,
        AuditWrite,
        BlockSuspend,
        Bpf,
        CheckpointRestore,
        Chown,
        DacOverride,
        DacReadSearch,
        Fowner,
        Fsetid,
        IpcLock,
        IpcOwner,
        Kill,
        Lease,
        LinuxImmutable,
        MacAdmin,
        MacOverride,
        Mknod,
        NetAdmin,
        NetBindService,
        NetBroadcast,
        NetRaw,
        Perfmon,
        Setfcap,
        Setgid,
        Setpcap,
        Setuid,
        SysAdmin,
        SysBoot,
        SysChroot,
        SysModule,
        SysNice,
        SysPacct,
        SysPtrace,
        SysRawio,
        SysResource,
        SysTime,
        SysTtyConfig,
        Syslog,
        WakeAlarm,
    ])
}
