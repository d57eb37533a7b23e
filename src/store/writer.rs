//! The one thread that changes anything.
//!
//! It runs the closures that wait, in order, each on a view that the ones before have changed; commits them
//! together; and only then shows the result and answers. While a commit is on its way to the disk the next group
//! gathers, so many writers share one flush.

use std::{
    collections::BTreeMap,
    future::Future,
    io,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use arc_swap::ArcSwap;
use tokio::sync::oneshot;

use super::{
    WriteError,
    backend::{Backend, BackendError},
    draft::Draft,
    record::{Change, Record, Table},
    snapshot::Snapshot,
    watch::{Changes, Watches},
};

/// Most closures in one commit, so that the first of them does not wait for ever.
const GROUP: usize = 512;

type Outcome = Result<(), Arc<BackendError>>;
type Answer = Box<dyn FnOnce(&Outcome) + Send>;
type Job = Box<dyn FnOnce(Snapshot) -> Ran + Send>;

/// What came of one closure.
struct Ran {
    /// None when it refused.
    draft: Option<Draft>,
    /// Tells the caller.
    answer: Answer,
}

pub(super) struct Writer {
    jobs: Sender<Job>,
}

impl Writer {
    pub(super) fn start(
        backend: Box<dyn Backend>,
        current: Arc<ArcSwap<Snapshot>>,
        watches: Arc<Watches>,
    ) -> io::Result<Self> {
        let (jobs, waiting) = channel();
        thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || serve(&waiting, backend, &current, &watches))?;
        Ok(Self { jobs })
    }

    /// Queues `change` at once; the future is the answer, or none when the thread is gone.
    pub(super) fn submit<T, E, F>(
        &self,
        change: F,
    ) -> impl Future<Output = Option<Result<T, WriteError<E>>>> + Send + use<T, E, F>
    where
        F: FnOnce(&mut Draft) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let job: Job = Box::new(move |view| {
            let mut draft = Draft::on(view);
            let result = change(&mut draft).map_err(WriteError::Refused);
            let draft = result.is_ok().then_some(draft);
            let answer: Answer = Box::new(move |outcome: &Outcome| {
                let result =
                    result.and_then(|value| outcome.clone().map(|()| value).map_err(WriteError::Commit));
                // A caller that went away does not want to know.
                let _ = tell.send(result);
            });
            Ran { draft, answer }
        });
        let queued = self.jobs.send(job).is_ok();
        async move { if queued { told.await.ok() } else { None } }
    }
}

fn serve(
    waiting: &Receiver<Job>,
    mut backend: Box<dyn Backend>,
    current: &ArcSwap<Snapshot>,
    watches: &Watches,
) {
    while let Ok(first) = waiting.recv() {
        let before = current.load_full();
        let mut group = Drafted::on(Snapshot::clone(&before));
        group.run(first);
        for job in waiting.try_iter().take(GROUP - 1) {
            group.run(job);
        }
        let outcome = if group.rows.is_empty() { Ok(()) } else { group.commit(&mut *backend) };
        if outcome.is_ok() && !group.rows.is_empty() {
            group.view.revision = before.revision + 1;
            current.store(Arc::new(group.view));
            watches.tell(&group.changes);
        }
        for answer in group.answers {
            answer(&outcome);
        }
    }
}

/// Several drafts, one on top of the other.
struct Drafted {
    view: Snapshot,
    rows: BTreeMap<(Table, String), Option<Record>>,
    changes: Changes,
    answers: Vec<Answer>,
}

impl Drafted {
    fn on(view: Snapshot) -> Self {
        Self { view, rows: BTreeMap::new(), changes: Changes::default(), answers: Vec::new() }
    }

    fn run(&mut self, job: Job) {
        let Ran { draft, answer } = job(self.view.clone());
        self.answers.push(answer);
        if let Some(draft) = draft {
            self.view = draft.view;
            self.rows.extend(draft.rows);
            self.changes.merge(&draft.changes);
        }
    }

    fn commit(&self, backend: &mut dyn Backend) -> Outcome {
        let mut batch = Vec::with_capacity(self.rows.len());
        for ((table, key), record) in &self.rows {
            let document = record.as_ref().map(Record::document).transpose();
            let document = document.map_err(|source| {
                Arc::new(BackendError::Encode { row: format!("{}/{key}", table.name()), source })
            })?;
            batch.push(Change { table: *table, key: key.clone(), document });
        }
        backend.commit(&batch).map_err(Arc::new)
    }
}
