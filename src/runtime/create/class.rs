//! The class of service of a container: a control group of another kind, which its processes join as they join those.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

use oci_spec::runtime::Spec;

use crate::kernel::cgroup::Placement;
use crate::kernel::resctrl::{Class, Resctrl, ResctrlError, Wish};
use crate::runtime::bundle::ContainerId;

/// What the specification asks for, and the class that the container will be in. Makes nothing.
pub fn class_of(id: &ContainerId, spec: &Spec) -> Result<Option<(Wish, Class)>, ResctrlError> {
    let Some(wanted) = spec.linux().as_ref().and_then(|linux| linux.intel_rdt().as_ref()) else {
        return Ok(None);
    };
    let resctrl = Resctrl::detect().ok_or(ResctrlError::Absent)?;
    let wish = Wish::read(id.as_str(), wanted)?;
    let class = wish.class(&resctrl)?;
    Ok(Some((wish, class)))
}

/// How a process gets where `placement` has it, and into the class.
pub(in crate::runtime) fn join(mut placement: Placement, class: Option<&Class>) -> Placement {
    let files = class.map(Class::tasks).unwrap_or_default();
    placement.join.extend(files.iter().filter_map(|file| CString::new(file.as_os_str().as_bytes()).ok()));
    placement
}
