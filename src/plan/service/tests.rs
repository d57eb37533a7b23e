//! A service on a virtual clock, by hand and at random.

mod count;
mod health;
mod histories;
mod rollout;
mod sim;
