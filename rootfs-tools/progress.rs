//! How a pull is shown: a bar for each layer on a terminal, a line for each otherwise.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};

use hythe::image::pull::Progress;
use hythe::model::progress::{LayerPhase, LayerProgress};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// The display that suits standard error.
pub(crate) fn watcher() -> Arc<dyn Progress> {
    if std::io::stderr().is_terminal() { Arc::new(Bars::default()) } else { Arc::new(Lines) }
}

/// One line a layer, when it is done.
struct Lines;

impl Progress for Lines {
    fn layer(&self, progress: &LayerProgress) {
        if progress.phase.is_final() {
            eprintln!("{}: {}", short(&progress.layer), word(progress.phase));
        }
    }
}

/// One bar a layer.
#[derive(Default)]
struct Bars {
    all: MultiProgress,
    bars: Mutex<HashMap<String, ProgressBar>>,
}

impl Progress for Bars {
    fn layer(&self, progress: &LayerProgress) {
        let mut bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = bars.entry(progress.layer.clone()).or_insert_with(|| {
            let style =
                ProgressStyle::with_template("{prefix}  {msg:<11} {bar:30} {bytes:>10}/{total_bytes}");
            let bar = self.all.add(ProgressBar::new(progress.total));
            bar.set_prefix(short(&progress.layer).to_owned());
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        bar.set_position(progress.bytes);
        bar.set_message(word(progress.phase));
        if progress.phase.is_final() {
            bar.abandon();
        }
    }
}

fn short(digest: &str) -> &str {
    let hex = digest.split_once(':').map_or(digest, |(_, hex)| hex);
    hex.get(..12).unwrap_or(hex)
}

fn word(phase: LayerPhase) -> &'static str {
    match phase {
        LayerPhase::Waiting => "waiting",
        LayerPhase::Downloading => "downloading",
        LayerPhase::Unpacking => "unpacking",
        LayerPhase::Exists => "exists",
        LayerPhase::Done => "done",
        LayerPhase::Failed => "failed",
    }
}
