use super::*;

fn task(number: u8, memory: u64) -> HostTask {
    HostTask {
        id: TaskId::from_random([number; 16]),
        desired: DesiredStatus::Running,
        known: TaskStatus::Pending,
        stop: None,
        needs: Reservation { resources: Resources { cpu: 0, memory }, ..Reservation::default() },
        hands: Hands::Empty,
    }
}

fn host(tasks: &[HostTask]) -> HostView {
    let registered = Resources { cpu: 2048, memory: 1000 };
    HostView { capacity: Capacity { registered, ..Capacity::default() }, tasks: tasks.to_vec() }
}

fn steps(tasks: &[HostTask]) -> Vec<(char, u8)> {
    let plan = admit(&host(tasks), Promised::nothing());
    let letter = |action: &TaskAction| match action {
        TaskAction::Start(_) => 's',
        TaskAction::Stop(..) => 't',
        TaskAction::Sweep(_) => 'w',
        TaskAction::Refuse(..) => 'r',
    };
    let number = |id: &TaskId| u8::from_str_radix(&id.as_str()[..2], 16).unwrap();
    plan.actions.iter().map(|action| (letter(action), number(action.task()))).collect()
}

#[test]
fn tasks_start_while_they_fit() {
    assert_eq!(steps(&[task(1, 600), task(2, 400), task(3, 1)]), [('s', 1), ('s', 2)]);
}

#[test]
fn nobody_overtakes_for_what_another_waits_for() {
    let mut running = task(1, 600);
    running.hands = Hands::Holding;
    running.known = TaskStatus::Running;
    assert_eq!(steps(&[running, task(2, 500), task(3, 100), task(4, 0)]), [('s', 4)]);
}

#[test]
fn a_task_that_can_never_fit_is_refused_and_blocks_nobody() {
    assert_eq!(steps(&[task(1, 5000), task(2, 1000)]), [('r', 1), ('s', 2)]);
}

#[test]
fn memory_is_free_once_the_containers_have_ended() {
    let mut ended = task(1, 1000);
    ended.desired = DesiredStatus::Stopped;
    ended.hands = Hands::Sweeping;
    ended.known = TaskStatus::Stopping;
    assert_eq!(steps(&[ended.clone(), task(2, 1000)]), []);
    ended.known = TaskStatus::Deprovisioning;
    assert_eq!(steps(&[ended, task(2, 1000)]), [('s', 2)]);
}

#[test]
fn a_stop_leads_to_stop_or_straight_to_sweep() {
    let mut held = task(1, 0);
    held.hands = Hands::Holding;
    held.desired = DesiredStatus::Stopped;
    let mut never = held.clone();
    never.hands = Hands::Empty;
    assert_eq!(steps(&[held.clone(), never]), [('t', 1), ('w', 1)]);
    held.hands = Hands::Stopping;
    assert_eq!(steps(&[held.clone()]), []);
    held.known = TaskStatus::Deprovisioning;
    assert_eq!(steps(&[held.clone()]), [('w', 1)]);
    held.known = TaskStatus::Stopped;
    assert_eq!(steps(&[held]), []);
}

#[test]
fn two_tasks_cannot_hold_one_port_until_the_first_is_gone() {
    let port = (crate::model::network::Protocol::Tcp, 80);
    let mut first = task(1, 0);
    first.needs.ports.insert(port);
    first.hands = Hands::Sweeping;
    first.desired = DesiredStatus::Stopped;
    first.known = TaskStatus::Deprovisioning;
    let mut second = task(2, 0);
    second.needs.ports.insert(port);
    assert_eq!(steps(&[first.clone(), second.clone()]), []);
    let view = host(&[first.clone(), second.clone()]);
    let has_port = |port| first.needs.ports.contains(&port);
    let held = Promised { resources: Resources::default(), has_port: &has_port };
    assert_eq!(
        room(&view.capacity, held, &second.needs, 3),
        Room { tasks: 0, obstacle: Some(Obstacle::Lacks(Shortage::Port(port))) }
    );
}

#[test]
fn room_is_counted_beside_tasks_that_stay() {
    let capacity = host(&[]).capacity;
    let held = Promised { resources: Resources { cpu: 0, memory: 300 }, ..Promised::nothing() };
    let needs = task(3, 300).needs;
    assert_eq!(room(&capacity, held, &needs, 2), Room { tasks: 2, obstacle: None });
    let full = Some(Obstacle::Lacks(Shortage::Memory));
    assert_eq!(room(&capacity, held, &needs, 9), Room { tasks: 2, obstacle: full });
}

#[test]
fn tasks_that_need_no_step_can_be_left_out_and_told_in_sum() {
    let mut running = task(1, 600);
    running.hands = Hands::Holding;
    running.known = TaskStatus::Running;
    assert!(!running.is_open() && running.hold() == Hold::All);
    let whole = admit(&host(&[running, task(2, 400), task(3, 100)]), Promised::nothing());
    let held = Promised { resources: Resources { cpu: 0, memory: 600 }, ..Promised::nothing() };
    assert_eq!(admit(&host(&[task(2, 400), task(3, 100)]), held), whole);
}
