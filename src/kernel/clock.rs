//! How well the kernel's wall clock is known.

use std::mem::MaybeUninit;

use nix::errno::Errno;

/// What the kernel says of its wall clock, which somebody like chrony or systemd-timesyncd tells it (adjtimex(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Discipline {
    /// Whether somebody keeps it in step.
    pub is_synchronized: bool,
    /// Microseconds that it may be off at most; without somebody who keeps it in step this grows to 16 s.
    pub error_bound: u64,
}

/// Asks the kernel; nothing is changed.
///
/// # Errors
/// The kernel's refusal, which no kernel that we run on gives to a question.
pub fn discipline() -> Result<Discipline, Errno> {
    // SAFETY: a `timex` is integers alone, for which zeros are a value; without modes it asks for nothing to be set.
    let mut clock: libc::timex = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: the call writes to the structure alone, which is ours and lives across it.
    let state = Errno::result(unsafe { libc::adjtimex(&raw mut clock) })?;
    Ok(Discipline {
        is_synchronized: state != libc::TIME_ERROR && clock.status & libc::STA_UNSYNC == 0,
        error_bound: u64::try_from(clock.maxerror).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_how_far_its_clock_may_be_off() {
        let found = discipline().unwrap();
        assert!(
            found.error_bound > 0 && (found.is_synchronized || found.error_bound <= 16_000_000),
            "{found:?}"
        );
    }
}
