//! XML documents as JSON, for platforms whose answers are XML unless one asks otherwise.
//!
//! An element becomes what common converters make of it: an object of its children, with its attributes under `@name` and
//! a text beside them under `#text`; children of one name are a list; an element with nothing but a text is that text,
//! one with nothing is null.

use std::borrow::Cow;

use roxmltree::{Document, Node, ParsingOptions};
use serde_json::{Map, Value};

use crate::program::{DEPTH_MAX, MapError};

/// The most elements, texts and attributes of a document.
const NODES_MAX: u32 = 500_000;

/// The document as it is, or the JSON of one that is XML.
///
/// # Errors
/// [`MapError::Input`] when it begins as XML does and is none, or declares types of its own.
pub fn json_of_xml(document: &[u8]) -> Result<Cow<'_, [u8]>, MapError> {
    let begins = document.trim_ascii_start().strip_prefix(b"\xef\xbb\xbf").unwrap_or(document).trim_ascii_start();
    if !begins.starts_with(b"<") {
        return Ok(Cow::Borrowed(document));
    }
    let wrong = |reason: String| MapError::Input(format!("it begins as XML does, and is none: {reason}"));
    let text = std::str::from_utf8(begins).map_err(|error| wrong(error.to_string()))?;
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    let parsed = Document::parse_with_options(text, options).map_err(|error| wrong(error.to_string()))?;
    let root = parsed.root_element();
    let whole = Value::Object(Map::from_iter([(root.tag_name().name().to_owned(), value(root, 1)?)]));
    Ok(Cow::Owned(whole.to_string().into_bytes()))
}

fn value(element: Node<'_, '_>, depth: usize) -> Result<Value, MapError> {
    if depth >= DEPTH_MAX {
        return Err(MapError::Input(format!("nested deeper than {DEPTH_MAX}")));
    }
    let attributes = element.attributes().map(|of| (format!("@{}", of.name()), Value::from(of.value())));
    let mut fields: Map<String, Value> = attributes.collect();
    let mut said = String::new();
    for child in element.children() {
        if let Some(text) = child.text().filter(|_| child.is_text()) {
            said.push_str(text);
        }
        if !child.is_element() {
            continue;
        }
        let inner = value(child, depth + 1)?;
        match fields.get_mut(child.tag_name().name()) {
            Some(Value::Array(several)) => several.push(inner),
            Some(first) => *first = Value::Array(vec![first.take(), inner]),
            None => drop(fields.insert(child.tag_name().name().to_owned(), inner)),
        }
    }
    let said = Some(said.trim()).filter(|said| !said.is_empty()).map(Value::from);
    if fields.is_empty() {
        return Ok(said.unwrap_or_default());
    }
    fields.extend(said.map(|said| ("#text".to_owned(), said)));
    Ok(Value::Object(fields))
}

#[cfg(test)]
mod tests {
    use super::json_of_xml;
    use crate::program::MapError;

    fn json(document: &str) -> Result<String, MapError> {
        json_of_xml(document.as_bytes()).map(|json| String::from_utf8_lossy(&json).into_owned())
    }

    #[test]
    fn elements_become_what_converters_make_of_them() {
        for (xml, expected) in [
            ("<a/>", r#"{"a":null}"#),
            ("\u{feff}<?xml version='1.0'?><a>1 &lt; 2</a>", r#"{"a":"1 < 2"}"#),
            ("<a x='1'><![CDATA[ t ]]></a>", r##"{"a":{"@x":"1","#text":"t"}}"##),
            ("<a><b>1</b><c/><b>2</b><b>3</b></a>", r#"{"a":{"b":["1","2","3"],"c":null}}"#),
            ("<a xmlns:n='urn:n'><n:b n:y='2'>t</n:b></a>", r##"{"a":{"b":{"@y":"2","#text":"t"}}}"##),
            (r#" {"a": "<b/>"}"#, r#" {"a": "<b/>"}"#),
            ("<a><b>", "XML"),
            ("<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", "XML"),
            ("<html><br></html>", "XML"),
        ] {
            match json(xml) {
                Ok(json) => assert_eq!(json, expected, "{xml}"),
                Err(error) => assert!(error.to_string().contains(expected), "{xml}: {error}"),
            }
        }
        assert!(json(&"<a>".repeat(100_000)).is_err());
        let deep = format!("{}{}", "<a>".repeat(5_000), "</a>".repeat(5_000));
        assert!(matches!(json(&deep), Err(MapError::Input(reason)) if reason.contains("deeper")));
    }
}
