//! This host as a place for a task: what rules of placement may ask of it, at one revision.

use std::collections::BTreeSet;

use super::Snapshot;
use crate::model::{
    cluster::Cluster,
    placement::{Candidate, PlacementConstraint, Unmet, unmet},
    resources::Traits,
    task::DesiredStatus,
};

impl Snapshot {
    /// The first rule that this host does not meet for one more task of `group`.
    ///
    /// Tasks that are to stop are not counted, as in ECS.
    #[must_use]
    pub fn unmet<'a>(
        &self,
        constraints: impl IntoIterator<Item = &'a PlacementConstraint>,
        cluster: &Cluster,
        traits: &Traits,
        group: &str,
    ) -> Option<Unmet> {
        let mut constraints = constraints.into_iter().peekable();
        constraints.peek()?;
        unmet(constraints, &self.candidate(cluster, traits), group)
    }

    /// What rules may ask of this host, as one cluster knows it.
    #[must_use]
    pub fn candidate<'a>(&self, cluster: &'a Cluster, traits: &'a Traits) -> Candidate<'a> {
        let here = self.live_tasks().filter(|task| task.cluster == cluster.name);
        let groups = here.filter(|task| task.desired_status == DesiredStatus::Running);
        Candidate {
            attributes: cluster.attributes(traits),
            instance: &cluster.instance,
            version: &traits.version,
            registered_at: cluster.created_at,
            running: self.counts_of_cluster(&cluster.name).running,
            groups: groups.map(|task| task.group.clone()).collect::<BTreeSet<_>>(),
        }
    }
}
