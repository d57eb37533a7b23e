//! Who a container runs as: `name|uid[:group|gid]`, by the image's passwd and group files.
//!
//! Docker's rules. A name must exist; a number need not, and then belongs to group 0. Without a group the user's own one
//! counts, and the groups that list the user are additional. With a group given there are no additional ones.

use crate::image::lookup::LookupError;

/// A user, all numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Further groups, sorted.
    pub additional_gids: Vec<u32>,
    /// The home directory.
    pub home: String,
}

/// Why there is no such user.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The image has no such user.
    #[error("user {0:?} is not in the image's /etc/passwd")]
    NoUser(String),
    /// The image has no such group.
    #[error("group {0:?} is not in the image's /etc/group")]
    NoGroup(String),
    /// The files could not be read.
    #[error(transparent)]
    Lookup(#[from] LookupError),
}

struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// Resolves `text` with the given passwd and group files; empty text is root.
pub fn resolve(text: &str, passwd: &[u8], group: &[u8]) -> Result<User, UserError> {
    let (passwd, group) = (String::from_utf8_lossy(passwd), String::from_utf8_lossy(group));
    let accounts: Vec<Account<'_>> = passwd.lines().filter_map(account).collect();
    let groups: Vec<Group<'_>> = group.lines().filter_map(parse_group).collect();
    let (wanted, wanted_group) =
        text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    let wanted = if wanted.is_empty() { "0" } else { wanted };
    let number = id(wanted);
    let found = accounts.iter().find(|account| account.name == wanted);
    let found = found.or_else(|| accounts.iter().find(|account| Some(account.uid) == number));
    let (uid, own_gid, home) = match (found, number) {
        (Some(account), _) => (account.uid, account.gid, account.home),
        (None, Some(uid)) => (uid, 0, ""),
        (None, None) => return Err(UserError::NoUser(wanted.to_owned())),
    };
    let home = if home.is_empty() { "/" } else { home }.to_owned();
    if let Some(name) = wanted_group.filter(|name| !name.is_empty()) {
        let known = groups.iter().find(|group| group.name == name).map(|group| group.gid);
        let gid = known.or_else(|| id(name)).ok_or_else(|| UserError::NoGroup(name.to_owned()))?;
        return Ok(User { uid, gid, additional_gids: Vec::new(), home });
    }
    let name = found.map(|account| account.name);
    let lists =
        |group: &&Group<'_>| name.is_some_and(|name| group.members.split(',').any(|member| member == name));
    let mut additional_gids: Vec<u32> =
        groups.iter().filter(lists).map(|group| group.gid).filter(|gid| *gid != own_gid).collect();
    additional_gids.sort_unstable();
    additional_gids.dedup();
    Ok(User { uid, gid: own_gid, additional_gids, home })
}

/// A user or group number; the last one means "unchanged" to the kernel and is nobody's.
fn id(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|id| is_number && *id != u32::MAX)
}

fn account(line: &str) -> Option<Account<'_>> {
    let fields: Vec<&str> = line.trim().split(':').collect();
    let [name, _, uid, gid, rest @ ..] = &fields[..] else { return None };
    Some(Account { name, uid: id(uid)?, gid: id(gid)?, home: rest.get(1).copied().unwrap_or("") })
}

fn parse_group(line: &str) -> Option<Group<'_>> {
    let fields: Vec<&str> = line.trim().split(':').collect();
    let [name, _, gid, rest @ ..] = &fields[..] else { return None };
    Some(Group { name, gid: id(gid)?, members: rest.first().copied().unwrap_or("") })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] =
        b"root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/var/www:/bin/false\n1000:x:5:6::/odd:\nbroken\n";
    const GROUP: &[u8] = b"root:x:0:\nweb:x:33:\nadm:x:4:root,web\nlog:x:50:web\n";

    fn of(text: &str) -> (u32, u32, Vec<u32>, String) {
        let User { uid, gid, additional_gids, home } = resolve(text, PASSWD, GROUP).unwrap();
        (uid, gid, additional_gids, home)
    }

    #[test]
    fn names_and_numbers_find_the_same_account() {
        assert_eq!(of("web"), (33, 33, vec![4, 50], "/var/www".into()));
        assert_eq!(of("33"), of("web"));
        assert_eq!(of(""), (0, 0, vec![4], "/root".into()));
    }

    #[test]
    fn a_given_group_replaces_all_others() {
        assert_eq!(of("web:adm"), (33, 4, vec![], "/var/www".into()));
        assert_eq!(of("web:777"), (33, 777, vec![], "/var/www".into()));
        assert_eq!(of("4242:adm"), (4242, 4, vec![], "/".into()));
    }

    #[test]
    fn an_unknown_number_belongs_to_group_zero_and_an_unknown_name_to_nobody() {
        assert_eq!(of("4242"), (4242, 0, vec![], "/".into()));
        assert!(matches!(resolve("ghost", PASSWD, GROUP), Err(UserError::NoUser(_))));
        assert!(matches!(resolve("web:ghost", PASSWD, GROUP), Err(UserError::NoGroup(_))));
        assert!(matches!(resolve("4294967295", PASSWD, GROUP), Err(UserError::NoUser(_))));
    }

    #[test]
    fn a_name_of_digits_wins_over_the_number() {
        assert_eq!(of("1000"), (5, 6, vec![], "/odd".into()));
    }
}
