use super::*;
use crate::model::{
    ids::{ClusterName, Family, ServiceName},
    service::Breaker,
};

fn service() -> Service {
    Service {
        breaker: Breaker { enable: true, rollback: true, ..Breaker::default() },
        ..Service::new(
            ClusterName::parse("default").unwrap(),
            ServiceName::parse("web").unwrap(),
            2,
            Timestamp(0),
        )
    }
}

fn id(number: u64) -> DeploymentId {
    DeploymentId::from_random(number)
}

fn made_of(revision: u32) -> TaskDefinitionId {
    TaskDefinitionId { family: Family::parse("web").unwrap(), revision }
}

/// A service whose first deployment was completed, and whose second has just begun.
fn updated() -> Service {
    let mut service = service();
    service.extra.insert("platformVersion".into(), "1.0".into());
    service.deploy(id(1), made_of(1), Timestamp(1));
    service.complete(&id(1), Timestamp(2));
    service.extra.insert("platformVersion".into(), "2.0".into());
    service.deploy(id(2), made_of(2), Timestamp(3));
    service
}

fn status(service: &Service, number: u64) -> RecordStatus {
    service.record(&id(number)).unwrap().status
}

#[test]
fn a_new_deployment_is_primary_and_remembers_what_it_replaces() {
    let service = updated();
    assert_eq!(service.primary().id, id(2));
    assert_eq!(service.deployments[1].status, DeploymentStatus::Active);
    let record = service.current().unwrap();
    assert_eq!((record.status, &record.sources), (RecordStatus::InProgress, &vec![RevisionId::of(&id(1))]));
    assert_eq!(record.breaker, BreakerStatus::Monitoring);
    assert_eq!(status(&service, 1), RecordStatus::Successful);
}

#[test]
fn a_failed_deployment_gives_its_place_back_with_all_that_tasks_were_made_of() {
    for dropped in [false, true] {
        let mut service = updated();
        if dropped {
            service.deployments.retain(|one| one.id != id(1));
        }
        let target = service.rollback_target(&id(2)).cloned().unwrap();
        service.fail(&id(2), "it failed", true, Timestamp(4));
        service.roll_back(&id(2), &target, "it failed", Timestamp(4));
        assert_eq!((&service.primary().id, &service.primary().task_definition), (&id(1), &made_of(1)));
        assert_eq!(service.extra["platformVersion"], "1.0");
        assert_eq!(service.deployments.len(), 2);
        assert_eq!(status(&service, 2), RecordStatus::RollbackInProgress);
        assert_eq!(service.current().unwrap().deployment, id(2), "the rollback is part of what failed");
        service.complete(&id(1), Timestamp(5));
        assert_eq!(status(&service, 2), RecordStatus::RollbackSuccessful);
        assert_eq!(status(&service, 1), RecordStatus::Successful);
        assert_eq!(service.record(&id(2)).unwrap().breaker, BreakerStatus::Triggered);
    }
}

#[test]
fn what_is_overtaken_is_stopped() {
    let mut service = updated();
    service.deploy(id(3), made_of(3), Timestamp(4));
    assert_eq!(status(&service, 2), RecordStatus::Stopped);
    assert_eq!(service.rollback_target(&id(3)), Some(&id(1)), "one that was never completed is no way back");
}

#[test]
fn a_deployment_can_be_asked_to_stop_once_and_only_while_it_goes_on() {
    let mut service = updated();
    assert_eq!(
        service.ask_stop(&id(1), StopType::Rollback, Timestamp(4)),
        Err(CannotStop::Over(RecordStatus::Successful))
    );
    assert_eq!(service.ask_stop(&id(2), StopType::Rollback, Timestamp(4)), Ok(()));
    assert_eq!(service.ask_stop(&id(2), StopType::Rollback, Timestamp(5)), Ok(()));
    assert_eq!(
        service.ask_stop(&id(2), StopType::Abort, Timestamp(5)),
        Err(CannotStop::Stopping(RecordStatus::RollbackRequested))
    );
    assert_eq!(service.primary().stop_asked, Some(StopType::Rollback));
}

#[test]
fn the_first_deployment_has_nothing_to_go_back_to() {
    let mut service = service();
    service.deploy(id(1), made_of(1), Timestamp(1));
    assert_eq!(service.ask_stop(&id(1), StopType::Rollback, Timestamp(2)), Err(CannotStop::NothingBefore));
}

#[test]
fn an_old_revision_can_be_rolled_out_again() {
    let mut service = updated();
    service.complete(&id(2), Timestamp(4));
    assert!(service.redeploy(id(3), &RevisionId::of(&id(1)), Timestamp(5)));
    assert_eq!(service.primary().task_definition, made_of(1));
    assert_eq!(service.primary().revision(), RevisionId::of(&id(1)));
    assert_eq!(service.extra["platformVersion"], "1.0");
    assert!(!service.redeploy(id(4), &RevisionId::of(&id(9)), Timestamp(6)));
}

#[test]
fn the_way_back_is_remembered_however_many_deployments_fail() {
    let mut service = updated();
    for number in 3..200 {
        service.deploy(id(number), made_of(3), Timestamp(number));
        service.deployments.retain(|one| one.id == id(number));
    }
    assert_eq!(service.history.len(), record::KEPT + 1);
    assert_eq!(service.revisions.len(), record::KEPT + 1);
    assert_eq!(service.rollback_target(&id(199)), Some(&id(1)));
}
