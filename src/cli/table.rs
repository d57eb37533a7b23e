//! Tables for people: a line of names, a line a row, columns as wide as what is in them.
//!
//! Colour is for words that mean something (a status, a verdict), only where the session has it, and never the
//! only carrier of a meaning.

use std::fmt::Write as _;

/// What a word means, and so its colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tone {
    /// No colour.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// On its way, or less than it should be.
    Middling,
    /// Not as it should be.
    Bad,
    /// Of little weight.
    Faint,
    /// The line of names.
    Strong,
}

impl Tone {
    /// The tone of a status of ECS.
    pub(super) fn of_status(status: &str) -> Self {
        match status {
            "RUNNING" | "HEALTHY" | "ACTIVE" | "COMPLETED" | "PRIMARY" => Self::Good,
            "STOPPED" | "INACTIVE" | "UNKNOWN" => Self::Faint,
            "UNHEALTHY" | "FAILED" => Self::Bad,
            "PROVISIONING" | "PENDING" | "ACTIVATING" | "DEACTIVATING" | "STOPPING" | "DEPROVISIONING"
            | "DRAINING" | "IN_PROGRESS" => Self::Middling,
            _ => Self::Plain,
        }
    }

    /// `text` in this tone, or as it is when `colour` is off.
    pub(super) fn paint(self, text: &str, colour: bool) -> String {
        let code = match self {
            Self::Plain => return text.to_owned(),
            Self::Good => "32",
            Self::Middling => "33",
            Self::Bad => "31",
            Self::Faint => "2",
            Self::Strong => "1",
        };
        if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A word and its tone.
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, tone: Tone::Plain }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl Cell {
    /// A status of ECS in its tone.
    pub(super) fn status(text: String) -> Self {
        let tone = Tone::of_status(&text);
        Self { text, tone }
    }

    /// A word in a tone.
    pub(super) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }
}

/// A table.
pub(super) struct Table {
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these columns.
    pub(super) fn new(names: &[&str]) -> Self {
        Self { rows: vec![names.iter().map(|name| Cell::toned(*name, Tone::Strong)).collect()] }
    }

    /// A table without a line of names, for names and values.
    pub(super) fn of_pairs() -> Self {
        Self { rows: Vec::new() }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Adds a name and a value, unless there is no value.
    pub(super) fn pair(&mut self, name: &str, value: impl Into<Cell>) {
        let value = value.into();
        if value.text != "-" && !value.text.is_empty() {
            self.rows.push(vec![Cell::toned(name, Tone::Strong), value]);
        }
    }

    /// The table as text.
    pub(super) fn render(&self, colour: bool) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.chars().count()).max()
            })
            .map(Option::unwrap_or_default)
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            for (at, cell) in row.iter().enumerate() {
                let painted = cell.tone.paint(&cell.text, colour);
                let last = at + 1 == row.len();
                let gap = if last { 0 } else { widths[at] + 2 - cell.text.chars().count() };
                let _ = write!(text, "{painted}{:gap$}", "");
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them_and_lines_have_no_tail() {
        let mut table = Table::new(&["TASK", "STATUS"]);
        table.row(["1".into(), Cell::status("RUNNING".to_owned())]);
        table.row(["a-long-one".into(), "-".into()]);
        assert_eq!(table.render(false), "TASK        STATUS\n1           RUNNING\na-long-one  -\n");
    }

    #[test]
    fn colour_changes_no_width() {
        let mut table = Table::new(&["A", "B"]);
        table.row([Cell::status("RUNNING".to_owned()), "x".into()]);
        let plain = table.render(false);
        let mut stripped = table.render(true);
        for code in ["\x1b[1m", "\x1b[32m", "\x1b[0m"] {
            stripped = stripped.replace(code, "");
        }
        assert_eq!(stripped, plain);
    }
}
