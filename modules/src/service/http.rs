//! The services over HTTP, for a company that runs them apart from its modules.
//!
//! It owns paths, status codes, limits and the sweep of reservations. It refuses strangers, services that it does not
//! run, commands for another service, and bodies that are too large. Every write runs in a task of its own: a client
//! that leaves stops none halfway.

use std::net::SocketAddr;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use bytes::Bytes;
use chrono::Utc;
use order_contract::Amount;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    CouponRule, Embedded, Entry, Fault, Goods, Product, PurchaseLimit, Question, Service, ServiceError, ServicePort,
};
use crate::http::{problem, raw_json, refuse_stranger};
use crate::store::Clock;

/// The largest body: an order has thousands of lines at most.
const BODY_MAX: usize = 1024 * 1024;
/// The largest body of a catalog.
const CATALOG_MAX: usize = 16 * 1024 * 1024;
/// The longest key or order id.
const NAME_MAX: usize = 300;
/// How long clients have to finish what they began when the server is asked to end.
const GRACE: Duration = Duration::from_secs(10);

/// How a server of services is set up.
#[derive(Clone)]
pub struct ServerConfig {
    /// The SQLite file; created when it is missing.
    pub database: PathBuf,
    /// What it runs.
    pub services: Vec<Service>,
    /// The bearer token that every request must carry. Without one, only loopback addresses may be listened on.
    pub token: Option<SecretString>,
    /// How often reservations that ran out are looked for.
    pub sweep: Duration,
    /// The time.
    pub clock: Clock,
}

impl ServerConfig {
    /// The defaults: no token, a sweep every five seconds.
    #[must_use]
    pub fn new(database: impl Into<PathBuf>, services: Vec<Service>) -> Self {
        let sweep = Duration::from_secs(5);
        Self { database: database.into(), services, token: None, sweep, clock: Arc::new(Utc::now) }
    }
}

impl std::fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerConfig")
            .field("database", &self.database)
            .field("services", &self.services)
            .finish_non_exhaustive()
    }
}

/// Why services cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The file cannot be opened or created.
    #[error("the database {} cannot be opened", .0.display())]
    Open(PathBuf, #[source] sqlx::Error),
    /// The tables cannot be brought up to date.
    #[error("the tables cannot be brought up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// It would answer strangers.
    #[error("{0} is not a loopback address: set a token before listening there")]
    Strangers(SocketAddr),
    /// The listener failed.
    #[error("the listener failed")]
    Listen(#[source] std::io::Error),
}

/// Some of the services, on a database of their own. Clones share it.
#[derive(Clone, Debug)]
pub struct Server(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: ServerConfig,
    services: Embedded,
}

impl Server {
    /// Opens the database, creating what is missing.
    ///
    /// # Errors
    /// [`ServeError`] when the file cannot be used.
    pub async fn open(config: ServerConfig) -> Result<Self, ServeError> {
        let (writer, readers) = open_database(&config.database).await?;
        let services = Embedded::new(writer, readers, config.clock.clone());
        Ok(Self(Arc::new(Inner { config, services })))
    }

    /// The services without HTTP.
    #[must_use]
    pub fn embedded(&self) -> &Embedded {
        &self.0.services
    }

    /// The paths, for who brings a server. Reservations run out only with [`Self::serve`].
    pub fn router(&self) -> Router {
        let mut router = Router::new()
            .route("/{service}/entries", post(book))
            .route("/{service}/entries/{key}", get(entry))
            .route("/{service}/entries/{key}/reverse", post(reverse))
            .route("/{service}/facts", post(facts))
            .route("/{service}/balances", get(balances))
            .layer(DefaultBodyLimit::max(BODY_MAX));
        for service in &self.0.config.services {
            let catalog = match service {
                Service::Product => Router::new().route("/product/products", put(products)),
                Service::Promotion => Router::new().route("/promotion/coupons", put(coupons)),
                Service::Warehouse => {
                    Router::new().route("/warehouse/receipts", post(receipts)).route("/warehouse/codes", post(codes))
                }
                Service::Risk => {
                    Router::new().route("/risk/limits", put(limits)).route("/risk/review-from", put(review_from))
                }
                Service::Membership | Service::Payment => continue,
            };
            router = router.merge(catalog.layer(DefaultBodyLimit::max(CATALOG_MAX)));
        }
        router
            .fallback(async || refusal(StatusCode::NOT_FOUND, "NO_SUCH_PATH", "There is no such path here."))
            .method_not_allowed_fallback(async || {
                refusal(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "There is no such method here.")
            })
            .layer(from_fn_with_state(self.clone(), admit))
            .with_state(self.clone())
    }

    /// Answers and lets reservations run out until `shutdown` is canceled; then finishes what is under way.
    ///
    /// # Errors
    /// [`ServeError::Strangers`] on an address that others can reach when there is no token; [`ServeError::Listen`].
    pub async fn serve(&self, listener: TcpListener, shutdown: CancellationToken) -> Result<(), ServeError> {
        let address = listener.local_addr().map_err(ServeError::Listen)?;
        if self.0.config.token.is_none() && !address.ip().is_loopback() {
            return Err(ServeError::Strangers(address));
        }
        let serving = axum::serve(listener, self.router()).with_graceful_shutdown(shutdown.clone().cancelled_owned());
        tokio::select! {
            served = serving => served.map_err(ServeError::Listen),
            () = self.sweep() => Ok(()),
            () = async { shutdown.cancelled().await; tokio::time::sleep(GRACE).await } => Ok(()),
        }
    }

    async fn sweep(&self) {
        loop {
            tokio::time::sleep(self.0.config.sweep).await;
            let now = (self.0.config.clock)();
            if let Err(error) = self.0.services.expire_reservations(now).await {
                tracing::error!(error = &error as &dyn std::error::Error, "reservations that ran out were not freed");
            }
        }
    }

    /// The service of a path, if it is run here.
    fn service(&self, path: Result<Path<Service>, PathRejection>) -> Result<Service, Refusal> {
        path.ok().map(|Path(service)| service).and_then(|service| self.runs(service)).ok_or_else(no_such_service)
    }

    fn runs(&self, service: Service) -> Option<Service> {
        self.0.config.services.contains(&service).then_some(service)
    }
}

async fn open_database(path: &FilePath) -> Result<(SqlitePool, SqlitePool), ServeError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(10));
    let failed = |e| ServeError::Open(path.into(), e);
    let pool = |size| SqlitePoolOptions::new().max_connections(size);
    let writer = pool(1).connect_with(options.clone()).await.map_err(failed)?;
    sqlx::migrate!("./migrations").run(&writer).await?;
    let readers = pool(4).connect_with(options.read_only(true)).await.map_err(failed)?;
    Ok((writer, readers))
}

async fn admit(State(server): State<Server>, request: Request, next: Next) -> Response {
    match server.0.config.token.as_ref().and_then(|token| refuse_stranger(token, request.headers())) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    }
}

async fn book(
    State(server): State<Server>,
    path: Result<Path<Service>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let service = server.service(path)?;
    let entry: Entry = read(body)?;
    if entry.command.service() != service {
        let detail = format!("The {} service has no such command.", service.as_str());
        return Err(refusal(StatusCode::UNPROCESSABLE_ENTITY, "WRONG_SERVICE", detail));
    }
    if [&entry.key, &entry.order].iter().any(|name| name.is_empty() || name.len() > NAME_MAX) {
        let detail = format!("A key and an order id have 1 to {NAME_MAX} bytes.");
        return Err(refusal(StatusCode::BAD_REQUEST, "INVALID_BODY", detail));
    }
    whole(async move { answer(server.0.services.post(&entry).await) }).await
}

async fn entry(
    State(server): State<Server>,
    path: Result<Path<(Service, String)>, PathRejection>,
) -> Result<Response, Refusal> {
    let (service, key) = server.key(path)?;
    whole(async move { answer(server.0.services.entry(service, &key).await) }).await
}

async fn reverse(
    State(server): State<Server>,
    path: Result<Path<(Service, String)>, PathRejection>,
) -> Result<Response, Refusal> {
    let (service, key) = server.key(path)?;
    let reversed = async move { server.0.services.reverse(service, &key).await };
    whole(async move { reversed.await.map(|()| StatusCode::NO_CONTENT.into_response()).map_err(tell) }).await
}

async fn facts(
    State(server): State<Server>,
    path: Result<Path<Service>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let service = server.service(path)?;
    let question: Question = read(body)?;
    answer(server.0.services.facts(service, &question).await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfOrder {
    order: String,
}

async fn balances(
    State(server): State<Server>,
    path: Result<Path<Service>, PathRejection>,
    query: Result<Query<OfOrder>, QueryRejection>,
) -> Result<Response, Refusal> {
    let service = server.service(path)?;
    let Query(OfOrder { order }) =
        query.map_err(|_| refusal(StatusCode::BAD_REQUEST, "INVALID_QUERY", "Say `order=` and an order id."))?;
    administered(service, server.0.services.order_balances(service, &order).await)
}

async fn products(State(server): State<Server>, body: Result<Bytes, BytesRejection>) -> Result<Response, Refusal> {
    let products: Vec<Product> = read(body)?;
    whole(async move { administered(Service::Product, server.0.services.put_products(&products).await) }).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReceiptOfGoods {
    key: String,
    goods: Vec<Goods>,
}

async fn receipts(State(server): State<Server>, body: Result<Bytes, BytesRejection>) -> Result<Response, Refusal> {
    let ReceiptOfGoods { key, goods } = read(body)?;
    whole(async move { administered(Service::Warehouse, server.0.services.receive_goods(&key, &goods).await) }).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CodesOfSku {
    sku: String,
    codes: Vec<String>,
}

async fn codes(State(server): State<Server>, body: Result<Bytes, BytesRejection>) -> Result<Response, Refusal> {
    let CodesOfSku { sku, codes } = read(body)?;
    whole(async move {
        let added = server.0.services.add_codes(&sku, &codes).await;
        administered(Service::Warehouse, added.map(|added| json!({ "added": added })))
    })
    .await
}

async fn coupons(State(server): State<Server>, body: Result<Bytes, BytesRejection>) -> Result<Response, Refusal> {
    let coupons: Vec<CouponRule> = read(body)?;
    whole(async move { administered(Service::Promotion, server.0.services.put_coupons(&coupons).await) }).await
}

async fn limits(State(server): State<Server>, body: Result<Bytes, BytesRejection>) -> Result<Response, Refusal> {
    let limits: Vec<PurchaseLimit> = read(body)?;
    whole(async move { administered(Service::Risk, server.0.services.put_limits(&limits).await) }).await
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ReviewFrom {
    review_from: Option<Amount>,
}

async fn review_from(State(server): State<Server>, body: Result<Bytes, BytesRejection>) -> Result<Response, Refusal> {
    let ReviewFrom { review_from } = read(body)?;
    whole(async move { administered(Service::Risk, server.0.services.set_review_from(review_from).await) }).await
}

impl Server {
    fn key(&self, path: Result<Path<(Service, String)>, PathRejection>) -> Result<(Service, String), Refusal> {
        let Path((service, key)) = path.map_err(|_| no_such_service())?;
        self.runs(service).map(|service| (service, key)).ok_or_else(no_such_service)
    }
}

/// Why a request is not answered as it was meant.
struct Refusal {
    status: StatusCode,
    code: String,
    detail: String,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        problem(self.status, &self.code, self.detail)
    }
}

fn refusal(status: StatusCode, code: &str, detail: impl Into<String>) -> Refusal {
    Refusal { status, code: code.into(), detail: detail.into() }
}

fn internal() -> Refusal {
    refusal(
        StatusCode::INTERNAL_SERVER_ERROR,
        "INTERNAL",
        "The service could not answer; ask again under the same key.",
    )
}

/// Runs to its end even when the client leaves.
async fn whole(write: impl Future<Output = Result<Response, Refusal>> + Send + 'static) -> Result<Response, Refusal> {
    tokio::spawn(write).await.unwrap_or_else(|_| Err(internal()))
}

fn read<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, Refusal> {
    let body = body.map_err(|e| match e.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            refusal(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", "The body is too large: send less at once.")
        }
        status => refusal(status, "INVALID_BODY", "The body could not be read."),
    })?;
    let mut json = serde_json::Deserializer::from_slice(&body);
    let read = serde_path_to_error::deserialize(&mut json).map_err(|e| e.to_string());
    let read = read.and_then(|value| json.end().map(|()| value).map_err(|e| e.to_string()));
    read.map_err(|e| {
        refusal(StatusCode::BAD_REQUEST, "INVALID_BODY", format!("The body is not what is asked here: {e}."))
    })
}

fn answer(answer: Result<impl Serialize, Fault>) -> Result<Response, Refusal> {
    let text = answer.map_err(tell).map(|value| serde_json::to_string(&value))?;
    text.map(|text| raw_json(StatusCode::OK, text)).map_err(|_| internal())
}

fn administered(service: Service, done: Result<impl Serialize, ServiceError>) -> Result<Response, Refusal> {
    answer(done.map_err(|error| error.into_fault(service)))
}

/// A refusal is told; what went wrong inside is logged, and the client learns that it may ask again.
fn tell(fault: Fault) -> Refusal {
    match fault {
        Fault::Refused { code, message } => {
            let status = match code.as_str() {
                "ENTRY_NOT_FOUND" => StatusCode::NOT_FOUND,
                "REVERSED" => StatusCode::CONFLICT,
                _ => StatusCode::UNPROCESSABLE_ENTITY,
            };
            refusal(status, &code, message)
        }
        Fault::Unknown { service, reason } => {
            tracing::warn!(service = service.as_str(), reason, "a command stays without an answer");
            refusal(StatusCode::SERVICE_UNAVAILABLE, "NO_ANSWER", "No answer now: ask again under the same key.")
        }
    }
}

fn no_such_service() -> Refusal {
    refusal(StatusCode::NOT_FOUND, "NO_SUCH_SERVICE", "This service is not run here.")
}
