//! GraphQL over HTTP, strictly: the draft of the GraphQL foundation, and nothing it leaves open to abuse.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::parser::types::{DocumentOperations, ExecutableDocument, OperationType};
use async_graphql::{Executor, Name, Request, Response as GraphqlResponse, ServerError, Variables};
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::response::Response;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, StatusCode, Uri};
use serde::Deserialize;
use tracing::Instrument as _;

use super::accept::Media;
use super::reply::{Refusal, document};
use super::trace::RequestMeta;
use super::{App, body, nesting};
use crate::graphql::{Principal, Traceparent, response_json};

const FORMS: [Media; 2] = [Media::Json, Media::GraphqlResponse];

/// `POST /graphql`.
pub(crate) async fn post<E: Executor>(
    State(app): State<Arc<App<E>>>,
    Extension(meta): Extension<RequestMeta>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Some(media) = Media::negotiate(&headers, &FORMS) else { return not_acceptable() };
    match receive(&app, &headers, body).await {
        Ok((principal, parameters)) => app.answer(parameters, principal, &meta, media, true).await,
        Err(refusal) => refusal.respond(media),
    }
}

async fn receive<E: Executor>(
    app: &App<E>,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Principal, Parameters), Refusal> {
    let caller = app.gate.admit(headers).await?;
    check_content_type(headers)?;
    let limit = app.http.body_bytes_max;
    let bytes = body::read(body, headers.get(CONTENT_LENGTH), limit, app.body_timeout()).await?;
    Ok((caller.principal, Parameters::from_json(&bytes)?))
}

/// `GET /graphql?query=…`.
pub(crate) async fn get<E: Executor>(app: &App<E>, meta: &RequestMeta, headers: &HeaderMap, uri: &Uri) -> Response {
    let Some(media) = Media::negotiate(headers, &FORMS) else { return not_acceptable() };
    let received = async {
        let caller = app.gate.admit(headers).await?;
        if !app.http.get_queries {
            let message = "queries are not answered over GET here: use POST";
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", message));
        }
        check_not_forged(headers)?;
        Ok((caller.principal, Parameters::from_query(uri.query().unwrap_or_default())?))
    };
    match received.await {
        Ok((principal, parameters)) => app.answer(parameters, principal, meta, media, false).await,
        Err(refusal) => refusal.respond(media),
    }
}

/// A page of another origin can make a browser send a GET. It cannot add a header to it without asking first, and we
/// do not answer when asked: a key proves that no page is behind it. Without keys we are on loopback, where browsers
/// tell of themselves who is asking.
fn check_not_forged(headers: &HeaderMap) -> Result<(), Refusal> {
    const PREFLIGHTED: [&str; 3] = ["graphql-require-preflight", "apollo-require-preflight", "x-apollo-operation-name"];
    if headers.contains_key(AUTHORIZATION) || PREFLIGHTED.iter().any(|name| headers.contains_key(*name)) {
        return Ok(());
    }
    match headers.get("sec-fetch-site").map(|site| site.as_bytes()) {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) => Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "FORBIDDEN",
            "a page of another origin may not query over GET; send the header `GraphQL-Require-Preflight: 1`",
        )),
    }
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let refuse = |message| Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message));
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = given.split(';').map(str::trim);
    if !parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        return refuse("POST the request as `Content-Type: application/json`");
    }
    let foreign = |parameter: &str| {
        parameter.split_once('=').is_some_and(|(name, value)| {
            name.trim().eq_ignore_ascii_case("charset") && !value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        })
    };
    if parts.any(foreign) {
        return refuse("the request must be in UTF-8");
    }
    match headers.get(CONTENT_ENCODING).map(|value| value.as_bytes()) {
        None | Some(b"identity") => Ok(()),
        Some(_) => refuse("send the request without Content-Encoding"),
    }
}

fn not_acceptable() -> Response {
    let message = "answers come as application/json or application/graphql-response+json: send one of them as Accept";
    Refusal::new(StatusCode::NOT_ACCEPTABLE, "NOT_ACCEPTABLE", message).respond(Media::Json)
}

/// What a client sends, whichever way.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Parameters {
    pub(crate) query: String,
    #[serde(default)]
    pub(crate) operation_name: Option<String>,
    #[serde(default)]
    pub(crate) variables: Option<Map>,
    /// Read for its type alone; nothing here uses it.
    #[serde(default)]
    #[expect(dead_code, reason = "only its type matters: extensions must be an object")]
    extensions: Option<Map>,
}

type Map = std::collections::BTreeMap<Name, async_graphql::Value>;

impl Parameters {
    pub(crate) fn from_json(bytes: &[u8]) -> Result<Self, Refusal> {
        // A derived struct would take an array for its fields in order.
        if bytes.trim_ascii_start().first() == Some(&b'{')
            && let Ok(parameters) = serde_json::from_slice(bytes)
        {
            return Ok(parameters);
        }
        Err(Self::explain(bytes))
    }

    /// Why this is no request. Slower than reading one, so only after that failed.
    fn explain(bytes: &[u8]) -> Refusal {
        let value: serde_json::Value = match serde_json::from_slice(bytes) {
            Ok(value) => value,
            Err(_) if bytes.trim_ascii().is_empty() => {
                return Refusal::bad_request("the body is empty: send {\"query\": \"…\"}");
            }
            Err(e) => return Refusal::bad_request(format!("the body is not JSON: {e}")),
        };
        let serde_json::Value::Object(members) = value else {
            return match value {
                serde_json::Value::Array(_) => Refusal::new(
                    StatusCode::BAD_REQUEST,
                    "BATCHING_NOT_SUPPORTED",
                    "send one request at a time: several root fields in one query do what a batch would",
                ),
                _ => Refusal::bad_request("the body must be a JSON object: {\"query\": \"…\"}"),
            };
        };
        let wrong = |name: &str, right: fn(&serde_json::Value) -> bool| {
            members.get(name).is_some_and(|value| !value.is_null() && !right(value))
        };
        Refusal::bad_request(match () {
            () if !members.get("query").is_some_and(serde_json::Value::is_string) => "`query` must be a string",
            () if wrong("operationName", serde_json::Value::is_string) => "`operationName` must be a string",
            () if wrong("variables", serde_json::Value::is_object) => "`variables` must be an object",
            () if wrong("extensions", serde_json::Value::is_object) => "`extensions` must be an object",
            () => "the body is not a GraphQL request: a member stands in it twice",
        })
    }

    fn from_query(query: &str) -> Result<Self, Refusal> {
        let mut members = serde_json::Map::new();
        for (name, value) in form_urlencoded(query) {
            let value = match name.as_str() {
                "query" | "operationName" => value.into(),
                "variables" | "extensions" if value.is_empty() => serde_json::Value::Null,
                "variables" | "extensions" => serde_json::from_str(&value)
                    .map_err(|e| Refusal::bad_request(format!("`{name}` is not JSON: {e}")))?,
                _ => continue,
            };
            if members.insert(name.clone(), value).is_some() {
                return Err(Refusal::bad_request(format!("`{name}` stands in the address twice")));
            }
        }
        if !members.contains_key("query") {
            return Err(Refusal::bad_request("there is no `query` in the address"));
        }
        let json = serde_json::Value::Object(members).to_string();
        Self::from_json(json.as_bytes())
    }
}

fn form_urlencoded(query: &str) -> Vec<(String, String)> {
    // A URL's own query parser decodes; the address before it plays no part.
    match reqwest::Url::parse(&format!("http://localhost/?{query}")) {
        Ok(url) => url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect(),
        Err(_) => Vec::new(),
    }
}

/// A parsed request, ready to run.
pub(crate) struct Prepared {
    pub(crate) request: Request,
    /// None where the document has no operation of the given name; executing it says so.
    pub(crate) kind: Option<OperationType>,
}

impl Parameters {
    /// Parses the query, once, and finds out what kind of operation it is.
    pub(crate) fn prepare(
        self,
        query_bytes_max: usize,
        principal: Principal,
        meta: &RequestMeta,
    ) -> Result<Prepared, ServerError> {
        if self.query.len() > query_bytes_max {
            let message = format!("the query is longer than {query_bytes_max} bytes: use variables, or ask for less");
            return Err(coded(ServerError::new(message, None), "QUERY_TOO_COMPLEX"));
        }
        // The parser recurses for every bracket: a few kilobytes of them would end the process.
        if nesting::exceeds(&self.query, nesting::LEVELS_MAX) {
            let message = format!("the query is nested deeper than {} levels", nesting::LEVELS_MAX);
            return Err(coded(ServerError::new(message, None), "QUERY_TOO_COMPLEX"));
        }
        let mut request = Request::new(self.query)
            .variables(self.variables.map(variables).unwrap_or_default())
            .data(principal)
            .data(Traceparent(meta.traceparent.clone()));
        request.operation_name = self.operation_name.filter(|name| !name.is_empty());
        let name = request.operation_name.clone();
        let kind = match request.parsed_query() {
            Ok(document) => kind_of(document, name.as_deref()),
            Err(error) => return Err(coded(error, "GRAPHQL_PARSE_FAILED")),
        };
        Ok(Prepared { request, kind })
    }
}

fn variables(map: Map) -> Variables {
    Variables::from_value(async_graphql::Value::Object(map.into_iter().collect()))
}

fn kind_of(document: &ExecutableDocument, name: Option<&str>) -> Option<OperationType> {
    match (&document.operations, name) {
        (DocumentOperations::Single(operation), None) => Some(operation.node.ty),
        (DocumentOperations::Single(_), Some(_)) => None,
        (DocumentOperations::Multiple(operations), Some(name)) => operations.get(name).map(|o| o.node.ty),
        (DocumentOperations::Multiple(operations), None) => {
            let mut all = operations.values();
            all.next().filter(|_| all.next().is_none()).map(|o| o.node.ty)
        }
    }
}

impl<E: Executor> App<E> {
    /// Runs a request and gives its answer in the form the client wants. `writes`: whether it may be a mutation.
    async fn answer(
        &self,
        parameters: Parameters,
        principal: Principal,
        meta: &RequestMeta,
        media: Media,
        writes: bool,
    ) -> Response {
        let prepared = match parameters.prepare(self.limits.query_bytes_max, principal, meta) {
            Ok(prepared) => prepared,
            Err(error) => return Outcome::of(GraphqlResponse::from_errors(vec![error])).respond(media),
        };
        match prepared.kind {
            Some(OperationType::Mutation) if !writes => {
                let message = "a mutation is never run over GET: use POST";
                Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", message).respond(media)
            }
            Some(OperationType::Subscription) => {
                let message = "subscriptions run over WebSocket (subprotocol graphql-transport-ws) at this address";
                Refusal::bad_request(message).respond(media)
            }
            _ => match self.run(prepared).await {
                Ok(response) => Outcome::of(response).respond(media),
                Err(refusal) => refusal.respond(media),
            },
        }
    }

    /// Runs a query within its time, or a mutation to its end: in a task of its own, which a client that leaves does
    /// not end, and which shutdown waits for.
    pub(crate) async fn run(&self, prepared: Prepared) -> Result<GraphqlResponse, Refusal> {
        let kind = match prepared.kind {
            Some(OperationType::Mutation) => "mutation",
            Some(_) => "query",
            None => "none",
        };
        let result = if prepared.kind == Some(OperationType::Mutation) {
            let schema = self.schema.clone();
            let task = async move { schema.execute(prepared.request).await }.in_current_span();
            self.tasks.spawn(task).await.map_err(|_| Refusal::internal())
        } else {
            let limit = Duration::from_millis(self.http.query_timeout_ms);
            tokio::time::timeout(limit, self.schema.execute(prepared.request)).await.map_err(|_| {
                let message = format!("the query took longer than {} ms: ask for less at once", limit.as_millis());
                Refusal::new(StatusCode::GATEWAY_TIMEOUT, "TIMEOUT", message)
            })
        };
        let outcome = match &result {
            Ok(response) if response.is_ok() => "ok",
            Ok(_) => "errors",
            Err(_) => "failed",
        };
        metrics::counter!("graphql_requests_total", "type" => kind, "outcome" => outcome).increment(1);
        result
    }
}

/// A response with a code on each of its errors and nothing in it that is not for clients.
pub(crate) struct Outcome {
    pub(crate) errors: Vec<ServerError>,
    /// None when the request was not executed at all.
    pub(crate) data: Option<async_graphql::Value>,
    extensions: std::collections::BTreeMap<String, async_graphql::Value>,
}

impl Outcome {
    pub(crate) fn of(response: GraphqlResponse) -> Self {
        // An error of execution has a path; without data and without a path it came before execution.
        let executed = response.errors.is_empty()
            || response.data != async_graphql::Value::Null
            || response.errors.iter().any(|error| !error.path.is_empty());
        Self {
            errors: response.errors.into_iter().map(|error| presentable(error, executed)).collect(),
            data: executed.then_some(response.data),
            extensions: response.extensions,
        }
    }

    pub(crate) fn to_json(&self) -> Result<String, serde_json::Error> {
        response_json(&self.errors, self.data.as_ref(), &self.extensions)
    }

    fn respond(&self, media: Media) -> Response {
        let status = match (self.data.is_some(), media) {
            (false, Media::GraphqlResponse) => StatusCode::BAD_REQUEST,
            _ => StatusCode::OK,
        };
        match self.to_json() {
            Ok(json) => document(status, media, Bytes::from(json)),
            Err(error) => {
                tracing::error!(%error, "could not write a GraphQL response");
                Refusal::internal().respond(media)
            }
        }
    }
}

fn coded(mut error: ServerError, code: &str) -> ServerError {
    error.extensions.get_or_insert_default().set("code", code);
    error
}

/// Gives an error the code it lacks. What the schema did not mean for clients becomes one sentence.
fn presentable(error: ServerError, executed: bool) -> ServerError {
    if error.extensions.as_ref().is_some_and(|extensions| extensions.get("code").is_some()) {
        return error;
    }
    if !executed {
        return coded(error, "GRAPHQL_VALIDATION_FAILED");
    }
    // The library's own words for an argument that does not fit its type.
    if ["Failed to parse", "Invalid value", "Expected input"].iter().any(|start| error.message.starts_with(start)) {
        return coded(error, "BAD_USER_INPUT");
    }
    tracing::error!(message = error.message, path = ?error.path, "an error without a code reached the boundary");
    let Refusal { message, code, .. } = Refusal::internal();
    coded(ServerError { message, source: None, ..error }, code)
}
