//! The host's part of a pass: the next step of each task, ordered of whoever has hands.

use std::sync::Arc;

use tracing::{debug, info};

use super::Reconciler;
use crate::{
    agent::{StartTask, kill_point::kill_point},
    daemon::{
        clock,
        doer::{Doer, sweep_until_done},
    },
    model::{
        action::TaskAction,
        fact::{Fact, Seen},
        ids::TaskId,
        task::{StopCode, StopRequest},
        task_definition::LogMode,
    },
    plan::admit::{Hands, admit},
    store::Snapshot,
};

/// The account setting that says what holds for whoever takes output too slowly.
const LOG_MODE: &str = "defaultLogDriverMode";

impl<D: Doer> Reconciler<D> {
    /// Orders the next step of each task of the host.
    pub(super) fn host(&mut self, snapshot: &Snapshot) {
        let view = self.holdings.view(snapshot, self.passes.capacity(), &self.hands);
        let plan = self.holdings.beside(|others| admit(&view, others));
        for action in plan.actions {
            let task = action.task().clone();
            self.order(snapshot, action);
            self.holdings.refresh(snapshot, &task, self.hands.of(&task));
        }
        for note in plan.notes {
            if self.waiting.insert(note.task.clone()) {
                info!(task = %note.task, host = %note.shortage, "task waits for the host");
            }
        }
    }

    fn order(&mut self, snapshot: &Snapshot, action: TaskAction) {
        debug!(?action, "order");
        match action {
            TaskAction::Start(id) => {
                self.waiting.remove(&id);
                let task = snapshot.task(&id);
                let made =
                    task.and_then(|task| Some((task, snapshot.task_definition(&task.task_definition)?)));
                match made {
                    Some((task, definition)) => {
                        kill_point("start");
                        let (task, definition) = ((**task).clone(), Arc::clone(definition));
                        let log_mode = snapshot.account_default(LOG_MODE).and_then(LogMode::parse);
                        let log_mode = log_mode.unwrap_or_default();
                        self.doer.start(StartTask { task, definition, log_mode });
                        self.hands.set(&id, Hands::Holding);
                    }
                    None => self.refuse(&id, no_definition()),
                }
            }
            TaskAction::Stop(id, request) => {
                kill_point("stop");
                self.doer.stop(&id, &request);
                self.hands.set(&id, Hands::Stopping);
            }
            TaskAction::Sweep(id) => {
                kill_point("sweep");
                self.hands.set(&id, Hands::Sweeping);
                sweep_until_done(&self.doer, id);
            }
            TaskAction::Refuse(id, request) => self.refuse(&id, request),
        }
    }

    /// The task stops before it starts, and is then swept as any other.
    fn refuse(&mut self, id: &TaskId, request: StopRequest) {
        self.hands.set(id, Hands::Stopping);
        for seen in [Seen::Stopping { request }, Seen::AllStopped] {
            let fact = Fact { task: id.clone(), at: clock::wall(), ledger: None, seen };
            if self.facts.send(fact).is_err() {
                debug!(task = %id, "nobody takes facts any more");
            }
        }
    }

    /// Has what is left of a task that is over taken off the host. Nobody waits for that.
    pub(super) fn let_go(&mut self, id: &TaskId) {
        match self.hands.of(id) {
            Hands::Holding | Hands::Stopping => {
                kill_point("sweep");
                sweep_until_done(&self.doer, id.clone());
            }
            Hands::Empty | Hands::Sweeping => {}
        }
        self.hands.set(id, Hands::Empty);
    }
}

fn no_definition() -> StopRequest {
    let reason = "ResourceInitializationError: the task definition does not exist any more".into();
    StopRequest { code: StopCode::TaskFailedToStart, reason }
}
