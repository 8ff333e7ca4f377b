//! Templates, parsed: text with `${…}` placeholders. Each place allows its own roots, so that a secret can stand in
//! `[auth]` and nowhere else.

use std::borrow::Cow;

use crate::manifest::Template;

/// Where a template stands decides what it may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// `http.base`.
    Base,
    /// Paths, queries and headers of requests.
    Request,
    /// Credentials.
    Auth,
    /// What a webhook's signature covers.
    Signed,
}

impl Place {
    fn roots(self) -> &'static [&'static str] {
        match self {
            Self::Base => &["url", "config"],
            Self::Request => &["config", "id", "key", "input", "saved", "cursor", "page"],
            Self::Auth => &["url", "config", "secrets"],
            Self::Signed => &["config", "header", "body"],
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Name(String),
}

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text(Vec<Part>);

impl Text {
    /// Parses a template; `config` and `secrets` are the names the manifest declares.
    pub(crate) fn parse(template: &Template, place: Place, declared: &Declared<'_>) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = template.0.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) =
                after.split_once('}').ok_or_else(|| format!("{:?}: `${{` is not closed", template.0))?;
            declared.check(name, place).map_err(|reason| format!("{:?}: {reason}", template.0))?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Name(name.to_owned()));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }

    /// The text with its placeholders filled; none when one of them has no value.
    pub(crate) fn render(&self, lookup: impl Fn(&str) -> Option<String>) -> Option<String> {
        self.0
            .iter()
            .map(|part| match part {
                Part::Text(text) => Some(text.clone()),
                Part::Name(name) => lookup(name),
            })
            .collect()
    }

    /// The same over bytes, for what is signed.
    pub(crate) fn render_bytes<'a>(&'a self, lookup: impl Fn(&str) -> Option<Cow<'a, [u8]>>) -> Option<Vec<u8>> {
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) => Some(Cow::Borrowed(text.as_bytes())),
            Part::Name(name) => lookup(name),
        });
        parts.collect::<Option<Vec<_>>>().map(|parts| parts.concat())
    }

    /// Whether it names this placeholder.
    pub(crate) fn names(&self, wanted: &str) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Name(name) if name == wanted))
    }
}

/// The names a manifest declares.
pub(crate) struct Declared<'a> {
    pub(crate) config: Vec<&'a str>,
    pub(crate) secrets: Vec<&'a str>,
}

impl Declared<'_> {
    fn check(&self, name: &str, place: Place) -> Result<(), String> {
        let (root, field) = name.split_once('.').map_or((name, None), |(root, field)| (root, Some(field)));
        if !place.roots().contains(&root) {
            let known = place.roots().iter().map(|root| format!("${{{root}…}}")).collect::<Vec<_>>().join(", ");
            return Err(format!("there is no ${{{name}}} here; known are {known}"));
        }
        let declared = match (root, field) {
            ("config", Some(field)) => self.config.contains(&field),
            ("secrets", Some(field)) => self.secrets.contains(&field),
            ("cursor", Some(field)) => ["since", "until"].contains(&field),
            ("page", Some(field)) => ["size", "number", "offset", "token"].contains(&field),
            ("input" | "saved" | "header", Some(field)) => !field.is_empty(),
            ("url" | "id" | "key" | "body", None) => true,
            _ => false,
        };
        if declared { Ok(()) } else { Err(format!("${{{name}}} is not declared in the manifest")) }
    }
}

/// A value as one segment of a path: whatever it holds, it stays one segment. None for what a URL would swallow.
pub(crate) fn segment(value: &str) -> Option<String> {
    (!matches!(value, "" | "." | "..")).then(|| percent_encoded(value))
}

/// A text with all but RFC 3986's unreserved characters percent-encoded.
#[must_use]
pub fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::{Declared, Place, Text, segment};
    use crate::manifest::Template;

    fn parse(text: &str, place: Place) -> Result<Text, String> {
        let declared = Declared { config: vec!["channel"], secrets: vec!["token"] };
        Text::parse(&Template(text.to_owned()), place, &declared)
    }

    #[test]
    fn each_place_allows_its_own_names() {
        for (text, place) in [
            ("${url}/api", Place::Base),
            ("/orders/${id}/x", Place::Request),
            ("${cursor.since}|${page.number}|${config.channel}|${input.amount}", Place::Request),
            ("Token ${secrets.token}", Place::Auth),
            ("${header.x-time}.${body}", Place::Signed),
            ("$ {plain} } {", Place::Request),
        ] {
            assert!(parse(text, place).is_ok(), "{text}");
        }
        for (text, place, why) in [
            ("${secrets.token}", Place::Request, "there is no ${secrets.token} here"),
            ("${secrets.token}", Place::Base, "there is no"),
            ("${secrets.other}", Place::Auth, "not declared"),
            ("${config.chanel}", Place::Request, "not declared"),
            ("${page.nr}", Place::Request, "not declared"),
            ("${id", Place::Request, "not closed"),
            ("${}", Place::Request, "there is no"),
            ("${env.HOME}", Place::Auth, "there is no"),
        ] {
            let error = parse(text, place).expect_err(text);
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_placeholder_without_a_value_leaves_the_whole_text_out() {
        let text = parse("a ${id} b", Place::Request).expect("parses");
        assert_eq!(text.render(|_| Some("7".into())).as_deref(), Some("a 7 b"));
        assert_eq!(text.render(|_| None), None);
    }

    #[test]
    fn a_value_stays_one_segment_of_its_path() {
        for (value, encoded) in [
            ("727", Some("727")),
            ("gid://shopify/Order/1", Some("gid%3A%2F%2Fshopify%2FOrder%2F1")),
            ("a/../../admin", Some("a%2F..%2F..%2Fadmin")),
            ("ü?#", Some("%C3%BC%3F%23")),
            ("..", None),
            (".", None),
            ("", None),
        ] {
            assert_eq!(segment(value).as_deref(), encoded, "{value}");
        }
    }
}
