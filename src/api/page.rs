//! Pages of a list: `maxResults`, `nextToken` in and out.
//!
//! A token names the last thing that the caller has seen, so a list that changes between two pages shows nothing
//! twice and leaves out only what went away.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::refused::Refused;

/// What every list operation takes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Page {
    pub(super) max_results: Option<i64>,
    pub(super) next_token: Option<String>,
}

/// One page of a list and the token for the next.
pub(super) struct Listed {
    values: Vec<Value>,
    next_token: Option<String>,
}

impl Listed {
    /// The answer, with the list under `name`.
    pub(super) fn under(self, name: &str) -> Value {
        let mut members = Map::new();
        members.insert(name.to_owned(), Value::Array(self.values));
        if let Some(token) = self.next_token {
            members.insert("nextToken".into(), token.into());
        }
        Value::Object(members)
    }
}

impl Page {
    /// The page that is asked for, of `all`, which come in their order as (key, value) and are read back from a
    /// token by `parse`. `is_after` says whether a key comes after the one that was seen last.
    pub(super) fn of<K: ToString>(
        &self,
        all: impl Iterator<Item = (K, Value)>,
        usual: usize,
        parse: impl Fn(&str) -> Option<K>,
        is_after: impl Fn(&K, &K) -> bool,
    ) -> Result<Listed, Refused> {
        self.of_at_most(100, all, usual, parse, is_after)
    }

    /// The same for a list whose pages have at most `largest`.
    pub(super) fn of_at_most<K: ToString>(
        &self,
        largest: usize,
        all: impl Iterator<Item = (K, Value)>,
        usual: usize,
        parse: impl Fn(&str) -> Option<K>,
        is_after: impl Fn(&K, &K) -> bool,
    ) -> Result<Listed, Refused> {
        let most = match self.max_results {
            None => usual,
            Some(number) => {
                usize::try_from(number).ok().filter(|most| (1..=largest).contains(most)).ok_or_else(|| {
                    Refused::parameter(format!("maxResults is {number}, and must be between 1 and {largest}"))
                })?
            }
        };
        let seen = match self.next_token.as_deref().filter(|token| !token.is_empty()) {
            None => None,
            Some(token) => Some(decode(token).and_then(|key| parse(&key)).ok_or_else(|| {
                Refused::parameter("Invalid token. A nextToken is one that the previous page gave.")
            })?),
        };
        let mut rest = all.filter(|(key, _)| seen.as_ref().is_none_or(|seen| is_after(key, seen)));
        let (mut values, mut last) = (Vec::new(), None);
        for (key, value) in rest.by_ref().take(most) {
            values.push(value);
            last = Some(key);
        }
        let next_token = if rest.next().is_some() {
            last.map(|key| URL_SAFE_NO_PAD.encode(key.to_string()))
        } else {
            None
        };
        Ok(Listed { values, next_token })
    }
}

fn decode(token: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(max_results: Option<i64>, next_token: Option<String>, all: &[u32]) -> Result<Listed, Refused> {
        let all = all.iter().map(|number| (*number, Value::from(*number)));
        Page { max_results, next_token }.of(all, 10, |text| text.parse().ok(), |key, seen| key > seen)
    }

    #[test]
    fn pages_lead_through_the_whole_list_though_it_changes() {
        let first = page(Some(2), None, &[1, 2, 3, 4, 5]).unwrap();
        assert_eq!(first.values, [1, 2]);
        let second = page(Some(2), first.next_token, &[1, 3, 4, 5]).unwrap();
        assert_eq!(second.values, [3, 4]);
        let third = page(Some(2), second.next_token, &[1, 3, 4, 5]).unwrap();
        assert_eq!((third.values, third.next_token), (vec![5.into()], None));
    }

    #[test]
    fn a_page_that_is_just_full_is_the_last() {
        assert!(page(Some(2), None, &[1, 2]).unwrap().next_token.is_none());
    }

    #[test]
    fn a_made_up_token_or_size_is_refused() {
        for (size, token) in [(Some(0), None), (Some(101), None), (None, Some("!".to_owned()))] {
            assert!(page(size, token, &[1]).is_err());
        }
    }
}
