//! The manifest language: what `adapter.toml` may say, and nothing else.
//!
//! It owns the words of the language as types, one file for each part: how to call the platform (`http`), how to read
//! it (`reading`), how to understand its webhooks (`webhook`), how to ask it to act (`acting`). It refuses words it does
//! not know, with the nearest right one, and it holds no host names and no secrets: both belong to one source. That is
//! so that an adapter is data which can be reviewed, registered at runtime and run without trust.

mod acting;
mod http;
mod reading;
mod text;
mod webhook;

use std::collections::BTreeMap;

use order_contract::Rounding;
use schemars::JsonSchema;
use serde::Deserialize;

pub use acting::{Action, Class, ErrorRule, Idempotency, InputKind, Kind, Outcome, Step};
pub use http::{Auth, Body, Budget, ClientAuth, Http, Login, OauthMethod, Rate, Request, Retry};
pub use reading::{Clock, Cursor, Get, Hydrate, List, Page, Reread, Secondary, Sort};
pub use text::{Expression, Span, Template};
pub use webhook::{Algorithm, Delivery, Encoding, Verify, Webhook};

/// The manifest language this program understands.
pub const LANGUAGE: &str = "order-center.adapter/v1";

/// Settings that every source has, whatever it speaks; an adapter has none of these names.
pub const RESERVED_SETTINGS: [&str; 3] = ["rounding", "timeout_ms", "body_bytes_max"];

/// `adapter.toml`: an adapter as data.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The language: `order-center.adapter/v1`.
    pub schema: String,
    /// The adapter's name, as in its folder.
    pub name: String,
    /// Its semantic version.
    pub version: String,
    /// The platform, for people.
    pub title: String,
    /// What the operator of one source sets, by name.
    #[serde(default)]
    pub config: BTreeMap<String, Setting>,
    /// The secrets of one source, by name. Values come from the source and reach [`Auth`] only.
    #[serde(default)]
    pub secrets: BTreeMap<String, Secret>,
    /// How the platform is called. Without it the adapter only maps.
    #[serde(default)]
    pub http: Option<Http>,
    /// How the center proves who it is.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// How changed orders are listed.
    #[serde(default)]
    pub list: Option<List>,
    /// Further lists that tell which orders changed, where the first one does not see every change.
    #[serde(default)]
    pub secondary: Vec<Secondary>,
    /// How one order is read.
    #[serde(default)]
    pub get: Option<Get>,
    /// What is read besides an order's own record and put into it.
    #[serde(default)]
    pub hydrate: Vec<Hydrate>,
    /// Open orders are read again on a schedule: the platform changes them without saying so.
    #[serde(default)]
    pub reread: Option<Reread>,
    /// How the platform's webhooks are verified and understood.
    #[serde(default)]
    pub webhook: Option<Webhook>,
    /// How records become orders.
    pub map: Map,
    /// What error answers mean; the first rule that matches decides. An action's own rules come before these.
    #[serde(default)]
    pub error: Vec<ErrorRule>,
    /// What can be asked of the platform, by verb: `cancel`, `refund`, or a verb of its own.
    #[serde(default)]
    pub actions: BTreeMap<String, Action>,
    /// Standard verbs the platform cannot do, each with the reason, so that front ends can say it.
    #[serde(default)]
    pub unsupported: BTreeMap<String, String>,
}

/// A setting of one source: `$config.NAME` in expressions, `${config.NAME}` in templates.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// What it is for.
    pub description: String,
    /// Its value when the operator sets none.
    #[serde(default)]
    #[schemars(with = "Option<serde_json::Value>")]
    pub default: Option<toml::Value>,
    /// Whether a source cannot be plugged in without it.
    #[serde(default)]
    pub required: bool,
}

/// A secret of one source: `${secrets.NAME}` in `[auth]`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// What it is and where the platform shows it.
    pub description: String,
    /// Whether a source can be plugged in without it.
    #[serde(default)]
    pub optional: bool,
}

/// How records become orders.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Map {
    /// The jq file that maps one record.
    pub order: String,
    /// A jq expression that gives the records of a document: one order, a list, or the platform's list envelope.
    pub records: String,
    /// Whether a document may be XML, as the platform answers unless it is asked otherwise. An element is an object of its
    /// children, with attributes under `@name` and a text beside them under `#text`.
    #[serde(default)]
    pub xml: bool,
    /// A jq expression that gives the order's id from its record. Needed to read a platform, not to map files.
    #[serde(default)]
    pub id: Option<Expression>,
    /// A jq expression that gives the native state from a record, for `allowed_from` of actions.
    #[serde(default)]
    pub state: Option<Expression>,
    /// What to do with amounts of more than four fraction digits.
    #[serde(default)]
    pub rounding: Rounding,
}

impl Manifest {
    /// Reads `adapter.toml`.
    ///
    /// # Errors
    /// What is wrong, with the line, and for an unknown word the nearest right one.
    pub fn parse(text: &str) -> Result<Self, String> {
        let manifest: Self = toml::from_str(text).map_err(|error| explain(&error, text))?;
        if manifest.schema != LANGUAGE {
            return Err(format!("schema is {:?}; this program understands {LANGUAGE:?}", manifest.schema));
        }
        match RESERVED_SETTINGS.iter().find(|name| manifest.config.contains_key(**name)) {
            Some(name) => Err(format!("config.{name}: every source has a setting of this name; take another")),
            None => Ok(manifest),
        }
    }
}

/// One line: where, what, and which word was probably meant.
fn explain(error: &toml::de::Error, text: &str) -> String {
    let message = error.message().lines().next().unwrap_or("cannot be read").to_owned();
    let at = error.span().map_or(String::new(), |span| {
        format!("line {}: ", text[..span.start.min(text.len())].matches('\n').count() + 1)
    });
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let nearest = match quoted.as_slice() {
        [wrong, known @ ..] if message.starts_with("unknown ") => nearest(wrong, known.iter().copied()),
        _ => None,
    };
    match nearest {
        Some(right) => format!("{at}there is no `{}`; did you mean `{right}`?", quoted[0]),
        None => format!("{at}{message}"),
    }
}

/// The known word that looks most like a wrong one, if any does.
pub(crate) fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|word| (strsim::jaro_winkler(wrong, word), word))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness > 0.7)
        .map(|(_, word)| word)
}

/// The JSON Schema (2020-12) of `adapter.toml`, as published in `schema/adapter.schema.json`: editors that know it
/// complete and check manifests.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    let settings = schemars::generate::SchemaSettings::draft2020_12();
    let mut schema = settings.into_generator().into_root_schema_for::<Manifest>();
    schema.insert("title".into(), "Order Center adapter".into());
    schema.to_value()
}

#[cfg(test)]
mod tests {
    use super::Manifest;

    const HEAD: &str = "schema = \"order-center.adapter/v1\"\nname = \"a\"\nversion = \"1.0.0\"\ntitle = \"A\"\n";
    const MAP: &str = "[map]\norder = \"map/order.jq\"\nrecords = \".\"\n";

    #[test]
    fn an_unknown_word_is_refused_with_its_line_and_the_nearest_right_one() {
        for (part, line, said) in [
            ("[htp]\nbase = \"\"\n", 5, "there is no `htp`; did you mean `http`?"),
            ("[http]\nbse = \"\"\n", 6, "there is no `bse`; did you mean `base`?"),
            ("[http]\nrate = { request = 1 }\n", 6, "there is no `request`; did you mean `requests`?"),
            ("[auth]\ntype = \"basik\"\n", 6, "there is no `basik`; did you mean `basic`?"),
            ("[auth]\ntype = \"basic\"\nuser = \"\"\n", 5, "there is no `user`; did you mean `username`?"),
            ("[list.page]\nstrategy = \"seak\"\n", 6, "there is no `seak`; did you mean `seek`?"),
            ("[http]\nbase = 3\n", 6, "invalid type: integer `3`, expected a string"),
        ] {
            let error = Manifest::parse(&format!("{HEAD}{part}{MAP}")).expect_err(part);
            assert!(error.starts_with(&format!("line {line}: ")) && error.ends_with(said), "{part}: {error}");
        }
        let error = Manifest::parse(&format!("{HEAD}{MAP}").replace("/v1", "/v2")).expect_err("another language");
        assert!(error.contains("order-center.adapter/v2"), "{error}");
    }
}
