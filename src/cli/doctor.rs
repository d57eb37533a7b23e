//! `hythe doctor`: what this host can and cannot do, and what would help; its exit code is that of the worst line.
//!
//! A daemon that runs is asked: it knows its configuration, and what its tasks asked for in vain. Where none answers, the
//! daemon's part of this program looks at the host in its place.

use std::{io::ErrorKind, path::Path};

use serde_json::json;

use super::{
    Examine,
    failure::{DEGRADED, FAILED, Failure, UNREACHABLE},
    session::Session,
    table::{Cell, Table, Tone},
};
use crate::api::{
    client::ClientError,
    live::{DoctorFinding, DoctorReport, Verdict},
};
use crate::model::reading;

/// Asks or looks, and prints.
pub(super) async fn run(session: &Session, config: Option<&Path>, examine: Examine) -> Result<u8, Failure> {
    let mut findings = Vec::new();
    let mut details = json!({});
    let is_reached = match session.client.get("/hythe/v1/doctor").await {
        Ok(answer) => {
            let report: DoctorReport = reading::from_value(answer)
                .map_err(|error| Failure::failed(format!("read the daemon's report: {error}")))?;
            let running =
                format!("hythe {} answers at {}", report.version, session.client.socket().display());
            findings.push(finding("daemon", Verdict::Ok, running, None));
            findings.extend(report.findings);
            details = report.details.into();
            true
        }
        Err(ClientError::Unreachable { socket, source }) => {
            let remedy = if source.kind() == ErrorKind::PermissionDenied {
                "run this as root, or as a user that [api] allowed_uids names"
            } else {
                "systemctl start hythe, or hythe daemon; another instance is named by --socket"
            };
            let message = format!("none answers at {}: {source}", socket.display());
            findings.push(finding("daemon", Verdict::Degraded, message, Some(remedy)));
            match examine(config) {
                Ok(seen) => findings.extend(seen),
                Err(why) => {
                    findings.push(finding("configuration", Verdict::Broken, why, Some("mend the file")));
                }
            }
            false
        }
        Err(error) => return Err(error.into()),
    };
    if session.json {
        session.print_json(&json!({ "findings": findings, "details": details }))?;
    } else {
        session.print(&render(&findings, session.colour))?;
    }
    Ok(code(&findings, is_reached))
}

fn code(findings: &[DoctorFinding], is_reached: bool) -> u8 {
    match findings.iter().map(|one| one.verdict).max() {
        Some(Verdict::Broken) => FAILED,
        _ if !is_reached => UNREACHABLE,
        Some(Verdict::Degraded) => DEGRADED,
        Some(Verdict::Ok) | None => 0,
    }
}

fn render(findings: &[DoctorFinding], colour: bool) -> String {
    let mut table = Table::of_pairs();
    for one in findings {
        let verdict = match one.verdict {
            Verdict::Ok => Cell::toned("ok", Tone::Good),
            Verdict::Degraded => Cell::toned("degraded", Tone::Middling),
            Verdict::Broken => Cell::toned("BROKEN", Tone::Bad),
        };
        table.row([verdict, one.subject.as_str().into(), one.message.as_str().into()]);
        if let Some(remedy) = &one.remedy {
            table.row(["".into(), "".into(), Cell::toned(format!("-> {remedy}"), Tone::Faint)]);
        }
    }
    table.render(colour)
}

fn finding(
    subject: &str,
    verdict: Verdict,
    message: impl Into<String>,
    remedy: Option<&str>,
) -> DoctorFinding {
    DoctorFinding {
        subject: subject.to_owned(),
        verdict,
        message: message.into(),
        remedy: remedy.map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Broken, Degraded, Ok};

    #[test]
    fn a_remedy_stands_under_what_it_helps() {
        let one = finding("overlay", Verdict::Broken, "missing", Some("modprobe overlay"));
        assert_eq!(render(&[one], false), "BROKEN  overlay  missing\n                 -> modprobe overlay\n");
    }

    #[test]
    fn the_worst_line_gives_the_exit_code() {
        let lines = |verdicts: &[Verdict]| -> Vec<DoctorFinding> {
            verdicts.iter().map(|verdict| finding("x", *verdict, "", None)).collect()
        };
        assert_eq!(code(&lines(&[Ok, Ok]), true), 0);
        assert_eq!(code(&lines(&[Ok, Degraded, Ok]), true), DEGRADED);
        assert_eq!(code(&lines(&[Degraded, Broken, Ok]), true), FAILED);
        assert_eq!(code(&lines(&[Degraded]), false), UNREACHABLE);
        assert_eq!(code(&lines(&[Degraded, Broken]), false), FAILED);
    }
}
