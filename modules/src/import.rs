//! Bringing retail orders in from elsewhere, with the life they already had.
//!
//! It owns the way from an invoice to an order of this module: each is led through the same process as a new order, at
//! the times of its history, so that its money, stock and timeline agree by construction. It refuses, one by one and
//! with the reason, orders whose history the process does not allow. The rules of today do not bind history: a return
//! that the shop took is taken, however late it came. Webhooks are not sent and timers not set for history.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use order_contract::process::Trigger;
use order_contract::{Address, Amount, Customer, Disposition, OrderSnapshot, Quantity, SourceOrderId};
use serde_json::{Map, Value, json};
use tokio::task::JoinHandle;

use crate::module::{Inner, Module, ModuleError, time};
use crate::order;
use crate::process::{Ask, Refusal, Settings};
use crate::service::{self, Command, Entry, Facts, Goods, Product, Receipt};
use crate::step;

/// Orders of one transaction.
const BATCH: usize = 500;
/// The most lines of one order, as the contract has it.
const LINES_MAX: usize = 5_000;
/// Pieces of a product in stock when it is first seen, beyond what history needs.
const OPENING_STOCK: i64 = 1_000;
/// Who did it, in the timeline.
const ACTOR: &str = "import";

/// An order with its history. Where the history does not tell when a stage was reached, it is the time of placing.
#[derive(Clone, Debug)]
pub struct ImportedOrder {
    /// Its number, which becomes its id.
    pub number: String,
    /// When it was placed.
    pub placed_at: DateTime<Utc>,
    /// The customer's id, if known.
    pub customer: Option<String>,
    /// The country as the history names it.
    pub country: Option<String>,
    /// ISO 3166-1 alpha-2, if it has one.
    pub country_code: Option<String>,
    /// The lines; line ids count from 1.
    pub lines: Vec<ImportedLine>,
    /// How far it came.
    pub state: ImportedState,
    /// What came back, oldest first. Only delivered and completed orders can have returns.
    pub returns: Vec<ImportedReturn>,
}

/// One line of an [`ImportedOrder`].
#[derive(Clone, Debug)]
pub struct ImportedLine {
    /// The product; it is added to the catalog when it is new.
    pub sku: String,
    /// What the customer saw; may be empty.
    pub name: String,
    /// Whole pieces, at least one.
    pub quantity: Quantity,
    /// Price of one; zero is possible.
    pub unit_price: Amount,
}

impl ImportedLine {
    /// What the customer saw; the stock keeping unit where nobody wrote it down.
    fn name(&self) -> &str {
        if self.name.trim().is_empty() { &self.sku } else { &self.name }
    }
}

/// How far an [`ImportedOrder`] came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportedState {
    /// Not paid yet; it does not expire.
    PendingPayment,
    /// Paid.
    Paid,
    /// Being picked.
    Picking,
    /// On its way.
    Shipped,
    /// Arrived.
    Delivered,
    /// Done.
    Completed,
    /// Called off as a whole after it was paid.
    Canceled {
        /// When.
        at: DateTime<Utc>,
        /// Why, or the number of the document that says so.
        reason: String,
    },
}

/// Goods of an [`ImportedOrder`] that came back.
#[derive(Clone, Debug)]
pub struct ImportedReturn {
    /// The number of the document, unique within the order; it becomes the return's id.
    pub number: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Position of the line in [`ImportedOrder::lines`], from 0, and pieces; each line once.
    pub lines: Vec<(usize, Quantity)>,
    /// What was given back; zero for nothing.
    pub refund: Amount,
    /// What became of the goods: `Restock` or `Damaged`.
    pub disposition: Disposition,
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Orders that were stored.
    pub orders: usize,
    /// Their lines.
    pub lines: usize,
    /// Orders that were there before and were left alone.
    pub known: usize,
    /// Numbers of orders that were refused, each with the reason.
    pub refused: Vec<(String, String)>,
}

impl Module {
    /// Stores orders with their history, 500 in a transaction. Orders whose number is known are left alone, so an
    /// import that broke off is simply repeated.
    ///
    /// # Errors
    /// [`ModuleError`]; the batches before stay.
    pub async fn import(&self, orders: Vec<ImportedOrder>) -> Result<ImportReport, ModuleError> {
        let mut report = ImportReport::default();
        let mut orders = orders.into_iter().peekable();
        while orders.peek().is_some() {
            let batch: Vec<_> = orders.by_ref().take(BATCH).collect();
            let done = self.0.clone().begin_import(batch).await;
            let done = done.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))?;
            report.orders += done.orders;
            report.lines += done.lines;
            report.known += done.known;
            report.refused.extend(done.refused);
        }
        Ok(report)
    }
}

impl Inner {
    /// Its own task: whoever stops waiting for an import must not stop it halfway through a commit.
    fn begin_import(self: Arc<Self>, batch: Vec<ImportedOrder>) -> JoinHandle<Result<ImportReport, ModuleError>> {
        tokio::spawn(async move { self.import_batch(&batch).await })
    }

    async fn import_batch(&self, batch: &[ImportedOrder]) -> Result<ImportReport, ModuleError> {
        let mut report = ImportReport::default();
        let count = i64::try_from(batch.len()).unwrap_or(i64::MAX);
        let mut write = self.store.begin(count).await?;
        let numbers: Vec<_> = batch.iter().map(|order| order.number.as_str()).collect();
        let mut known = write.known(&numbers).await?;
        let (process, version) = self.current();
        let mut lives = Vec::new();
        let mut received: BTreeMap<&str, (&ImportedLine, Quantity)> = BTreeMap::new();
        for imported in batch {
            if known.contains(&imported.number) {
                report.known += 1;
                continue;
            }
            match self.relive(imported) {
                Ok(life) => {
                    lives.push(life);
                    for line in &imported.lines {
                        received.entry(&line.sku).or_insert((line, Quantity::ZERO)).1 += line.quantity;
                    }
                    known.push(imported.number.clone());
                    report.orders += 1;
                    report.lines += imported.lines.len();
                }
                Err(refusal) => report.refused.push((imported.number.clone(), refusal.to_string())),
            }
        }
        self.receive(&mut write, batch, &received).await?;
        let entries: Vec<_> = lives.iter().flat_map(|life| life.entries.iter().cloned()).collect();
        let receipts = service::post_many(&mut write.tx, &entries, time(write.stamp)).await?;
        if let Some(fault) = receipts.into_iter().find_map(Result::err) {
            return Err(fault.into());
        }
        for (life, stamp) in lives.into_iter().zip(write.stamp..) {
            let mut order = life.order;
            order.times.updated_at = time(stamp);
            order.available_actions = process.available_actions(&order, time(stamp));
            write.put(&order, version, None).await?;
        }
        write.commit().await?;
        Ok(report)
    }

    /// Fills the house with what history sold, and an opening stock of what it has not seen before.
    async fn receive(
        &self,
        write: &mut crate::store::Write,
        batch: &[ImportedOrder],
        received: &BTreeMap<&str, (&ImportedLine, Quantity)>,
    ) -> Result<(), ModuleError> {
        let skus: Vec<_> = received.keys().copied().collect();
        let before = write.known_products(&skus).await?;
        let new = received.iter().filter(|(sku, _)| !before.iter().any(|known| known == *sku));
        let products: Vec<_> = new
            .map(|(sku, (line, _))| Product {
                sku: (*sku).to_owned(),
                name: line.name().into(),
                price: line.unit_price,
                details: Map::new(),
            })
            .collect();
        service::put_products(&mut write.tx, &products).await?;
        let goods: Vec<_> = received
            .iter()
            .map(|(sku, (_, quantity))| {
                let opening = if before.iter().any(|known| known == sku) { 0 } else { OPENING_STOCK };
                Goods { sku: (*sku).to_owned(), quantity: *quantity + Quantity::from(opening) }
            })
            .collect();
        if let (false, Some(first)) = (goods.is_empty(), batch.first()) {
            let key = format!("import/{}/{}", first.number, write.stamp);
            service::receive_goods(&mut write.tx, &key, &goods, time(write.stamp)).await?;
        }
        Ok(())
    }

    /// Leads an order through its history.
    fn relive(&self, imported: &ImportedOrder) -> Result<Life<'_>, Refusal> {
        let id = SourceOrderId::try_new(&*imported.number)
            .map_err(|e| Refusal::input("INVALID_INPUT", "/number", e.to_string()))?;
        let mut draft = order::blank(id, self.config.line.kind(), imported.placed_at, self.config.currency);
        if !(1..=LINES_MAX).contains(&imported.lines.len()) {
            let message = format!("An order has 1 to {LINES_MAX} lines.");
            return Err(Refusal::input("INVALID_INPUT", "/lines", message));
        }
        for (i, line) in imported.lines.iter().enumerate() {
            step::pieces(line.quantity, &format!("/lines/{i}/quantity"))?;
            let price = Some(line.unit_price).filter(|price| !price.is_negative());
            let id = (i + 1).to_string();
            let line = price.and_then(|price| order::line(id, &line.sku, line.name(), line.quantity, price));
            let field = format!("/lines/{i}/unitPrice");
            draft.lines.push(line.ok_or_else(|| Refusal::input("INVALID_INPUT", field, "The price cannot be used."))?);
        }
        draft.customer = imported.customer.clone().map(|id| Customer { id: Some(id), ..Customer::default() });
        if imported.country.is_some() || imported.country_code.is_some() {
            let (country, country_code) = (imported.country.clone(), imported.country_code.clone());
            let address = Address { country, country_code, ..Address::default() };
            step::check_address("shippingAddress", Some(&address))?;
            draft.shipping_address = Some(address);
        }
        let settings = self.current().0.settings().clone().without("return_window").without("points_per_unit");
        let mut life = Life { inner: self, settings, order: draft, entries: Vec::new() };
        let placed = imported.placed_at;
        life.step("create", placed, json!({}))?;
        let stages: &[&str] = match &imported.state {
            ImportedState::PendingPayment => &[],
            ImportedState::Paid | ImportedState::Canceled { .. } => &["pay"],
            ImportedState::Picking => &["pay", "produce"],
            ImportedState::Shipped => &["pay", "produce", "ship"],
            ImportedState::Delivered => &["pay", "produce", "ship", "deliver"],
            ImportedState::Completed => &["pay", "produce", "ship", "deliver", "complete"],
        };
        let free = life.order.totals.total.is_zero();
        for stage in stages.iter().filter(|stage| !(free && **stage == "pay")) {
            life.step(stage, placed, json!({}))?;
        }
        if let ImportedState::Canceled { at, reason } = &imported.state {
            life.step("cancel", *at, json!({ "reason": reason }))?;
        }
        for back in &imported.returns {
            let lines =
                back.lines.iter().map(|(i, quantity)| json!({ "lineId": (i + 1).to_string(), "quantity": quantity }));
            let asked = json!({ "returnId": back.number, "lines": lines.collect::<Vec<_>>() });
            life.step("request_return", back.at, asked)?;
            let mut came = json!({ "returnId": back.number, "disposition": back.disposition });
            if !back.refund.is_zero() {
                came["amount"] = json!(back.refund);
            }
            life.step("receive_return", back.at, came)?;
        }
        Ok(life)
    }
}

/// An order on its way through its history.
struct Life<'a> {
    inner: &'a Inner,
    settings: Settings,
    order: OrderSnapshot,
    /// What the services have to book.
    entries: Vec<Entry>,
}

impl Life<'_> {
    fn step(&mut self, action: &str, at: DateTime<Utc>, input: Value) -> Result<(), Refusal> {
        if self.order.events.last().is_some_and(|before| at < before.at) {
            let message = format!("{action} would be before what came before it.");
            return Err(Refusal::input("INVALID_INPUT", "", message));
        }
        let input: Map<String, Value> = input.as_object().cloned().unwrap_or_default();
        let ask = Ask { action, input: &input, trigger: Trigger::Manual, now: at, actor: Some(ACTOR) };
        let (process, _) = self.inner.current();
        let mut planned = process.plan_with(&self.order, &ask, &Facts::default(), &self.settings)?;
        let id = planned.order.source_order_id.to_string();
        let event = planned.order.events.last().map_or("e0", |e| e.id.as_str()).to_owned();
        let mut receipts = Vec::new();
        // Nobody counts purchases of the past, and what is promised in history does not run out.
        planned
            .effects
            .retain(|effect| !matches!(effect.command, Some(Command::Count { .. } | Command::Confirm { .. })));
        for (index, effect) in planned.effects.iter_mut().enumerate() {
            if let Some(Command::Reserve { until, .. }) = &mut effect.command {
                *until = None;
            }
            let Some(command) = effect.command.clone() else { continue };
            let key = format!("{id}/{event}/import/{index}");
            let reference = format!("{}/{key}", command.service().as_str());
            receipts.push(Ok(Receipt { reference, status: order_contract::EffectStatus::Done, data: Map::new() }));
            self.entries.push(Entry { key, order: id.clone(), command });
        }
        self.order = process.receive(planned, &receipts, at).order;
        Ok(())
    }
}

impl From<service::ServiceError> for ModuleError {
    fn from(error: service::ServiceError) -> Self {
        match error {
            service::ServiceError::Fault(fault) => Self::Service(fault),
            other => Self::Embedded(other),
        }
    }
}
