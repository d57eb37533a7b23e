//! What the C library's allocator keeps for itself.

/// Has all threads that begin from now on share `heaps` heaps. Whether that could be had.
///
/// By itself the library gives each new thread a heap of its own, up to eight for each processor. That is fast where
/// threads allocate all the time; those of a daemon mostly wait, and what is freed in one heap is no use to the others.
#[cfg(target_env = "gnu")]
pub fn share_heaps(heaps: u8) -> bool {
    // SAFETY: the call takes two integers and locks what it changes.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, heaps.into()) == 1 }
}

/// Another C library has one for all.
#[cfg(not(target_env = "gnu"))]
pub fn share_heaps(_heaps: u8) -> bool {
    false
}
