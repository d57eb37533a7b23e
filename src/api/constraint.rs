//! Rules and strategies of placement in requests: they can be, there are not too many, and Fargate takes none.

use super::refused::{Kind, Refused};
use crate::model::{
    placement::{MOST_CONSTRAINTS, PlacementConstraint, PlacementStrategy},
    reading::{MemberPath, Refusal},
    task_definition::Document,
};

/// Most strategies of a request.
const MOST_STRATEGIES: usize = 5;

/// The rules of the tasks of a request: those of their definition and the request's own, which are checked.
pub(super) fn of_task(
    document: &Document,
    own: &[PlacementConstraint],
    launch_type: Option<&str>,
) -> Result<Vec<PlacementConstraint>, Refused> {
    let path = MemberPath::default().member("placementConstraints");
    let refused = |refusal: &Refusal| Refused::unreadable(refusal, Kind::InvalidParameterException);
    for (index, one) in own.iter().enumerate() {
        let path = path.element(index).member("expression");
        one.read().map_err(|why| refused(&Refusal::wrong(path, why.to_string())))?;
    }
    if launch_type == Some("FARGATE") && !own.is_empty() {
        return Err(Refused::parameter("placementConstraints are not supported on Fargate."));
    }
    let all: Vec<_> = document.placement_constraints.iter().chain(own).cloned().collect();
    if all.len() > MOST_CONSTRAINTS {
        let message = format!(
            "placementConstraints: a task has at most {MOST_CONSTRAINTS}, those of its definition included, and this \
             would have {}.",
            all.len()
        );
        return Err(Refused::parameter(message));
    }
    Ok(all)
}

/// Refuses strategies of placement that cannot be.
pub(super) fn strategies(list: &[PlacementStrategy], launch_type: Option<&str>) -> Result<(), Refused> {
    if list.len() > MOST_STRATEGIES {
        return Err(Refused::parameter(format!("placementStrategy has at most {MOST_STRATEGIES} elements.")));
    }
    if launch_type == Some("FARGATE") && !list.is_empty() {
        return Err(Refused::parameter("placementStrategy is not supported on Fargate."));
    }
    for (index, one) in list.iter().enumerate() {
        if let Some(fault) = one.fault() {
            let found = one.field.as_deref().unwrap_or("nothing");
            let message = format!("placementStrategy[{index}].field: {fault}, and this is {found}.");
            return Err(Refused::parameter(message));
        }
    }
    Ok(())
}
