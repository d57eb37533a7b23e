//! The progress of a pull: a bar a layer on a terminal, a line a layer otherwise.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal as _},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{image::short_digest, print};
use crate::api::live::{LayerState, PullEvent};

/// Shows what comes of a pull.
pub(super) enum Progress {
    /// On a terminal.
    Bars {
        /// All of them.
        all: MultiProgress,
        /// One a layer.
        bars: BTreeMap<String, ProgressBar>,
    },
    /// Elsewhere: the layers whose last line was written, and what it said.
    Lines(BTreeMap<String, LayerState>),
}

impl Progress {
    /// The progress of pulling `image`.
    pub(super) fn new(image: &str) -> Self {
        if io::stderr().is_terminal() {
            let all = MultiProgress::new();
            let _ = all.println(format!("pulling {image}"));
            Self::Bars { all, bars: BTreeMap::new() }
        } else {
            eprintln!("pulling {image}");
            Self::Lines(BTreeMap::new())
        }
    }

    /// Shows one step.
    pub(super) fn show(&mut self, event: &PullEvent) {
        match event {
            PullEvent::Resolved { digest, layers } => match self {
                Self::Bars { all, bars } => {
                    for layer in layers {
                        bars.entry(layer.clone()).or_insert_with(|| all.add(bar(layer)));
                    }
                }
                Self::Lines(_) => eprintln!("{} has {} layers", short_digest(digest), layers.len()),
            },
            PullEvent::Layer { digest, state, done, total } => self.layer(digest, *state, *done, *total),
            PullEvent::Done { .. } => self.clear(),
        }
    }

    fn layer(&mut self, digest: &str, state: LayerState, done: u64, total: Option<u64>) {
        match self {
            Self::Bars { all, bars } => {
                let bar = bars.entry(digest.to_owned()).or_insert_with(|| all.add(bar(digest)));
                bar.set_message(word(state));
                if let Some(total) = total {
                    bar.set_length(total);
                }
                bar.set_position(done);
                if matches!(state, LayerState::Exists | LayerState::Complete) {
                    bar.set_position(bar.length().unwrap_or(done));
                    bar.abandon();
                }
            }
            Self::Lines(told) => {
                let ends = matches!(state, LayerState::Exists | LayerState::Complete);
                if ends && told.insert(digest.to_owned(), state) != Some(state) {
                    let size = total.map_or_else(String::new, |total| format!(", {}", print::bytes(total)));
                    eprintln!("layer {}: {}{size}", short_digest(digest), word(state));
                }
            }
        }
    }

    /// Leaves the terminal as it is; nothing is drawn again.
    pub(super) fn clear(&mut self) {
        if let Self::Bars { all, bars } = self {
            for bar in bars.values() {
                bar.abandon();
            }
            let _ = all.clear();
            bars.clear();
        }
    }
}

fn word(state: LayerState) -> &'static str {
    match state {
        LayerState::Exists => "here already",
        LayerState::Waiting => "waiting",
        LayerState::Downloading => "downloading",
        LayerState::Unpacking => "unpacking",
        LayerState::Complete => "complete",
    }
}

fn bar(digest: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} [{bar:30}] {bytes:>10}/{total_bytes:<10} {msg}")
        .map_or_else(|_| ProgressStyle::default_bar(), |style| style.progress_chars("=> "));
    ProgressBar::new(0).with_style(style).with_prefix(short_digest(digest))
}
