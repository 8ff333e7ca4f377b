//! Orders that had a life before they came here.

use order_contract::{Amount, Disposition, FulfillmentStatus, OrderStatus, PaymentStatus, Quantity, ReturnStatus};
use order_modules::{ImportedLine, ImportedReturn, ImportedState};
use serde_json::json;

use crate::shop::{Shop, imported, placed};

fn lines() -> Vec<ImportedLine> {
    [
        ("85123A", "WHITE HANGING HEART T-LIGHT HOLDER", 6, "2.55"),
        ("22139", "", 56, "0"),
        ("85123A", "HEART", 1, "2.55"),
    ]
    .map(|(sku, name, quantity, price)| ImportedLine {
        sku: sku.into(),
        name: name.into(),
        quantity: quantity.into(),
        unit_price: price.parse().unwrap(),
    })
    .into()
}

fn back(number: &str, pieces: &[(usize, i64)], refund: &str) -> ImportedReturn {
    ImportedReturn {
        number: number.into(),
        at: placed() + chrono::TimeDelta::days(3),
        lines: pieces.iter().map(|(line, n)| (*line, Quantity::from(*n))).collect(),
        refund: refund.parse().unwrap(),
        disposition: Disposition::Restock,
    }
}

#[tokio::test]
async fn history_is_whole_and_goes_on_living() {
    let shop = Shop::open().await;
    let at = placed() + chrono::TimeDelta::days(1);
    let canceled = ImportedState::Canceled { at, reason: "C536379".into() };
    let mut partly = imported("2", lines(), ImportedState::Completed);
    partly.returns = vec![back("C1", &[(0, 2)], "5.10"), back("C2", &[(0, 1), (1, 6)], "0")];
    let mut returned = imported("3", lines(), ImportedState::Delivered);
    returned.returns = vec![back("C3", &[(0, 6), (1, 56), (2, 1)], "17.85")];
    let mut free = lines();
    free.iter_mut().for_each(|line| line.unit_price = Amount::ZERO);
    let open = [ImportedState::PendingPayment, ImportedState::Paid, ImportedState::Picking, ImportedState::Shipped];
    let mut batch = vec![
        imported("0", lines(), ImportedState::Completed),
        imported("1", lines(), canceled),
        partly.clone(),
        returned,
        imported("4", free, ImportedState::Completed),
    ];
    batch.extend(open.into_iter().enumerate().map(|(i, state)| imported(&format!("open-{i}"), lines(), state)));
    let report = shop.module.import(batch.clone()).await.unwrap();
    assert_eq!((report.orders, report.lines, report.known, report.refused), (9, 27, 0, vec![]));
    let again = shop.module.import(batch).await.unwrap();
    assert_eq!((again.orders, again.known), (0, 9), "an import is repeated safely");
    shop.assert_balanced().await;

    use {FulfillmentStatus as F, OrderStatus as O, PaymentStatus as P, ReturnStatus as R};
    for (id, status, payment, fulfillment, returns) in [
        ("0", O::Completed, P::Paid, F::Delivered, R::None),
        ("1", O::Canceled, P::Refunded, F::Canceled, R::None),
        ("2", O::Completed, P::PartiallyRefunded, F::Delivered, R::PartiallyReturned),
        ("3", O::AwaitingConfirmation, P::Refunded, F::Delivered, R::Returned),
        ("4", O::Completed, P::NotRequired, F::Delivered, R::None),
        ("open-0", O::PendingPayment, P::Unpaid, F::Unfulfilled, R::None),
        ("open-3", O::AwaitingConfirmation, P::Paid, F::Shipped, R::None),
    ] {
        let order = shop.order(id).await;
        let axes = (order.status, order.payment_status, order.fulfillment_status, order.return_status);
        assert_eq!(axes, (status, payment, fulfillment, returns), "{id}");
        assert_eq!((order.times.placed_at, order.country()), (Some(placed()), Some("GB")));
        assert_eq!(order.lines[1].name, "22139", "a line without a description goes by its sku");
    }
    let order = shop.order("2").await;
    assert_eq!(order.totals.total, "17.85".parse().unwrap());
    assert_eq!(order.totals.refunded, Some("5.10".parse().unwrap()));
    assert_eq!(order.refunds[0].reason.as_deref(), Some("return C1"));
    assert_eq!(order.returns.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), ["C1", "C2"]);
    assert_eq!(order.events.iter().map(|e| e.at).max(), Some(partly.returns[0].at));

    let order = shop.done("open-2", "cancel", json!({})).await;
    assert_eq!(order.totals.refunded, Some("17.85".parse().unwrap()));
    shop.create(json!([{ "sku": "85123A", "quantity": 1000 }])).await;
    shop.assert_balanced().await;
}

#[tokio::test]
async fn a_history_that_cannot_be_is_refused_alone_and_with_its_reason() {
    let shop = Shop::open().await;
    let with = |number: &str, returned: ImportedReturn| {
        let mut order = imported(number, lines(), ImportedState::Completed);
        order.returns.push(returned);
        order
    };
    let mut negative = lines();
    negative[0].unit_price = "-1".parse().unwrap();
    let mut early = back("C1", &[(0, 1)], "0");
    early.at = placed() - chrono::TimeDelta::days(1);
    let report = shop
        .module
        .import(vec![
            with("more-than-bought", back("C1", &[(0, 7)], "0")),
            with("more-than-paid", back("C1", &[(0, 1)], "99")),
            with("no-such-line", back("C1", &[(7, 1)], "0")),
            with("before", early),
            imported("no-lines", vec![], ImportedState::Paid),
            imported("negative", negative, ImportedState::Paid),
            imported("good", lines(), ImportedState::Paid),
        ])
        .await
        .unwrap();
    assert_eq!(report.orders, 1);
    let refused: Vec<_> = report.refused.iter().map(|(number, reason)| (number.as_str(), reason.as_str())).collect();
    assert_eq!(
        refused,
        [
            ("more-than-bought", "Of this line 6 are left."),
            ("more-than-paid", "99 is more than the 17.85 left to give back."),
            ("no-such-line", "The order has no line \"8\", or it is named twice."),
            ("before", "request_return would be before what came before it."),
            ("no-lines", "An order has 1 to 5000 lines."),
            ("negative", "The price cannot be used."),
        ]
    );
    shop.assert_balanced().await;
}
