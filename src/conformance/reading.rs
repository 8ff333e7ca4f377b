//! Checks that only read: descriptor, lists, single orders, actions and the process.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use http::Method;
use order_contract::OrderSnapshot;
use order_contract::protocol::{self, ListOrders, OrderPage, paths, problems};
use serde_json::Value;

use super::exchange::{Session, demand_problem, fresh_key, id_of, message, understood, with_header};
use super::report::{Check, Miss, Report, Seen, fail, skip};
use crate::source::protocol::speaks_our_major;
use crate::source::wire::Answer;

/// So many orders of a module are looked at.
const SAMPLE_MAX: usize = 1_000;

/// A list read page by page.
pub(super) struct Walk {
    pub(super) orders: Vec<Value>,
    pub(super) updated_to: DateTime<Utc>,
    pub(super) pages: usize,
    /// Whether the last page was read.
    pub(super) complete: bool,
}

impl Session {
    pub(super) async fn check_reading(&mut self, report: &mut Report) {
        let check = |id, section, demand, fix| Check { id, section, demand, fix };
        report.record(
            check(
                "descriptor",
                "§2",
                "GET /.well-known/order-module says what the module is and can do",
                "answer 200 with a Descriptor whose protocol is \"1.0\" and whose pageSizeMax is at least 1",
            ),
            self.descriptor().await,
        );
        report.record(
            check(
                "protocol-version",
                "§1",
                "another major protocol version is refused with a 400 problem, a later minor one is served",
                "compare the major of the Order-Module-Protocol header before anything else",
            ),
            self.protocol_version().await,
        );
        report.record(
            check(
                "token",
                "§1",
                "a request without the token is refused with a 401 problem",
                "check the Authorization header on every path, the descriptor included",
            ),
            self.token().await,
        );
        let list = self.list().await;
        let bound = list.as_ref().ok().map(|walk| walk.updated_to);
        report.record(
            check(
                "list",
                "§4",
                "GET /orders pages through changed orders: no duplicates, one fixed updatedTo, ascending updatedAt",
                "page with a keyset over (updatedAt, id) and keep the first page's updatedTo for the pages that follow",
            ),
            list.map(|walk| format!("{} orders in {} pages", walk.orders.len(), walk.pages)),
        );
        report.record(
            check(
                "list-page-sizes",
                "§4",
                "pages of any size, put together, are the same list",
                "never page by offset, and never drop orders that share an updatedAt with the last of a page",
            ),
            self.list_page_sizes(bound).await,
        );
        report.record(
            check(
                "list-bounds",
                "§4",
                "updatedFrom is inclusive, updatedTo exclusive",
                "select updatedAt >= updatedFrom and updatedAt < updatedTo, in the precision that orders carry",
            ),
            self.list_bounds(bound).await,
        );
        report.record(
            check(
                "list-errors",
                "§4",
                "a limit out of range, a malformed time and an `after` never issued are refused with 400 problems",
                "validate the query; decode the cursor strictly",
            ),
            self.list_errors().await,
        );
        report.record(
            check(
                "orders-parse",
                "§3",
                "every order is a valid canonical order",
                "validate what you send against schema/order-snapshot.schema.json",
            ),
            self.orders_parse(),
        );
        report.record(
            check("orders-add-up", "§3", "the sums of an order agree with each other", "see which identity is named"),
            self.orders_add_up(),
        );
        report.record(
            check(
                "get-agrees",
                "§5",
                "GET /orders/{id} answers the very order that the list has at that version",
                "serve both from the same document",
            ),
            self.get_agrees().await,
        );
        report.record(
            check(
                "get-unknown",
                "§5",
                "an unknown order is a 404 problem ORDER_NOT_FOUND, whatever characters its id has",
                "decode the path segment once; answer the protocol's problem, not your framework's page",
            ),
            self.get_unknown().await,
        );
        report.record(
            check(
                "actions",
                "§6",
                "GET /orders/{id}/actions agrees with the order; what is disabled says why, what is enabled has no blocker",
                "compute both from the same guards; name at least one blocker for each disabled action",
            ),
            self.actions_agree().await,
        );
        report.record(
            check(
                "operation-unknown",
                "§8",
                "a key that never arrived is a 404 problem OPERATION_NOT_FOUND",
                "answer exactly this code: it is the proof that makes a retry safe",
            ),
            self.operation_unknown().await,
        );
        report.record(
            check(
                "process",
                "§9",
                "GET /process has every state and action that orders show, with the same unified status",
                "generate it from the state machine that really runs",
            ),
            self.process_covers().await,
        );
    }

    async fn descriptor(&mut self) -> Seen {
        let descriptor: protocol::Descriptor = self.read(paths::DESCRIPTOR, &[]).await?;
        if !speaks_our_major(&descriptor.protocol) {
            return fail(format!("the protocol is {:?}", descriptor.protocol));
        }
        if descriptor.capabilities.page_size_max == 0 {
            return fail("pageSizeMax is 0");
        }
        let module = &descriptor.module;
        let idempotency = serde_json::json!(descriptor.idempotency);
        let seen = format!(
            "{} {}, {}, pages of {}",
            module.name,
            module.version,
            idempotency.as_str().unwrap_or_default(),
            descriptor.capabilities.page_size_max
        );
        self.descriptor = Some(descriptor);
        Ok(seen)
    }

    async fn protocol_version(&self) -> Seen {
        let speak = |version| {
            let request = self.wire.request(Method::GET, paths::DESCRIPTOR, &[]);
            self.send(with_header(request, protocol::VERSION_HEADER, version))
        };
        message::<Value>(&speak("1.99").await?)?;
        demand_problem(&speak("99.0").await?, 400, Some(problems::PROTOCOL_VERSION))
    }

    async fn token(&self) -> Seen {
        if self.options.token.is_none() {
            return skip("no token was given");
        }
        let mut seen = String::new();
        for path in [paths::DESCRIPTOR, paths::ORDERS] {
            seen = demand_problem(&self.send(self.stranger.request(Method::GET, path, &[])).await?, 401, None)?;
        }
        Ok(seen)
    }

    async fn page(&self, query: &ListOrders) -> Result<Answer, Miss> {
        self.send(self.wire.request(Method::GET, paths::ORDERS, &[]).query(query)).await
    }

    /// Reads up to so many orders and checks what must hold between pages.
    pub(super) async fn walk(&self, query: &ListOrders, orders_max: usize) -> Result<Walk, Miss> {
        let mut query = query.clone();
        let mut walk = Walk { orders: Vec::new(), updated_to: DateTime::<Utc>::MIN_UTC, pages: 0, complete: false };
        let mut cursors = HashSet::new();
        loop {
            let page: OrderPage<Value> = message(&self.page(&query).await?)?;
            if query.limit.is_some_and(|limit| page.orders.len() > limit as usize) {
                return fail(format!("a page of {} orders where {:?} were asked for", page.orders.len(), query.limit));
            }
            if walk.pages > 0 && page.updated_to != walk.updated_to {
                return fail(format!("updatedTo was {}, then {}", walk.updated_to, page.updated_to));
            }
            walk.pages += 1;
            walk.updated_to = page.updated_to;
            walk.orders.extend(page.orders);
            walk.complete = page.next.is_none();
            match page.next {
                Some(next) if walk.orders.len() < orders_max => {
                    if !cursors.insert(next.clone()) {
                        return fail(format!("the cursor {next:?} came twice: the list never ends"));
                    }
                    query.updated_to = Some(walk.updated_to);
                    query.after = Some(next);
                }
                _ => return Ok(walk),
            }
        }
    }

    async fn list(&mut self) -> Result<Walk, Miss> {
        let query = ListOrders { limit: Some(self.page_size_max()), ..ListOrders::default() };
        let walk = self.walk(&query, SAMPLE_MAX).await?;
        self.orders = walk.orders.clone();
        let mut ids = HashSet::new();
        if let Some(twice) = walk.orders.iter().find(|order| !ids.insert(id_of(order))) {
            return fail(format!("order {} is listed twice", id_of(twice)));
        }
        let times: Vec<_> = walk.orders.iter().map(updated_at).collect::<Result<_, _>>()?;
        if let Some(i) = times.windows(2).position(|pair| pair[0] > pair[1]) {
            return fail(format!("order {} is older than the one before it", id_of(&walk.orders[i + 1])));
        }
        if let Some(i) = times.iter().position(|time| *time >= walk.updated_to) {
            return fail(format!("order {} changed at or after updatedTo", id_of(&walk.orders[i])));
        }
        Ok(walk)
    }

    async fn list_page_sizes(&self, bound: Option<DateTime<Utc>>) -> Seen {
        let (Some(bound), 2..) = (bound, self.orders.len()) else { return skip("fewer than two orders are listed") };
        let mut seen = Vec::new();
        for (limit, orders_max) in [(1, 12), (3, 60), (7, 210)] {
            let limit = Some(self.page_size_max().min(limit));
            let query = ListOrders { updated_to: Some(bound), limit, ..ListOrders::default() };
            let walk = self.walk(&query, orders_max).await?;
            self.same_list(&walk).await?;
            seen.push(format!("{} in {}", walk.orders.len(), walk.pages));
        }
        Ok(format!("orders in pages: {}", seen.join(", ")))
    }

    /// Compares a list with the beginning of the first one. Orders that changed since have rightly left it.
    async fn same_list(&self, walk: &Walk) -> Result<(), Miss> {
        let places: HashMap<&str, usize> = self.orders.iter().enumerate().map(|(i, o)| (id_of(o), i)).collect();
        let found: Vec<usize> = walk.orders.iter().filter_map(|o| places.get(id_of(o)).copied()).collect();
        if found.windows(2).any(|pair| pair[0] >= pair[1]) {
            return fail("small pages bring an order twice, or in another order than large ones");
        }
        let reached = if walk.complete { self.orders.len() } else { found.last().map_or(0, |last| last + 1) };
        let found: HashSet<usize> = found.into_iter().collect();
        for (_, order) in self.orders[..reached].iter().enumerate().filter(|(i, _)| !found.contains(i)) {
            let (now, _) = self.order(id_of(order)).await?;
            if updated_at(&now)? < walk.updated_to {
                return fail(format!("order {} is lost when the list is read in small pages", id_of(order)));
            }
        }
        Ok(())
    }

    async fn list_bounds(&self, bound: Option<DateTime<Utc>>) -> Seen {
        let Some((bound, middle)) = bound.zip(self.orders.get(self.orders.len() / 2)) else {
            return skip("no order is listed");
        };
        let at = updated_at(middle)?;
        let list = async |from, to| {
            let limit = Some(self.page_size_max());
            self.walk(&ListOrders { updated_from: from, updated_to: to, after: None, limit }, SAMPLE_MAX).await
        };
        let empty = list(Some(at), Some(at)).await?;
        if let Some(order) = empty.orders.first() {
            return fail(format!("order {} is listed between {at} and the same {at}", id_of(order)));
        }
        if empty.updated_to != at {
            return fail(format!("updatedTo {at} was asked for, {} answered", empty.updated_to));
        }
        let one = list(Some(at), Some((at + TimeDelta::seconds(1)).min(bound))).await?;
        if !one.orders.iter().any(|order| id_of(order) == id_of(middle))
            && updated_at(&self.order(id_of(middle)).await?.0)? == at
        {
            return fail(format!("order {} changed at {at} and is not listed from {at} on", id_of(middle)));
        }
        for order in &one.orders {
            if updated_at(order)? < at || updated_at(order)? >= one.updated_to {
                return fail(format!("order {} is outside of the bounds that were asked for", id_of(order)));
            }
        }
        Ok(format!("checked at {at}"))
    }

    async fn list_errors(&self) -> Seen {
        let mut seen = String::new();
        for (name, value) in [
            ("after", "this cursor was never issued".to_owned()),
            ("limit", "0".into()),
            ("limit", (u64::from(self.page_size_max()) + 1).to_string()),
            ("limit", "many".into()),
            ("updatedFrom", "yesterday".into()),
            ("updatedTo", "2026-13-01T00:00:00Z".into()),
        ] {
            let request = self.wire.request(Method::GET, paths::ORDERS, &[]).query(&[(name, &value)]);
            seen = match demand_problem(&self.send(request).await?, 400, None) {
                Err(Miss::Fail(seen)) => return fail(format!("{name}={value}: {seen}")),
                other => other?,
            };
        }
        Ok(seen)
    }

    fn understood_orders(&self) -> impl Iterator<Item = (&Value, OrderSnapshot)> {
        self.orders.iter().filter_map(|order| Some((order, understood(order).ok()?)))
    }

    fn orders_parse(&self) -> Seen {
        if self.orders.is_empty() {
            return skip("no order is listed");
        }
        let wrong: Vec<String> = self
            .orders
            .iter()
            .filter_map(|order| match understood(order) {
                Err(Miss::Fail(seen)) => Some(seen),
                _ => None,
            })
            .collect();
        if wrong.is_empty() {
            return Ok(format!("{} orders", self.orders.len()));
        }
        fail(format!("{} of {} orders: {}", wrong.len(), self.orders.len(), some(&wrong)))
    }

    fn orders_add_up(&self) -> Seen {
        let mut count = 0;
        let mut broken = Vec::new();
        for (order, snapshot) in self.understood_orders() {
            count += 1;
            broken.extend(snapshot.violations().into_iter().map(|v| {
                format!("order {} {} {:?}: expected {}, is {}", id_of(order), v.path, v.code, v.expected, v.actual)
            }));
        }
        match (count, broken.len()) {
            (0, _) => skip("no order can be understood"),
            (_, 0) => Ok(format!("{count} orders")),
            (_, n) => Err(Miss::Warn(format!("{n} identities of {count} orders do not hold: {}", some(&broken)))),
        }
    }

    /// Up to so many orders, of as many native states as there are.
    pub(super) fn samples(&self, count: usize) -> Vec<String> {
        let mut by_state: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (order, snapshot) in self.understood_orders() {
            by_state.entry(snapshot.native.state).or_default().push(id_of(order).to_owned());
        }
        let rounds = by_state.values().map(Vec::len).max().unwrap_or(0);
        (0..rounds).flat_map(|i| by_state.values().filter_map(move |ids| ids.get(i).cloned())).take(count).collect()
    }

    async fn get_agrees(&self) -> Seen {
        let ids = self.samples(10);
        for id in &ids {
            let listed = self.orders.iter().find(|order| id_of(order) == id);
            let (read, _) = self.order(id).await?;
            if listed.is_some_and(|listed| listed["version"] == read["version"] && *listed != read) {
                return fail(format!("order {id} differs from the one in the list at the same version"));
            }
        }
        if ids.is_empty() { skip("no order can be understood") } else { Ok(format!("{} orders", ids.len())) }
    }

    async fn get_unknown(&self) -> Seen {
        let mut seen = String::new();
        for id in [fresh_key(), "no/such order?x=1#y%2F".into()] {
            for path in [paths::ORDER, paths::ACTIONS] {
                seen = demand_problem(&self.get(path, &[&id]).await?, 404, Some(problems::ORDER_NOT_FOUND))?;
            }
        }
        Ok(seen)
    }

    async fn actions_agree(&self) -> Seen {
        let ids = self.samples(10);
        let mut count = 0;
        for id in &ids {
            let (_, order) = self.order(id).await?;
            let told = self.actions(id).await?;
            if told.source_order_id.as_str() != id {
                return fail(format!("the actions of order {id} name order {}", told.source_order_id));
            }
            if told.version == order.version && told.actions != order.available_actions {
                return fail(format!("order {id} and its actions disagree at version {}", order.version));
            }
            let mut names = HashSet::new();
            for action in &told.actions {
                count += 1;
                if !names.insert(&action.name) {
                    return fail(format!("order {id} has the action {} twice", action.name));
                }
                if action.enabled != action.blockers.is_empty() {
                    let enabled = if action.enabled { "enabled" } else { "disabled" };
                    return fail(format!(
                        "{} of order {id} is {enabled} with {} blockers",
                        action.name,
                        action.blockers.len()
                    ));
                }
            }
        }
        if ids.is_empty() { skip("no order can be understood") } else { Ok(format!("{count} of {} orders", ids.len())) }
    }

    async fn operation_unknown(&self) -> Seen {
        let answer = self.get(paths::OPERATION, &[&fresh_key()]).await?;
        demand_problem(&answer, 404, Some(problems::OPERATION_NOT_FOUND))
    }

    async fn process_covers(&mut self) -> Seen {
        self.capable(|c| c.process, "process")?;
        let process: order_contract::process::ProcessDefinition = self.read(paths::PROCESS, &[]).await?;
        let states: HashMap<_, _> = process.states.iter().map(|s| (s.name.as_str(), s.status)).collect();
        let actions: HashSet<_> = process.transitions.iter().map(|t| &t.action).collect();
        if let Some(state) = process
            .transitions
            .iter()
            .flat_map(|t| t.from.iter().chain(&t.to))
            .find(|s| !states.contains_key(s.as_str()))
        {
            return fail(format!("a transition names the state {state}, which is not listed"));
        }
        for (_, order) in self.understood_orders() {
            let (id, state) = (&order.source_order_id, &order.native.state);
            match states.get(state.as_str()) {
                None => return fail(format!("order {id} is in the state {state}, which is not in the process")),
                Some(status) if *status != order.status => {
                    return fail(format!("order {id} is {state} and {}; the process says {status}", order.status));
                }
                Some(_) => {}
            }
            if let Some(action) = order.available_actions.iter().find(|a| !actions.contains(&a.name)) {
                return fail(format!("order {id} offers {}, which is not in the process", action.name));
            }
        }
        let seen = format!(
            "{} {}: {} states, {} ways",
            process.name,
            process.version,
            states.len(),
            process.transitions.len()
        );
        self.process = Some(process);
        Ok(seen)
    }
}

pub(super) fn updated_at(order: &Value) -> Result<DateTime<Utc>, Miss> {
    let text = order.pointer("/times/updatedAt").and_then(Value::as_str).unwrap_or_default();
    text.parse().or_else(|_| fail(format!("order {} has no times.updatedAt", id_of(order))))
}

/// The first few of a list.
fn some(texts: &[String]) -> String {
    texts.iter().take(3).map(String::as_str).collect::<Vec<_>>().join("; ")
}
