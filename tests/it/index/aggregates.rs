//! Sums are exact, by currency, and say so when they cannot be.

use order_center::index::{Dimension, Filter, Index, TextField, TextMatch};
use order_contract::Amount;
use serde_json::json;

use super::{apply, entry};
use crate::world::{databases, order_json};

#[tokio::test]
async fn groups_are_the_exact_sums_of_their_orders() {
    for db in databases().await {
        let index = Index::new(db.database.clone());
        let mut entries = Vec::new();
        for i in 0..300_i64 {
            let mut order = order_json(&i.to_string(), 1);
            order["currency"] = json!(["GBP", "EUR"][usize::try_from(i % 2).unwrap()]);
            order["shippingAddress"] = match i % 3 {
                0 => json!({ "countryCode": "IE", "country": "EIRE" }),
                1 => json!({ "country": "European Community" }),
                _ => json!(null),
            };
            order["totals"]["total"] = json!(Amount::from_units(i * 3_333 + 1).to_string());
            order["totals"]["captured"] = if i % 5 == 0 { json!(null) } else { json!("0.0001") };
            order["times"]["placedAt"] = json!(match i % 4 {
                0 => "1969-12-31T23:59:59.999999Z",
                1 => "1970-01-01T00:00:00Z",
                2 => "2010-12-31T23:59:59.999999Z",
                _ => "2011-01-01T00:00:00Z",
            });
            entries.push(entry(&order));
        }
        apply(&index, entries).await;

        let (rows, more) = index.aggregate(&Filter::All(Vec::new()), &[Dimension::Country], 100).await.unwrap();
        let keys = rows.iter().map(|r| (r.keys[0].as_deref(), r.currency.code())).collect::<Vec<_>>();
        let communities = Some("European Community");
        let expected = [
            (communities, "EUR"),
            (communities, "GBP"),
            (Some("IE"), "EUR"),
            (Some("IE"), "GBP"),
            (None, "EUR"),
            (None, "GBP"),
        ];
        assert_eq!((keys.as_slice(), more), (&expected[..], false), "{}", db.name);
        for row in &rows {
            let remainder = match row.keys[0].as_deref() {
                Some("IE") => 0,
                Some(_) => 1,
                None => 2,
            };
            let parity = i64::from(row.currency.code() == "EUR");
            let members = (0..300).filter(|i| i % 3 == remainder && i % 2 == parity).collect::<Vec<_>>();
            let captured = members.iter().filter(|i| *i % 5 != 0).count() as i64;
            assert_eq!(row.measures.orders, members.len() as u64);
            assert_eq!(row.measures.lines, 2 * members.len() as u64);
            assert_eq!(row.measures.total, Amount::from_units(members.iter().map(|i| i * 3_333 + 1).sum()));
            assert_eq!(row.measures.captured, Amount::from_units(captured));
            assert_eq!(row.measures.refunded, Amount::ZERO);
        }

        let days = index.aggregate(&Filter::All(Vec::new()), &[Dimension::PlacedDay], 100).await.unwrap().0;
        let days = days.iter().map(|r| r.keys[0].clone().unwrap()).collect::<Vec<_>>();
        assert_eq!(days, ["1969-12-31", "1970-01-01", "2010-12-31", "2011-01-01"], "{}", db.name);

        let by = [Dimension::PlacedMonth, Dimension::Status, Dimension::Source];
        let (months, more) = index.aggregate(&Filter::All(Vec::new()), &by, 3).await.unwrap();
        let keys = months.iter().map(|r| r.keys.iter().flatten().cloned().collect::<Vec<_>>().join(" "));
        let expected = ["1969-12", "1970-01", "2010-12"].map(|month| format!("{month} PROCESSING retail"));
        assert_eq!((keys.collect::<Vec<_>>().as_slice(), more), (&expected[..], true), "{}", db.name);

        let none = Filter::Text(TextField::Currency, TextMatch::In(vec!["JPY".into()]));
        assert_eq!(index.aggregate(&none, &[], 5).await.unwrap(), (Vec::new(), false));
    }
}

#[tokio::test]
async fn a_sum_beyond_64_bits_is_an_error_and_no_number() {
    for db in databases().await {
        let index = Index::new(db.database.clone());
        let huge = |id: &str| {
            let mut order = order_json(id, 1);
            order["totals"]["total"] = json!("900000000000000");
            entry(&order)
        };
        apply(&index, vec![huge("1"), huge("2")]).await;
        assert!(index.aggregate(&Filter::All(Vec::new()), &[], 5).await.is_err(), "{}", db.name);
    }
}
