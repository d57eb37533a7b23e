//! The checks on namespaces, and on what is only possible within one.

use oci_spec::runtime::{Linux, LinuxNamespace, LinuxNamespaceType, Spec};

use super::BundleError;
use super::check::invalid;

/// Bytes of a network device's name (`IFNAMSIZ`, with the end of the string).
const LONGEST_DEVICE: usize = 15;

pub(super) fn has_namespace(linux: &Linux, kind: LinuxNamespaceType) -> bool {
    linux.namespaces().iter().flatten().any(|namespace| namespace.typ() == kind)
}

/// Checks the namespaces and what needs one.
pub(super) fn check(spec: &Spec, linux: &Linux) -> Result<(), BundleError> {
    let all = linux.namespaces().as_deref().unwrap_or_default();
    check_users(linux)?;
    check_time(linux)?;
    check_devices(linux)?;
    let has_users = has_namespace(linux, LinuxNamespaceType::User);
    for (at, namespace) in all.iter().enumerate() {
        let member = format!("linux.namespaces[{at}]");
        let kind = namespace.typ();
        if all[..at].iter().any(|other| other.typ() == kind) {
            return Err(invalid(member, format!("the {kind} namespace is given twice")));
        }
        let is_joined = is_joined(namespace);
        if has_users && is_joined && kind == LinuxNamespaceType::Mount {
            let reason = "a mount namespace cannot be joined together with a user namespace";
            return Err(invalid(format!("{member}.path"), reason));
        }
        if is_joined && namespace.path().as_ref().is_some_and(|path| !path.is_absolute()) {
            return Err(invalid(format!("{member}.path"), "is not an absolute path"));
        }
    }
    if has_users && !has_namespace(linux, LinuxNamespaceType::Mount) {
        return Err(invalid("linux.namespaces", "a user namespace needs a mount namespace"));
    }
    for (member, name) in [("hostname", spec.hostname()), ("domainname", spec.domainname())] {
        let is_set = name.as_ref().is_some_and(|name| !name.is_empty());
        if is_set && !has_namespace(linux, LinuxNamespaceType::Uts) {
            return Err(invalid(member, "cannot be set without a uts namespace"));
        }
        if name.as_ref().is_some_and(|name| name.len() > 64) {
            return Err(invalid(member, "is longer than 64 bytes"));
        }
    }
    Ok(())
}

fn is_joined(namespace: &LinuxNamespace) -> bool {
    namespace.path().as_ref().is_some_and(|path| !path.as_os_str().is_empty())
}

fn find(linux: &Linux, kind: LinuxNamespaceType) -> Option<&LinuxNamespace> {
    linux.namespaces().iter().flatten().find(|namespace| namespace.typ() == kind)
}

/// Users need a namespace to be mapped in, and a new one needs users.
fn check_users(linux: &Linux) -> Result<(), BundleError> {
    let namespace = find(linux, LinuxNamespaceType::User);
    let is_new = namespace.is_some_and(|namespace| !is_joined(namespace));
    let lists = [("linux.uidMappings", linux.uid_mappings()), ("linux.gidMappings", linux.gid_mappings())];
    for (member, list) in lists {
        let is_empty = list.as_ref().is_none_or(Vec::is_empty);
        if namespace.is_none() && !is_empty {
            return Err(invalid(member, "cannot be set without a user namespace"));
        }
        if is_new && is_empty {
            return Err(invalid(member, "is missing although there is a new user namespace"));
        }
        if let Some(at) = list.iter().flatten().position(|one| one.size() == 0) {
            return Err(invalid(format!("{member}[{at}].size"), "is zero"));
        }
    }
    Ok(())
}

/// A network device needs a network of the container's, and a name there that the kernel takes and no other has.
fn check_devices(linux: &Linux) -> Result<(), BundleError> {
    let mut names = Vec::new();
    for (device, wanted) in linux.net_devices().iter().flatten() {
        let member = format!("linux.netDevices.{device}");
        if !has_namespace(linux, LinuxNamespaceType::Network) {
            return Err(invalid(member, "cannot be set without a net namespace"));
        }
        let wanted = wanted.name().as_ref().filter(|wanted| !wanted.is_empty());
        for name in wanted.into_iter().chain([device]) {
            let is_bad = |byte: u8| byte.is_ascii_whitespace() || b"/:%\0".contains(&byte);
            if name.is_empty()
                || name.len() > LONGEST_DEVICE
                || [".", ".."].contains(&name.as_str())
                || name.bytes().any(is_bad)
            {
                return Err(invalid(member, format!("{name:?} is not a name of a network device")));
            }
        }
        let name = wanted.unwrap_or(device);
        if names.contains(&name) {
            return Err(invalid(member, format!("{name:?} is the name of two network devices")));
        }
        names.push(name);
    }
    Ok(())
}

/// A clock's offset needs a new time namespace, and a clock that has one.
fn check_time(linux: &Linux) -> Result<(), BundleError> {
    for clock in linux.time_offsets().iter().flatten().map(|(clock, _)| clock) {
        let member = format!("linux.timeOffsets.{clock}");
        if !["monotonic", "boottime"].contains(&clock.as_str()) {
            return Err(invalid(member, "is not a clock that a time namespace offsets"));
        }
        if find(linux, LinuxNamespaceType::Time).is_none_or(is_joined) {
            return Err(invalid(member, "cannot be set without a new time namespace"));
        }
    }
    Ok(())
}
