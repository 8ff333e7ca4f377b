//! Bringing orders in from elsewhere, with the life they already had.
//!
//! It owns the way from an invoice to an order of this module: each is led through the same process as a new order, at
//! the times of its history, so that its money, stock and timeline agree by construction. It refuses, one by one and
//! with the reason, orders whose history the process does not allow. Webhooks are not sent for history.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use order_contract::process::Trigger;
use order_contract::{Address, Amount, Customer, Disposition, Quantity, SourceOrderId};
use serde_json::{Map, Value, json};

use super::{Inner, Retail, order};
use crate::ledger::{Booking, Movement, StockReason};
use crate::process::{Ask, Moved, Refusal};
use crate::store::StoreError;

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

impl Retail {
    /// Stores orders with their history, 500 in a transaction. Orders whose number is known are left alone, so an
    /// import that broke off is simply repeated.
    ///
    /// # Errors
    /// [`StoreError`]; the batches before stay.
    pub async fn import(&self, orders: Vec<ImportedOrder>) -> Result<ImportReport, StoreError> {
        let mut report = ImportReport::default();
        let mut orders = orders.into_iter().peekable();
        while orders.peek().is_some() {
            let batch: Vec<_> = orders.by_ref().take(BATCH).collect();
            let inner = self.0.clone();
            // Its own task: whoever stops waiting for an import must not stop it halfway through a commit.
            let done = tokio::spawn(async move { inner.import_batch(&batch).await }).await;
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
    async fn import_batch(&self, batch: &[ImportedOrder]) -> Result<ImportReport, StoreError> {
        let mut report = ImportReport::default();
        let count = i64::try_from(batch.len()).unwrap_or(i64::MAX);
        let mut write = self.store.begin(count).await?;
        let numbers: Vec<_> = batch.iter().map(|order| order.number.as_str()).collect();
        let mut known = write.known(&numbers).await?;
        let mut bookings = Vec::new();
        let mut received: BTreeMap<&str, (&ImportedLine, Quantity)> = BTreeMap::new();
        let mut stamp = write.stamp;
        for imported in batch {
            if known.contains(&imported.number) {
                report.known += 1;
                continue;
            }
            match self.relive(imported) {
                Ok((mut order, moves)) => {
                    order.times.updated_at = super::time(stamp);
                    stamp += 1;
                    order.available_actions = self.process.available_actions(&order);
                    write.put(&order).await?;
                    bookings.extend(moves);
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
        let products = received.iter().map(|(sku, (line, _))| json!([sku, line.name(), line.unit_price.units()]));
        let new = write.add_products(&Value::Array(products.collect())).await?;
        let opening = new.iter().map(|sku| (sku.as_str(), Quantity::from(OPENING_STOCK)));
        let receipts = received.iter().map(|(sku, (_, quantity))| (*sku, *quantity)).chain(opening);
        let receipts = receipts.map(|(sku, quantity)| Booking {
            order: None,
            event: None,
            at: write.stamp,
            movement: Movement::Stock { sku: sku.into(), reason: StockReason::Receipt, quantity },
        });
        bookings.extend(receipts.collect::<Vec<_>>());
        write.book(&bookings).await?;
        write.commit().await?;
        Ok(report)
    }

    /// Leads an order through its history.
    fn relive(&self, imported: &ImportedOrder) -> Result<(order_contract::OrderSnapshot, Vec<Booking>), Refusal> {
        let id = SourceOrderId::try_new(&*imported.number)
            .map_err(|e| Refusal::input("INVALID_INPUT", "/number", e.to_string()))?;
        let mut draft = order::blank(id, imported.placed_at, self.config.currency);
        if !(1..=LINES_MAX).contains(&imported.lines.len()) {
            let message = format!("An order has 1 to {LINES_MAX} lines.");
            return Err(Refusal::input("INVALID_INPUT", "/lines", message));
        }
        for (i, line) in imported.lines.iter().enumerate() {
            order::pieces(line.quantity, &format!("/lines/{i}/quantity"))?;
            let price = Some(line.unit_price).filter(|price| !price.is_negative());
            let line = price.and_then(|price| order::new_line(i, &line.sku, line.name(), line.quantity, price));
            let field = format!("/lines/{i}/unitPrice");
            draft.lines.push(line.ok_or_else(|| Refusal::input("INVALID_INPUT", field, "The price cannot be used."))?);
        }
        draft.customer = imported.customer.clone().map(|id| Customer { id: Some(id), ..Customer::default() });
        if imported.country.is_some() || imported.country_code.is_some() {
            let (country, country_code) = (imported.country.clone(), imported.country_code.clone());
            let address = Address { country, country_code, ..Address::default() };
            order::check_address("shippingAddress", Some(&address))?;
            draft.shipping_address = Some(address);
        }
        order::sum_up(&mut draft);

        let mut life = Life { inner: self, order: draft, bookings: Vec::new() };
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
        Ok((life.order, life.bookings))
    }
}

/// An order on its way through its history.
struct Life<'a> {
    inner: &'a Inner,
    order: order_contract::OrderSnapshot,
    bookings: Vec<Booking>,
}

impl Life<'_> {
    fn step(&mut self, action: &str, at: DateTime<Utc>, input: Value) -> Result<(), Refusal> {
        if self.order.events.last().is_some_and(|before| at < before.at) {
            let message = format!("{action} would be before what came before it.");
            return Err(Refusal::input("INVALID_INPUT", "", message));
        }
        let input: Map<String, Value> = input.as_object().cloned().unwrap_or_default();
        let ask = Ask { action, input: &input, trigger: Trigger::Manual, now: at, actor: Some(ACTOR) };
        let Moved { order, movements, .. } = self.inner.process.step_through(&self.order, &ask)?;
        let event = order.events.last().map(|e| e.id.clone());
        let id = order.source_order_id.to_string();
        self.bookings.extend(movements.into_iter().map(|movement| Booking {
            order: Some(id.clone()),
            event: event.clone(),
            at: at.timestamp_micros(),
            movement,
        }));
        self.order = order;
        Ok(())
    }
}
