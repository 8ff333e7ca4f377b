//! From a snapshot to the rows of its tables.
//!
//! It owns which part of an order stands in which column. It refuses to decide what is written: that is the writer's.
//! That is so that the search columns and the children can be read off one page, in the order of the migration.

use order_contract::{OrderLine, Payment, Refund};

use super::write::Pending;
use crate::database::{Batch, Column};

/// A text as a column holds it. PostgreSQL cannot store U+0000; the document keeps it, escaped.
pub(super) fn column_text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// An e-mail address as it is matched.
pub(super) fn column_email(email: &str) -> String {
    column_text(&email.to_lowercase())
}

fn ints<T>(rows: &[T], of: impl Fn(&T) -> i64) -> Column {
    Column::Int(rows.iter().map(|row| Some(of(row))).collect())
}

fn opt_ints<T>(rows: &[T], of: impl Fn(&T) -> Option<i64>) -> Column {
    Column::Int(rows.iter().map(of).collect())
}

fn texts<T>(rows: &[T], of: impl Fn(&T) -> &str) -> Column {
    Column::Text(rows.iter().map(|row| Some(column_text(of(row)))).collect())
}

fn opt_texts<T>(rows: &[T], of: impl Fn(&T) -> Option<&str>) -> Column {
    Column::Text(rows.iter().map(|row| of(row).map(column_text)).collect())
}

fn country(pending: &Pending) -> Option<&str> {
    let order = pending.snapshot();
    [&order.shipping_address, &order.billing_address]
        .into_iter()
        .flatten()
        .find_map(|address| address.country_code.as_deref().or(address.country.as_deref()))
}

/// The rows of `orders`. The guard stands in the statement too, so that a concurrent writer is not overwritten: newer
/// wins, and of one version only a writer that has seen the stored row may replace it.
pub(super) fn orders(pending: &[&Pending]) -> Batch {
    let rows = pending;
    Batch {
        table: "orders",
        columns: vec![
            ("order_id", texts(rows, |p| &p.id_text)),
            ("source", texts(rows, |p| p.entry.source.as_str())),
            ("source_order_id", texts(rows, |p| p.snapshot().source_order_id.as_str())),
            ("number", texts(rows, |p| &p.snapshot().number)),
            ("kind", texts(rows, |p| p.snapshot().kind.as_str())),
            ("channel", opt_texts(rows, |p| p.snapshot().channel.as_deref())),
            ("status", texts(rows, |p| p.snapshot().status.as_str())),
            ("payment_status", texts(rows, |p| p.payment_status.as_str())),
            ("fulfillment_status", texts(rows, |p| p.snapshot().fulfillment_status.as_str())),
            ("return_status", texts(rows, |p| p.snapshot().return_status.as_str())),
            ("native_state", texts(rows, |p| &p.snapshot().native.state)),
            ("held", ints(rows, |p| i64::from(!p.snapshot().holds.is_empty()))),
            ("country", opt_texts(rows, |p| country(p))),
            ("currency", texts(rows, |p| p.snapshot().currency.code())),
            ("customer_id", opt_texts(rows, |p| p.snapshot().customer.as_ref()?.id.as_deref())),
            (
                "customer_email",
                Column::Text(
                    rows.iter().map(|p| p.snapshot().customer.as_ref()?.email.as_deref().map(column_email)).collect(),
                ),
            ),
            ("customer_name", opt_texts(rows, |p| p.snapshot().customer.as_ref()?.name.as_deref())),
            ("total", ints(rows, |p| p.snapshot().totals.total.units())),
            ("captured", opt_ints(rows, |p| p.snapshot().totals.captured.map(|a| a.units()))),
            ("refunded", opt_ints(rows, |p| p.snapshot().totals.refunded.map(|a| a.units()))),
            ("line_count", ints(rows, |p| p.snapshot().lines.len() as i64)),
            ("violations", ints(rows, |p| p.violations)),
            ("placed_at", ints(rows, |p| p.placed_at())),
            ("updated_at", ints(rows, |p| p.snapshot().times.updated_at.timestamp_micros())),
            ("version", ints(rows, |p| p.snapshot().version.get())),
            ("revision", ints(rows, |p| p.revision)),
            ("content_hash", Column::Bytes(rows.iter().map(|p| Some(p.hash.0.to_vec())).collect())),
            ("observed_at", ints(rows, |p| p.entry.observed_at.timestamp_micros())),
            ("via", texts(rows, |p| p.entry.via.as_str())),
            ("checks", Column::Text(rows.iter().map(|p| Some(p.checks.clone())).collect())),
            ("document", Column::Text(rows.iter().map(|p| Some(p.document.clone())).collect())),
        ],
        suffix: "on conflict (order_id) do update set number = excluded.number, kind = excluded.kind,
            channel = excluded.channel, status = excluded.status, payment_status = excluded.payment_status,
            fulfillment_status = excluded.fulfillment_status, return_status = excluded.return_status,
            native_state = excluded.native_state, held = excluded.held, country = excluded.country,
            currency = excluded.currency, customer_id = excluded.customer_id,
            customer_email = excluded.customer_email, customer_name = excluded.customer_name, total = excluded.total,
            captured = excluded.captured, refunded = excluded.refunded, line_count = excluded.line_count,
            violations = excluded.violations, placed_at = excluded.placed_at, updated_at = excluded.updated_at,
            version = excluded.version, revision = orders.revision + 1, content_hash = excluded.content_hash,
            observed_at = excluded.observed_at, via = excluded.via, checks = excluded.checks,
            document = excluded.document
            where excluded.version > orders.version
            or (excluded.version = orders.version and excluded.revision > orders.revision)",
    }
}

/// What the sources sent, verbatim; nothing where it is the document.
pub(super) fn raw_payloads(rows: &[&Pending]) -> Batch {
    let body = |p: &&Pending| (p.entry.raw != p.document.as_bytes()).then(|| p.entry.raw.to_vec());
    Batch {
        table: "raw_payloads",
        columns: vec![
            ("order_id", texts(rows, |p| &p.id_text)),
            ("version", ints(rows, |p| p.snapshot().version.get())),
            ("received_at", ints(rows, |p| p.entry.observed_at.timestamp_micros())),
            ("body", Column::Bytes(rows.iter().map(body).collect())),
        ],
        suffix: "on conflict (order_id) do update set version = excluded.version,
            received_at = excluded.received_at, body = excluded.body",
    }
}

/// The status changes, of orders whose status on any axis is another than before.
pub(super) fn status_changes(rows: &[&Pending]) -> Batch {
    Batch {
        table: "order_status_changes",
        columns: vec![
            ("order_id", texts(rows, |p| &p.id_text)),
            ("revision", ints(rows, |p| p.revision)),
            ("version", ints(rows, |p| p.snapshot().version.get())),
            ("observed_at", ints(rows, |p| p.entry.observed_at.timestamp_micros())),
            ("status", texts(rows, |p| p.snapshot().status.as_str())),
            ("payment_status", texts(rows, |p| p.payment_status.as_str())),
            ("fulfillment_status", texts(rows, |p| p.snapshot().fulfillment_status.as_str())),
            ("return_status", texts(rows, |p| p.snapshot().return_status.as_str())),
            ("native_state", texts(rows, |p| &p.snapshot().native.state)),
        ],
        suffix: "on conflict do nothing",
    }
}

struct Child<'a, T> {
    order: &'a Pending,
    position: i64,
    item: &'a T,
}

fn children<'a, T>(pending: &[&'a Pending], of: fn(&'a Pending) -> &'a [T]) -> Vec<Child<'a, T>> {
    let numbered = |order: &&'a Pending| {
        let order = *order;
        (0..).zip(of(order)).map(move |(position, item)| Child { order, position, item })
    };
    pending.iter().flat_map(numbered).collect()
}

/// The lines.
pub(super) fn lines(pending: &[&Pending]) -> Batch {
    let rows: Vec<Child<'_, OrderLine>> = children(pending, |p| &p.snapshot().lines);
    let rows = rows.as_slice();
    Batch {
        table: "order_lines",
        columns: vec![
            ("order_id", texts(rows, |c| &c.order.id_text)),
            ("position", ints(rows, |c| c.position)),
            ("line_id", texts(rows, |c| &c.item.id)),
            ("sku", opt_texts(rows, |c| c.item.sku.as_deref())),
            ("name", texts(rows, |c| &c.item.name)),
            ("ordered", ints(rows, |c| c.item.quantity.ordered.units())),
            ("current", ints(rows, |c| c.item.quantity.current.units())),
            ("fulfilled", ints(rows, |c| c.item.quantity.fulfilled.units())),
            ("canceled", ints(rows, |c| c.item.quantity.canceled.units())),
            ("returned", ints(rows, |c| c.item.quantity.returned.units())),
            ("unit_price", ints(rows, |c| c.item.unit_price.units())),
            ("discount", ints(rows, |c| c.item.discount.units())),
            ("tax", ints(rows, |c| c.item.tax.units())),
            ("total", ints(rows, |c| c.item.total.units())),
            ("placed_at", ints(rows, |c| c.order.placed_at())),
        ],
        suffix: "",
    }
}

/// The payments.
pub(super) fn payments(pending: &[&Pending]) -> Batch {
    let rows: Vec<Child<'_, Payment>> = children(pending, |p| &p.snapshot().payments);
    let rows = rows.as_slice();
    Batch {
        table: "order_payments",
        columns: vec![
            ("order_id", texts(rows, |c| &c.order.id_text)),
            ("position", ints(rows, |c| c.position)),
            ("payment_id", texts(rows, |c| &c.item.id)),
            ("method", texts(rows, |c| &c.item.method)),
            ("provider", opt_texts(rows, |c| c.item.provider.as_deref())),
            ("status", texts(rows, |c| c.item.status.as_str())),
            ("amount", ints(rows, |c| c.item.amount.units())),
            ("reference", opt_texts(rows, |c| c.item.reference.as_deref())),
            ("created_at", opt_ints(rows, |c| c.item.created_at.map(|at| at.timestamp_micros()))),
        ],
        suffix: "",
    }
}

/// The refunds.
pub(super) fn refunds(pending: &[&Pending]) -> Batch {
    let rows: Vec<Child<'_, Refund>> = children(pending, |p| &p.snapshot().refunds);
    let rows = rows.as_slice();
    Batch {
        table: "order_refunds",
        columns: vec![
            ("order_id", texts(rows, |c| &c.order.id_text)),
            ("position", ints(rows, |c| c.position)),
            ("refund_id", texts(rows, |c| &c.item.id)),
            ("status", texts(rows, |c| c.item.status.as_str())),
            ("amount", ints(rows, |c| c.item.amount.units())),
            ("payment_id", opt_texts(rows, |c| c.item.payment_id.as_deref())),
            ("created_at", opt_ints(rows, |c| c.item.created_at.map(|at| at.timestamp_micros()))),
        ],
        suffix: "",
    }
}

/// The four axes and the native state: what makes a status change.
pub(super) fn axes(pending: &Pending) -> [String; 5] {
    let order = pending.snapshot();
    [
        order.status.to_string(),
        pending.payment_status.to_string(),
        order.fulfillment_status.to_string(),
        order.return_status.to_string(),
        column_text(&order.native.state),
    ]
}
