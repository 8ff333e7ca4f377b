//! The standard page over HTTP: by the center, and by a REST handler that someone would write by hand.

use std::fmt;

use tokio::net::TcpListener;

use super::client::Plan;
use super::cpu::Spent;
use super::{BenchError, Options, rest};
use crate::config::{Config, DatabaseUrl};
use crate::database::{Database, PoolLimits};
use crate::index::{Cursor, Direction, Filter, Index, OrderList, SortField};
use crate::serve;

/// Pages that are asked for again and again: what a shop's staff looks at today.
const HOT_PAGES: usize = 100;
/// Orders of a page.
pub(super) const PAGE_SIZE: u32 = 20;

const QUERY: &str = "query Page($after: String) { orders(first: 20, after: $after) {
    pageInfo { hasNextPage endCursor }
    nodes {
        id number status paymentStatus fulfillmentStatus times { placedAt } totals { total { amount currencyCode } }
        customer { customerId name email }
        lines { lineId sku name quantity { ordered current fulfilled }
            unitPrice { amount currencyCode } total { amount currencyCode } }
        payments { paymentId method provider status amount { amount currencyCode }
            transactions { transactionId type status amount { amount currencyCode } at } }
        fulfillments { fulfillmentId status location shippedAt
            tracking { carrier number url } lines { lineId quantity } }
    }
} }";

/// CPU time of one request.
pub(super) struct Cost {
    own: u64,
    database: u64,
    bytes: u64,
}

impl Cost {
    pub(super) fn total(&self) -> u64 {
        self.own + self.database
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>6} µs + database {:>6} µs, {} bytes", self.own, self.database, self.bytes)
    }
}

/// What a page costs.
pub(super) struct Costs {
    /// By the center, its orders rendered before.
    pub(super) cached: Cost,
    /// By the center, its orders asked for the first time.
    pub(super) uncached: Cost,
    /// By the REST handler.
    pub(super) rest: Cost,
}

/// Asks both servers for the same pages.
pub(super) async fn measure(index: &Index, options: &Options) -> Result<Costs, BenchError> {
    let requests = usize::try_from(options.requests).unwrap_or(usize::MAX).max(1);
    let cursors = cursors(index, requests + HOT_PAGES).await?;
    let (hot, new) = cursors.split_at((cursors.len() / 2).clamp(1, HOT_PAGES));
    let database = Database::open(&options.database, PoolLimits::default()).await?;

    let mut config = Config::default();
    config.database.url = DatabaseUrl::from(options.database.clone());
    config.http.listen.set_port(0);
    let center = serve::start(config).await.map_err(Box::new)?;
    let ask = |cursor: &Option<Cursor>| graphql_request(cursor.as_ref());
    // Opens the connections, and renders the hot pages once.
    Plan::new(center.address(), hot.iter().map(ask), hot.len()).send().await?;
    let cached = cost(&database, &Plan::new(center.address(), hot.iter().map(ask), requests)).await?;
    let uncached = cost(&database, &Plan::new(center.address(), new.iter().map(ask), new.len())).await?;
    center.shutdown().await;

    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|e| BenchError::Io("listen", e))?;
    let address = listener.local_addr().map_err(|e| BenchError::Io("listen", e))?;
    let pool = Database::open(&options.database, PoolLimits::default()).await?;
    let server = tokio::spawn(axum::serve(listener, rest::router(pool)).into_future());
    let get = |cursor: &Option<Cursor>| rest_request(cursor.as_ref());
    Plan::new(address, hot.iter().map(get), hot.len()).send().await?;
    let rest = cost(&database, &Plan::new(address, hot.iter().map(get), requests)).await?;
    server.abort();
    database.close().await;

    Ok(Costs { cached, uncached, rest })
}

async fn cost(database: &Database, plan: &Plan) -> Result<Cost, BenchError> {
    let before = Spent::so_far(database).await?;
    let received = plan.send().await?;
    let (own, backends) = before.until(&Spent::so_far(database).await?);
    let requests = received.requests.max(1);
    Ok(Cost { own: own / requests, database: backends / requests, bytes: received.bytes / requests })
}

/// Where up to `pages` pages begin, newest first.
async fn cursors(index: &Index, pages: usize) -> Result<Vec<Option<Cursor>>, BenchError> {
    let mut list = OrderList {
        filter: Filter::All(Vec::new()),
        sort: SortField::PlacedAt,
        direction: Direction::Descending,
        after: None,
        before: None,
        limit: PAGE_SIZE,
        backward: false,
    };
    let mut cursors = vec![None];
    while cursors.len() < pages {
        let page = index.list(&list).await?;
        let Some(last) = page.orders.last().filter(|_| page.has_next) else { break };
        list.after = Some(last.cursor.clone());
        cursors.push(list.after.clone());
    }
    Ok(cursors)
}

fn graphql_request(after: Option<&Cursor>) -> String {
    let variables = serde_json::json!({ "after": after.map(Cursor::encode) });
    let body = serde_json::json!({ "query": QUERY, "variables": variables }).to_string();
    format!(
        "POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         accept: application/graphql-response+json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn rest_request(after: Option<&Cursor>) -> String {
    let query = after.map(|cursor| format!("?key={}&id={}", cursor.key(), cursor.id())).unwrap_or_default();
    format!("GET /orders{query} HTTP/1.1\r\nhost: localhost\r\n\r\n")
}
