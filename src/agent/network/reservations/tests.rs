use super::*;

const BIND: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const DYNAMIC: RangeInclusive<u16> = 40000..=40009;

fn task(number: u8) -> TaskId {
    TaskId::from_random([number; 16])
}

fn want(container_port: u16, count: u16, host_port: Option<u16>) -> Wanted {
    let container = ContainerName::parse("web").unwrap();
    Wanted { container, protocol: Protocol::Tcp, container_port, count, host_port }
}

fn take(book: &mut Reservations, number: u8, wanted: &[Wanted]) -> Result<Vec<(u16, u16)>, ReservationError> {
    let address = book.address(&task(number), "10.88.0.0/24".parse().unwrap()).unwrap();
    let given = book.ports(&task(number), address, BIND, wanted, &DYNAMIC, |_, port| port != 40001)?;
    Ok(given.iter().map(|given| (given.publish.host_port, given.publish.count)).collect())
}

#[test]
fn an_address_is_kept_and_let_go() {
    let subnet = "10.88.0.0/29".parse().unwrap();
    let mut book = Reservations::default();
    let first = book.address(&task(1), subnet).unwrap();
    assert_eq!(first, Ipv4Addr::new(10, 88, 0, 2));
    assert_eq!(book.address(&task(1), subnet), Ok(first), "asking twice changes nothing");
    for number in 2..=5 {
        book.address(&task(number), subnet).unwrap();
    }
    assert_eq!(book.address(&task(6), subnet), Err(ReservationError::NoAddress(subnet)));
    assert!(!book.unpublish(&task(3)), "it has no ports");
    assert_eq!(
        book.address(&task(6), subnet),
        Err(ReservationError::NoAddress(subnet)),
        "nor let go of its address"
    );
    book.release(&task(3));
    assert_eq!(book.address(&task(6), subnet), Ok(Ipv4Addr::new(10, 88, 0, 4)));
}

#[test]
fn the_address_of_a_ready_interface_is_nobody_elses_until_it_is_given() {
    let subnet = "10.88.0.0/29".parse().unwrap();
    let mut book = Reservations::default();
    let (first, second) = (book.spare(subnet).unwrap(), book.spare(subnet).unwrap());
    let others = (1..=3).map(|number| book.address(&task(number), subnet).unwrap());
    assert!(others.collect::<Vec<_>>().iter().all(|other| *other != first && *other != second));
    book.give(&task(4), first);
    assert_eq!(book.address(&task(4), subnet), Ok(first));
    assert!(book.address(&task(5), subnet).is_err());
    book.give_up(second);
    assert_eq!(book.address(&task(5), subnet), Ok(second));
}

#[test]
fn dynamic_ports_walk_on_and_pass_over_what_is_taken() {
    let mut book = Reservations::default();
    assert_eq!(take(&mut book, 1, &[want(80, 1, None)]), Ok(vec![(40000, 1)]));
    assert_eq!(take(&mut book, 2, &[want(80, 3, None)]), Ok(vec![(40002, 3)]));
    assert_eq!(take(&mut book, 3, &[want(80, 5, None)]), Ok(vec![(40005, 5)]));
    let none = ReservationError::NoPorts { count: 1, container_port: 80, protocol: Protocol::Tcp };
    assert_eq!(take(&mut book, 4, &[want(80, 1, None)]), Err(none));
    book.release(&task(2));
    assert_eq!(take(&mut book, 4, &[want(80, 2, None)]), Ok(vec![(40002, 2)]));
}

#[test]
fn a_named_port_of_another_task_is_refused_with_its_holder() {
    let mut book = Reservations::default();
    assert_eq!(take(&mut book, 1, &[want(80, 1, Some(8080))]), Ok(vec![(8080, 1)]));
    let refused = take(&mut book, 2, &[want(90, 1, None), want(80, 1, Some(8080))]).unwrap_err();
    let said = format!("host port 8080/tcp is in use by task {}", task(1));
    assert_eq!(refused.to_string(), said);
    let refused = take(&mut book, 2, &[want(80, 1, Some(40001))]).unwrap_err();
    assert_eq!(refused.to_string(), "host port 40001/tcp is in use");
    assert_eq!(book.tables().publishes.len(), 1, "a refusal gives nothing");
}

#[test]
fn a_dynamic_port_leaves_the_named_ones_alone() {
    let mut book = Reservations::default();
    let given = take(&mut book, 1, &[want(80, 1, None), want(81, 1, Some(40000))]);
    assert_eq!(given, Ok(vec![(40000, 1), (40002, 1)]));
}

#[test]
fn what_was_adopted_is_taken() {
    let mut book = Reservations::default();
    take(&mut book, 1, &[want(80, 1, Some(8080))]).unwrap();
    let held = book.held[&task(1)].clone();
    let mut after = Reservations::default();
    after.adopt(&task(1), held.address, held.given);
    assert_eq!(after.tables(), book.tables());
    assert!(take(&mut after, 2, &[want(80, 1, Some(8080))]).is_err());
}

#[test]
fn a_row_of_ports_is_told_as_a_range_and_taken_back_from_what_was_told() {
    let mut book = Reservations::default();
    take(&mut book, 1, &[want(7000, 2, Some(9000)), want(80, 1, Some(8080))]).unwrap();
    let held = &book.held[&task(1)];
    let told: Vec<_> = held.given.iter().map(Given::binding).collect();
    let text = serde_json::to_value(&told).unwrap();
    let row = r#"{"bindIP": "0.0.0.0", "containerPortRange": "7000-7001", "hostPortRange": "9000-9001",
        "protocol": "tcp"}"#;
    let single = r#"{"bindIP": "0.0.0.0", "containerPort": 80, "hostPort": 8080, "protocol": "tcp"}"#;
    assert_eq!(text, serde_json::from_str::<serde_json::Value>(&format!("[{row}, {single}]")).unwrap());
    let stored: Vec<NetworkBinding> = serde_json::from_value(text).unwrap();
    let back = stored.iter().map(|one| Given::told(&held.given[0].container, one, held.address.unwrap()));
    assert_eq!(back.collect::<Option<Vec<_>>>().as_ref(), Some(&held.given));
}
