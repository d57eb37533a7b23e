//! The daemon may die at any moment: nothing is lost, nothing runs twice, nothing is left behind.

mod damage;
mod life;
mod points;
mod reboot;
