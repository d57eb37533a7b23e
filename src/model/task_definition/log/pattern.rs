//! Patterns in the options of log drivers: which lines begin an event, which labels and variables are meant.

use regex_lite::{Regex, RegexBuilder};

/// Bytes that a pattern may take once it is compiled: a shim keeps one for each container that has one.
const LARGEST: usize = 128 << 10;

/// A regular expression that matches anywhere in a text, as those of Docker's options do.
#[derive(Clone, Debug)]
pub struct LogPattern(Regex);

/// A text that is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLogPattern {
    /// It is no regular expression.
    #[error("is no regular expression: {0}")]
    Regex(String),
    /// There is no such letter behind `%`.
    #[error(
        "is no format of times: '%{0}' is none of %a %A %b %B %d %f %H %I %j %L %m %M %p %S %w %y %Y %z %Z"
    )]
    Letter(char),
    /// Nothing is behind the last `%`.
    #[error("is no format of times: nothing is behind its last '%'")]
    End,
}

impl LogPattern {
    /// Reads a regular expression.
    pub fn parse(text: &str) -> Result<Self, BadLogPattern> {
        let built = RegexBuilder::new(text).size_limit(LARGEST).build();
        built.map(Self).map_err(|why| BadLogPattern::Regex(why.to_string()))
    }

    /// Reads a format of times, such as `%Y-%m-%d %H:%M:%S`. What stands between the letters is a regular expression
    /// itself, as Docker has it: `\[%H:%M\]` is a time in brackets.
    pub fn of_time(format: &str) -> Result<Self, BadLogPattern> {
        let mut text = String::new();
        let mut letters = format.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '%' => {
                    let letter = letters.next().ok_or(BadLogPattern::End)?;
                    text.push_str(part_of_time(letter).ok_or(BadLogPattern::Letter(letter))?);
                }
                other => text.push(other),
            }
        }
        Self::parse(&text)
    }

    /// What says which lines begin an event, by the options `awslogs-multiline-pattern` and `awslogs-datetime-format`;
    /// none when every line is one.
    pub fn of_events(multiline: Option<&str>, datetime: Option<&str>) -> Result<Option<Self>, BadLogPattern> {
        match (multiline, datetime) {
            (Some(pattern), _) => Self::parse(pattern).map(Some),
            (None, Some(format)) => Self::of_time(format).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// Whether it is found in a text.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// The regular expression.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// What a part of a time looks like, by its letter in a format.
fn part_of_time(letter: char) -> Option<&'static str> {
    Some(match letter {
        'a' => "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)",
        'A' => "(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)",
        'b' => "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)",
        'B' => "(?:January|February|March|April|May|June|July|August|September|October|November|December)",
        'd' => "(?:0[1-9]|[12][0-9]|3[01])",
        'f' => "[0-9]{6}",
        'H' => "(?:[01][0-9]|2[0-3])",
        'j' => "(?:[012][0-9]{2}|3[0-5][0-9]|36[0-6])",
        'L' => r"\.[0-9]{3}",
        'I' | 'm' => "(?:0[1-9]|1[0-2])",
        'M' | 'S' => "[0-5][0-9]",
        'p' => "[AP]M",
        'w' => "[0-6]",
        'y' => "[0-9]{2}",
        'Y' => "[0-9]{4}",
        'z' => "[+-][0-9]{4}",
        'Z' => "[A-Z]{1,4}T",
        '%' => "%",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begins(format: &str, line: &str) -> bool {
        LogPattern::of_time(format).unwrap().is_in(line)
    }

    #[test]
    fn a_format_of_times_is_found_wherever_it_stands() {
        assert!(begins("%Y-%m-%d %H:%M:%S%L", "2026-11-21 07:00:00.123 started"));
        assert!(begins(r"\[%b %d, %Y %I:%M:%S %p\]", "INFO [Nov 21, 2026 07:00:59 AM] hello"));
        assert!(begins("%a %A %B %j %w %y %f %z %Z", "Sat Saturday November 325 6 26 123456 +0100 CET"));
        assert!(begins("100%%", "100% done"));
        for (format, line) in [
            ("%Y-%m-%d", "2026-13-01"),
            ("%H:%M", "24:00"),
            ("%j", "367"),
            ("%d", "32"),
            ("%L", "x123"),
            ("%Y-%m-%d", "    at app.js:12"),
        ] {
            assert!(!begins(format, line), "{format}: {line}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_its_reason() {
        let why = |text| LogPattern::of_time(text).unwrap_err().to_string();
        assert!(why("%Q").starts_with("is no format of times: '%Q' is none of %a "), "{}", why("%Q"));
        assert_eq!(why("%Y%"), "is no format of times: nothing is behind its last '%'");
        let why = LogPattern::parse("(").unwrap_err().to_string();
        assert!(why.starts_with("is no regular expression: "), "{why}");
        assert!(
            LogPattern::parse(&"(a{1000}){1000}".repeat(2)).is_err(),
            "it would fill the memory of a shim"
        );
    }

    #[test]
    fn one_of_two_options_says_what_begins_an_event() {
        let of = |multiline, datetime| LogPattern::of_events(multiline, datetime).unwrap();
        assert!(of(None, None).is_none());
        assert_eq!(of(Some("^INFO"), None).unwrap().as_str(), "^INFO");
        assert_eq!(of(None, Some("%Y")).unwrap().as_str(), "[0-9]{4}");
    }
}
