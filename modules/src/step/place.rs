//! Placing an order and changing a placed one: what is wanted, at which price.

use std::collections::BTreeMap;

use order_contract::{
    Address, Amount, Coupon, Customer, Discount, Hold, LineQuantities, Note, OrderLine, OrderRelation, OrderSnapshot,
    OrderTotals, Quantity, RelationType, RiskAssessment, RiskRecommendation, ShippingLine, SourceOrderId,
};
use serde::Deserialize;

use super::pieces;
use crate::order::{self, outstanding};
use crate::pricing::{self, Item, PriceError, Quote};
use crate::process::{Refusal, Work};
use crate::service::{CouponRule, Facts, Product};

/// The most lines a client may order at once.
const LINES_MAX: usize = 500;
/// The rules of the coupons as they were when the order was placed, in `attributes`: a rule that is changed later
/// does not change what was agreed.
const PROMOTIONS: &str = "promotions";
/// Why an order waits for a person.
const MANUAL_REVIEW: &str = "MANUAL_REVIEW";

/// The input of `create`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateInput {
    lines: Vec<WantedLine>,
    customer: Option<Customer>,
    shipping_address: Option<Address>,
    billing_address: Option<Address>,
    channel: Option<String>,
    note: Option<String>,
    #[serde(default)]
    coupons: Vec<String>,
    shipping_method: Option<ShippingMethod>,
    exchange_of: Option<SourceOrderId>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedLine {
    sku: String,
    quantity: Quantity,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum ShippingMethod {
    Standard,
    Express,
}

/// The order as it is placed, at today's prices.
pub(super) fn place(work: &mut Work<'_>) -> Result<(), Refusal> {
    if !work.order.lines.is_empty() {
        // History comes with its lines and their prices of then.
        sum_up(&mut work.order);
        work.done = work.order.totals.total.is_zero();
        return Ok(());
    }
    let input: CreateInput = work.input()?;
    if input.lines.is_empty() || input.lines.len() > LINES_MAX {
        return Err(Refusal::input("INVALID_INPUT", "/lines", format!("An order has 1 to {LINES_MAX} lines.")));
    }
    for (field, address) in [("shippingAddress", &input.shipping_address), ("billingAddress", &input.billing_address)] {
        check_address(field, address.as_ref())?;
    }
    for (i, wanted) in input.lines.iter().enumerate() {
        let line = new_line(work, (i + 1).to_string(), wanted, &format!("/lines/{i}"))?;
        work.order.lines.push(line);
    }
    check_limits(work)?;
    let fields = |i: usize| format!("/lines/{i}/quantity");
    let wanted: Vec<_> = input.lines.iter().enumerate().map(|(i, l)| (l.sku.clone(), l.quantity, fields(i))).collect();
    check_stock(work, &wanted)?;
    let rules = input.coupons.iter().enumerate().map(|(i, code)| coupon(work, code, &format!("/coupons/{i}")));
    let rules: Vec<_> = rules.collect::<Result<_, _>>()?;

    let order = &mut work.order;
    order.coupons = rules.iter().map(|rule| Coupon { code: rule.code.clone(), discount: None }).collect();
    if !rules.is_empty() {
        keep(order, &rules);
    }
    order.customer = input.customer;
    if let (Some(customer), Some(member)) = (&mut order.customer, &work.facts.member) {
        customer.group = Some(member.level.clone());
    }
    order.shipping_address = input.shipping_address;
    order.billing_address = input.billing_address;
    order.channel = input.channel;
    order.notes.extend(input.note.map(|text| Note { text, author: None, at: Some(work.now), customer_visible: true }));
    order.relations.extend(input.exchange_of.map(|source_order_id| OrderRelation {
        relation_type: RelationType::ExchangeOf,
        source: None,
        source_order_id,
        number: None,
    }));
    if let Some(method) = input.shipping_method {
        let (title, setting) = match method {
            ShippingMethod::Standard => ("Standard delivery", "shipping_standard"),
            ShippingMethod::Express => ("Express delivery", "shipping_express"),
        };
        let amount = work.settings.amount(setting).unwrap_or_default();
        order.shipping_lines = vec![ShippingLine { title: title.into(), amount }];
    }
    price(work)?;
    review(work);
    work.done = work.order.totals.total.is_zero();
    Ok(())
}

/// Large orders wait for a person.
fn review(work: &mut Work<'_>) {
    let Some(from) = work.facts.review_from.filter(|from| work.order.totals.total >= *from) else { return };
    let reason = format!("The order is worth {} or more: someone must look at it.", work.order.money(from));
    work.order.risk =
        Some(RiskAssessment { recommendation: RiskRecommendation::Investigate, reasons: vec![reason.clone()] });
    work.order.holds = vec![Hold { code: MANUAL_REVIEW.into(), reason: Some(reason), since: Some(work.now) }];
}

pub(super) fn release_hold(work: &mut Work<'_>) -> Result<(), Refusal> {
    work.order.holds.clear();
    if let Some(risk) = &mut work.order.risk {
        risk.recommendation = RiskRecommendation::Accept;
    }
    Ok(())
}

pub(super) fn find<'a>(facts: &'a Facts, sku: &str, field: &str) -> Result<&'a Product, Refusal> {
    facts.products.get(sku).ok_or_else(|| Refusal::input("UNKNOWN_SKU", field, format!("There is no product {sku:?}.")))
}

fn new_line(work: &Work<'_>, id: String, wanted: &WantedLine, field: &str) -> Result<OrderLine, Refusal> {
    let product = find(work.facts, &wanted.sku, &format!("{field}/sku"))?;
    pieces(wanted.quantity, &format!("{field}/quantity"))?;
    order::line(id, &wanted.sku, &product.name, wanted.quantity, product.price)
        .ok_or_else(|| Refusal::input("INVALID_INPUT", format!("{field}/quantity"), "The order would cost too much."))
}

/// Refuses what is not there: the warehouse would, too, but would not say which line is at fault.
pub(super) fn check_stock(work: &Work<'_>, wanted: &[(String, Quantity, String)]) -> Result<(), Refusal> {
    let mut sums: BTreeMap<&str, Quantity> = BTreeMap::new();
    for (sku, quantity, field) in wanted {
        let sum = sums.entry(sku).or_default();
        *sum += *quantity;
        let own = work.before.lines.iter().filter(|l| l.sku.as_deref() == Some(sku)).map(outstanding).sum::<Quantity>();
        let free = work.facts.available.get(sku).copied().unwrap_or_default() + own;
        if *sum > free {
            let is_slot = work.facts.products.get(sku).is_some_and(|p| p.details.contains_key("startsAt"));
            let (code, message) = match is_slot {
                true => ("SLOT_FULL", format!("{sku} has {free} free places: ask for fewer, or for another slot.")),
                false => ("OUT_OF_STOCK", format!("Of {sku} there are {free} left.")),
            };
            return Err(Refusal::conflict(code, message).at(field.clone()));
        }
    }
    Ok(())
}

/// Refuses what passes a purchase limit, and says what is left of it.
fn check_limits(work: &Work<'_>) -> Result<(), Refusal> {
    let allowances = &work.facts.allowances;
    if allowances.get("*").is_some_and(|left| *left < 1.into()) {
        let message = "This customer has placed as many orders as are allowed in this time: try again later.";
        return Err(Refusal::conflict("VELOCITY_LIMIT", message));
    }
    for (i, line) in work.order.lines.iter().enumerate() {
        let Some((sku, left)) = line.sku.as_ref().and_then(|sku| Some((sku, *allowances.get(sku)?))) else { continue };
        let count = |order: &OrderSnapshot| {
            let lines = order.lines.iter().filter(|l| l.sku.as_ref() == Some(sku));
            lines.map(|l| l.quantity.ordered - l.quantity.canceled).sum::<Quantity>()
        };
        let own = count(work.before);
        if count(&work.order) - own > left {
            let message = format!("This customer may buy {} more of {sku} in this period.", left + own);
            return Err(Refusal::conflict("PURCHASE_LIMIT", message).at(format!("/lines/{i}/quantity")));
        }
    }
    Ok(())
}

fn coupon(work: &Work<'_>, code: &str, field: &str) -> Result<CouponRule, Refusal> {
    let offer = work.facts.coupons.get(code).ok_or_else(|| {
        Refusal::input("COUPON_UNKNOWN", field, format!("There is no coupon {code:?}: leave it out or check the code."))
    })?;
    if offer.left == Some(0) {
        let message = format!("The coupon {code} has been used as often as it may be: order without it.");
        return Err(Refusal::conflict("COUPON_USED_UP", message).at(field));
    }
    Ok(offer.rule.clone())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ModifyInput {
    shipping_address: Option<Address>,
    lines: Option<Vec<ChangedLine>>,
}

/// A line with its new quantity, 0 to leave it out; or a further product.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ChangedLine {
    line_id: Option<String>,
    sku: Option<String>,
    quantity: Quantity,
}

pub(super) fn change_address(work: &mut Work<'_>) -> Result<(), Refusal> {
    let ModifyInput { shipping_address, lines } = work.input()?;
    if shipping_address.is_none() && lines.is_none() {
        return Err(Refusal::input(
            "INVALID_INPUT",
            "",
            "Say what to change: a shippingAddress, or lines where the order is not picked yet.",
        ));
    }
    if let Some(address) = shipping_address {
        check_address("shippingAddress", Some(&address))?;
        work.order.shipping_address = Some(address);
    }
    Ok(())
}

pub(super) fn change_lines(work: &mut Work<'_>) -> Result<(), Refusal> {
    let ModifyInput { lines, .. } = work.input()?;
    let Some(changes) = lines else { return Ok(()) };
    for (i, change) in changes.iter().enumerate() {
        let field = format!("/lines/{i}");
        match (&change.line_id, &change.sku) {
            (Some(id), None) => {
                let found = work.order.lines.iter_mut().find(|l| l.id == *id);
                let Some(line) = found else {
                    let message = format!("The order has no line {id:?}.");
                    return Err(Refusal::input("INVALID_INPUT", format!("{field}/lineId"), message));
                };
                if !change.quantity.is_zero() {
                    pieces(change.quantity, &format!("{field}/quantity"))?;
                }
                let (ordered, current) = (change.quantity, change.quantity);
                line.quantity = LineQuantities { ordered, current, ..line.quantity };
            }
            (None, Some(sku)) => {
                let highest = work.order.lines.iter().filter_map(|l| l.id.parse::<usize>().ok()).max().unwrap_or(0);
                let wanted = WantedLine { sku: sku.clone(), quantity: change.quantity };
                let line = new_line(work, (highest + 1).to_string(), &wanted, &field)?;
                work.order.lines.push(line);
            }
            _ => return Err(Refusal::input("INVALID_INPUT", field, "Give either a lineId or a sku.")),
        }
    }
    work.order.lines.retain(|line| !line.quantity.ordered.is_zero());
    if work.order.lines.is_empty() || work.order.lines.len() > LINES_MAX {
        let message = format!("An order keeps 1 to {LINES_MAX} lines; to have none of it, cancel it.");
        return Err(Refusal::input("INVALID_INPUT", "/lines", message));
    }
    let wanted: Vec<_> = work
        .order
        .lines
        .iter()
        .map(|l| (l.sku.clone().unwrap_or_default(), l.quantity.ordered, "/lines".to_owned()))
        .collect();
    check_stock(work, &wanted)?;
    check_limits(work)?;
    reprice(work)
}

/// Prices a changed order by the rules it was placed under. A coupon whose minimum is not reached any more leaves it.
pub(super) fn reprice(work: &mut Work<'_>) -> Result<(), Refusal> {
    let items = items(&work.order, |line| line.quantity.ordered);
    let subtotal: Amount = items.iter().filter_map(|item| item.unit_price.checked_mul(item.quantity)).sum();
    let mut rules = rules(&work.order);
    let before = rules.len();
    rules.retain(|rule| rule.minimum.is_none_or(|minimum| minimum <= subtotal));
    if rules.len() < before {
        keep(&mut work.order, &rules);
    }
    let quote = pricing::requote(&items, &rules, work.order.currency.minor_digits());
    write(&mut work.order, &rules, quote.map_err(|e| Refusal::input(e.code(), "/lines", e.to_string()))?);
    Ok(())
}

/// What pieces of the lines of an order cost with the coupons it was placed with.
pub(super) fn value_of(order: &OrderSnapshot, of: impl Fn(usize, &OrderLine) -> Quantity) -> Amount {
    let mut index = 0..;
    let items = items(order, |line| of(index.next().unwrap_or(0), line));
    pricing::requote(&items, &rules(order), order.currency.minor_digits()).map_or(Amount::ZERO, |quote| quote.total)
}

fn items(order: &OrderSnapshot, mut of: impl FnMut(&OrderLine) -> Quantity) -> Vec<Item> {
    let item = |line: &OrderLine| Item {
        sku: line.sku.clone().unwrap_or_default(),
        quantity: of(line),
        unit_price: line.unit_price,
    };
    order.lines.iter().map(item).collect()
}

fn keep(order: &mut OrderSnapshot, rules: &[CouponRule]) {
    order.attributes.insert(PROMOTIONS.into(), serde_json::to_value(rules).unwrap_or_default());
}

fn rules(order: &OrderSnapshot) -> Vec<CouponRule> {
    order::kept(&order.attributes, PROMOTIONS).unwrap_or_default()
}

/// Prices a new order.
fn price(work: &mut Work<'_>) -> Result<(), Refusal> {
    let (items, rules) = (items(&work.order, |line| line.quantity.ordered), rules(&work.order));
    let quote = pricing::price(&items, &rules, work.order.currency.minor_digits(), work.now).map_err(|error| {
        let at = match &error {
            PriceError::NotStackable(code)
            | PriceError::Repeated(code)
            | PriceError::NotValid(code)
            | PriceError::Minimum { code, .. } => rules.iter().rposition(|rule| rule.code == *code),
            PriceError::Inexact(_) => None,
        };
        let field = at.map_or("/lines".to_owned(), |index| format!("/coupons/{index}"));
        Refusal::input(error.code(), field, error.to_string())
    });
    write(&mut work.order, &rules, quote?);
    Ok(())
}

/// Writes into an order what it costs.
fn write(order: &mut OrderSnapshot, rules: &[CouponRule], quote: Quote) {
    let Quote { lines, discounts, .. } = quote;
    order.coupons.retain(|coupon| rules.iter().any(|rule| rule.code == coupon.code));
    let discount = |rule: &CouponRule, amount: Amount| Discount {
        title: rule.title.clone(),
        amount,
        coupon_code: Some(rule.code.clone()),
    };
    for (coupon, amount) in order.coupons.iter_mut().zip(&discounts) {
        coupon.discount = Some(*amount);
    }
    order.discounts = rules.iter().zip(&discounts).map(|(rule, amount)| discount(rule, *amount)).collect();
    for (line, quoted) in order.lines.iter_mut().zip(lines) {
        let shares = rules.iter().zip(&quoted.discounts).filter(|(_, share)| !share.is_zero());
        line.discounts = shares.map(|(rule, share)| discount(rule, *share)).collect();
        line.discount = quoted.discounts.iter().copied().sum();
        line.total = quoted.total;
    }
    sum_up(order);
}

/// The sums of an order, from its lines and charges.
fn sum_up(order: &mut OrderSnapshot) {
    let gross = |line: &OrderLine| line.unit_price.checked_mul(line.quantity.ordered).unwrap_or_default();
    let subtotal: Amount = order.lines.iter().map(gross).sum();
    let discount: Amount = order.lines.iter().map(|l| l.discount).sum();
    let shipping: Amount = order.shipping_lines.iter().map(|l| l.amount).sum();
    let total = subtotal - discount + shipping;
    order.totals = OrderTotals { subtotal, discount, shipping, total, ..OrderTotals::default() };
}

/// What types alone cannot say of an address.
pub(crate) fn check_address(field: &str, address: Option<&Address>) -> Result<(), Refusal> {
    let code = address.and_then(|a| a.country_code.as_deref());
    if code.is_none_or(|c| c.len() == 2 && c.bytes().all(|b| b.is_ascii_uppercase())) {
        return Ok(());
    }
    let message = "A country code is ISO 3166-1 alpha-2 such as \"GB\"; a name belongs in `country`.";
    Err(Refusal::input("INVALID_INPUT", format!("/{field}/countryCode"), message))
}
