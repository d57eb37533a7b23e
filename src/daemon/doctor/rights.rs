//! Privileges: capabilities without which no container starts, and ones without which some wishes cannot be met.

use super::{broken, degraded, ok};
use crate::api::live::DoctorFinding;

const NEEDED: [(u32, &str); 9] = [
    (0, "CAP_CHOWN"),
    (1, "CAP_DAC_OVERRIDE"),
    (3, "CAP_FOWNER"),
    (5, "CAP_KILL"),
    (6, "CAP_SETGID"),
    (7, "CAP_SETUID"),
    (8, "CAP_SETPCAP"),
    (18, "CAP_SYS_CHROOT"),
    (21, "CAP_SYS_ADMIN"),
];

const USEFUL: [(u32, &str, &str); 3] = [
    (12, "CAP_NET_ADMIN", "there is no network for tasks"),
    (27, "CAP_MKNOD", "devices in image layers are left out"),
    (24, "CAP_SYS_RESOURCE", "hard limits cannot be raised above those of the daemon"),
];

/// Judges the text of `/proc/PID/status`.
pub(super) fn look(status: &str) -> Vec<DoctorFinding> {
    let held = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let held = held.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    let lacks = |number: u32| held >> number & 1 == 0;
    let missing: Vec<&str> =
        NEEDED.iter().filter(|(number, _)| lacks(*number)).map(|(_, name)| *name).collect();
    let mut findings = Vec::new();
    if !missing.is_empty() {
        let message = format!("no container can start without {}", missing.join(", "));
        findings.push(broken("privileges", message, "run the daemon as root, with all capabilities"));
    }
    for (_, name, without) in USEFUL.iter().filter(|(number, ..)| lacks(*number)) {
        let remedy = format!("give the daemon {name}; in a container or a sandbox, whoever made that has to");
        findings.push(degraded("privileges", format!("without {name} {without}"), remedy));
    }
    if findings.is_empty() {
        findings.push(ok("privileges", "every capability that is needed"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::live::Verdict;

    #[test]
    fn a_missing_capability_is_named_once_with_what_it_costs() {
        let all = look("CapEff:\t000001ffffffffff\n");
        assert_eq!((all.len(), all[0].verdict), (1, Verdict::Ok));
        let fewer = look("CapEff:\t000001fffeffffff\n");
        assert_eq!(fewer.len(), 1);
        assert!(fewer[0].message.contains("CAP_SYS_RESOURCE"), "{fewer:?}");
        let none = look("CapEff:\t0000000000000000\n");
        assert_eq!((none.len(), none[0].verdict), (4, Verdict::Broken));
    }
}
