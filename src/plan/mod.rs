//! Decisions: pure functions of a view and a clock.
//!
//! A decision reads nothing, logs nothing and makes no ids: equal views give equal plans. What it decides is a
//! [`Plan`]; who does it, and what came of it, is elsewhere.

pub mod health;
pub mod restart;
pub mod task;

use crate::model::time::Moment;

pub mod admit;
pub mod crash_loop;
pub mod explain;
pub mod foresee;
pub mod history;
#[cfg(test)]
mod random;
mod rollout;
pub mod service;

/// What to do next, why, and when to ask again.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan<Action, Note> {
    /// Steps, in order. Each is idempotent: doing it twice is doing it once.
    pub actions: Vec<Action>,
    /// Why, for people.
    pub notes: Vec<Note>,
    /// When to ask again though nothing has happened.
    pub wake_at: Option<Moment>,
}

impl<Action, Note> Default for Plan<Action, Note> {
    fn default() -> Self {
        Self { actions: Vec::new(), notes: Vec::new(), wake_at: None }
    }
}

impl<Action, Note> Plan<Action, Note> {
    /// Asks again at `moment`, or earlier if that was asked before.
    pub fn wake_by(&mut self, moment: Moment) {
        self.wake_at = Some(self.wake_at.map_or(moment, |earlier| earlier.min(moment)));
    }
}
