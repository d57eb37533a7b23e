//! The images of a task: which are asked for again, and what will do when nobody answers.

use std::sync::Arc;

use futures_util::future::join_all;

use super::watch::Watch;
use super::{Images, again};
use crate::agent::PullPolicy;
use crate::agent::facts::Timer;
use crate::agent::failure::{Failure, Kind, sentence};
use crate::image::credentials::Login;
use crate::image::pull::{Policy as Ask, Progress, PullError, PullFailure, PullOptions};
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

/// The image that a container wants.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// The container.
    pub container: ContainerName,
    /// Its name for the image.
    pub image: String,
    /// Who to be to its registry, where the definition says so.
    pub login: Option<Login>,
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
        wanted: &[Wanted],
        timer: &mut Timer,
        found: impl Fn(&Pulled) + Sync,
    ) -> Result<Vec<Pulled>, Failure> {
        let mut groups: Vec<Vec<&Wanted>> = Vec::new();
        for one in wanted {
            let is_same =
                |group: &&mut Vec<&Wanted>| (&group[0].image, &group[0].login) == (&one.image, &one.login);
            match groups.iter_mut().find(is_same) {
                Some(group) => group.push(one),
                None => groups.push(vec![one]),
            }
        }
        let found = &found;
        let pulls = groups.into_iter().map(|group| async move {
            let users: Vec<&ContainerName> = group.iter().map(|one| &one.container).collect();
            let watch = Arc::new(Watch::start());
            let brought = self.bring_one(group[0], &watch).await;
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
        wanted: &Wanted,
        watch: &Arc<Watch>,
    ) -> Result<(Arc<Image>, Option<String>), (Kind, String)> {
        let text = &wanted.image;
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
        let mut options = PullOptions { policy: ask, ..self.options().clone() };
        options.login = wanted.login.clone().or(options.login);
        // What is here will do at once; without it, waiting is the better chance.
        let attempts = if fallback.is_some() { 1 } else { self.attempts };
        match (self.ask(&reference, &options, watch, attempts).await, fallback) {
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

impl Images {
    /// Asks as often as it may help.
    async fn ask(
        &self,
        reference: &Reference,
        options: &PullOptions,
        watch: &Arc<Watch>,
        attempts: u32,
    ) -> Result<Image, PullError> {
        let mut failed = 0;
        loop {
            let progress: Arc<dyn Progress> = Arc::clone(watch) as _;
            let error = match self.store().pull(reference, options, progress).await {
                Ok(image) => return Ok(image),
                Err(error) => error,
            };
            failed += 1;
            let Some(pause) = again::pause(&error, failed, attempts, again::spread()) else {
                return Err(error);
            };
            let image = reference.familiar();
            tracing::info!(
                image,
                failed,
                ?pause,
                error = sentence(&error),
                "image asked for again after a pause"
            );
            tokio::time::sleep(pause).await;
        }
    }
}

fn kind_of(error: &PullError) -> Kind {
    match (error, error.kind()) {
        (PullError::Credentials(_, _), PullFailure::Unauthorised) => Kind::PullCredentials,
        (_, _) => Kind::Pull,
    }
}
