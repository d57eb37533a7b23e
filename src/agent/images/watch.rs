//! Where the bringing of one image spends its time.
//!
//! ```text
//!   resolve ────┐
//!               ├─ pull ───────────────┐          until the last byte is here
//!               └───── unpack ─────────┴──────┐   from the first layer to the last
//! ```
//!
//! A layer is unpacked while it arrives, so `pull` and `unpack` overlap. An image that is here already has a `pull`
//! with next to nothing in it, and no `unpack`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::agent::facts::Timer;
use crate::image::pull::Progress;
use crate::model::ids::ContainerName;
use crate::model::progress::{LayerPhase, LayerProgress};

/// Takes the time of one image.
#[derive(Debug)]
pub(super) struct Watch {
    begun: Instant,
    moments: Mutex<Moments>,
}

/// When what was seen, as far as it was.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    resolved: Option<Instant>,
    first_layer: Option<Instant>,
    last_byte: Option<Instant>,
    last_layer: Option<Instant>,
    over: Option<Instant>,
}

impl Watch {
    pub(super) fn start() -> Self {
        Self { begun: Instant::now(), moments: Mutex::default() }
    }

    /// The image is here, or given up.
    pub(super) fn finish(&self) {
        self.moments().over.get_or_insert_with(Instant::now);
    }

    /// Notes the steps, for the first container that needs the image.
    pub(super) fn note(&self, timer: &mut Timer, container: &ContainerName) {
        let seen = *self.moments();
        let over = seen.over.unwrap_or_else(Instant::now);
        // A name that was not resolved was looked for until the end; nothing was pulled then.
        timer.note_until("resolve", Some(container), self.begun, seen.resolved.unwrap_or(over));
        if let Some(resolved) = seen.resolved {
            timer.note_until("pull", Some(container), resolved, seen.last_byte.unwrap_or(over));
        }
        if let Some(first) = seen.first_layer {
            timer.note_until("unpack", Some(container), first, seen.last_layer.unwrap_or(over));
        }
    }

    fn moments(&self) -> MutexGuard<'_, Moments> {
        self.moments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for Watch {
    fn resolved(&self) {
        self.moments().resolved.get_or_insert_with(Instant::now);
    }

    fn layer(&self, progress: &LayerProgress) {
        let now = Instant::now();
        let mut moments = self.moments();
        match progress.phase {
            LayerPhase::Downloading => {
                moments.first_layer.get_or_insert(now);
            }
            LayerPhase::Unpacking => {
                moments.first_layer.get_or_insert(now);
                moments.last_byte = Some(now);
            }
            LayerPhase::Done | LayerPhase::Failed => moments.last_layer = Some(now),
            LayerPhase::Waiting | LayerPhase::Exists => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(watch: &Watch) -> Vec<String> {
        let mut timer = Timer::start();
        watch.note(&mut timer, &ContainerName::parse("web").unwrap());
        timer.finish().into_iter().map(|span| span.name).collect()
    }

    fn layer(watch: &Watch, phase: LayerPhase) {
        watch.layer(&LayerProgress { layer: "sha256:1".to_owned(), phase, bytes: 0, total: 1 });
    }

    #[test]
    fn an_image_that_is_here_is_resolved_and_pulled_but_not_unpacked() {
        let watch = Watch::start();
        watch.resolved();
        layer(&watch, LayerPhase::Exists);
        watch.finish();
        assert_eq!(names(&watch), ["resolve", "pull"]);
    }

    #[test]
    fn a_layer_that_arrives_is_unpacked() {
        let watch = Watch::start();
        watch.resolved();
        for phase in [LayerPhase::Downloading, LayerPhase::Unpacking, LayerPhase::Done] {
            layer(&watch, phase);
        }
        watch.finish();
        let mut all = names(&watch);
        all.sort();
        assert_eq!(all, ["pull", "resolve", "unpack"]);
    }

    #[test]
    fn a_name_that_leads_nowhere_was_looked_for() {
        let watch = Watch::start();
        watch.finish();
        assert_eq!(names(&watch), ["resolve"]);
    }
}
