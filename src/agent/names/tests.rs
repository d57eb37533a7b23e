use super::*;
use crate::model::task_definition::HostEntry;

fn definition() -> ContainerDefinition {
    serde_json::from_str(r#"{"name": "web", "image": "web"}"#).unwrap()
}

fn task() -> TaskId {
    TaskId::from_random([0xab; 16])
}

fn host(resolv_conf: &str) -> HostNames {
    HostNames {
        hostname: "harbour".to_owned(),
        hosts: "127.0.0.1 localhost\n10.1.1.1 crane".to_owned(),
        resolv_conf: resolv_conf.to_owned(),
        upstream: None,
    }
}

fn names(definition: &ContainerDefinition, mode: NetworkMode, host: &HostNames) -> Names {
    let address = match mode {
        NetworkMode::Awsvpc | NetworkMode::Bridge => Some(Ipv4Addr::new(10, 88, 0, 2)),
        NetworkMode::Host | NetworkMode::None => None,
    };
    Names::of(definition, &task(), mode, address, host)
}

#[test]
fn a_container_knows_itself_by_the_start_of_its_task() {
    let names = names(&definition(), NetworkMode::Bridge, &host("nameserver 9.9.9.9\n"));
    assert_eq!(names.hostname, "abababababab");
    assert!(names.hosts.starts_with("127.0.0.1 localhost\n"));
    assert!(names.hosts.ends_with("10.88.0.2 abababababab\n"), "{}", names.hosts);
    assert_eq!((names.resolv_conf.as_str(), names.note), ("nameserver 9.9.9.9\n", None));
}

#[test]
fn extra_hosts_links_and_the_short_name_are_lines_of_their_own() {
    let mut definition = definition();
    definition.hostname = Some("web.example".to_owned());
    definition.extra_hosts.push(HostEntry { hostname: "db".to_owned(), ip_address: "10.0.0.9".to_owned() });
    definition.links = vec!["store:cache".to_owned(), "queue".to_owned()];
    let names = names(&definition, NetworkMode::Bridge, &host(""));
    let end = "10.0.0.9 db\n10.88.0.2 cache store\n10.88.0.2 queue queue\n10.88.0.2 web.example web\n";
    assert!(names.hosts.ends_with(end), "{}", names.hosts);
}

#[test]
fn on_the_hosts_network_the_hosts_names_hold() {
    let names = names(&definition(), NetworkMode::Host, &host("nameserver 127.0.0.53\n"));
    assert_eq!(names.hostname, "harbour");
    assert_eq!(names.hosts, "127.0.0.1 localhost\n10.1.1.1 crane\n");
    assert_eq!((names.resolv_conf.as_str(), names.note), ("nameserver 127.0.0.53\n", None));
}

#[test]
fn a_resolver_on_loopback_gives_way_to_the_one_behind_it() {
    let mut host = host("# local\nnameserver 127.0.0.53\noptions edns0\n");
    host.upstream = Some("nameserver 192.168.1.1\nsearch lan\n".to_owned());
    let names = names(&definition(), NetworkMode::Awsvpc, &host);
    assert_eq!((names.resolv_conf.as_str(), names.note), ("nameserver 192.168.1.1\nsearch lan\n", None));
}

#[test]
fn a_resolver_on_loopback_with_nothing_behind_it_is_said() {
    let names = names(&definition(), NetworkMode::Awsvpc, &host("nameserver ::1\noptions rotate\n"));
    assert_eq!(names.resolv_conf, "options rotate\n");
    let said = "container web has no name server: the host's answers on its loopback only; name others in dnsServers";
    assert_eq!(names.note.as_deref(), Some(said));
}

#[test]
fn servers_and_domains_of_the_definition_replace_the_hosts() {
    let mut definition = definition();
    definition.dns_servers = vec!["1.1.1.1".to_owned(), "1.0.0.1".to_owned()];
    definition.dns_search_domains = vec!["a.example".to_owned(), "b.example".to_owned()];
    let host = host("nameserver 127.0.0.53\nsearch lan\ndomain lan\noptions ndots:2\n");
    let names = names(&definition, NetworkMode::Bridge, &host);
    let expected = "options ndots:2\nnameserver 1.1.1.1\nnameserver 1.0.0.1\nsearch a.example b.example\n";
    assert_eq!((names.resolv_conf.as_str(), names.note), (expected, None));
}
