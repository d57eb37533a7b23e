//! When each service wants to be looked at again: who is due, and when the next one is, without asking them all.

use std::collections::{BTreeSet, HashMap};

use crate::{model::time::Moment, store::ServiceKey};

/// One moment a service.
#[derive(Debug, Default)]
pub struct Alarms {
    of: HashMap<ServiceKey, Moment>,
    order: BTreeSet<(Moment, ServiceKey)>,
}

impl Alarms {
    /// Sets the alarm of a service, or takes it away.
    pub fn set(&mut self, key: ServiceKey, at: Option<Moment>) {
        if let Some(before) = self.of.remove(&key) {
            self.order.remove(&(before, key.clone()));
        }
        if let Some(at) = at {
            self.order.insert((at, key.clone()));
            self.of.insert(key, at);
        }
    }

    /// Takes the services whose moment has come.
    pub fn due(&mut self, now: Moment) -> Vec<ServiceKey> {
        let mut due = Vec::new();
        while let Some((at, key)) = self.order.pop_first() {
            if at > now {
                self.order.insert((at, key));
                break;
            }
            self.of.remove(&key);
            due.push(key);
        }
        due
    }

    /// The earliest moment.
    #[must_use]
    pub fn next(&self) -> Option<Moment> {
        self.order.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{ClusterName, ServiceName};

    fn key(name: &str) -> ServiceKey {
        (ClusterName::parse("default").unwrap(), ServiceName::parse(name).unwrap())
    }

    #[test]
    fn a_service_has_one_alarm_and_it_rings_once() {
        let mut alarms = Alarms::default();
        alarms.set(key("a"), Some(Moment(5)));
        alarms.set(key("b"), Some(Moment(7)));
        alarms.set(key("a"), Some(Moment(9)));
        assert_eq!(alarms.next(), Some(Moment(7)));
        assert_eq!(alarms.due(Moment(6)), []);
        assert_eq!(alarms.due(Moment(9)), [key("b"), key("a")]);
        alarms.set(key("c"), Some(Moment(1)));
        alarms.set(key("c"), None);
        assert_eq!((alarms.next(), alarms.due(Moment(100))), (None, vec![]));
    }
}
