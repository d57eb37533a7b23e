//! Credentials from a program of the operator's: version 1 of the document that AWS's clients take from a
//! `credential_process`.
//!
//! The daemon runs it, with a time limit and in a process group of its own, which is ended with it. What it says on its
//! standard error is thrown away: nobody knows what is in it.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::{Keys, RoleError};
use crate::model::reading;
use crate::model::time::Timestamp;

/// The longest document that is read.
const LARGEST: u64 = 64 << 10;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    version: u32,
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    expiration: Option<String>,
}

/// A program that runs. Dropped before it has ended, it is ended with everything that it started.
struct Running {
    child: Child,
    group: Option<Pid>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // The program is not reaped yet, so the number is still its own.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

/// Runs the program and reads what it prints.
pub(super) async fn run(command: &[String], limit: Duration) -> Result<Keys, RoleError> {
    let program = command.first().cloned().unwrap_or_default();
    let failed = |source| RoleError::Run { program: program.clone(), source };
    let child = Command::new(&program)
        .args(command.iter().skip(1))
        .env_remove("NOTIFY_SOCKET")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let mut running = Running { child, group };
    let ended = timeout(limit, finish(&mut running.child)).await;
    let (text, status) = match ended {
        Err(_) => return Err(RoleError::Late { program, limit }),
        Ok(ended) => ended.map_err(failed)?,
    };
    running.group = None;
    if !status.success() {
        return Err(RoleError::Failed { program, status });
    }
    read(&text).map_err(|what| RoleError::Printed { program, what })
}

async fn finish(child: &mut Child) -> std::io::Result<(Vec<u8>, ExitStatus)> {
    let mut text = Vec::new();
    if let Some(out) = child.stdout.take() {
        out.take(LARGEST).read_to_end(&mut text).await?;
    }
    Ok((text, child.wait().await?))
}

/// The credentials in a document, or what it should have been. What the reader says of it is not passed on, because it
/// repeats what it read.
fn read(text: &[u8]) -> Result<Keys, &'static str> {
    let document: Document = reading::from_slice(text).map_err(
        |_| "a JSON object with Version, AccessKeyId and SecretAccessKey, as AWS describes credential_process",
    )?;
    if document.version != 1 {
        return Err("version 1 of the document");
    }
    if document.access_key_id.is_empty() || document.secret_access_key.is_empty() {
        return Err("an AccessKeyId and a SecretAccessKey");
    }
    let until = document.expiration.as_deref().map(Timestamp::of_rfc3339);
    Ok(Keys {
        id: document.access_key_id,
        secret: document.secret_access_key,
        token: document.session_token,
        until: until.map(|until| until.ok_or("an Expiration such as 2030-01-31T12:00:00Z")).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn said(script: &str) -> Result<(String, Option<String>, Option<Timestamp>), String> {
        let command = ["/bin/sh", "-c", script].map(str::to_owned);
        let keys = run(&command, Duration::from_secs(20)).await;
        keys.map(|keys| (keys.id, keys.token, keys.until)).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_program_prints_credentials_or_what_it_did_is_told_without_what_it_printed() {
        let whole = r#"echo '{"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "hush", "SessionToken": "t",
            "Expiration": "1970-01-01T00:00:01Z"}'"#;
        let expected = ("A".to_owned(), Some("t".to_owned()), Some(Timestamp(1000)));
        assert_eq!(said(whole).await, Ok(expected));
        let bare = r#"echo '{"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "hush"}'"#;
        assert_eq!(said(bare).await, Ok(("A".to_owned(), None, None)));
        for (script, why) in [
            ("echo hush; exit 3", "ended with exit status: 3"),
            ("echo hush", "did not print a JSON object"),
            (r#"echo '{"Version": 1, "AccessKeyId": "hush"}'"#, "did not print a JSON object"),
            (r#"echo '{"Version": 2, "AccessKeyId": "A", "SecretAccessKey": "hush"}'"#, "version 1"),
            (r#"echo '{"Version": 1, "AccessKeyId": "", "SecretAccessKey": "hush"}'"#, "an AccessKeyId"),
            (
                r#"echo '{"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "hush", "Expiration": "hush"}'"#,
                "an Expiration",
            ),
        ] {
            let refused = said(script).await.unwrap_err();
            assert!(refused.contains(why) && !refused.contains("hush"), "{refused}");
        }
        let missing = run(&["/nonexistent".to_owned()], Duration::from_secs(1)).await.err().unwrap();
        assert_eq!(missing.to_string(), "run credential_process /nonexistent");
    }

    #[tokio::test]
    async fn a_program_that_does_not_end_is_ended_with_what_it_started() {
        let place = tempfile::tempdir().unwrap();
        let fifo = place.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let script = format!("sleep 1000 >{} & wait", fifo.display());
        // Ends with the last process that has it open for writing.
        let reader = std::thread::spawn(move || std::fs::read(fifo));
        let command = ["/bin/sh".to_owned(), "-c".to_owned(), script];
        let late = run(&command, Duration::from_millis(500)).await.err().unwrap();
        assert!(matches!(late, RoleError::Late { .. }), "{late}");
        assert_eq!(reader.join().unwrap().unwrap(), b"");
    }
}
