//! Filters mean on both databases what they mean in plain Rust, also where values are missing.

use std::collections::BTreeSet;

use order_center::index::{
    AmountField, Filter, Index, LineFilter, PaymentFilter, Range, TextField, TextMatch, TimeField,
};
use order_contract::{Amount, OrderSnapshot};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any};
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use super::{apply, entry, everything};
use crate::world::{at, clear, databases, order_id, order_json, snapshot, source};

const TEXTS: &[&str] = &["web", "app", "Web", "we", "w_b", "w%", "wéb", "w\u{0}b", "we\u{10ffff}", ""];
const SKUS: &[&str] = &["A", "B", "AB", "a"];

fn order() -> impl Strategy<Value = OrderSnapshot> {
    (
        option::of(select(TEXTS)),
        select(vec!["PENDING_PAYMENT", "PROCESSING", "CANCELED"]),
        option::of(select(vec!["GB", "DE"])),
        option::of((option::of(select(TEXTS)), option::of(select(vec!["Ada@Example.org", "bob@example.org"])))),
        (0..4_i64, option::of(0..4_i64), option::of(0..3_i64)),
        vec((option::of(select(SKUS)), 0..3_i64, 0..4_i64), 0..4),
        vec((select(vec!["card", "invoice"]), option::of(select(vec!["acme", "x"])), 0..4_i64), 0..3),
        (option::of(0..5_i64), 0..5_i64, any::<bool>()),
    )
        .prop_map(|(channel, status, country, customer, (total, captured, refunded), lines, payments, times)| {
            let mut order = order_json("0", 1);
            order["channel"] = json!(channel);
            order["status"] = json!(status);
            order["shippingAddress"] = country.map_or(json!(null), |code| json!({ "countryCode": code }));
            order["customer"] = customer.map_or(json!(null), |(name, email)| json!({ "name": name, "email": email }));
            order["totals"] = json!({ "subtotal": total, "total": total, "captured": captured, "refunded": refunded });
            let line = |(i, (sku, ordered, total)): (usize, (Option<&str>, i64, i64))| {
                json!({ "id": i.to_string(), "sku": sku, "name": "n", "unitPrice": "1", "total": total,
                        "quantity": { "ordered": ordered, "current": ordered } })
            };
            order["lines"] = lines.into_iter().enumerate().map(line).collect();
            let payment = |(i, (method, provider, amount)): (usize, (&str, Option<&str>, i64))| {
                json!({ "id": i.to_string(), "method": method, "provider": provider, "status": "CAPTURED",
                        "amount": amount })
            };
            order["payments"] = payments.into_iter().enumerate().map(payment).collect();
            let (placed, updated, held) = times;
            order["times"] = json!({ "placedAt": placed.map(at), "updatedAt": at(updated) });
            order["holds"] = if held { json!([{ "code": "MANUAL_REVIEW" }]) } else { json!([]) };
            snapshot(&order)
        })
}

fn texts(values: &'static [&'static str]) -> impl Strategy<Value = TextMatch> {
    let one = select(values).prop_map(str::to_owned);
    proptest::prop_oneof![
        vec(one.clone(), 0..3).prop_map(TextMatch::In),
        one.prop_map(TextMatch::StartsWith),
        any::<bool>().prop_map(TextMatch::Present),
    ]
}

fn range<T: std::fmt::Debug + Clone + 'static>(of: fn(i64) -> T) -> BoxedStrategy<Range<T>> {
    let bound = move || option::weighted(0.3, (0..5_i64).prop_map(of));
    (bound(), bound(), bound(), bound()).prop_map(|(gte, gt, lte, lt)| Range { gte, gt, lte, lt }).boxed()
}

fn filter() -> BoxedStrategy<Filter> {
    const STATUSES: &[&str] = &["PENDING_PAYMENT", "PROCESSING", "CANCELED", "PROC", "NOT_REQUIRED", "UNPAID", "PAID"];
    const EMAILS: &[&str] = &["ada@example.org", "BOB@example.org", "ADA", ""];
    const COUNTRIES: &[&str] = &["GB", "DE", "G"];
    const METHODS: &[&str] = &["card", "invoice", "acme", "CAPTURED", "i"];
    let text = |fields: Vec<TextField>, values| {
        (select(fields), texts(values)).prop_map(|(field, text)| Filter::Text(field, text))
    };
    let amounts = || range(Amount::from);
    let leaf =
        proptest::prop_oneof![
            text(vec![TextField::Channel, TextField::CustomerName], TEXTS),
            text(vec![TextField::Status, TextField::PaymentStatus], STATUSES),
            text(vec![TextField::Country], COUNTRIES),
            text(vec![TextField::CustomerEmail], EMAILS),
            (select(vec![TimeField::PlacedAt, TimeField::UpdatedAt]), range(at)).prop_map(|(f, r)| Filter::Time(f, r)),
            (select(vec![AmountField::Total, AmountField::Captured, AmountField::Refunded]), amounts())
                .prop_map(|(field, range)| Filter::Amount(field, range)),
            any::<bool>().prop_map(Filter::Held),
            any::<bool>().prop_map(Filter::Violated),
            (option::of(texts(SKUS)), amounts(), amounts())
                .prop_map(|(sku, ordered, total)| Filter::Lines(LineFilter { sku, name: None, ordered, total })),
            (option::of(texts(METHODS)), option::of(texts(METHODS)), option::of(texts(METHODS)), amounts()).prop_map(
                |(method, provider, status, amount)| {
                    Filter::Payments(PaymentFilter { method, provider, status, reference: None, amount })
                }
            ),
            vec(select(vec!["retail", "other"]), 0..3)
                .prop_map(|s| Filter::Sources(s.into_iter().map(source).collect())),
            Just(Filter::Lines(LineFilter { sku: Some(TextMatch::In(vec!["A".into()])), ..LineFilter::default() })),
        ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        proptest::prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Filter::All),
            vec(inner.clone(), 0..4).prop_map(Filter::Any),
            inner.prop_map(|f| Filter::Not(Box::new(f))),
        ]
    })
    .boxed()
}

/// What a filter means.
fn matches(order: &OrderSnapshot, filter: &Filter) -> bool {
    let customer = order.customer.as_ref();
    match filter {
        Filter::All(all) => all.iter().all(|f| matches(order, f)),
        Filter::Any(any) => any.iter().any(|f| matches(order, f)),
        Filter::Not(not) => !matches(order, not),
        Filter::Text(TextField::CustomerEmail, text) => {
            let email = customer.and_then(|c| c.email.as_deref()).map(str::to_lowercase);
            let lower = match text {
                TextMatch::In(values) => TextMatch::In(values.iter().map(|v| v.to_lowercase()).collect()),
                TextMatch::StartsWith(prefix) => TextMatch::StartsWith(prefix.to_lowercase()),
                present @ TextMatch::Present(_) => present.clone(),
            };
            is(email.as_deref(), &lower)
        }
        Filter::Text(field, text) => {
            let value = match field {
                TextField::Channel => order.channel.as_deref(),
                TextField::CustomerName => customer.and_then(|c| c.name.as_deref()),
                TextField::Status => Some(order.status.as_str()),
                TextField::PaymentStatus => Some(order.computed_payment_status().as_str()),
                TextField::Country => order.shipping_address.as_ref().and_then(|a| a.country_code.as_deref()),
                other => unreachable!("not generated: {other:?}"),
            };
            is(value, text)
        }
        Filter::Time(TimeField::PlacedAt, range) => {
            within(Some(order.times.placed_at.unwrap_or(order.times.updated_at)), range)
        }
        Filter::Time(_, range) => within(Some(order.times.updated_at), range),
        Filter::Amount(AmountField::Total, range) => within(Some(order.totals.total), range),
        Filter::Amount(AmountField::Captured, range) => within(order.totals.captured, range),
        Filter::Amount(AmountField::Refunded, range) => within(order.totals.refunded, range),
        Filter::Held(held) => *held != order.holds.is_empty(),
        Filter::Violated(violated) => *violated != order.violations().is_empty(),
        Filter::Lines(wanted) => order.lines.iter().any(|line| {
            wanted.sku.as_ref().is_none_or(|sku| is(line.sku.as_deref(), sku))
                && within(Some(line.quantity.ordered), &wanted.ordered)
                && within(Some(line.total), &wanted.total)
        }),
        Filter::Payments(wanted) => order.payments.iter().any(|payment| {
            wanted.method.as_ref().is_none_or(|m| is(Some(&payment.method), m))
                && wanted.provider.as_ref().is_none_or(|p| is(payment.provider.as_deref(), p))
                && wanted.status.as_ref().is_none_or(|s| is(Some(payment.status.as_str()), s))
                && within(Some(payment.amount), &wanted.amount)
        }),
        Filter::Sources(sources) => sources.iter().any(|s| s.as_str() == "retail"),
    }
}

fn is(value: Option<&str>, text: &TextMatch) -> bool {
    match text {
        TextMatch::In(values) => values.iter().any(|v| value == Some(v)),
        TextMatch::StartsWith(prefix) => value.is_some_and(|v| v.starts_with(prefix)),
        TextMatch::Present(present) => value.is_some() == *present,
    }
}

fn within<T: PartialOrd + Copy>(value: Option<T>, range: &Range<T>) -> bool {
    let unbounded = [range.gte, range.gt, range.lte, range.lt].iter().all(Option::is_none);
    unbounded
        || value.is_some_and(|v| {
            range.gte.is_none_or(|b| v >= b)
                && range.gt.is_none_or(|b| v > b)
                && range.lte.is_none_or(|b| v <= b)
                && range.lt.is_none_or(|b| v < b)
        })
}

#[test]
fn sql_agrees_with_the_model_for_every_filter() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let databases = runtime.block_on(databases());
    let mut runner = TestRunner::new(Config { cases: 40, max_shrink_iters: 200, ..Config::default() });
    let cases = (vec(order(), 1..12), vec(filter(), 24));
    let outcome = runner.run(&cases, |(mut orders, filters)| {
        for (i, order) in orders.iter_mut().enumerate() {
            order.source_order_id = i.to_string().try_into().unwrap();
        }
        runtime.block_on(async {
            for db in &databases {
                clear(&db.database).await;
                let index = Index::new(db.database.clone());
                let entries = orders.iter().map(|o| entry(&serde_json::to_value(o).unwrap())).collect();
                apply(&index, entries).await;
                for filter in &filters {
                    let wanted: BTreeSet<_> = orders
                        .iter()
                        .filter(|order| matches(order, filter))
                        .map(|order| order_id("retail", order.source_order_id.as_str()))
                        .collect();
                    let mut list = everything(100);
                    list.filter = filter.clone();
                    let page = index.list(&list).await.unwrap();
                    let found: BTreeSet<_> = page.orders.iter().map(|o| o.id.clone()).collect();
                    assert_eq!((page.orders.len(), &found), (wanted.len(), &wanted), "{}: {filter:?}", db.name);
                    assert_eq!(index.count(filter).await.unwrap(), wanted.len() as u64, "{}: {filter:?}", db.name);
                    let groups = index.aggregate(filter, &[], 10).await.unwrap().0;
                    assert_eq!(groups.iter().map(|g| g.measures.orders).sum::<u64>(), wanted.len() as u64);
                }
            }
        });
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

#[tokio::test]
async fn a_text_is_a_value_and_never_sql() {
    for db in databases().await {
        let index = Index::new(db.database.clone());
        let hostile = "'; drop table orders; --\u{0}\\ \" % _ $1";
        let mut order = order_json("1", 1);
        order["channel"] = json!(hostile);
        order["customer"]["name"] = json!(hostile);
        apply(&index, vec![entry(&order)]).await;
        let found = index.find(&order_id("retail", "1")).await.unwrap().unwrap();
        assert_eq!(found.snapshot.channel.as_deref(), Some(hostile), "{}", db.name);
        for (text, count) in [
            (TextMatch::In(vec![hostile.into()]), 1),
            (TextMatch::StartsWith("'; drop".into()), 1),
            (TextMatch::StartsWith("%".into()), 0),
            (TextMatch::In(vec!["' or true --".into()]), 0),
        ] {
            let filter = Filter::Text(TextField::Channel, text);
            assert_eq!(index.count(&filter).await.unwrap(), count, "{filter:?} on {}", db.name);
        }
    }
}
