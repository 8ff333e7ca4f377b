//! The first page of every filter and sort: it must not grow with the number of orders.

use std::time::Instant;

use order_contract::SourceKey;

use super::{BenchError, synthetic};
use crate::index::{Direction, Filter, Index, LineFilter, OrderList, SortField, TextField, TextMatch};

/// Enough to tell a median from a disturbance.
const ROUNDS: usize = 51;

fn text(field: TextField, values: &[&str]) -> Filter {
    Filter::Text(field, TextMatch::In(values.iter().map(|&value| value.to_owned()).collect()))
}

/// What is listed. Values are those of an order in the middle.
fn lists(orders: u64) -> Vec<(&'static str, Filter, SortField)> {
    let i = orders.min(super::SAMPLE) / 2;
    let all = || Filter::All(Vec::new());
    let sku = |i| TextMatch::In(vec![synthetic::sku(i, 0)]);
    let source = || Filter::Sources(SourceKey::try_new(synthetic::SOURCE).into_iter().collect());
    let status = |values: &[&str]| text(TextField::Status, values);
    let number = Filter::Text(TextField::Number, TextMatch::StartsWith(synthetic::number(i)[..9].to_owned()));
    vec![
        ("all, placed", all(), SortField::PlacedAt),
        ("all, updated", all(), SortField::UpdatedAt),
        ("all, total", all(), SortField::Total),
        ("source, placed", source(), SortField::PlacedAt),
        ("source, updated", source(), SortField::UpdatedAt),
        ("status, placed", status(&["PROCESSING"]), SortField::PlacedAt),
        ("status, updated", status(&["PROCESSING"]), SortField::UpdatedAt),
        ("status, total", status(&["PROCESSING"]), SortField::Total),
        ("two statuses, placed", status(&["PROCESSING", "PENDING_PAYMENT"]), SortField::PlacedAt),
        ("payment status, placed", text(TextField::PaymentStatus, &["UNPAID"]), SortField::PlacedAt),
        ("fulfillment status, placed", text(TextField::FulfillmentStatus, &["SHIPPED"]), SortField::PlacedAt),
        ("country, placed", text(TextField::Country, &["JP"]), SortField::PlacedAt),
        (
            "country and status, placed",
            Filter::All(vec![text(TextField::Country, &["JP"]), status(&["PENDING_PAYMENT"])]),
            SortField::PlacedAt,
        ),
        ("customer, placed", text(TextField::CustomerId, &[&synthetic::customer_id(i)]), SortField::PlacedAt),
        ("e-mail, placed", text(TextField::CustomerEmail, &[&synthetic::email(i)]), SortField::PlacedAt),
        ("number, placed", text(TextField::Number, &[&synthetic::number(i)]), SortField::PlacedAt),
        ("number begins with, placed", number, SortField::PlacedAt),
        ("SKU, placed", Filter::Lines(LineFilter { sku: Some(sku(i)), ..LineFilter::default() }), SortField::PlacedAt),
    ]
}

/// The median of each list's first page in µs.
pub(super) async fn measure(index: &Index, orders: u64) -> Result<Vec<(&'static str, u64)>, BenchError> {
    let mut medians = Vec::new();
    for (name, filter, sort) in lists(orders) {
        let direction = Direction::Descending;
        let list = OrderList { filter, sort, direction, after: None, before: None, limit: 20, backward: false };
        let mut rounds = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            let begin = Instant::now();
            index.list(&list).await?;
            rounds.push(u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
        rounds.sort_unstable();
        medians.push((name, rounds[ROUNDS / 2]));
    }
    Ok(medians)
}
