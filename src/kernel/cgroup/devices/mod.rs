//! Device rules in version 2, which has no files for them: a small program that the kernel asks.
//!
//! The program ([`program`]) is loaded and attached to the group's directory. The group keeps it: no descriptor
//! has to stay open, and it goes when the group is removed. Programs of the groups above go on being asked as
//! well, and a device must pass all of them.
//!
//! A group that is used again may still have the program of its last use. The new one is attached before that is
//! taken away, so there is no moment without rules. Programs of others, known by their names, are left alone.

mod program;

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use oci_spec::runtime::LinuxDeviceCgroup;

/// The commands of the call.
const PROGRAM_LOAD: libc::c_int = 5;
const PROGRAM_ATTACH: libc::c_int = 8;
const PROGRAM_DETACH: libc::c_int = 9;
const PROGRAM_BY_ID: libc::c_int = 13;
const OBJECT_INFO: libc::c_int = 15;
const PROGRAM_QUERY: libc::c_int = 16;

const TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;

/// Others may attach theirs beside and below ours.
const ALLOW_MULTI: u32 = 2;

/// What our programs are called.
const NAME: [u8; 16] = *b"hythe_devices\0\0\0";

/// How many programs a group can have; the kernel's own limit.
const MOST: u32 = 64;

/// The kernel asks for a licence only to offer functions under the GPL, of which the program calls none.
const LICENCE: &std::ffi::CStr = c"MIT OR Apache-2.0";

#[repr(C)]
#[derive(Default)]
struct Load {
    program_type: u32,
    count: u32,
    instructions: u64,
    licence: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    point: u32,
    flags: u32,
}

#[repr(C)]
struct ById {
    id: u32,
    next: u32,
    flags: u32,
}

#[repr(C)]
struct Describe {
    program: u32,
    size: u32,
    info: u64,
}

/// The beginning of what the kernel tells of a program, up to its name.
#[repr(C)]
#[derive(Default)]
struct Info {
    before: [u64; 8],
    name: [u8; 16],
}

#[allow(clippy::cast_possible_truncation, reason = "a few words")]
const SIZE_OF_INFO: u32 = size_of::<Info>() as u32;

#[repr(C)]
struct Query {
    target: u32,
    point: u32,
    flags: u32,
    attached_flags: u32,
    ids: u64,
    count: u32,
    /// Whole to the last field, because newer kernels fill all of them.
    rest: [u32; 9],
}

/// Whether `rules` come to none at all.
pub(super) fn allow_everything(rules: &[LinuxDeviceCgroup]) -> bool {
    program::allow_everything(rules)
}

/// Holds the group at `dir` to `rules`, instead of those it was held to before.
pub(super) fn enforce(dir: &Path, rules: &[LinuxDeviceCgroup]) -> Result<(), Errno> {
    let group = open(dir)?;
    let old = own_programs(&group)?;
    let new = load(rules)?;
    attach(&group, &new)?;
    old.iter().try_for_each(|old| detach(&group, old))
}

/// Whether the group at `dir` is held to rules of ours.
pub(super) fn is_enforced(dir: &Path) -> Result<bool, Errno> {
    Ok(!own_programs(&open(dir)?)?.is_empty())
}

fn open(dir: &Path) -> Result<File, Errno> {
    File::open(dir).map_err(|err| err.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
}

fn number(fd: &impl AsRawFd) -> u32 {
    fd.as_raw_fd().unsigned_abs()
}

/// The programs attached to the group itself that are ours.
fn own_programs(group: &File) -> Result<Vec<OwnedFd>, Errno> {
    let mut own = Vec::new();
    for id in attached(group)? {
        let program = match by_id(id) {
            // Gone since, with whoever attached it.
            Err(Errno::ENOENT) => continue,
            other => other?,
        };
        if name_of(&program)? == NAME {
            own.push(program);
        }
    }
    Ok(own)
}

fn load(rules: &[LinuxDeviceCgroup]) -> Result<OwnedFd, Errno> {
    let program = program::compile(rules);
    let load = Load {
        program_type: TYPE_CGROUP_DEVICE,
        count: u32::try_from(program.len()).map_err(|_| Errno::E2BIG)?,
        instructions: program.as_ptr() as u64,
        licence: LICENCE.as_ptr() as u64,
        name: NAME,
        ..Load::default()
    };
    // SAFETY: a load reads the attributes, `count` instructions and the licence's text; all three live across it.
    let fd = unsafe { bpf(PROGRAM_LOAD, &raw const load) }?;
    // SAFETY: the kernel has just made this descriptor; nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn attach(group: &File, program: &OwnedFd) -> Result<(), Errno> {
    let attach = Attach {
        target: number(group),
        program: number(program),
        point: ATTACH_CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    // SAFETY: an attach reads the attributes, which hold no address.
    unsafe { bpf(PROGRAM_ATTACH, &raw const attach) }.map(drop)
}

fn detach(group: &File, program: &OwnedFd) -> Result<(), Errno> {
    let detach =
        Attach { target: number(group), program: number(program), point: ATTACH_CGROUP_DEVICE, flags: 0 };
    // SAFETY: a detach reads the attributes, which hold no address.
    unsafe { bpf(PROGRAM_DETACH, &raw const detach) }.map(drop)
}

fn attached(group: &File) -> Result<Vec<u32>, Errno> {
    let mut ids = [0_u32; MOST as usize];
    let mut query = Query {
        target: number(group),
        point: ATTACH_CGROUP_DEVICE,
        flags: 0,
        attached_flags: 0,
        ids: ids.as_mut_ptr() as u64,
        count: MOST,
        rest: [0; 9],
    };
    // SAFETY: a query fills at most `count` numbers of `ids` and some fields of `query`; both live across it.
    unsafe { bpf(PROGRAM_QUERY, &raw mut query) }?;
    Ok(ids.into_iter().take(query.count as usize).collect())
}

fn by_id(id: u32) -> Result<OwnedFd, Errno> {
    let wanted = ById { id, next: 0, flags: 0 };
    // SAFETY: the command reads the attributes, which hold no address.
    let fd = unsafe { bpf(PROGRAM_BY_ID, &raw const wanted) }?;
    // SAFETY: the kernel has just made this descriptor; nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn name_of(program: &OwnedFd) -> Result<[u8; 16], Errno> {
    let mut info = Info::default();
    let mut describe = Describe { program: number(program), size: SIZE_OF_INFO, info: &raw mut info as u64 };
    // SAFETY: the command writes at most `size` bytes to `info`, which lives across it and is whole as any bytes. It
    // also writes back the size, hence the mutable pointer.
    unsafe { bpf(OBJECT_INFO, &raw mut describe) }?;
    Ok(info.name)
}

/// Runs one command of the call.
///
/// # Safety
///
/// Whatever `command` does with the addresses in `attributes` must be allowed.
unsafe fn bpf<T>(command: libc::c_int, attributes: *const T) -> Result<RawFd, Errno> {
    // SAFETY: the size is that of the attributes; for what they point to, the caller answers.
    let done = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    RawFd::try_from(Errno::result(done)?).map_err(|_| Errno::EOVERFLOW)
}

#[cfg(test)]
mod tests;
