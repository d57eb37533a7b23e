//! From text to [`Expression`].
//!
//! ```text
//!   any     = all { ("||" | "or") all }
//!   all     = one { ("&&" | "and") one }
//!   one     = ("!" | "not") one | "(" any ")" | subject operator [argument]
//! ```
//!
//! A word ends at a space, a comma, a bracket or a parenthesis; one in quotes ends at the quote.

use std::cmp::Ordering;

use regex_lite::RegexBuilder;

use super::expression::{Expression, Subject, Test};
use crate::model::reading::nearest_word;

const SUBJECTS: [&str; 7] = [
    "agentConnected",
    "agentVersion",
    "attribute:NAME",
    "ec2InstanceId",
    "registeredAt",
    "runningTasksCount",
    "task:group",
];

/// Each operator in signs and in a word.
const OPERATORS: [(&str, &str); 12] = [
    ("==", "equals"),
    ("!=", "not_equals"),
    (">", "greater_than"),
    (">=", "greater_than_equal"),
    ("<", "less_than"),
    ("<=", "less_than_equal"),
    ("exists", "exists"),
    ("!exists", "not_exists"),
    ("in", "in"),
    ("!in", "not_in"),
    ("=~", "matches"),
    ("!~", "not_matches"),
];

/// How deep parentheses and negations may be.
const DEEPEST: usize = 50;

/// Most bytes of a regular expression that was read.
const LARGEST_PATTERN: usize = 1 << 16;

/// A text that is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadExpression {
    /// Something else should be there.
    #[error("expected {expected} {}", place(.found.as_deref()))]
    Expected {
        /// What.
        expected: &'static str,
        /// What is there; none at the end.
        found: Option<String>,
    },
    /// Nothing that can be asked of an instance.
    #[error("'{found}' is none of {}{}", SUBJECTS.join(", "), hint(.nearest.as_deref()))]
    Subject {
        /// What is there.
        found: String,
        /// The subject that is like it.
        nearest: Option<String>,
    },
    /// A quote that does not end.
    #[error("a quote is not closed")]
    Quote,
    /// Too many parentheses.
    #[error("parentheses and negations are deeper than {DEEPEST}")]
    TooDeep,
    /// A regular expression that cannot be used.
    #[error("'{0}' is not a regular expression that can be used: {1}")]
    Pattern(String, String),
}

fn place(found: Option<&str>) -> String {
    found.map_or_else(|| "at the end".to_owned(), |found| format!("before '{found}'"))
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"))
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A word, and whether it was in quotes.
    Word(String, bool),
    /// One of `( ) [ ] , !`.
    Sign(char),
}

impl Expression {
    /// Reads an expression.
    pub fn parse(text: &str) -> Result<Self, BadExpression> {
        let mut rest = Rest { tokens: tokens(text)?, at: 0 };
        let whole = rest.any(0)?;
        match rest.next() {
            None => Ok(whole),
            Some(token) => Err(BadExpression::Expected { expected: "the end", found: Some(told(&token)) }),
        }
    }
}

fn told(token: &Token) -> String {
    match token {
        Token::Word(word, _) => word.clone(),
        Token::Sign(sign) => sign.to_string(),
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, BadExpression> {
    let mut tokens = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let is_pattern = matches!(tokens.last(), Some(Token::Word(word, false)) if is_match(word));
        match letter {
            letter if letter.is_whitespace() => {}
            '\'' | '"' => {
                let (mut word, mut is_closed) = (String::new(), false);
                for inner in letters.by_ref() {
                    is_closed = inner == letter;
                    if is_closed {
                        break;
                    }
                    word.push(inner);
                }
                if !is_closed {
                    return Err(BadExpression::Quote);
                }
                tokens.push(Token::Word(word, true));
            }
            // A regular expression has brackets and parentheses of its own.
            first if is_pattern => {
                let mut depth = usize::from(first == '(');
                let mut word = String::from(first);
                while let Some(inner) =
                    letters.next_if(|inner| !inner.is_whitespace() && (*inner != ')' || depth > 0))
                {
                    depth = depth + usize::from(inner == '(') - usize::from(inner == ')');
                    word.push(inner);
                }
                tokens.push(Token::Word(word, false));
            }
            '(' | ')' | '[' | ']' | ',' => tokens.push(Token::Sign(letter)),
            '!' if !is_operator(&letters.clone().take(6).collect::<String>()) => {
                tokens.push(Token::Sign('!'));
            }
            first => {
                let mut word = String::from(first);
                let ends = |inner: &char| inner.is_whitespace() || ['(', ')', '[', ']', ','].contains(inner);
                while let Some(inner) = letters.next_if(|inner| !ends(inner)) {
                    word.push(inner);
                }
                tokens.push(Token::Word(word, false));
            }
        }
    }
    Ok(tokens)
}

/// Whether what follows a `!` makes an operator with it, and no negation.
fn is_operator(rest: &str) -> bool {
    ["=", "~", "exists", "in ", "in["].iter().any(|start| rest.starts_with(start))
}

fn is_match(operator: &str) -> bool {
    ["=~", "!~", "matches", "not_matches"].contains(&operator)
}

struct Rest {
    tokens: Vec<Token>,
    at: usize,
}

impl Rest {
    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    /// Takes the next token if it is one of these words or signs.
    fn take(&mut self, wanted: &[&str]) -> bool {
        let is_it = match self.tokens.get(self.at) {
            Some(Token::Word(word, false)) => wanted.contains(&word.as_str()),
            Some(Token::Sign(sign)) => wanted.contains(&sign.to_string().as_str()),
            Some(Token::Word(_, true)) | None => false,
        };
        self.at += usize::from(is_it);
        is_it
    }

    fn expected<T>(&self, expected: &'static str) -> Result<T, BadExpression> {
        Err(BadExpression::Expected { expected, found: self.tokens.get(self.at).map(told) })
    }

    fn any(&mut self, depth: usize) -> Result<Expression, BadExpression> {
        let mut whole = self.all(depth)?;
        while self.take(&["||", "or"]) {
            whole = Expression::Or(Box::new(whole), Box::new(self.all(depth)?));
        }
        Ok(whole)
    }

    fn all(&mut self, depth: usize) -> Result<Expression, BadExpression> {
        let mut whole = self.one(depth)?;
        while self.take(&["&&", "and"]) {
            whole = Expression::And(Box::new(whole), Box::new(self.one(depth)?));
        }
        Ok(whole)
    }

    fn one(&mut self, depth: usize) -> Result<Expression, BadExpression> {
        if depth > DEEPEST {
            return Err(BadExpression::TooDeep);
        }
        if self.take(&["!", "not"]) {
            return Ok(Expression::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.take(&["("]) {
            let inner = self.any(depth + 1)?;
            return if self.take(&[")"]) { Ok(inner) } else { self.expected("a closing parenthesis") };
        }
        let subject = self.subject()?;
        let (test, is_opposite) = self.test()?;
        let is = Expression::Is(subject, test);
        Ok(if is_opposite { Expression::Not(Box::new(is)) } else { is })
    }

    fn subject(&mut self) -> Result<Subject, BadExpression> {
        let Some(Token::Word(word, false)) = self.tokens.get(self.at).cloned() else {
            return self.expected("what is compared, such as attribute:ecs.os-type,");
        };
        self.at += 1;
        if let Some(name) = word.strip_prefix("attribute:").filter(|name| !name.is_empty()) {
            return Ok(Subject::Attribute(name.to_owned()));
        }
        Ok(match word.as_str() {
            "agentConnected" => Subject::AgentConnected,
            "agentVersion" => Subject::AgentVersion,
            "ec2InstanceId" => Subject::InstanceId,
            "registeredAt" => Subject::RegisteredAt,
            "runningTasksCount" => Subject::RunningTasksCount,
            "task:group" => Subject::TaskGroup,
            _ => {
                let nearest = nearest_word(&word, SUBJECTS);
                return Err(BadExpression::Subject { found: word, nearest });
            }
        })
    }

    /// The operator and its argument, and whether it is the opposite of the test.
    fn test(&mut self) -> Result<(Test, bool), BadExpression> {
        const EXPECTED: &str = "an operator (== != > >= < <= exists !exists in !in =~ !~)";
        let Some(Token::Word(word, false)) = self.tokens.get(self.at).cloned() else {
            return self.expected(EXPECTED);
        };
        let Some((sign, _)) = OPERATORS.iter().find(|(sign, name)| word == *sign || word == *name) else {
            return self.expected(EXPECTED);
        };
        self.at += 1;
        let is_opposite = sign.starts_with('!');
        let test = match *sign {
            "exists" | "!exists" => Test::Exists,
            "in" | "!in" => Test::In(self.list()?),
            "=~" | "!~" => Test::Matches(pattern(&self.argument()?)?),
            ">" => Test::Order(Ordering::Greater, false, self.argument()?),
            ">=" => Test::Order(Ordering::Greater, true, self.argument()?),
            "<" => Test::Order(Ordering::Less, false, self.argument()?),
            "<=" => Test::Order(Ordering::Less, true, self.argument()?),
            _ => Test::Equals(self.argument()?),
        };
        Ok((test, is_opposite))
    }

    fn argument(&mut self) -> Result<String, BadExpression> {
        match self.tokens.get(self.at).cloned() {
            Some(Token::Word(word, _)) => {
                self.at += 1;
                Ok(word)
            }
            Some(Token::Sign(_)) | None => self.expected("a value"),
        }
    }

    fn list(&mut self) -> Result<Vec<String>, BadExpression> {
        if !self.take(&["["]) {
            return self.expected("a list like [a, b]");
        }
        let mut list = vec![self.argument()?];
        while self.take(&[","]) {
            list.push(self.argument()?);
        }
        if self.take(&["]"]) { Ok(list) } else { self.expected("a closing bracket") }
    }
}

/// A regular expression for the whole of a value, as Java's `matches` has it.
fn pattern(text: &str) -> Result<regex_lite::Regex, BadExpression> {
    let built = RegexBuilder::new(&format!("^(?:{text})$")).size_limit(LARGEST_PATTERN).build();
    built.map_err(|why| BadExpression::Pattern(text.to_owned(), why.to_string()))
}
