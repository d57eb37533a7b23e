//! The `tag` option of log drivers: text with `{{.Name}}` and the like in it, as Docker reads it.

/// A tag, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogTag(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Word(Word),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Id,
    FullId,
    Name,
    ImageId,
    ImageFullId,
    ImageName,
    DaemonName,
}

/// The words, as they stand in a tag.
const WORDS: [(&str, Word); 7] = [
    (".ID", Word::Id),
    (".FullID", Word::FullId),
    (".Name", Word::Name),
    (".ImageID", Word::ImageId),
    (".ImageFullID", Word::ImageFullId),
    (".ImageName", Word::ImageName),
    (".DaemonName", Word::DaemonName),
];

/// What the words of a tag stand for.
#[derive(Clone, Copy, Debug)]
pub struct LogWords<'a> {
    /// The container as the runtime calls it.
    pub id: &'a str,
    /// The container as the definition calls it.
    pub name: &'a str,
    /// The digest of its image, without the algorithm.
    pub image_id: &'a str,
    /// Its image as the definition calls it.
    pub image: &'a str,
}

/// A tag that says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLogTag {
    /// A word that there is not.
    #[error(
        "'{{{{{0}}}}}' is not one of {{{{.ID}}}}, {{{{.FullID}}}}, {{{{.Name}}}}, {{{{.ImageID}}}}, {{{{.ImageFullID}}}}, {{{{.ImageName}}}}, {{{{.DaemonName}}}}"
    )]
    Word(String),
    /// Braces that are not closed.
    #[error("'{{{{' has no '}}}}' behind it")]
    Open,
}

impl LogTag {
    /// What Docker takes where nobody says: the begin of the container's id.
    #[must_use]
    pub fn usual() -> Self {
        Self(vec![Part::Word(Word::Id)])
    }

    /// Reads a tag.
    pub fn parse(text: &str) -> Result<Self, BadLogTag> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("{{") {
            let (inside, behind) = behind.split_once("}}").ok_or(BadLogTag::Open)?;
            let found = WORDS.into_iter().find(|(name, _)| *name == inside.trim());
            let (_, word) = found.ok_or_else(|| BadLogTag::Word(inside.trim().to_owned()))?;
            parts.extend([Part::Text(before.to_owned()), Part::Word(word)]);
            rest = behind;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self(parts))
    }

    /// The tag of one container.
    #[must_use]
    pub fn render(&self, words: LogWords<'_>) -> String {
        let short = |text: &str| text.chars().take(12).collect::<String>();
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Word(Word::Id) => short(words.id),
            Part::Word(Word::FullId) => words.id.to_owned(),
            Part::Word(Word::Name) => words.name.to_owned(),
            Part::Word(Word::ImageId) => short(words.image_id),
            Part::Word(Word::ImageFullId) => words.image_id.to_owned(),
            Part::Word(Word::ImageName) => words.image.to_owned(),
            Part::Word(Word::DaemonName) => "hythe".to_owned(),
        };
        self.0.iter().map(part).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_for_what_they_say() {
        let words = LogWords {
            id: "0123456789abcdef-web",
            name: "web",
            image_id: "ffeeddccbbaa99",
            image: "nginx:1",
        };
        let render = |text: &str| LogTag::parse(text).map(|tag| tag.render(words));
        assert_eq!(render("plain").unwrap(), "plain");
        assert_eq!(render("{{.Name}}/{{ .ID }}!").unwrap(), "web/0123456789ab!");
        assert_eq!(
            render("{{.ImageName}} {{.ImageID}} {{.DaemonName}}").unwrap(),
            "nginx:1 ffeeddccbbaa hythe"
        );
        assert_eq!(LogTag::usual().render(words), "0123456789ab");
        assert_eq!(render("{{.Nane}}"), Err(BadLogTag::Word(".Nane".to_owned())));
        assert_eq!(render("{{.Name").unwrap_err().to_string(), "'{{' has no '}}' behind it");
        assert!(render("{{.X}}").unwrap_err().to_string().starts_with("'{{.X}}' is not one of {{.ID}}, "));
    }
}
