//! Control groups: their layout, and the limits that are not enforced because the kernel has no controller for them.

use super::{broken, degraded, ok};
use crate::{
    agent::{self, CgroupDriver},
    api::live::DoctorFinding,
};

/// The controllers that limits of tasks need, as version 2 names them.
const WANTED: [&str; 5] = ["cpu", "memory", "pids", "cpuset", "io"];

/// The layout, a line for each controller that is missing, and who makes the groups of tasks.
pub(super) fn look(command_line: &str, driver: CgroupDriver) -> Vec<DoctorFinding> {
    match agent::control_groups(&WANTED) {
        Ok((layout, missing)) => {
            let mut findings = judge(layout, &missing, command_line);
            findings.push(maker(driver, agent::try_driver(driver)));
            findings
        }
        Err(why) => vec![broken(
            "cgroup",
            why,
            "mount them: systemd does, elsewhere mount -t cgroup2 none /sys/fs/cgroup",
        )],
    }
}

fn maker(driver: CgroupDriver, answer: Result<(), String>) -> DoctorFinding {
    match (driver, answer) {
        (CgroupDriver::Files, _) => ok("cgroup", "made by files, by hythe itself"),
        (CgroupDriver::Systemd, Ok(())) => ok("cgroup", "made by systemd: a scope for each task"),
        (CgroupDriver::Systemd, Err(why)) => broken(
            "cgroup",
            format!("no task can start: systemd is to make control groups, and does not answer: {why}"),
            "run systemd with dbus, or set cgroup_driver = \"files\" in [containers]",
        ),
    }
}

fn judge(layout: &str, missing: &[&str], command_line: &str) -> Vec<DoctorFinding> {
    let here: Vec<&str> = WANTED.into_iter().filter(|name| !missing.contains(name)).collect();
    let layout = match layout {
        "v2" => "version 2",
        "hybrid" => "version 1, with an empty version 2 beside it",
        _ => "version 1",
    };
    let mut findings = vec![ok("cgroup", format!("{layout}; controllers: {}", here.join(", ")))];
    for controller in missing {
        let message = format!("limits of {controller} are not enforced: the host has no such controller");
        findings.push(degraded("cgroup", message, remedy(controller, command_line)));
    }
    findings
}

fn remedy(controller: &str, command_line: &str) -> String {
    let switched_off = |word: &&str| {
        let list = word.strip_prefix("cgroup_disable=");
        list.is_some_and(|list| list.split(',').any(|name| name == controller))
    };
    match (command_line.split_whitespace().find(switched_off), controller) {
        (Some(word), _) => format!("take {word} from the kernel's command line and restart the host"),
        (None, "memory") => {
            "add cgroup_enable=memory to the kernel's command line and restart the host".to_owned()
        }
        (None, _) => format!(
            "mount the controller, or boot a kernel with CONFIG_{}",
            match controller {
                "cpu" => "CFS_BANDWIDTH",
                "pids" => "CGROUP_PIDS",
                "cpuset" => "CPUSETS",
                _ => "BLK_CGROUP",
            }
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::live::Verdict;

    #[test]
    fn a_driver_that_does_not_answer_is_broken_with_the_way_out() {
        let silent = || Err("connect to the system bus".to_owned());
        assert_eq!(maker(CgroupDriver::Files, silent()).verdict, Verdict::Ok);
        assert_eq!(maker(CgroupDriver::Systemd, Ok(())).verdict, Verdict::Ok);
        let told = maker(CgroupDriver::Systemd, silent());
        assert_eq!(told.verdict, Verdict::Broken);
        assert!(told.message.ends_with("does not answer: connect to the system bus"), "{told:?}");
        assert!(told.remedy.is_some_and(|text| text.contains("cgroup_driver = \"files\"")));
    }

    #[test]
    fn a_controller_that_was_switched_off_is_named_with_the_way_back() {
        let found = judge("v2", &["memory"], "quiet cgroup_disable=memory,io ro");
        assert_eq!(
            (found[0].verdict, found[0].message.as_str()),
            (Verdict::Ok, "version 2; controllers: cpu, pids, cpuset, io")
        );
        assert_eq!(found[1].verdict, Verdict::Degraded);
        let remedy = found[1].remedy.as_deref();
        assert_eq!(
            remedy,
            Some("take cgroup_disable=memory,io from the kernel's command line and restart the host")
        );
        let absent = judge("v1", &["memory", "pids"], "quiet");
        assert!(absent[1].remedy.as_deref().is_some_and(|text| text.contains("cgroup_enable=memory")));
        assert!(absent[2].remedy.as_deref().is_some_and(|text| text.contains("CONFIG_CGROUP_PIDS")));
    }
}
