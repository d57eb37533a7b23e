//! When and where a process runs: scheduler, I/O priority, processors, memory nodes, personality.

use nix::errno::Errno;
use nix::unistd::Pid;

/// How a process is scheduled (`struct sched_attr` of sched_setattr(2)).
#[repr(C)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Scheduling {
    size: u32,
    /// The policy's number.
    pub policy: u32,
    /// Flags.
    pub flags: u64,
    /// Niceness, for the ordinary policies.
    pub nice: i32,
    /// Priority, for the real-time policies.
    pub priority: u32,
    /// Nanoseconds in each period, for the deadline policy.
    pub runtime: u64,
    /// Nanoseconds until they must be given.
    pub deadline: u64,
    /// Nanoseconds of a period.
    pub period: u64,
}

/// Processors by number, as many as the kernel can have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Processors(Box<[u64; 128]>);

impl Processors {
    /// Reads a list such as `0-3,7`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut set = Box::new([0_u64; 128]);
        for range in text.split(',').map(str::trim).filter(|range| !range.is_empty()) {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
            if first > last || last >= 128 * 64 {
                return None;
            }
            for number in first..=last {
                set[number / 64] |= 1 << (number % 64);
            }
        }
        set.iter().any(|word| *word != 0).then_some(Self(set))
    }

    /// The numbers, as bits.
    pub(super) fn words(&self) -> &[u64] {
        &self.0[..]
    }
}

/// Changes how this process is scheduled.
pub fn schedule(wanted: &Scheduling) -> Result<(), Errno> {
    #[allow(clippy::cast_possible_truncation, reason = "a few words")]
    let wanted = Scheduling { size: size_of::<Scheduling>() as u32, ..*wanted };
    // SAFETY: the call reads as many bytes as the structure says it has; it lives across the call.
    Errno::result(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wanted, 0) }).map(drop)
}

/// The shortest turn that the kernel gives.
const SHORT_TURN: u64 = 100_000;

/// Asks for short turns of the processor: this thread, and those that it makes, get one sooner when they wake, and no more
/// of it in all. Linux before 6.12 has one length for everybody.
///
/// Programs that [`super::spawn`] executes have usual turns again.
pub fn take_short_turns() -> Result<(), Errno> {
    take_turns(SHORT_TURN)
}

/// Gives short turns up, for this thread and those that it makes.
pub fn take_usual_turns() -> Result<(), Errno> {
    take_turns(0)
}

/// Changes nothing else; a thread that somebody has put under another scheduler stays there.
fn take_turns(nanoseconds: u64) -> Result<(), Errno> {
    let own = scheduling_of(Pid::from_raw(0))?;
    if own.policy != libc::SCHED_OTHER.cast_unsigned() {
        return Ok(());
    }
    schedule(&Scheduling { runtime: nanoseconds, ..own })
}

/// How a process is scheduled; zero is this thread.
pub(super) fn scheduling_of(pid: Pid) -> Result<Scheduling, Errno> {
    let mut found = Scheduling::default();
    // SAFETY: the call writes no more bytes than it is told that the structure has.
    let read = unsafe {
        libc::syscall(libc::SYS_sched_getattr, pid.as_raw(), &raw mut found, size_of::<Scheduling>(), 0)
    };
    Errno::result(read).map(|_| found)
}

/// Sets the I/O priority of this process: class above, level in the lower 13 bits (ioprio_set(2)).
pub fn set_io_priority(value: i32) -> Result<(), Errno> {
    const PROCESS: libc::c_int = 1;
    // SAFETY: the call takes integers only.
    Errno::result(unsafe { libc::syscall(libc::SYS_ioprio_set, PROCESS, 0, value) }).map(drop)
}

/// Keeps this process to some processors.
pub fn keep_to(processors: &Processors) -> Result<(), Errno> {
    let words = processors.words();
    // SAFETY: the pointer and the length in bytes describe the words, which live across the call.
    let done = unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, size_of_val(words), words.as_ptr()) };
    Errno::result(done).map(drop)
}

/// Says where this process's memory comes from (set_mempolicy(2)).
pub fn set_memory_policy(mode: i32, nodes: Option<&Processors>) -> Result<(), Errno> {
    // One more than there are bits, because the kernel subtracts one.
    const BITS: libc::c_ulong = 1024 + 1;
    let (words, bits) = nodes.map_or((std::ptr::null(), 0), |nodes| (nodes.words().as_ptr(), BITS));
    // SAFETY: the pointer is null with no bits, or to more words than the bits need; they live across the call.
    Errno::result(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, words, bits) }).map(drop)
}

/// Sets what the kernel pretends to this process to be.
pub fn set_personality(persona: u32) -> Result<(), Errno> {
    // SAFETY: the call takes an integer only.
    Errno::result(unsafe { libc::personality(libc::c_ulong::from(persona)) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors_are_read() {
        let set = Processors::parse("0-2,64").unwrap();
        assert_eq!(set.words()[..2], [0b111, 1]);
        for bad in ["", "x", "3-1", "1-", "99999"] {
            assert_eq!(Processors::parse(bad), None, "{bad:?}");
        }
    }
}
