//! The end of an instance: every task is stopped, and the host gets back what it lent.
//!
//! ```text
//!   begin as any daemon -> stop every task, start none -> until all are swept
//!        -> orphans -> cgroups -> bridge, links, rules -> settings of the host
//! ```
//!
//! What is remembered stays: services get new tasks when a daemon starts again, standalone tasks do not, as after a
//! reboot. Nobody is served meanwhile.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::time::timeout;
use tracing::{info, warn};

use super::{
    adopt, clock,
    config::Config,
    failure::DaemonError,
    life::{self, Begun},
    loops::{Loops, Told, until_told},
    reconciler::Settings,
    report::chain,
    settings,
};
use crate::{
    model::task::{DesiredStatus, StopCode, StopRequest},
    net::Network,
    store::{Store, WriteError},
};

/// How long all of it may take: the longest grace of a container is two minutes, and containers may wait for others.
const LIMIT: Duration = Duration::from_secs(10 * 60);

/// Ends the instance of this configuration. No daemon may be running.
pub async fn run(config: Config) -> Result<(), DaemonError> {
    let mut told = Told::listen()?;
    let config = Arc::new(config);
    if !config.state_dir.join("store.db").exists() && !config.state_dir.join("tasks").exists() {
        info!(state = %config.state_dir.display(), "nothing to take down: no daemon has ever run here");
        return Ok(());
    }
    let _lock = life::hold(&config)?;
    let (begun, learnt) = life::begin(&config).await?;
    let stopped = stop_all(&begun.store).await?;
    info!(tasks = stopped, "stopping every task");
    let mut loops = Loops::default();
    let settings = Settings { is_ending: true, ..Settings::of(&config) };
    begun.start(&mut loops, learnt, settings);
    tokio::select! {
        done = timeout(LIMIT, all_swept(&begun)) => done.map_err(|_| DaemonError::Unfinished {
            tasks: begun.store.snapshot().live_tasks().count().max(begun.agent.tasks().len()),
        })?,
        ended = until_told(&mut told, &mut loops) => {
            ended?;
            return Err(DaemonError::Unfinished { tasks: begun.store.snapshot().live_tasks().count() });
        }
    }
    give_back(&config, &begun).await?;
    info!("every task is stopped, and the host has back what was made for them");
    Ok(())
}

/// Wants every task stopped; gives how many that is news to.
async fn stop_all(store: &Store) -> Result<usize, WriteError<Infallible>> {
    let at = clock::wall();
    let write = store.write(move |draft| {
        let running = draft.live_tasks().filter(|task| task.desired_status == DesiredStatus::Running);
        let ids: Vec<_> = running.map(|task| task.id.clone()).collect();
        for id in &ids {
            draft.update_task(id, |task| {
                task.desired_status = DesiredStatus::Stopped;
                task.times.stopping_at.get_or_insert(at);
                task.stop = Some(StopRequest {
                    code: StopCode::TerminationNotice,
                    reason: "hythe was taken off this host.".into(),
                });
            });
        }
        Ok(ids.len())
    });
    write.await
}

async fn all_swept(begun: &Begun) {
    let mut watch = begun.store.watch();
    while begun.store.snapshot().live_tasks().next().is_some() {
        watch.changed().await;
    }
    begun.agent.emptied().await;
}

/// Removes what belongs to the instance and to no task. Every step is tried.
async fn give_back(config: &Config, begun: &Begun) -> Result<(), DaemonError> {
    adopt::sweep_orphans(&begun.agent, &begun.store.snapshot()).await;
    let left = begun.agent.leave().await;
    if let Some(network) = &config.network {
        Network::remove_all(network)?;
    }
    for change in Network::undo(&settings::noted(&config.state_dir))? {
        info!(setting = %change.setting, value = %change.before, "host setting set back");
    }
    settings::forget(&config.state_dir);
    for path in [&config.api.socket, &config.runtime_dir] {
        let gone = if path.is_dir() { std::fs::remove_dir(path) } else { std::fs::remove_file(path) };
        if let Err(why) = gone
            && why.kind() != std::io::ErrorKind::NotFound
        {
            warn!(path = %path.display(), error = %chain(&why), "left where it is");
        }
    }
    Ok(left?)
}
