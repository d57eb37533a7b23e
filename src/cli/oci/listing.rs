//! `state` and `list`: what there is, for people and for programs.

use std::io::{self, Write};
use std::process::ExitCode;

use oci_spec::runtime::ContainerState;
use serde_json::{Value, json};

use super::commands::Known;
use super::report::Failure;
use super::{Global, ListArgs, ListFormat};
use crate::kernel::cgroup::Layout;
use crate::runtime::ContainerId;
use crate::runtime::state::Records;

pub(super) fn state(known: &Known) -> Result<ExitCode, Failure> {
    print(&serde_json::to_string_pretty(&describe(known))?)
}

/// The state in the words of the specification, with what other runtimes add.
fn describe(known: &Known) -> Value {
    let record = &known.record;
    let status = status(known);
    let pid = if status == "stopped" { 0 } else { record.pid };
    let mut value = json!({
        "ociVersion": record.oci_version,
        "id": record.id,
        "pid": pid,
        "status": status,
        "bundle": record.bundle,
        "rootfs": record.rootfs,
        "created": record.created,
        "owner": record.owner.to_string(),
    });
    if !record.annotations.is_empty() {
        value["annotations"] = json!(record.annotations);
    }
    value
}

/// The status, one of which the specification leaves to the runtime.
fn status(known: &Known) -> String {
    let status = known.status();
    let is_paused = || {
        let layout = Layout::detect().ok();
        layout.and_then(|layout| known.group(&layout).ok()).is_some_and(|group| group.is_frozen())
    };
    if status == ContainerState::Running && is_paused() { "paused".to_owned() } else { status.to_string() }
}

pub(super) fn list(global: &Global, args: &ListArgs) -> Result<ExitCode, Failure> {
    let records = Records::at(&global.root);
    let known: Vec<Known> = records
        .all()?
        .into_iter()
        .filter_map(|record| {
            let id = ContainerId::parse(&record.id).ok()?;
            Some(Known { records: records.clone(), id, record })
        })
        .collect();
    if args.quiet {
        return print(&known.iter().map(|one| one.record.id.as_str()).collect::<Vec<_>>().join("\n"));
    }
    match args.format {
        ListFormat::Json => print(&Value::Array(known.iter().map(describe).collect()).to_string()),
        ListFormat::Table => {
            let mut rows = vec![["ID", "PID", "STATUS", "BUNDLE", "CREATED"].map(ToOwned::to_owned)];
            rows.extend(known.iter().map(|one| {
                let status = status(one);
                let pid = if status == "stopped" { 0 } else { one.record.pid };
                let bundle = one.record.bundle.display().to_string();
                [one.record.id.clone(), pid.to_string(), status, bundle, one.record.created.clone()]
            }));
            print(&table(&rows))
        }
    }
}

/// Columns as wide as their widest cell, the last one as it is.
pub(super) fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..COLUMNS).map(width).collect();
    let line = |row: &[String; COLUMNS]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Prints a line; a reader that has gone away is not our failure.
pub(super) fn print(text: &str) -> Result<ExitCode, Failure> {
    match writeln!(io::stdout(), "{text}") {
        Err(err) if err.kind() != io::ErrorKind::BrokenPipe => Err(err.into()),
        Ok(()) | Err(_) => Ok(ExitCode::SUCCESS),
    }
}
