//! Named moments at which a test lets this process die, to see what the next one makes of it.

/// Ends this process at once if `HYTHE_KILL_AT` names this point; `NAME:3` means the third time it is passed.
///
/// Builds without debug assertions have no such points.
pub(crate) fn kill_point(name: &str) {
    #[cfg(debug_assertions)]
    if is_due(name) {
        let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}

#[cfg(debug_assertions)]
fn is_due(name: &str) -> bool {
    use std::sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    };

    static WISH: LazyLock<Option<(String, u32)>> = LazyLock::new(|| {
        let wish = std::env::var("HYTHE_KILL_AT").ok()?;
        let (name, count) = wish.split_once(':').unwrap_or((&wish, "1"));
        Some((name.to_owned(), count.parse().unwrap_or(1)))
    });
    static PASSED: AtomicU32 = AtomicU32::new(0);

    WISH.as_ref()
        .is_some_and(|(wish, count)| wish == name && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == *count)
}
