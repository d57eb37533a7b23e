//! What a task may learn of itself, and who tells it: ECS's task metadata endpoint, versions 3 and 4.
//!
//! The [`door`] is a socket inside the task's own network. The shim holds it and answers, so it is there before the
//! first container and as long as the last one, whether a daemon runs or not. Answers are put together when somebody
//! asks: from the file that the agent wrote ([`document`]), from the facts so far ([`course`]), and from the kernel's
//! counters ([`stats`]). Between questions the shim keeps next to nothing of it.
//!
//! Credentials are what the shim does not know by itself and has to have: a daemon brings them, see [`credentials`]. What
//! may have changed since the task began, and what the task wants of the daemon, is asked of it then ([`errand`]).

mod course;
mod credentials;
mod describe;
pub mod document;
mod door;
mod errand;
mod protection;
mod request;
mod stats;
mod storage;
mod tags;

use std::{
    io,
    net::TcpListener,
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    clock::{moment, timestamp},
    container::{Container, Probed},
    protocol::Credentials,
    spec::TaskSpec,
};
use crate::{
    kernel::event::Poll,
    model::{fact::Fact, time::Moment},
};
use course::Course;
use describe::Seen;
use document::{ContainerDocument, Known};
use door::Door;
use errand::Reply;
use request::{Answer, Asked, Page, Version};
use stats::Sample;
use storage::Usage;

/// The endpoint of one task.
#[derive(Debug)]
pub(super) struct Endpoint {
    door: Door,
    /// Whether somebody was at the door since it was last seen to.
    is_called: bool,
    book: Book,
}

/// What answers are made of.
#[derive(Debug)]
struct Book {
    file: PathBuf,
    course: Course,
    credentials: Option<Credentials>,
    /// What was last seen of each container's counters.
    samples: Vec<Option<Sample>>,
    /// What the last probe of each container's health came to.
    probes: Vec<Option<Probed>>,
    /// What the containers have written.
    storage: Usage,
}

impl Endpoint {
    /// Opens the endpoint: in the network of the task, or where `door` listens already. `file` is what the agent wrote.
    pub(super) fn open(
        file: &Path,
        spec: &TaskSpec,
        (network, door): (Option<&OwnedFd>, Option<TcpListener>),
        poll: &Poll,
    ) -> io::Result<Self> {
        let door = match (network, door) {
            (_, Some(listener)) => Door::at(listener, poll)?,
            (Some(network), None) => Door::open(network.as_fd(), poll)?,
            (None, None) => return Err(io::ErrorKind::NotConnected.into()),
        };
        let course = Course::of(spec.containers.iter().map(|container| container.name.clone()));
        let samples = spec.containers.iter().map(|_| None).collect();
        let probes = spec.containers.iter().map(|_| None).collect();
        let storage = Usage::default();
        let book = Book { file: file.to_owned(), course, credentials: None, samples, probes, storage };
        Ok(Self { door, is_called: false, book })
    }

    /// Takes what the last probe of a container's health came to.
    pub(super) fn probed(&mut self, at: usize, probed: Probed) {
        if let Some(place) = self.book.probes.get_mut(at) {
            *place = Some(probed);
        }
    }

    /// Takes a fact.
    pub(super) fn take(&mut self, fact: &Fact) {
        self.book.course.take(fact);
    }

    /// Takes the credentials of the task, in place of those before.
    pub(super) fn keep(&mut self, credentials: Credentials) {
        self.book.credentials = Some(credentials);
    }

    /// Notes that somebody is at the door.
    pub(super) fn call(&mut self) {
        self.is_called = true;
    }

    /// When to see to the door though nobody calls.
    pub(super) fn wake_at(&self) -> Option<Moment> {
        self.door.wake_at()
    }

    /// Answers everybody as far as that is possible now.
    pub(super) fn serve(&mut self, spec: &TaskSpec, containers: &[Option<Container>], poll: &Poll) {
        let now = moment();
        let is_late = self.door.wake_at().is_some_and(|until| until <= now);
        if std::mem::take(&mut self.is_called) || is_late {
            let book = &mut self.book;
            self.door.serve(now, poll, |asked, body| book.answer(asked, body, spec, containers));
        }
    }
}

impl Book {
    fn answer(
        &mut self,
        asked: &Asked<'_>,
        body: &[u8],
        spec: &TaskSpec,
        containers: &[Option<Container>],
    ) -> Reply {
        let (endpoint, who) = match asked {
            Asked::Credentials(id) => {
                return Reply::Answer(credentials::answer(self.credentials.as_ref(), id, timestamp()));
            }
            Asked::Metadata { version, endpoint, page } => (endpoint, handler(*version, *page)),
            Asked::Protection { endpoint, .. } => (endpoint, "task protection handler".to_owned()),
        };
        let known = match Known::load(&self.file) {
            Ok(known) => known,
            Err(error) => {
                eprintln!("read the task's metadata {}: {error}", self.file.display());
                return Reply::Answer(Answer::refusal(500, "the metadata of the task cannot be read"));
            }
        };
        let mut places = known.containers.iter().zip(&spec.containers);
        let Some(at) = places.position(|(known, _)| known.endpoint == **endpoint) else {
            let sentence = format!("{who}: unable to find its container");
            return Reply::Answer(Answer::refusal(404, &sentence));
        };
        match asked {
            Asked::Metadata { version, page, .. } => self.page(*version, *page, at, known, spec, containers),
            Asked::Protection { change, .. } => {
                protection::ask(&known.task, known.api, change.then_some(body))
            }
            Asked::Credentials(_) => Reply::Answer(Answer::refusal(404, "there is nothing at this path")),
        }
    }

    fn page(
        &mut self,
        version: Version,
        page: Page,
        at: usize,
        mut known: Known,
        spec: &TaskSpec,
        containers: &[Option<Container>],
    ) -> Reply {
        let answer = match page {
            Page::Container => {
                let document = known.containers.swap_remove(at).document;
                let seen = Seen { course: &self.course, probes: &self.probes };
                let document = describe::container(document, seen, at, &spec.containers[at]);
                document_of(&match version {
                    Version::Three => document.before_v4(),
                    Version::Four => document,
                })
            }
            Page::Task | Page::TaskWithTags => {
                let api = known.api.take();
                let seen = Seen { course: &self.course, probes: &self.probes };
                let mut document = describe::task(known, seen, spec);
                document.clock_drift = describe::clock(timestamp());
                if let Some(metrics) = &mut document.ephemeral_storage_metrics {
                    metrics.utilized = self.storage.mebibytes(spec, moment());
                }
                if page == Page::TaskWithTags {
                    return tags::ask(document, version, api);
                }
                (document.task_tags, document.container_instance_tags) = (None, None);
                document_of(&match version {
                    Version::Three => document.before_v4(),
                    Version::Four => document,
                })
            }
            Page::Stats => match self.stats(version, at, &known.containers[at].document, containers) {
                None => {
                    Answer::refusal(500, &format!("{}: the container does not run", handler(version, page)))
                }
                Some(stats) => document_of(&stats),
            },
            Page::TaskStats => {
                let all = known.containers.iter().take(containers.len()).enumerate().map(|(at, known)| {
                    let stats = self.stats(version, at, &known.document, containers);
                    (known.document.docker_id.clone(), stats.unwrap_or_default())
                });
                document_of(&all.collect::<Map<String, Value>>())
            }
        };
        Reply::Answer(answer)
    }

    /// The statistics of a container; none while it does not run.
    fn stats(
        &mut self,
        version: Version,
        at: usize,
        known: &ContainerDocument,
        containers: &[Option<Container>],
    ) -> Option<Value> {
        let before = self.samples[at].take();
        let container = containers[at].as_ref()?;
        let names = (known.docker_name.as_str(), known.docker_id.as_str());
        let (mut document, sample) = stats::of(container, names, timestamp(), before);
        self.samples[at] = Some(sample);
        if let (Version::Three, Some(members)) = (version, document.as_object_mut()) {
            members.remove("network_rate_stats");
        }
        Some(document)
    }
}

fn document_of(document: &impl Serialize) -> Answer {
    serde_json::to_vec(document)
        .map_or_else(|error| Answer::refusal(500, &error.to_string()), Answer::document)
}

/// Who refuses, in the agent's words.
fn handler(version: Version, page: Page) -> String {
    let version = match version {
        Version::Three => "V3",
        Version::Four => "V4",
    };
    let page = match page {
        Page::Container => "container metadata",
        Page::Task | Page::TaskWithTags => "task metadata",
        Page::Stats => "container stats",
        Page::TaskStats => "task stats",
    };
    format!("{version} {page} handler")
}
