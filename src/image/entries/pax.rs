//! PAX records: `length key=value\n`, where the value may hold any byte.

use std::io;

use super::{corrupt, sparse::Form};

const XATTR: &[u8] = b"SCHILY.xattr.";

/// The records of an extended header, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Records(Vec<(Vec<u8>, Vec<u8>)>);

impl Records {
    pub(super) fn parse(mut bytes: &[u8]) -> io::Result<Self> {
        let malformed = || corrupt("malformed PAX record");
        let mut records = Vec::new();
        // Some writers fill the block with zeros and count them.
        while bytes.first().is_some_and(|&b| b != 0) {
            let blank = bytes.iter().take(20).position(|&b| b == b' ').ok_or_else(malformed)?;
            let length = std::str::from_utf8(&bytes[..blank]).ok().and_then(|n| n.parse::<usize>().ok());
            let length = length.filter(|&n| n > blank + 2 && n <= bytes.len()).ok_or_else(malformed)?;
            let (record, rest) = bytes.split_at(length);
            let body = record[blank + 1..].strip_suffix(b"\n").ok_or_else(malformed)?;
            let equals = body.iter().position(|&b| b == b'=').filter(|&at| at > 0).ok_or_else(malformed)?;
            records.push((body[..equals].to_vec(), body[equals + 1..].to_vec()));
            bytes = rest;
        }
        Ok(Self(records))
    }

    /// These records with `others` on top.
    pub(super) fn overlaid(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// The last value of `key`; an empty one takes the earlier ones back.
    pub(super) fn get(&self, key: &str) -> Option<&[u8]> {
        let found = self.0.iter().rev().find(|(k, _)| k == key.as_bytes());
        found.map(|(_, value)| value.as_slice()).filter(|value| !value.is_empty())
    }

    pub(super) fn number(&self, key: &str) -> io::Result<Option<u64>> {
        let parse = |value: &[u8]| std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
        self.get(key)
            .map(|value| parse(value).ok_or_else(|| corrupt("PAX record is not a number")))
            .transpose()
    }

    /// The entry's path: sparse formats keep the true one apart.
    pub(super) fn path(&self) -> Option<&[u8]> {
        self.get("GNU.sparse.name").or_else(|| self.get("path"))
    }

    /// Seconds and nanoseconds.
    pub(super) fn mtime(&self) -> Option<(i64, i64)> {
        let text = std::str::from_utf8(self.get("mtime")?).ok()?;
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = format!("{fraction:0<9}");
        let nanoseconds: i64 = digits.get(..9)?.parse().ok()?;
        let whole: i64 = seconds.parse().ok()?;
        // `-1.5` is one and a half second before 1970, and nanoseconds count forwards.
        let is_before = seconds.starts_with('-') && nanoseconds > 0;
        Some(if is_before { (whole - 1, 1_000_000_000 - nanoseconds) } else { (whole, nanoseconds) })
    }

    /// Extended attributes, each name once.
    pub(super) fn xattrs(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut attributes: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for (key, value) in &self.0 {
            if let Some(name) = key.strip_prefix(XATTR).filter(|name| !name.is_empty() && !name.contains(&0))
            {
                attributes.retain(|(known, _)| known != name);
                attributes.push((name.to_vec(), value.clone()));
            }
        }
        attributes
    }

    /// Every value of `key`, in order.
    pub(super) fn all<'a>(&'a self, keys: &'a [&str]) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.0.iter().filter_map(|(key, value)| {
            let key = keys.iter().find(|k| k.as_bytes() == key)?;
            Some((*key, value.as_slice()))
        })
    }

    /// How the map of a sparse file is written, if it is one.
    pub(super) fn sparse_form(&self) -> Option<Form> {
        match (self.get("GNU.sparse.major"), self.get("GNU.sparse.map"), self.get("GNU.sparse.size")) {
            (Some(b"1"), _, _) => Some(Form::Lines),
            (_, Some(_), _) => Some(Form::Record),
            (_, None, Some(_)) => Some(Form::Pairs),
            (_, None, None) => None,
        }
    }
}
