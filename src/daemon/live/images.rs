//! Conversations about images: the agent's words turned into the API's.

use std::future::Future;

use futures_util::stream;
use serde_json::Value;
use tokio::sync::mpsc;

use super::lines;
use crate::{
    agent::{
        Agent,
        images::{self, ImageEntry, ImageError, ImageErrorKind, ImageRequest},
    },
    api::live::{
        ImageFinding, ImageSummary, LayerState, Lines, LiveError, LiveErrorKind, LoadRequest, PullEvent,
        PullRequest, RemovedImages, SaveRequest,
    },
    model::progress::{LayerPhase, LayerProgress},
};

pub(super) async fn list(agent: &Agent) -> Result<Vec<ImageSummary>, LiveError> {
    let images = agent.images().list().await.map_err(failed)?;
    Ok(images.into_iter().map(summary).collect())
}

pub(super) async fn inspect(agent: &Agent, reference: String) -> Result<Value, LiveError> {
    agent.images().inspect(&reference).await.map_err(failed)
}

/// Removes an image. What a task runs from stays, force or not: it would break the task.
pub(super) async fn remove(
    agent: &Agent,
    reference: String,
    _force: bool,
) -> Result<RemovedImages, LiveError> {
    agent.images().remove(&reference).await.map(removed).map_err(failed)
}

pub(super) async fn prune(agent: &Agent, all: bool) -> Result<RemovedImages, LiveError> {
    agent.images().prune(all).await.map(removed).map_err(failed)
}

pub(super) async fn save(agent: &Agent, request: SaveRequest) -> Result<(), LiveError> {
    agent.images().save(&request.reference, &request.target).await.map(drop).map_err(failed)
}

pub(super) async fn verify(
    agent: &Agent,
    reference: Option<String>,
) -> Result<Lines<ImageFinding>, LiveError> {
    let findings = agent.images().verify(reference.as_deref()).await.map_err(failed)?;
    let findings = findings.into_iter().map(|found| {
        Ok(ImageFinding { subject: found.subject, sound: found.is_sound, message: found.message })
    });
    Ok(Box::pin(stream::iter(findings)))
}

pub(super) fn pull(agent: &Agent, request: PullRequest) -> Lines<PullEvent> {
    let request = ImageRequest {
        reference: request.reference,
        platform: request.platform,
        credentials: request.credentials,
        is_plain_http: request.plain_http,
    };
    let images = agent.images().clone();
    with_progress(
        move |progress| async move { images.pull(&request, progress).await.map(|image| vec![image]) },
    )
}

pub(super) fn load(agent: &Agent, request: LoadRequest) -> Lines<PullEvent> {
    let images = agent.images().clone();
    with_progress(move |progress| async move {
        images.load(&request.source, request.name.as_deref(), progress).await
    })
}

/// Runs work on images and tells of its layers, then of the images that came of it.
///
/// The work goes on when the listener leaves: a pull that was asked for is not wasted.
fn with_progress<F>(
    work: impl FnOnce(mpsc::UnboundedSender<LayerProgress>) -> F + Send + 'static,
) -> Lines<PullEvent>
where
    F: Future<Output = Result<Vec<ImageEntry>, ImageError>> + Send + 'static,
{
    let (out, into) = mpsc::channel(super::WAITING);
    let (progress, mut told) = mpsc::unbounded_channel();
    let to_listener = out.clone();
    let telling = tokio::spawn(async move {
        while let Some(layer) = told.recv().await {
            if to_listener.send(Ok(layer_event(layer))).await.is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        let done = work(progress).await;
        let _ = telling.await;
        let events = match done {
            Ok(images) => images.into_iter().map(|image| Ok(done_event(image))).collect(),
            Err(failure) => vec![Err(failed(failure))],
        };
        for event in events {
            if out.send(event).await.is_err() {
                return;
            }
        }
    });
    lines(into, |event| event)
}

fn layer_event(layer: LayerProgress) -> PullEvent {
    let state = match layer.phase {
        LayerPhase::Exists => LayerState::Exists,
        LayerPhase::Waiting => LayerState::Waiting,
        LayerPhase::Downloading => LayerState::Downloading,
        // The error that follows says why it was given up.
        LayerPhase::Unpacking | LayerPhase::Failed => LayerState::Unpacking,
        LayerPhase::Done => LayerState::Complete,
    };
    let total = (layer.total > 0).then_some(layer.total);
    PullEvent::Layer { digest: layer.layer, state, done: layer.bytes, total }
}

fn done_event(image: ImageEntry) -> PullEvent {
    PullEvent::Done { name: image.name, digest: image.digest, size: image.size }
}

fn summary(image: ImageEntry) -> ImageSummary {
    ImageSummary {
        name: Some(image.name),
        digest: image.digest,
        platform: image.platform,
        size: image.size,
        pulled_at: Some(image.pulled_at),
        created_at: None,
        used_by: u32::try_from(image.used_by).unwrap_or(u32::MAX),
    }
}

fn removed(removed: images::RemovedImages) -> RemovedImages {
    RemovedImages { names: removed.names, digests: Vec::new(), freed: removed.freed }
}

fn failed(failure: ImageError) -> LiveError {
    let kind = match failure.kind {
        ImageErrorKind::NotFound => LiveErrorKind::NotFound,
        ImageErrorKind::Invalid => LiveErrorKind::Invalid,
        ImageErrorKind::InUse => LiveErrorKind::InUse,
        ImageErrorKind::AccessDenied => LiveErrorKind::AccessDenied,
        ImageErrorKind::Unsupported => LiveErrorKind::Unsupported,
        ImageErrorKind::Failed => LiveErrorKind::Failed,
    };
    LiveError::new(kind, failure.message)
}
