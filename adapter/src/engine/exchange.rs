//! One request as the manifest says it, and one answer as its expressions see it.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use jaq_json::Val;

use super::EngineError;
use super::expression::{Bindings, Program};
use super::template::{Declared, Place, Text, percent_encoded, segment};
use crate::manifest::{self, Body, Template};
use crate::package::Package;
use crate::program::{parse, to_json};

/// A request to send: what the manifest gives, without address and credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The HTTP method.
    pub method: String,
    /// Where it goes.
    pub target: Target,
    /// Query parameters, not encoded yet.
    pub query: Vec<(String, String)>,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// The body and its content type.
    pub body: Option<(&'static str, Vec<u8>)>,
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A path below the base, percent-encoded.
    Below(String),
    /// A URL the platform gave for its next page. It must be below the base, too.
    Link(String),
}

/// A complete answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    /// The HTTP status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
    /// What expressions see, parsed once.
    value: OnceLock<Val>,
}

impl Exchange {
    /// An answer.
    #[must_use]
    pub fn new(status: u16, headers: BTreeMap<String, String>, body: Vec<u8>) -> Self {
        Self { status, headers, body, value: OnceLock::new() }
    }

    /// The answer as expressions see it: `{status, headers, body}`. A body that is no usable JSON is null.
    pub(crate) fn value(&self) -> Val {
        self.value.get_or_init(|| self.read()).clone()
    }

    fn read(&self) -> Val {
        object([
            ("status", Val::from(isize::from(i16::try_from(self.status).unwrap_or_default()))),
            ("headers", object(self.headers.iter().map(|(name, value)| (name.as_str(), Val::from(value.clone()))))),
            ("body", parse(&self.body).unwrap_or_default()),
        ])
    }

    /// Seconds to wait, where the answer says so in seconds.
    #[must_use]
    pub fn retry_after_s(&self) -> Option<u64> {
        self.headers.get("retry-after")?.trim().parse().ok()
    }

    /// How the answer begins, for people: a status and at most 200 characters on one line.
    #[must_use]
    pub fn summary(&self) -> String {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(200)]);
        let kind = self.headers.get("content-type").map_or("no content type", String::as_str);
        format!("{} ({kind}): {}", self.status, text.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

/// An object value.
pub(crate) fn object<'a>(fields: impl IntoIterator<Item = (&'a str, Val)>) -> Val {
    Val::obj(fields.into_iter().map(|(name, value)| (Val::from(name.to_owned()), value)).collect())
}

/// A request of the manifest, compiled.
#[derive(Debug)]
pub(crate) struct Request {
    place: String,
    method: String,
    path: Text,
    query: Vec<(String, Text)>,
    parameters: Option<Program>,
    headers: Vec<(String, Text)>,
    body: Content,
}

#[derive(Debug)]
enum Content {
    None,
    Body(Program, Body),
    Graphql(String, Option<Program>),
}

impl Request {
    /// Compiles the request at `place`; a GraphQL document gets its imports.
    pub(crate) fn compile(
        place: &str,
        request: &manifest::Request,
        package: &Package,
        declared: &Declared<'_>,
    ) -> Result<Self, EngineError> {
        let wrong = |reason: String| EngineError::Manifest(place.to_owned(), reason);
        let text = |template: &Template| Text::parse(template, Place::Request, declared).map_err(wrong);
        let texts = |templates: &BTreeMap<String, Template>| {
            templates.iter().map(|(name, template)| Ok((name.clone(), text(template)?))).collect::<Result<Vec<_>, _>>()
        };
        let parameters = request.parameters.as_ref().map(|of| Program::compile(&format!("{place}.parameters"), of));
        let body = match (&request.graphql, &request.variables, &request.body) {
            (Some(file), variables, None) => {
                let variables = variables.as_ref().map(|v| Program::compile(&format!("{place}.variables"), v));
                Content::Graphql(document(package, file)?, variables.transpose().map_err(EngineError::Expression)?)
            }
            (None, None, Some(body)) => {
                let program = Program::compile(&format!("{place}.body"), body).map_err(EngineError::Expression)?;
                Content::Body(program, request.encoding)
            }
            (None, None, None) => Content::None,
            (Some(_), _, Some(_)) => return Err(wrong("it has a `body` and a GraphQL document: one of them".into())),
            (None, Some(_), _) => return Err(wrong("`variables` belong to a GraphQL document".into())),
        };
        if matches!(body, Content::None | Content::Body(..)) && request.path.is_none() {
            return Err(wrong("it has neither a `path` nor a GraphQL document".into()));
        }
        let fallback = if matches!(body, Content::None) { "GET" } else { "POST" };
        let method = request.method.clone().unwrap_or_else(|| fallback.to_owned());
        if !["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method.as_str()) {
            return Err(wrong(format!("the method is {method:?}: GET, POST, PUT, PATCH or DELETE")));
        }
        let path = request.path.clone().unwrap_or_else(|| Template(String::new()));
        if !path.0.is_empty() && !path.0.starts_with('/') {
            return Err(wrong(format!("the path {:?} begins with a slash, below `http.base`", path.0)));
        }
        Ok(Self {
            place: place.to_owned(),
            method,
            path: text(&path)?,
            query: texts(&request.query)?,
            parameters: parameters.transpose().map_err(EngineError::Expression)?,
            headers: texts(&request.headers)?,
            body,
        })
    }

    /// The request to send. `input` is what its body or variables are computed from.
    pub(crate) fn render(&self, input: &Val, bindings: &Bindings) -> Result<Call, EngineError> {
        let wrong = |reason: String| EngineError::Render(self.place.clone(), reason);
        let path = self
            .path
            .render(|name| bindings.text(name).and_then(|value| segment(&value)))
            .ok_or_else(|| wrong("a placeholder of its path has no value that can stand in a path".into()))?;
        let present = |texts: &[(String, Text)]| -> Vec<(String, String)> {
            let values =
                texts.iter().map(|(name, text)| Some((name.clone(), text.render(|name| bindings.text(name))?)));
            values.flatten().collect()
        };
        let json = |value: &Val| to_json(value).map_err(|error| wrong(error.to_string()));
        let compute = |program: &Program| program.value(input, bindings).map_err(|error| wrong(error.to_string()));
        let body = match &self.body {
            Content::None => None,
            Content::Body(program, Body::Json) => Some(("application/json", json(&compute(program)?)?)),
            Content::Body(program, Body::Form) => {
                let form = form(&compute(program)?).ok_or_else(|| wrong("a form is an object of texts".into()))?;
                Some(("application/x-www-form-urlencoded", form.into_bytes()))
            }
            Content::Body(program, Body::Xml) => {
                let xml = super::expression::text(&compute(program)?);
                Some(("text/xml", xml.ok_or_else(|| wrong("an XML body is a text".into()))?.into_bytes()))
            }
            Content::Graphql(document, variables) => {
                let variables = variables.as_ref().map(compute).transpose()?.unwrap_or_default();
                let body = object([("query", Val::from(document.clone())), ("variables", variables)]);
                Some(("application/json", json(&body)?))
            }
        };
        let (mut query, headers) = (present(&self.query), present(&self.headers));
        if let Some(parameters) = &self.parameters {
            let given = repeated(&compute(parameters)?);
            query
                .extend(given.ok_or_else(|| wrong("`parameters` gives an object of texts and lists of texts".into()))?);
        }
        Ok(Call { method: self.method.clone(), target: Target::Below(path), query, headers, body })
    }

    /// Whether it names a placeholder or a variable such as `page.number` anywhere.
    pub(crate) fn names(request: &manifest::Request, name: &str) -> bool {
        let templates = request.path.iter().chain(request.query.values()).chain(request.headers.values());
        let expressions = request.body.iter().chain(&request.variables).chain(&request.parameters);
        templates.map(|template| &template.0).any(|text| text.contains(&format!("${{{name}}}")))
            || expressions.map(|expression| &expression.0).any(|text| text.contains(&format!("${name}")))
    }
}

/// A GraphQL document with its `# import "FILE"` lines replaced by those files, each once.
pub(crate) fn document(package: &Package, file: &str) -> Result<String, EngineError> {
    let mut seen = Vec::new();
    let mut waiting = vec![file.to_owned()];
    let mut text = String::new();
    while let Some(file) = waiting.pop() {
        if seen.contains(&file) {
            continue;
        }
        let content = package.file(&file).ok_or_else(|| EngineError::Missing(file.clone()))?;
        for line in content.lines() {
            match line.strip_prefix("# import ") {
                Some(import) => waiting.push(import.trim().trim_matches('"').to_owned()),
                None => {
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
        seen.push(file);
    }
    Ok(text)
}

/// The fields of an object; those that are null are left out.
fn fields(value: &Val) -> Option<impl Iterator<Item = (&Val, &Val)>> {
    let Val::Obj(fields) = value else { return None };
    Some(fields.iter().filter(|(_, value)| !matches!(value, Val::Null)))
}

/// An object of texts as `application/x-www-form-urlencoded`.
fn form(value: &Val) -> Option<String> {
    let pairs = fields(value)?.map(|(name, value)| {
        let (name, value) = (super::expression::text(name)?, super::expression::text(value)?);
        Some(format!("{}={}", percent_encoded(&name), percent_encoded(&value)))
    });
    pairs.collect::<Option<Vec<_>>>().map(|pairs| pairs.join("&"))
}

/// An object of texts and lists of texts as pairs, one for each text.
fn repeated(value: &Val) -> Option<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    for (name, value) in fields(value)? {
        let values = if let Val::Arr(several) = value { several.as_slice() } else { std::slice::from_ref(value) };
        for value in values {
            pairs.push((super::expression::text(name)?, super::expression::text(value)?));
        }
    }
    Some(pairs)
}
