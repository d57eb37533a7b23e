//! `hythe doctor`: what this host can and cannot do, and what would help.
//!
//! Some questions are answered here, because they matter most when no daemon runs: privileges, kernel, control
//! groups. The rest the daemon answers, which knows its configuration and what its tasks asked for in vain. Where
//! both speak of one thing, the daemon's word is printed.

use std::fs;

use serde_json::json;

use super::{
    failure::{FAILED, Failure, UNREACHABLE},
    session::Session,
    table::{Cell, Table, Tone},
};
use crate::{
    api::{
        client::ClientError,
        live::{DoctorFinding, DoctorReport, Verdict},
    },
    kernel::{cgroup::Layout, security},
};

/// Kernel releases older than this lack calls that containers are made with.
const OLDEST: (u32, u32) = (5, 10);

/// Capabilities that the daemon works with, and what it cannot do without each.
const CAPABILITIES: [(&str, Verdict, &str); 5] = [
    ("CAP_SYS_ADMIN", Verdict::Bad, "no namespace or mount can be made"),
    ("CAP_NET_ADMIN", Verdict::Bad, "no network can be made"),
    ("CAP_SETUID", Verdict::Bad, "containers cannot have users of their own"),
    ("CAP_MKNOD", Verdict::Limited, "devices are bound from the host instead of made"),
    ("CAP_SYS_RESOURCE", Verdict::Limited, "hard resource limits cannot be raised above the daemon's own"),
];

/// Looks, asks, prints.
pub(super) async fn run(session: &Session) -> Result<u8, Failure> {
    let mut findings = here();
    let mut code = 0;
    match session.client.get("/hythe/v1/doctor").await {
        Ok(answer) => {
            let report: DoctorReport = serde_json::from_value(answer.clone())
                .map_err(|error| Failure::failed(format!("read the daemon's report: {error}")))?;
            findings.retain(|own| report.findings.iter().all(|other| other.subject != own.subject));
            let running =
                format!("hythe {} answers at {}", report.version, session.client.socket().display());
            findings.push(finding("daemon", Verdict::Good, running));
            findings.extend(report.findings);
            if session.json {
                session.print_json(&json!({ "findings": findings, "details": report.details }))?;
            }
        }
        Err(error @ ClientError::Unreachable { .. }) => {
            code = UNREACHABLE;
            findings.push(finding("daemon", Verdict::Bad, Failure::from(error).to_string()));
            if session.json {
                session.print_json(&json!({ "findings": findings }))?;
            }
        }
        Err(error) => return Err(error.into()),
    }
    if !session.json {
        session.print(&render(&findings, session.colour))?;
    }
    let bad = findings.iter().any(|one| one.verdict == Verdict::Bad && one.subject != "daemon");
    Ok(if bad { FAILED } else { code })
}

fn render(findings: &[DoctorFinding], colour: bool) -> String {
    let mut table = Table::of_pairs();
    for one in findings {
        let verdict = match one.verdict {
            Verdict::Good => Cell::toned("good", Tone::Good),
            Verdict::Limited => Cell::toned("limited", Tone::Middling),
            Verdict::Bad => Cell::toned("BAD", Tone::Bad),
        };
        table.row([verdict, one.subject.as_str().into(), one.message.as_str().into()]);
        if let Some(remedy) = &one.remedy {
            table.row(["".into(), "".into(), Cell::toned(format!("-> {remedy}"), Tone::Faint)]);
        }
    }
    table.render(colour)
}

fn finding(subject: &str, verdict: Verdict, message: impl Into<String>) -> DoctorFinding {
    DoctorFinding { subject: subject.to_owned(), verdict, message: message.into(), remedy: None }
}

/// What can be seen without a daemon.
fn here() -> Vec<DoctorFinding> {
    let mut findings = vec![kernel()];
    findings.extend(privileges());
    findings.push(control_groups());
    findings.push(overlay());
    findings
}

fn kernel() -> DoctorFinding {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    let mut numbers = release.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or_default());
    let version = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    if version >= OLDEST {
        finding("kernel", Verdict::Good, format!("Linux {release}"))
    } else {
        let (major, minor) = OLDEST;
        finding("kernel", Verdict::Bad, format!("Linux {release} is older than {major}.{minor}"))
    }
}

fn privileges() -> Vec<DoctorFinding> {
    let Ok(held) = security::held() else {
        return vec![finding("privileges", Verdict::Bad, "the capabilities of this process cannot be read")];
    };
    let missing: Vec<DoctorFinding> = CAPABILITIES
        .iter()
        .filter(|(name, ..)| !held.has(name))
        .map(|(name, verdict, without)| {
            finding("privileges", *verdict, format!("{name} is missing: {without}"))
        })
        .collect();
    if missing.is_empty() {
        vec![finding("privileges", Verdict::Good, "every capability that is needed")]
    } else {
        missing
    }
}

fn control_groups() -> DoctorFinding {
    match Layout::detect() {
        Ok(layout) => {
            let missing: Vec<&str> = ["memory", "cpu", "pids"]
                .into_iter()
                .filter(|controller| !layout.offers(controller))
                .collect();
            if missing.is_empty() {
                finding("cgroup", Verdict::Good, layout.describe())
            } else {
                let message =
                    format!("{}; limits of {} are not enforced", layout.describe(), missing.join(", "));
                finding("cgroup", Verdict::Limited, message)
            }
        }
        Err(error) => finding("cgroup", Verdict::Bad, super::failure::report(&error)),
    }
}

fn overlay() -> DoctorFinding {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if known.lines().any(|line| line.ends_with("\toverlay")) {
        return finding("overlay", Verdict::Good, "overlayfs is here");
    }
    let mut missing = finding("overlay", Verdict::Bad, "the kernel has no overlayfs loaded");
    missing.remedy = Some("modprobe overlay".to_owned());
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_stands_under_what_it_helps() {
        let mut one = finding("overlay", Verdict::Bad, "missing");
        one.remedy = Some("modprobe overlay".to_owned());
        assert_eq!(render(&[one], false), "BAD  overlay  missing\n              -> modprobe overlay\n");
    }
}
