//! What every container has.
use oci_spec::runtime::*;
/// caps
pub fn capabilities() -> Capabilities {
    use Capability::*;
    [
        AuditWrite,
        Chown,
        DacOverride,
        Fowner,
        Fsetid,
        Kill,
        Mknod,
        NetBindService,
        NetRaw,
        Setfcap,
        Setgid,
        Setpcap,
        Setuid,
        SysChroot,
    ]
    .into()
}
/// all
pub fn all_capabilities() -> Capabilities {
    use Capability::*;
    capabilities().into_iter().chain([SysAdmin, NetAdmin]).collect()
}
/// mounts
pub fn mounts() -> Vec<Mount> {
    get_default_mounts()
}
/// masked
pub fn masked_paths() -> Vec<String> {
    get_default_maskedpaths()
}
/// ro
pub fn readonly_paths() -> Vec<String> {
    get_default_readonly_paths()
}
/// rules
pub fn device_rules() -> Vec<LinuxDeviceCgroup> {
    Vec::new()
}
