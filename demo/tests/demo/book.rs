//! The digital and the booking module have lived what the book tells, through the process and nothing else.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use demo::book;
use order_contract::OrderSnapshot;
use order_contract::protocol::OrderPage;
use order_modules::{Config, Line, Module, process};
use tokio_util::sync::CancellationToken;

/// Every order of a module that has just lived its book.
async fn orders(line: Line, now: DateTime<Utc>) -> Vec<OrderSnapshot> {
    let directory = tempfile::tempdir().expect("a folder");
    let database = directory.path().join("module.db");
    let written = book::write(line, database.clone(), now).await.expect("every story is lived as it is told");
    assert!(written.refused > 0, "some are refused");
    let module = Module::open(Config::new(line, database)).await.expect("opens");
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let url = format!("http://{}/orders?limit=200", listener.local_addr().expect("bound"));
    let serving = tokio::spawn(async move { module.serve(listener, CancellationToken::new()).await });
    let page: OrderPage = reqwest::get(url).await.expect("an answer").json().await.expect("a page");
    serving.abort();
    assert_eq!((page.orders.len(), page.next), (written.orders, None));
    page.orders
}

fn in_state<'a>(orders: &'a [OrderSnapshot], state: &str) -> Vec<&'a OrderSnapshot> {
    orders.iter().filter(|order| order.native.state == state).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_state_is_reached_through_the_process() {
    let now: DateTime<Utc> = Utc::now();
    for line in [Line::Digital, Line::Booking] {
        let orders = orders(line, now).await;
        let reached: BTreeSet<_> = orders.iter().map(|order| order.native.state.clone()).collect();
        let process = process(line, &Default::default()).expect("a sound process");
        let all: BTreeSet<_> = process.definition().states.iter().map(|state| state.name.clone()).collect();
        assert_eq!(reached, all, "{line:?}");
        for order in &orders {
            assert_eq!(order.violations(), [], "{}", order.number);
            let last = order.events.last().expect("a timeline").at;
            assert!(last <= now && order.times.placed_at.is_some_and(|placed| placed <= last), "{}", order.number);
        }
        assert!(orders.iter().any(|order| !order.holds.is_empty()), "{line:?}: something waits for a person");
        assert!(orders.iter().any(|order| !order.coupons.is_empty()), "{line:?}: coupons");
        match line {
            Line::Digital => digital(&orders),
            _ => bookings(&orders),
        }
    }
}

fn digital(orders: &[OrderSnapshot]) {
    for order in in_state(orders, "SOLD_OUT") {
        assert_eq!(order.totals.captured, order.totals.refunded, "{}: all is back", order.number);
    }
    assert_eq!(in_state(orders, "SOLD_OUT").len(), 2, "three keys, five buyers");
    let points = |order: &&OrderSnapshot| order.payments.iter().any(|payment| payment.method == "points");
    assert_eq!(orders.iter().filter(points).count(), 2);
    assert!(orders.iter().any(|order| order.attributes.contains_key("pointsEarned")));
}

fn bookings(orders: &[OrderSnapshot]) {
    let fees: Vec<_> = orders.iter().filter_map(|order| order.details.get("cancellationFee")).collect();
    assert_eq!(fees.len(), 3, "two came late, one on the day: {fees:?}");
    let kept =
        |order: &&OrderSnapshot| order.totals.captured.unwrap_or_default() > order.totals.refunded.unwrap_or_default();
    assert!(in_state(orders, "NO_SHOW").iter().all(kept), "what was paid is kept");
    let expired: Vec<_> = in_state(orders, "EXPIRED").into_iter().map(|order| order.payments.is_empty()).collect();
    assert!(expired.contains(&true) && expired.contains(&false), "unpaid ones, and unanswered ones");
    let moved = |order: &&OrderSnapshot| order.events.iter().any(|event| event.event_type == "modify");
    assert!(orders.iter().filter(moved).count() >= 4);
}
