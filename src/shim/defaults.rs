//! What every container starts from, for whoever writes bundles.
//!
//! The runtime knows the usual mounts, paths, devices and capabilities; whoever writes bundles may not know the
//! runtime, so the shim, which does, passes them on.

use oci_spec::runtime::{Capabilities, Capability, Mount};

use crate::{kernel::security, runtime};

pub use crate::runtime::defaults::{
    capability_sets, device_rules, devices, masked_paths, namespaces, readonly_paths,
};

/// Bytes of `/dev/shm` when nobody names a size.
const SHARED_MEMORY: u64 = 64 << 20;

/// The usual capabilities.
#[must_use]
pub fn capabilities() -> Capabilities {
    runtime::defaults::CAPABILITIES.into_iter().collect()
}

/// Every capability that this kernel knows.
#[must_use]
pub fn all_capabilities() -> Capabilities {
    let names = security::known().names();
    names.iter().filter_map(|name| name.strip_prefix("CAP_")?.parse::<Capability>().ok()).collect()
}

/// The usual mounts, with the usual size of `/dev/shm`.
#[must_use]
pub fn mounts() -> Vec<Mount> {
    runtime::defaults::mounts(SHARED_MEMORY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_capabilities_are_more_than_the_usual_ones() {
        let (all, usual) = (all_capabilities(), capabilities());
        assert!(usual.iter().all(|capability| all.contains(capability)));
        assert!(all.contains(&Capability::SysAdmin) && all.len() >= 38, "{} are known", all.len());
    }
}
