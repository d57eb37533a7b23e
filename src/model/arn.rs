//! Amazon resource names, long form: `arn:aws:ecs:REGION:ACCOUNT:TYPE/REST`.
//!
//! Clients may name a thing by its short name or by its ARN wherever ECS allows it; [`Owner::rest`] takes either
//! and gives the part after the type.

use super::ids::{
    ClusterName, ContainerName, InstanceId, RecordId, RevisionId, ServiceName, TaskDefinitionId, TaskId,
};

/// The region and the account in whose names this instance speaks, from the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Such as `us-east-1`.
    pub region: String,
    /// Twelve digits.
    pub account: String,
}

/// A text that should name something of one type and names something else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadArn {
    /// Not of the form `arn:aws:ecs:REGION:ACCOUNT:TYPE/REST`.
    #[error("{0:?} is not an ECS resource name")]
    Malformed(String),
    /// Another type of resource than the call takes.
    #[error("Unsupported resource type: {0}")]
    WrongType(String),
    /// Of another region.
    #[error("Invalid Region in ARN: {found}, and this is {own}")]
    Region {
        /// What the name says.
        found: String,
        /// The instance's own.
        own: String,
    },
    /// Of another account.
    #[error("Invalid identifier: Identifier is for {found}. Your accountId is {own}")]
    Account {
        /// What the name says.
        found: String,
        /// The instance's own.
        own: String,
    },
}

impl Owner {
    fn arn(&self, kind: &str, rest: &str) -> String {
        format!("arn:aws:ecs:{}:{}:{kind}/{rest}", self.region, self.account)
    }

    /// `cluster/NAME`.
    #[must_use]
    pub fn cluster(&self, name: &ClusterName) -> String {
        self.arn("cluster", name.as_str())
    }

    /// `service/CLUSTER/NAME`.
    #[must_use]
    pub fn service(&self, cluster: &ClusterName, name: &ServiceName) -> String {
        self.arn("service", &format!("{cluster}/{name}"))
    }

    /// `service-deployment/CLUSTER/NAME/ID`.
    #[must_use]
    pub fn service_deployment(&self, cluster: &ClusterName, service: &ServiceName, id: &RecordId) -> String {
        self.arn("service-deployment", &format!("{cluster}/{service}/{id}"))
    }

    /// `service-revision/CLUSTER/NAME/ID`.
    #[must_use]
    pub fn service_revision(&self, cluster: &ClusterName, service: &ServiceName, id: &RevisionId) -> String {
        self.arn("service-revision", &format!("{cluster}/{service}/{id}"))
    }

    /// `task/CLUSTER/ID`.
    #[must_use]
    pub fn task(&self, cluster: &ClusterName, id: &TaskId) -> String {
        self.arn("task", &format!("{cluster}/{id}"))
    }

    /// `container/CLUSTER/TASK/UUID`. The UUID follows from the task and the container's name.
    #[must_use]
    pub fn container(&self, cluster: &ClusterName, task: &TaskId, name: &ContainerName) -> String {
        let text = format!("{task}/{name}");
        // FNV-1a, 128 bits wide: containers of one task differ in their names, and tasks in their ids.
        let number = text.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, |number, byte| {
            (number ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
        });
        // Version 8 of RFC 9562, whose bits are the maker's own, and its variant.
        let number = number & !(0xf << 76) & !(0x3 << 62) | (0x8 << 76) | (0x2 << 62);
        let digits = format!("{number:032x}");
        let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
        self.arn("container", &format!("{cluster}/{task}/{}", parts.join("-")))
    }

    /// `container-instance/CLUSTER/ID`.
    #[must_use]
    pub fn container_instance(&self, cluster: &ClusterName, id: &InstanceId) -> String {
        self.arn("container-instance", &format!("{cluster}/{id}"))
    }

    /// `capacity-provider/NAME`.
    #[must_use]
    pub fn capacity_provider(&self, name: &str) -> String {
        self.arn("capacity-provider", name)
    }

    /// `task-definition/FAMILY:REVISION`.
    #[must_use]
    pub fn task_definition(&self, id: &TaskDefinitionId) -> String {
        self.arn("task-definition", &id.to_string())
    }

    /// The part after the type of an ARN of type `kind`, or `text` itself when it is no ARN.
    pub fn rest<'a>(&self, kind: &str, text: &'a str) -> Result<&'a str, BadArn> {
        if !text.starts_with("arn:") {
            return Ok(text);
        }
        let malformed = || BadArn::Malformed(text.to_owned());
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, "ecs", region, account, resource] = parts.as_slice() else {
            return Err(malformed());
        };
        let (found, rest) = resource.split_once('/').ok_or_else(malformed)?;
        if !partition.starts_with("aws") {
            Err(malformed())
        } else if *region != self.region {
            Err(BadArn::Region { found: (*region).to_owned(), own: self.region.clone() })
        } else if *account != self.account {
            Err(BadArn::Account { found: (*account).to_owned(), own: self.account.clone() })
        } else if found == kind {
            Ok(rest)
        } else {
            Err(BadArn::WrongType(found.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> Owner {
        Owner { region: "us-east-1".into(), account: "000000000000".into() }
    }

    #[test]
    fn names_and_arns_lead_to_the_same_thing() {
        let cluster = ClusterName::parse("edge").unwrap();
        let arn = owner().cluster(&cluster);
        assert_eq!(arn, "arn:aws:ecs:us-east-1:000000000000:cluster/edge");
        assert_eq!(owner().rest("cluster", &arn), Ok("edge"));
        assert_eq!(owner().rest("cluster", "edge"), Ok("edge"));
    }

    #[test]
    fn a_container_has_the_same_uuid_each_time_and_no_two_have_one() {
        let cluster = ClusterName::parse("edge").unwrap();
        let arn = |task: u8, name: &str| {
            let name = ContainerName::parse(name).unwrap();
            owner().container(&cluster, &TaskId::from_random([task; 16]), &name)
        };
        assert_eq!(arn(1, "web"), arn(1, "web"));
        assert_ne!(arn(1, "web"), arn(1, "api"));
        assert_ne!(arn(1, "web"), arn(2, "web"));
        let uuid = arn(1, "web").rsplit('/').next().map(str::len);
        assert_eq!(uuid, Some(36));
    }

    #[test]
    fn an_arn_of_another_region_or_account_is_refused_by_what_it_says() {
        let refused = |arn: &str| owner().rest("cluster", arn).unwrap_err().to_string();
        assert_eq!(
            refused("arn:aws:ecs:eu-west-1:000000000000:cluster/edge"),
            "Invalid Region in ARN: eu-west-1, and this is us-east-1"
        );
        assert_eq!(
            refused("arn:aws:ecs:us-east-1:123456789012:cluster/edge"),
            "Invalid identifier: Identifier is for 123456789012. Your accountId is 000000000000"
        );
        for text in [
            "arn:aws:s3:::bucket",
            "arn:aws:ecs:us-east-1:000000000000:cluster",
            "arn:x",
            "arn:no:ecs:a:b:c/d",
        ] {
            assert!(refused(text).ends_with("is not an ECS resource name"), "{text}");
        }
    }

    #[test]
    fn an_arn_of_another_type_is_refused_by_its_type() {
        let task = "arn:aws:ecs:us-east-1:000000000000:task/edge/0";
        assert_eq!(owner().rest("cluster", task), Err(BadArn::WrongType("task".into())));
    }
}
