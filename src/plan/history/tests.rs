use super::*;
use crate::model::resources::Shortage;

fn event(message: &str, at: u64) -> ServiceEvent {
    ServiceEvent { id: String::new(), created_at: Timestamp(at), message: message.into() }
}

fn text(news: &News) -> String {
    news.text(&ServiceName::parse("web").unwrap(), &InstanceId::from_random([0xc1; 16]))
}

#[test]
fn events_speak_as_ecs_does() {
    let tasks = vec![TaskId::from_random([0xa1; 16]), TaskId::from_random([0xb2; 16])];
    assert_eq!(
        text(&News::Started(tasks)),
        "(service web) has started 2 tasks: (task a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1) \
         (task b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2)."
    );
    assert_eq!(
        text(&News::Note(ServiceNote::CannotPlace(Obstacle::Lacks(Shortage::Port((
            crate::model::network::Protocol::Tcp,
            80
        )))))),
        "(service web) was unable to place a task because no container instance met all of its requirements. \
         The closest matching (container-instance c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1) is already using a port \
         required by your task. For more information, see the Troubleshooting section of the Amazon ECS \
         Developer Guide."
    );
}

#[test]
fn an_end_names_the_container_that_caused_it() {
    let task = TaskId::from_random([0xa1; 16]);
    let why = "Essential container in task exited (app: exit code 3)".to_owned();
    assert_eq!(
        text(&News::Ended(task, why)),
        "(service web) (task a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1) ended: Essential container in task exited \
         (app: exit code 3)."
    );
}

#[test]
fn a_condition_is_told_once_until_the_service_was_steady() {
    let news = News::Note(ServiceNote::CannotStart);
    let told = event(&text(&news), 1000);
    let started = event("(service web) has started 1 tasks: (task x).", 2000);
    let steady = event("(service web) has reached a steady state.", 3000);
    let now = Timestamp(4000);
    assert!(!news.is_told(&[], &text(&news), now));
    assert!(news.is_told(&[started.clone(), told.clone()], &text(&news), now));
    assert!(!news.is_told(&[steady.clone(), started, told.clone()], &text(&news), now));
    assert!(!news.is_told(&[told], &text(&news), Timestamp(1000 + 6 * 3600 * 1000)));
    let again = News::Note(ServiceNote::SteadyState);
    let events = [steady];
    assert!(again.is_told(&events, &text(&again), now));
    let later = steady_again(&events).unwrap();
    assert!(!again.is_told(&events, &text(&again), later), "it is told again after six hours");
}

#[test]
fn a_hundred_events_are_kept_the_newest_first() {
    let mut events = Vec::new();
    for at in 0..150 {
        push(&mut events, event("e", at));
    }
    assert_eq!((events.len(), events[0].created_at.0, events[99].created_at.0), (100, 149, 50));
}
