//! `hythe image`: what containers are made of.
//!
//! The daemon does the work; its progress comes as lines, which [`super::progress`] shows. Paths of archives and
//! layouts are made absolute here, because the daemon has another working directory.

use std::fmt::Write as _;

use std::path::{Path, absolute};

use hyper::Method;
use serde_json::{Value, json};

use super::{
    arguments::ImageCommand,
    failure::Failure,
    print,
    progress::Progress,
    session::{self, Session, query},
    table::{Cell, Table, Tone},
};
use crate::api::{
    client::Lines,
    live::{ImageFinding, ImageSummary, LoadRequest, PullEvent, PullRequest, RemovedImages, SaveRequest},
};
use crate::model::reading;

/// Prefixes of references that name a file or a directory of this host.
const LOCAL: [&str; 3] = ["oci:", "oci-archive:", "docker-archive:"];

pub(super) async fn run(session: &Session, command: ImageCommand) -> Result<(), Failure> {
    match command {
        ImageCommand::Pull { images, platform, creds, plain_http } => {
            for image in images {
                let request = PullRequest {
                    reference: absolute_reference(&image)?,
                    platform: platform.clone(),
                    credentials: creds.clone(),
                    plain_http,
                };
                let lines = post_lines(session, "/hythe/v1/images/pull", &request).await?;
                take_in(session, &image, lines).await?;
            }
            Ok(())
        }
        ImageCommand::Ls => list(session).await,
        ImageCommand::Inspect { image } => {
            let path = query("/hythe/v1/images/inspect", &[("ref", &absolute_reference(&image)?)]);
            let answer = session.client.get(&path).await?;
            // What an image is made of has no short form: people get the document too.
            session.print_json(&answer)
        }
        ImageCommand::Rm { images, force } => {
            for image in images {
                let force = if force { "true" } else { "false" };
                let path =
                    query("/hythe/v1/images", &[("ref", &absolute_reference(&image)?), ("force", force)]);
                removed(session, session.client.send(Method::DELETE, &path, None).await?)?;
            }
            Ok(())
        }
        ImageCommand::Prune { all } => {
            let body = json!({ "all": all });
            removed(session, session.client.send(Method::POST, "/hythe/v1/images/prune", Some(body)).await?)
        }
        ImageCommand::Load { source, name } => {
            let request = LoadRequest { source: absolute_reference(&source)?, name };
            let lines = post_lines(session, "/hythe/v1/images/load", &request).await?;
            take_in(session, &source, lines).await
        }
        ImageCommand::Save { image, target } => save(session, image, &target).await,
        ImageCommand::Verify { image, all: _ } => verify(session, image).await,
    }
}

async fn post_lines(
    session: &Session,
    path: &str,
    request: &impl serde::Serialize,
) -> Result<Lines, Failure> {
    session.lines(Method::POST, path, Some(document(request)?)).await
}

fn document(request: &impl serde::Serialize) -> Result<Value, Failure> {
    serde_json::to_value(request).map_err(|error| Failure::failed(format!("write the request: {error}")))
}

fn read<T: serde::de::DeserializeOwned>(answer: Value) -> Result<T, Failure> {
    reading::from_value(answer).map_err(|error| Failure::failed(format!("read the daemon's answer: {error}")))
}

/// A reference with the path that it may name made absolute.
fn absolute_reference(text: &str) -> Result<String, Failure> {
    for prefix in LOCAL {
        if let Some(path) = text.strip_prefix(prefix) {
            let path = absolute(Path::new(path))
                .map_err(|error| Failure::usage(format!("'{text}' names no path: {error}")))?;
            return Ok(format!("{prefix}{}", path.display()));
        }
    }
    Ok(text.to_owned())
}

/// Shows the progress of a pull or a load to its end.
async fn take_in(session: &Session, image: &str, mut lines: Lines) -> Result<(), Failure> {
    let mut progress = Progress::new(image);
    let mut done = false;
    while let Some(line) = lines.next().await.inspect_err(|_| progress.clear())? {
        if session.json {
            session.print(&format!("{line}\n"))?;
            continue;
        }
        let event: PullEvent = read(line)?;
        if let PullEvent::Done { name, digest, size } = &event {
            progress.clear();
            session.print(&format!("{name}  {digest}  {}\n", print::bytes(*size)))?;
            done = true;
        } else {
            progress.show(&event);
        }
    }
    progress.clear();
    if done || session.json {
        Ok(())
    } else {
        Err(Failure::failed(format!("the pull of '{image}' was cut off")))
    }
}

async fn list(session: &Session) -> Result<(), Failure> {
    let answer = session.client.get("/hythe/v1/images").await?;
    if session.json {
        return session.print_json(&answer);
    }
    let images: Vec<ImageSummary> = read(answer["images"].clone())?;
    let now = session::now();
    let mut table = Table::new(&["IMAGE", "DIGEST", "PLATFORM", "SIZE", "PULLED", "USED BY"]);
    for image in images {
        let pulled = image.pulled_at.map_or(Value::Null, |time| json!(time.as_epoch_seconds()));
        table.row([
            image.name.map_or_else(|| Cell::toned("(no name)", Tone::Faint), Cell::from),
            short_digest(&image.digest).into(),
            image.platform.into(),
            print::bytes(image.size).into(),
            print::ago(&pulled, now).into(),
            image.used_by.to_string().into(),
        ]);
    }
    session.print(&table.render(session.colour))
}

/// A digest's first twelve digits.
pub(super) fn short_digest(digest: &str) -> String {
    digest.rsplit(':').next().unwrap_or(digest).chars().take(12).collect()
}

fn removed(session: &Session, answer: Value) -> Result<(), Failure> {
    if session.json {
        return session.print_json(&answer);
    }
    let removed: RemovedImages = read(answer)?;
    let mut text = print::lines(removed.names.iter().map(|name| format!("forgotten: {name}")));
    let _ = writeln!(text, "{} objects removed, {} free", removed.digests.len(), print::bytes(removed.freed));
    session.print(&text)
}

async fn save(session: &Session, image: String, target: &str) -> Result<(), Failure> {
    if !LOCAL.iter().any(|prefix| target.starts_with(prefix)) {
        return Err(Failure::usage(format!(
            "'{target}' is not oci:DIR, oci-archive:FILE or docker-archive:FILE"
        )));
    }
    let request = SaveRequest { reference: image, target: absolute_reference(target)? };
    let answer =
        session.client.send(Method::POST, "/hythe/v1/images/save", Some(document(&request)?)).await?;
    if session.json { session.print_json(&answer) } else { session.print(&format!("{}\n", request.target)) }
}

async fn verify(session: &Session, image: Option<String>) -> Result<(), Failure> {
    let body = match image {
        Some(image) => json!({ "reference": image }),
        None => json!({}),
    };
    let mut lines = session.lines(Method::POST, "/hythe/v1/images/verify", Some(body)).await?;
    let mut unsound = 0;
    while let Some(line) = lines.next().await? {
        let finding: ImageFinding = read(line.clone())?;
        unsound += u32::from(!finding.sound);
        if session.json {
            session.print(&format!("{line}\n"))?;
            continue;
        }
        let word = if finding.sound {
            Tone::Good.paint("sound  ", session.colour)
        } else {
            Tone::Bad.paint("UNSOUND", session.colour)
        };
        session.print(&format!("{word}  {}  {}\n", finding.subject, finding.message))?;
    }
    if unsound == 0 {
        Ok(())
    } else {
        Err(Failure::failed(format!("{unsound} stored objects are not what they should be")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_made_absolute_and_a_name_is_not() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(absolute_reference("busybox:1").unwrap(), "busybox:1");
        assert_eq!(absolute_reference("oci:/a/b:tag").unwrap(), "oci:/a/b:tag");
        assert_eq!(
            absolute_reference("oci-archive:x.tar").unwrap(),
            format!("oci-archive:{}/x.tar", here.display())
        );
    }
}
