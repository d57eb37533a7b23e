//! User, groups, names, and the promise not to gain anything by exec.
//!
//! The identity setters bypass the C library, which would tell every thread: the caller is a process of one thread
//! that is about to execute.

use std::ffi::CStr;

use nix::errno::Errno;

/// Sets the real, effective and saved user.
pub fn set_user(uid: u32) -> Result<(), Errno> {
    // SAFETY: the call takes integers only.
    Errno::result(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }).map(drop)
}

/// Sets the real, effective and saved group.
pub fn set_group(gid: u32) -> Result<(), Errno> {
    // SAFETY: the call takes integers only.
    Errno::result(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) }).map(drop)
}

/// Replaces the supplementary groups.
pub fn set_groups(groups: &[u32]) -> Result<(), Errno> {
    // SAFETY: the pointer and the length describe the slice, which lives across the call.
    Errno::result(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) }).map(drop)
}

/// Sets the bits that new files will not have.
pub fn set_umask(mask: u32) {
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(mask));
}

/// Nothing executed from here on gains privileges by it.
pub fn no_new_privileges() -> Result<(), Errno> {
    nix::sys::prctl::set_no_new_privs()
}

/// Names the host, in this process's UTS namespace.
pub fn set_host_name(name: &CStr) -> Result<(), Errno> {
    let bytes = name.to_bytes();
    // SAFETY: the pointer and the length describe the string, which lives across the call.
    Errno::result(unsafe { libc::sethostname(bytes.as_ptr().cast(), bytes.len()) }).map(drop)
}

/// Names the NIS domain, in this process's UTS namespace.
pub fn set_domain_name(name: &CStr) -> Result<(), Errno> {
    let bytes = name.to_bytes();
    // SAFETY: the pointer and the length describe the string, which lives across the call.
    Errno::result(unsafe { libc::setdomainname(bytes.as_ptr().cast(), bytes.len()) }).map(drop)
}
