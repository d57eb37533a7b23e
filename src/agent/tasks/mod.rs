//! The tasks in hand: one tokio task each, from the first pull to the last fact.
//!
//! ```text
//!   start ─▶ prepare ─▶ converse ─▶ over          a task's own tokio task
//!               │ stopped, failed
//!               └─▶ clear ─▶ over
//!   adopt ────────────▶ converse ─▶ over
//!   sweep: waits until it is over, clears, says Removed
//!
//! A task that converses to its end says Removed as soon as it has let go of what others may want; its sweep follows.
//! ```
//!
//! [`Hands`] is what all of them share; what a task is told arrives through its [`InHand`]. Whoever asks for something
//! twice gets it once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;

use crate::agent::facts::Teller;
use crate::agent::failure::sentence;
use crate::agent::images::Images;
use crate::agent::network::Networks;
use crate::agent::places::Places;
use crate::agent::roles::Roles;
use crate::agent::{AgentConfig, StartTask};
use crate::model::ids::TaskId;
use crate::model::task::{StopRequest, Task};
use crate::shim::groups::Groups;

mod adopt;
mod build;
mod clear;
mod converse;
mod credentials;
mod metadata;
mod output;
mod prepare;
mod publish;
mod reserve;
mod secrets;
mod turns;

pub(crate) use clear::ClearError;
use turns::Turns;

/// What all tasks share.
#[derive(Debug)]
pub(crate) struct Hands {
    pub(crate) config: AgentConfig,
    pub(crate) places: Places,
    pub(crate) groups: Groups,
    pub(crate) images: Images,
    pub(crate) networks: Networks,
    pub(crate) teller: Teller,
    pub(crate) roles: Roles,
    /// Which boot of the host this is.
    pub(crate) boot: String,
    turns: Turns,
    tasks: Mutex<BTreeMap<TaskId, InHand>>,
    /// Told when the last task is let go of.
    emptied: Notify,
}

/// The two ends that the rest of the agent holds of a task.
#[derive(Debug)]
struct InHand {
    stop: watch::Sender<Option<StopRequest>>,
    over: watch::Receiver<bool>,
}

/// The two ends that a task's own tokio task holds.
#[derive(Debug)]
pub(super) struct Reins {
    stop: watch::Receiver<Option<StopRequest>>,
    over: watch::Sender<bool>,
}

impl Reins {
    /// Why the task is to stop; returns once it is.
    pub(super) async fn stopped(&mut self) -> StopRequest {
        // The other end goes only after a stop, with the sweep.
        match self.stop.wait_for(Option::is_some).await.map(|request| request.clone()) {
            Ok(Some(request)) => request,
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Whether the task is to stop.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.borrow().is_some()
    }
}

impl Drop for Reins {
    /// However the tokio task ends, whoever waits for its end goes on.
    fn drop(&mut self) {
        self.over.send_replace(true);
    }
}

impl Hands {
    pub(crate) fn new(
        config: AgentConfig,
        images: Images,
        networks: Networks,
        teller: Teller,
        boot: String,
    ) -> Self {
        let places = config.places();
        let groups = Groups::new(&config.cgroup_parent, config.containers.cgroup_driver);
        let roles = Roles::new(config.roles.clone());
        Self {
            config,
            places,
            groups,
            images,
            networks,
            teller,
            roles,
            boot,
            turns: Turns::of_host(),
            tasks: Mutex::default(),
            emptied: Notify::new(),
        }
    }

    /// Starts a task unless it is in hand.
    pub(crate) fn start(self: &Arc<Self>, start: StartTask) {
        if let Some(reins) = self.take(&start.task) {
            tokio::spawn(prepare::run(Arc::clone(self), start, reins));
        }
    }

    /// Tells a task to stop; the first reason stays.
    pub(crate) fn stop(&self, task: &TaskId, request: &StopRequest) {
        if let Some(in_hand) = self.tasks().get(task) {
            in_hand.stop.send_if_modified(|known| {
                let is_news = known.is_none();
                known.get_or_insert_with(|| request.clone());
                is_news
            });
        }
    }

    /// The tasks in hand.
    pub(crate) fn in_hand(&self) -> std::collections::BTreeSet<TaskId> {
        self.tasks().keys().cloned().collect()
    }

    /// Whether nothing more happens with a task, or it is not in hand at all.
    pub(crate) fn is_over(&self, task: &TaskId) -> bool {
        self.tasks().get(task).is_none_or(|in_hand| *in_hand.over.borrow())
    }

    /// Returns once nothing more happens with a task.
    pub(crate) async fn over(&self, task: &TaskId) {
        let over = self.tasks().get(task).map(|in_hand| in_hand.over.clone());
        if let Some(mut over) = over {
            let _ = over.wait_for(|over| *over).await; // an end that went away is an end
        }
    }

    /// Has networks made for tasks to come; nobody waits for them. A start that finds none makes its own.
    pub(crate) fn fill_networks(self: &Arc<Self>) {
        let hands = Arc::clone(self);
        spawn_blocking(move || {
            if let Err(err) = hands.networks.fill() {
                tracing::debug!(error = sentence(&err), "no network is ready for the next task");
            }
        });
    }

    /// The grace of containers that name none, in seconds.
    pub(crate) fn stop_timeout(&self) -> u32 {
        u32::try_from(self.config.containers.stop_timeout.as_secs()).unwrap_or(u32::MAX)
    }

    /// Takes a task in hand; none when it is already.
    fn take(&self, task: &Task) -> Option<Reins> {
        let mut tasks = self.tasks();
        if tasks.contains_key(&task.id) {
            return None;
        }
        let (stop, stopped) = watch::channel(None);
        let (over, is_over) = watch::channel(false);
        tasks.insert(task.id.clone(), InHand { stop, over: is_over });
        Some(Reins { stop: stopped, over })
    }

    /// Lets go of a task.
    fn drop_task(&self, task: &TaskId) {
        let mut tasks = self.tasks();
        tasks.remove(task);
        if tasks.is_empty() {
            self.emptied.notify_waiters();
        }
    }

    /// Returns once no task is in hand.
    pub(crate) async fn emptied(&self) {
        loop {
            let told = self.emptied.notified();
            if self.tasks().is_empty() {
                return;
            }
            told.await;
        }
    }

    fn tasks(&self) -> MutexGuard<'_, BTreeMap<TaskId, InHand>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
