//! Images: from a registry, a layout or an archive into a store, whatever happens on the way.

mod content;
mod files;
mod interrupted;
mod registry;
mod tokens;

use std::path::Path;
use std::sync::{Arc, Mutex};

use hythe::image::pull::{Progress, PullError, PullOptions, Unwatched};
use hythe::image::reference::Reference;
use hythe::image::store::{Image, ImageStore};
use hythe::model::progress::LayerProgress;

/// Pulls `reference` into `store` with default options.
fn pull(store: &ImageStore, reference: &str) -> Result<Image, PullError> {
    pull_with(
        store,
        reference,
        &PullOptions { docker_config: Some("/nonexistent".into()), ..PullOptions::default() },
    )
}

fn pull_with(store: &ImageStore, reference: &str, options: &PullOptions) -> Result<Image, PullError> {
    let reference = Reference::parse(reference).unwrap();
    runtime().block_on(store.pull(&reference, options, Arc::new(Unwatched)))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Nothing is left of work that did not come to its end.
fn is_clean(store: &Path) -> bool {
    std::fs::read_dir(store.join("tmp")).unwrap().next().is_none()
}

/// Progress that is kept.
#[derive(Default)]
struct Kept(Mutex<Vec<LayerProgress>>);

impl Progress for Kept {
    fn layer(&self, progress: &LayerProgress) {
        self.0.lock().unwrap().push(progress.clone());
    }
}

/// An error and its causes on one line.
fn chain(err: &dyn std::error::Error) -> String {
    std::iter::successors(Some(err), |err| err.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
