//! From a package and the settings of one source to an engine that runs: every expression compiled, every name known.

use std::collections::BTreeMap;

use super::expression::Program;
use super::template::{Declared, Place, Text};
use super::{Budget, Engine, EngineError, Get, Hydrate, Many, acting, exchange, listing, webhook};
use crate::manifest::{Auth, Expression};
use crate::package::Package;
use crate::program::parse;

impl Engine {
    /// An adapter with the settings of one source.
    ///
    /// # Errors
    /// [`EngineError`] names the part of the manifest, or the setting, that cannot be used.
    pub fn compile(package: &Package, settings: &BTreeMap<String, serde_json::Value>) -> Result<Self, EngineError> {
        let manifest = &package.manifest;
        let only = |part| EngineError::MapsOnly(manifest.name.clone(), part);
        let settings = package.settings_of_source(settings).map_err(EngineError::Settings)?;
        let config = parse(settings.as_bytes()).unwrap_or_default();
        let declared = Declared {
            config: manifest.config.keys().map(String::as_str).collect(),
            secrets: manifest.secrets.keys().map(String::as_str).collect(),
        };
        let http = manifest.http.as_ref().ok_or_else(|| only("http"))?;
        let list = manifest.list.as_ref().ok_or_else(|| only("list"))?;
        let get = manifest.get.as_ref().ok_or_else(|| only("get"))?;
        let id = manifest.map.id.as_ref().ok_or_else(|| only("map.id"))?;
        let base = Text::parse(&http.base, Place::Base, &declared)
            .map_err(|reason| EngineError::Manifest("http.base".into(), reason))?;
        if !http.base.0.starts_with("${url}") {
            let reason = "it begins with ${url}: hosts belong to the source".to_owned();
            return Err(EngineError::Manifest("http.base".into(), reason));
        }
        let headers = http.headers.iter().map(|(name, template)| {
            let text = Text::parse(template, Place::Request, &declared);
            Ok((name.clone(), text.map_err(|reason| EngineError::Manifest("http.headers".into(), reason))?))
        });

        let first = listing::Source {
            name: "list",
            request: &list.request,
            next: list.next.as_ref(),
            records: &list.records,
            id,
            page: &list.page,
            cursor: &list.cursor,
        };
        let mut lists = vec![listing::Listing::compile(&first, package, &declared)?];
        for secondary in &manifest.secondary {
            let source = listing::Source {
                name: &format!("secondary {}", secondary.name),
                request: &secondary.request,
                next: secondary.next.as_ref(),
                records: &secondary.records,
                id: &secondary.order,
                page: &secondary.page,
                cursor: &secondary.cursor,
            };
            lists.push(listing::Listing::compile(&source, package, &declared)?);
        }

        let request = |place: &str, request| exchange::Request::compile(place, request, package, &declared);
        let hydrate = manifest.hydrate.iter().enumerate().map(|(i, of)| {
            let place = |part: &str| format!("hydrate[{i}].{part}");
            Ok(Hydrate {
                field: of.field.clone(),
                request: request(&place("request"), &of.request)?,
                value: compile(&place("value"), &of.value)?,
                when: optional(&place("when"), of.when.as_ref())?,
            })
        });
        let reread = manifest.reread.as_ref();
        let many = match reread.map(|of| (&of.request, &of.records)) {
            Some((Some(many), Some(records))) => {
                let records = compile("reread.records", records)?;
                Some(Many { request: request("reread.request", many)?, records })
            }
            Some((None, None)) | None => None,
            Some(_) => {
                let reason = "`request` and `records` belong together".to_owned();
                return Err(EngineError::Manifest("reread".into(), reason));
            }
        };
        let actions = manifest
            .actions
            .iter()
            .map(|(verb, action)| Ok((verb.clone(), acting::Action::compile(verb, action, package, &declared)?)));
        let budget = http.budget.as_ref().map(|of| {
            Ok::<_, EngineError>(Budget {
                left: compile("http.budget.left", &of.left)?,
                limit: optional("http.budget.limit", of.limit.as_ref())?,
                reserve: of.reserve,
                wait_s: optional("http.budget.wait_s", of.wait_s.as_ref())?,
            })
        });
        let expired = match &manifest.auth {
            Some(
                Auth::Oauth2Client { expired, .. }
                | Auth::Oauth2Refresh { expired, .. }
                | Auth::Session { expired, .. },
            ) => optional("auth.expired", expired.as_ref())?,
            _ => None,
        };
        let login = match &manifest.auth {
            Some(Auth::Session { login, token, .. }) => {
                let document = login.graphql.as_ref().map(|file| exchange::document(package, file)).transpose()?;
                Some((document.unwrap_or_default(), compile("auth.token", token)?))
            }
            _ => None,
        };
        Ok(Self {
            base,
            headers: headers.collect::<Result<_, EngineError>>()?,
            id: compile("map.id", id)?,
            state: optional("map.state", manifest.map.state.as_ref())?,
            lists,
            get: Get {
                request: request("get.request", &get.request)?,
                record: compile("get.record", &get.record)?,
                missing: compile("get.missing", &get.missing)?,
            },
            hydrate: hydrate.collect::<Result<_, EngineError>>()?,
            reread: many,
            fingerprint: optional("reread.fingerprint", reread.and_then(|of| of.fingerprint.as_ref()))?,
            webhook: manifest.webhook.as_ref().map(|of| webhook::Webhook::compile(of, &declared)).transpose()?,
            rules: acting::rules(&manifest.error)?,
            actions: actions.collect::<Result<_, EngineError>>()?,
            budget: budget.transpose()?,
            expired,
            login,
            manifest: manifest.clone(),
            config,
            evaluator: None,
        })
    }
}

fn compile(place: &str, expression: &Expression) -> Result<Program, EngineError> {
    Program::compile(place, expression).map_err(EngineError::Expression)
}

fn optional(place: &str, expression: Option<&Expression>) -> Result<Option<Program>, EngineError> {
    expression.map(|expression| compile(place, expression)).transpose()
}
