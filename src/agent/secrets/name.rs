//! What a `valueFrom` names: files to look for, and a member of the value.
//!
//! The ARN of a secret has the form `arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME:MEMBER:STAGE:VERSION`,
//! whose last three parts may be left out or empty; Secrets Manager puts a hyphen and six letters or digits behind
//! the name. That of a parameter is `arn:PARTITION:ssm:REGION:ACCOUNT:parameter/NAME`.

/// A name that leads to files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SecretName {
    /// Paths below the directory of secrets; the first that is there counts.
    pub(super) files: Vec<String>,
    /// The member of the value that is meant.
    pub(super) member: Option<String>,
}

impl SecretName {
    /// Reads a `valueFrom`; none when it is no name, or one that leads elsewhere.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let name = if text.starts_with("arn:") { of_arn(text)? } else { Self::plain(text) };
        let is_path = |file: &String| file.split('/').all(|part| !matches!(part, "" | "." | ".."));
        name.files.iter().all(is_path).then_some(name)
    }

    fn plain(text: &str) -> Self {
        Self { files: vec![text.strip_prefix('/').unwrap_or(text).to_owned()], member: None }
    }
}

fn of_arn(text: &str) -> Option<SecretName> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let [_, _, service, _, _, rest] = parts.as_slice() else { return None };
    match *service {
        "ssm" => Some(SecretName::plain(rest.strip_prefix("parameter/")?)),
        "secretsmanager" => of_secret(rest.strip_prefix("secret:")?),
        _ => None,
    }
}

fn of_secret(rest: &str) -> Option<SecretName> {
    let parts: Vec<&str> = rest.split(':').collect();
    if parts.len() > 4 {
        return None;
    }
    let part = |at: usize| parts.get(at).copied().filter(|text| !text.is_empty());
    let name = part(0)?;
    let version = part(3).or_else(|| part(2).filter(|stage| *stage != "AWSCURRENT"));
    let file = |name: &str| version.map_or_else(|| name.to_owned(), |version| format!("{name}@{version}"));
    let files = [Some(name), without_suffix(name)].into_iter().flatten().map(file).collect();
    Some(SecretName { files, member: part(1).map(str::to_owned) })
}

/// The name without the hyphen and the six letters or digits that Secrets Manager puts behind it.
fn without_suffix(name: &str) -> Option<&str> {
    let (name, suffix) = name.rsplit_once('-')?;
    let is_suffix = suffix.len() == 6 && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (is_suffix && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_else() {
        let outside = ["", "/", "..", "a/../b", "a//b", "arn:aws:s3:::bucket/key", "arn:aws:ssm", "./a"];
        for text in outside {
            assert_eq!(SecretName::parse(text), None, "{text}");
        }
        let up = "arn:aws:secretsmanager:r:a:secret:../../etc/shadow";
        assert_eq!(SecretName::parse(up), None);
    }

    #[test]
    fn a_version_wins_over_its_stage() {
        let text = "arn:aws:secretsmanager:r:a:secret:db:user:AWSPREVIOUS:0123";
        let name = SecretName::parse(text).unwrap();
        assert_eq!((name.files, name.member.as_deref()), (vec!["db@0123".to_owned()], Some("user")));
    }
}
