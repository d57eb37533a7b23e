//! The clock: a host without a battery begins in 1970, and no certificate is valid then.

use super::{degraded, ok};
use crate::{api::live::DoctorFinding, model::time::Timestamp};

/// 2024-01-01: hythe is younger.
const EARLIEST: Timestamp = Timestamp(1_704_067_200_000);

/// Whether the wall clock can be right.
pub(super) fn look(now: Timestamp) -> DoctorFinding {
    if now >= EARLIEST {
        return ok("clock", "it is set");
    }
    degraded(
        "clock",
        "it stands before 2024: no certificate of a registry is valid yet, and times in answers are wrong",
        "set it: timedatectl set-ntp true, or date -s \"2030-01-31 12:00\"",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::live::Verdict;

    #[test]
    fn a_clock_at_the_epoch_is_not_set() {
        assert_eq!(look(Timestamp(60_000)).verdict, Verdict::Degraded);
        assert_eq!(look(Timestamp(1_900_000_000_000)).verdict, Verdict::Ok);
    }
}
