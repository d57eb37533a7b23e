//! The images of a task: which are asked for again, and what will do when nobody answers.

use std::sync::Arc;

use futures_util::future::join_all;

use super::Images;
use super::watch::Watch;
use crate::agent::PullPolicy;
use crate::agent::facts::Timer;
use crate::agent::failure::{Failure, Kind, sentence};
use crate::image::pull::{Policy as Ask, Progress, PullError, PullFailure};
use crate::image::reference::Reference;
use crate::image::store::Image;
use crate::model::ids::ContainerName;

/// The image of one container.
#[derive(Debug, Clone)]
pub(crate) struct Pulled {
    /// The container.
    pub container: ContainerName,
    /// Its image.
    pub image: Arc<Image>,
    /// Why an older image had to do, a sentence.
    pub note: Option<String>,
}

/// What to do about an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Approach {
    /// Take what is here.
    Take,
    /// Ask, and fail when there is no answer.
    Ask,
    /// Ask, and take what is here when there is no answer.
    AskOrTake,
}

/// The approach for a policy. An image that is named by its digest, or that came from a file and has no registry,
/// cannot have changed.
pub(super) fn approach(policy: PullPolicy, is_here: bool, is_fixed: bool) -> Approach {
    match policy {
        PullPolicy::Default | PullPolicy::Always if is_here && is_fixed => Approach::Take,
        PullPolicy::Once | PullPolicy::PreferCached if is_here => Approach::Take,
        PullPolicy::Default if is_here => Approach::AskOrTake,
        PullPolicy::Default | PullPolicy::Always | PullPolicy::Once | PullPolicy::PreferCached => {
            Approach::Ask
        }
    }
}

impl Images {
    /// Brings the images of all containers here, side by side; one that several containers name is brought once.
    ///
    /// `found` is told of each as soon as it is here.
    pub(crate) async fn bring(
        &self,
        wanted: &[(ContainerName, String)],
        timer: &mut Timer,
        found: impl Fn(&Pulled) + Sync,
    ) -> Result<Vec<Pulled>, Failure> {
        let mut texts: Vec<&str> = wanted.iter().map(|(_, text)| text.as_str()).collect();
        texts.sort_unstable();
        texts.dedup();
        let found = &found;
        let pulls = texts.into_iter().map(|text| async move {
            let users: Vec<&ContainerName> =
                wanted.iter().filter(|(_, image)| image == text).map(|(name, _)| name).collect();
            let watch = Arc::new(Watch::start());
            let brought = self.bring_one(text, &watch).await;
            watch.finish();
            let pulled = brought.map(|(image, note)| {
                let one = |name: &&ContainerName| Pulled {
                    container: (*name).clone(),
                    image: Arc::clone(&image),
                    note: note.clone(),
                };
                users.iter().map(one).inspect(found).collect::<Vec<_>>()
            });
            let pulled = pulled.map_err(|(kind, text)| Failure::said(users[0], kind, &text));
            (users[0], watch, pulled)
        });
        let mut all = Vec::new();
        let mut failure = None;
        for (container, watch, pulled) in join_all(pulls).await {
            watch.note(timer, container);
            match pulled {
                Ok(pulled) => all.extend(pulled),
                Err(failed) => failure = failure.or(Some(failed)),
            }
        }
        failure.map_or(Ok(all), Err)
    }

    async fn bring_one(
        &self,
        text: &str,
        watch: &Arc<Watch>,
    ) -> Result<(Arc<Image>, Option<String>), (Kind, String)> {
        let reference = Reference::parse(text).map_err(|err| (Kind::Pull, sentence(&err)))?;
        let here = self.complete(&reference).map_err(|err| (Kind::Pull, sentence(&err)))?;
        let name = reference.name();
        let is_fixed = name.is_some_and(|name| name.digest().is_some())
            || name.is_some() && here.as_ref().is_some_and(|image| image.is_loaded);
        let approach = approach(self.policy(), here.is_some(), is_fixed);
        let (ask, fallback) = match (approach, here) {
            (Approach::Take, Some(image)) => {
                watch.resolved();
                return Ok((Arc::new(image), None));
            }
            (Approach::Take | Approach::Ask, _) | (Approach::AskOrTake, None) => (Ask::Always, None),
            (Approach::AskOrTake, Some(image)) => (Ask::Always, Some(image)),
        };
        let options = crate::image::pull::PullOptions { policy: ask, ..self.options().clone() };
        let progress: Arc<dyn Progress> = Arc::clone(watch) as _;
        match (self.store().pull(&reference, &options, progress).await, fallback) {
            (Ok(image), _) => Ok((Arc::new(image), None)),
            (Err(err), Some(image)) => {
                watch.resolved();
                let note = format!(
                    "image {text} could not be asked for again ({}); the one that is here is used",
                    sentence(&err)
                );
                Ok((Arc::new(image), Some(note)))
            }
            (Err(err), None) => Err((kind_of(&err), sentence(&err))),
        }
    }
}

fn kind_of(error: &PullError) -> Kind {
    match (error, error.kind()) {
        (PullError::Credentials(_, _), PullFailure::Unauthorised) => Kind::PullCredentials,
        (_, _) => Kind::Pull,
    }
}
