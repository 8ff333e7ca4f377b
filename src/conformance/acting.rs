//! Checks that act, on orders that the run creates itself: keys, versions, and a life from beginning to end.

use std::collections::HashSet;
use std::time::Duration;

use http::{Method, StatusCode};
use order_contract::protocol::{ActionCall, ActionReply, ListOrders, OrderPage, Outcome, paths};
use order_contract::{ActionName, OrderSnapshot};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::exchange::{Session, fresh_key, id_of, message, replied, understood};
use super::reading::updated_at;
use super::report::{Check, Miss, Report, Seen, fail, skip};

/// So many requests under one key at once.
const RACERS: usize = 8;
/// So many actions at most lead one order through its life.
const STEPS_MAX: usize = 20;

impl Session {
    pub(super) async fn check_acting(&mut self, report: &mut Report) {
        let check = |id, section, demand, fix| Check { id, section, demand, fix };
        report.record(
            check(
                "create",
                "§7",
                "POST /orders creates an order that can be read back as it was answered",
                "store the order before you answer; answer what you stored",
            ),
            self.create().await,
        );
        report.record(
            check(
                "key-repeated",
                "§7",
                "the same key with the same input answers the same reply and changes nothing",
                "store key, input hash and reply in the transaction that changes the order",
            ),
            self.key_repeated().await,
        );
        report.record(
            check(
                "key-mismatch",
                "§7",
                "a used key with another input is 422 IDEMPOTENCY_KEY_MISMATCH and changes nothing",
                "compare a hash of action, order and input with the stored one",
            ),
            self.key_mismatch().await,
        );
        report.record(
            check(
                "key-concurrent",
                "§7",
                "concurrent requests under one key have one effect",
                "make the key a primary key and insert it in the same transaction as the effect",
            ),
            self.key_concurrent().await,
        );
        report.record(
            check(
                "version-conflict",
                "§7",
                "a stale expectedVersion is 409 VERSION_CONFLICT with currentVersion, and changes nothing",
                "compare versions inside the transaction that acts",
            ),
            self.version_conflict().await,
        );
        report.record(
            check(
                "life",
                "§7",
                "an order can be led forward through its enabled actions; each is one step of the process and of the version",
                "see which action failed",
            ),
            self.life().await,
        );
        report.record(
            check(
                "list-moving",
                "§4",
                "an order that changes while the list is read hides no other",
                "page with a keyset over (updatedAt, id), never by offset",
            ),
            self.list_moving().await,
        );
    }

    pub(super) fn may_ask(&self) -> Result<(), Miss> {
        if self.options.read_only { skip("read-only run") } else { Ok(()) }
    }

    fn sandbox(&self) -> Result<&Map<String, Value>, Miss> {
        self.may_ask()?;
        self.capable(|c| c.create, "create")?;
        self.options.inputs.get("create").map_or_else(|| skip("no sample input for `create` was given"), Ok)
    }

    /// Creates one order, for use by this run alone.
    pub(super) async fn new_order(&mut self, key: &str) -> Result<(Value, OrderSnapshot), Miss> {
        let call = ActionCall { input: self.sandbox()?.clone(), ..ActionCall::default() };
        let (order, snapshot) = self.applied(None, "create", key, &call).await?;
        self.created.push(snapshot.clone());
        Ok((order, snapshot))
    }

    async fn create(&mut self) -> Seen {
        let (answered, snapshot) = self.new_order(&fresh_key()).await?;
        let id = id_of(&answered);
        let (read, _) = self.order(id).await?;
        if read["version"] == answered["version"] && read != answered {
            return fail(format!("order {id} reads otherwise than it was answered"));
        }
        Ok(format!("order {id}, {}", snapshot.native.state))
    }

    async fn key_repeated(&mut self) -> Seen {
        let key = fresh_key();
        let call = ActionCall { input: self.sandbox()?.clone(), ..ActionCall::default() };
        let (_, first) = self.perform(None, "create", &key, &call).await?;
        let (answer, again) = self.perform(None, "create", &key, &call).await?;
        if again != first {
            return fail(format!("the second reply differs from the first: {}", answer.summary()));
        }
        let known: ActionReply<Value> = self.read(paths::OPERATION, &[&key]).await?;
        if known != first {
            return fail("GET /operations/{key} answers another reply than the action did");
        }
        let Some((id, action, input)) = self.some_step(&first).await? else {
            return Ok("create; no action of it could be tried".into());
        };
        let key = fresh_key();
        let call = ActionCall { input, ..ActionCall::default() };
        let (_, once) = self.applied(Some(&id), action.as_str(), &key, &call).await?;
        let (_, twice) = self.perform(Some(&id), action.as_str(), &key, &call).await?;
        let (_, now) = self.order(&id).await?;
        if twice.outcome != Outcome::Applied || now.version != once.version {
            return fail(format!(
                "{action} once led to version {}, the same key again to {} ({:?})",
                once.version, now.version, twice.outcome
            ));
        }
        Ok(format!("create and {action} of order {id}"))
    }

    async fn key_mismatch(&mut self) -> Seen {
        let key = fresh_key();
        let (_, order) = self.new_order(&key).await?;
        let mut input = self.sandbox()?.clone();
        input.insert("conformance".into(), json!("another input"));
        let answer =
            self.send(self.ask(None, "create", Some(&key)).json(&ActionCall { input, ..ActionCall::default() }));
        let answer = answer.await?;
        let seen = refused_with(&replied(&answer)?, "IDEMPOTENCY_KEY_MISMATCH")?;
        let (_, now) = self.order(order.source_order_id.as_str()).await?;
        if now.version != order.version {
            return fail(format!(
                "order {} changed from version {} to {}",
                now.source_order_id, order.version, now.version
            ));
        }
        if answer.status == StatusCode::UNPROCESSABLE_ENTITY { Ok(seen) } else { fail(answer.summary()) }
    }

    async fn key_concurrent(&mut self) -> Seen {
        let key = fresh_key();
        let call = ActionCall { input: self.sandbox()?.clone(), ..ActionCall::default() };
        let racers = (0..RACERS).map(|_| self.send(self.ask(None, "create", Some(&key)).json(&call)));
        let answers = futures_util::future::join_all(racers).await;
        let mut ids = HashSet::new();
        for answer in answers {
            let answer = answer?;
            // A second request may be told to come back while the first is at work.
            if answer.status == StatusCode::CONFLICT && answer.problem().is_some() {
                continue;
            }
            match replied(&answer)? {
                ActionReply { outcome: Outcome::Applied, order: Some(order), .. } => {
                    ids.insert(id_of(&order).to_owned());
                }
                ActionReply { outcome: Outcome::Accepted, .. } => {}
                _ => return fail(answer.summary()),
            }
        }
        match ids.len() {
            0 => fail("none of the requests was applied"),
            1 => Ok(format!("{RACERS} requests, one order")),
            n => fail(format!("{RACERS} requests under one key created {n} orders")),
        }
    }

    /// An enabled action of the order in a reply, with an input it can be asked with.
    async fn some_step(
        &self,
        reply: &ActionReply<Value>,
    ) -> Result<Option<(String, ActionName, Map<String, Value>)>, Miss> {
        let Some(order) = &reply.order else { return Ok(None) };
        let id = understood(order)?.source_order_id.to_string();
        let step = self.step(&id, &[]).await?;
        Ok(step.map(|(action, input)| (id, action, input)))
    }

    /// The next action that leads an order forward, away from those that were `done`. What calls off or takes back
    /// comes last.
    async fn step(&self, id: &str, done: &[ActionName]) -> Result<Option<(ActionName, Map<String, Value>)>, Miss> {
        const BACKWARD: [&str; 5] = ["modify", "cancel", "refund", "request_return", "receive_return"];
        let told = self.actions(id).await?;
        let mut steps: Vec<_> = told
            .actions
            .iter()
            .filter(|action| action.enabled && !done.contains(&action.name))
            .filter_map(|action| Some((action.name.clone(), self.input_for(action)?)))
            .collect();
        steps.sort_by_key(|(name, _)| BACKWARD.iter().position(|verb| *verb == name.as_str()).map_or(0, |at| at + 1));
        Ok(steps.into_iter().next())
    }

    async fn version_conflict(&mut self) -> Seen {
        self.sandbox()?;
        self.capable(|c| c.expected_version, "expectedVersion")?;
        let (_, order) = self.new_order(&fresh_key()).await?;
        let id = order.source_order_id.as_str();
        let Some((action, input)) = self.step(id, &[]).await? else {
            return skip("a new order has no enabled action that can be tried");
        };
        let stale = order.version.get().checked_sub(1).unwrap_or(order.version.get() + 1);
        let expected_version = order_contract::SourceVersion::try_new(stale).ok();
        let call = ActionCall { expected_version, input, ..ActionCall::default() };
        let answer = self.send(self.ask(Some(id), action.as_str(), Some(&fresh_key())).json(&call)).await?;
        let reply = replied(&answer)?;
        let seen = refused_with(&reply, "VERSION_CONFLICT")?;
        let current = reply.error.and_then(|error| error.current_version);
        let (_, now) = self.order(id).await?;
        if now.version != order.version {
            return fail(format!("{action} was refused and order {id} went to version {}", now.version));
        }
        if answer.status != StatusCode::CONFLICT || current != Some(now.version) {
            return fail(format!("not a 409 with currentVersion {}: {}", now.version, answer.summary()));
        }
        Ok(seen)
    }

    async fn life(&mut self) -> Seen {
        let (_, mut order) = self.new_order(&fresh_key()).await?;
        let id = order.source_order_id.to_string();
        let mut done: Vec<ActionName> = Vec::new();
        let mut path = vec![order.native.state.clone()];
        while done.len() < STEPS_MAX {
            let Some((action, input)) = self.step(&id, &done).await? else { break };
            let call = ActionCall { expected_version: Some(order.version), input, ..ActionCall::default() };
            let (_, after) = self.applied(Some(&id), action.as_str(), &fresh_key(), &call).await?;
            if after.version <= order.version {
                return fail(format!("{action} of order {id} left version {} at {}", order.version, after.version));
            }
            self.in_process(&action, &order.native.state, &after.native.state)?;
            let told = self.actions(&id).await?;
            if told.version == after.version && told.actions != after.available_actions {
                return fail(format!("after {action}, order {id} and its actions disagree"));
            }
            path.push(format!("{action} → {}", after.native.state));
            done.push(action);
            order = after;
        }
        self.created.push(order);
        Ok(format!("order {id}: {}", path.join(", ")))
    }

    fn in_process(&self, action: &ActionName, from: &str, to: &str) -> Result<(), Miss> {
        let Some(process) = &self.process else { return Ok(()) };
        let fits = process
            .transitions
            .iter()
            .filter(|t| t.action == *action)
            .any(|t| t.from.iter().any(|state| state == from) && t.to.iter().any(|state| state == to));
        if fits { Ok(()) } else { fail(format!("{action} led from {from} to {to}, which the process does not have")) }
    }

    async fn list_moving(&mut self) -> Seen {
        let mut created = Vec::new();
        for _ in 0..3 {
            created.push(self.new_order(&fresh_key()).await?.0);
        }
        let (first, others) = created.split_first().ok_or_else(|| Miss::Skip("no orders".into()))?;
        let since = updated_at(first)?;
        let all = ListOrders { updated_from: Some(since), limit: Some(self.page_size_max()), ..ListOrders::default() };
        let deadline = Instant::now() + self.options.patience;
        let bound = loop {
            let walk = self.walk(&all, 10_000).await?;
            let listed: HashSet<&str> = walk.orders.iter().map(id_of).collect();
            if created.iter().all(|order| listed.contains(id_of(order))) {
                break walk.updated_to;
            }
            if Instant::now() > deadline {
                return fail(format!("new orders are not listed after {:?}", self.options.patience));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        let mut query = ListOrders { updated_to: Some(bound), limit: Some(1), ..all };
        let mut listed = Vec::new();
        let mut moved = false;
        loop {
            let page: OrderPage<Value> =
                message(&self.send(self.wire.request(Method::GET, paths::ORDERS, &[]).query(&query)).await?)?;
            listed.extend(page.orders.iter().map(|order| id_of(order).to_owned()));
            if !moved && listed.iter().any(|id| id == id_of(first)) {
                let Some((action, input)) = self.step(id_of(first), &[]).await? else {
                    return skip("a new order has no enabled action that can be tried");
                };
                let call = ActionCall { input, ..ActionCall::default() };
                let (changed, _) = self.applied(Some(id_of(first)), action.as_str(), &fresh_key(), &call).await?;
                if updated_at(&changed)? < bound {
                    return fail(format!(
                        "order {} changed and its updatedAt lies before a list that was answered",
                        id_of(first)
                    ));
                }
                moved = true;
            }
            match page.next {
                Some(next) if listed.len() < 10_000 => query.after = Some(next),
                _ => break,
            }
        }
        match others.iter().find(|order| !listed.iter().any(|id| id == id_of(order))) {
            Some(lost) => fail(format!("order {} was not listed because order {} changed", id_of(lost), id_of(first))),
            None => Ok(format!("{} orders, one of them changed after the first page", listed.len())),
        }
    }
}

pub(super) fn refused_with(reply: &ActionReply<Value>, code: &str) -> Seen {
    match &reply.error {
        Some(error) if reply.outcome == Outcome::Rejected && error.code == code => Ok(format!("REJECTED {code}")),
        Some(error) => fail(format!("{:?} {}: {}", reply.outcome, error.code, error.message)),
        None => fail(format!("{:?} without an error", reply.outcome)),
    }
}
