//! Orders as shops have them: a few lines, one card payment, one parcel, mostly completed. The same number always gives
//! the same order.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

/// The source they are of.
pub(super) const SOURCE: &str = "bench";

const COUNTRIES: [&str; 16] =
    ["GB", "GB", "GB", "GB", "GB", "GB", "DE", "DE", "FR", "FR", "NL", "ES", "IT", "US", "CH", "JP"];

/// What every part of order `i` is drawn from: well mixed and without state (SplitMix64).
fn draw(i: u64, salt: u64) -> u64 {
    let mut z = (i ^ salt.rotate_left(32)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn customer(i: u64) -> u64 {
    draw(i, 1) % 100_000
}

/// The id of order `i` in its source.
pub(super) fn id(i: u64) -> String {
    (10_000_000 + i).to_string()
}

/// Its number.
pub(super) fn number(i: u64) -> String {
    format!("SO-{}", id(i))
}

/// Its customer's id.
pub(super) fn customer_id(i: u64) -> String {
    format!("cus_{:06}", customer(i))
}

/// Its customer's e-mail address.
pub(super) fn email(i: u64) -> String {
    format!("customer{:06}@example.org", customer(i))
}

/// The SKU of its line.
pub(super) fn sku(i: u64, line: u64) -> String {
    // The lesser of two draws: some products sell a hundred times as often as others.
    format!("SKU-{:05}", (draw(i, 10 + line) % 5_000).min(draw(i, 20 + line) % 5_000))
}

/// The order, as its module sends it. It is not the canonical document to the byte, so the raw payload is kept beside it.
pub(super) fn order(i: u64) -> String {
    let at = |minutes: u64| -> String {
        let seconds = 1_600_000_000 + i * 47 + draw(i, 2) % 40 + minutes * 60;
        let at = i64::try_from(seconds).ok().and_then(|s| DateTime::<Utc>::from_timestamp(s, 0)).unwrap_or_default();
        at.to_rfc3339_opts(SecondsFormat::Secs, true)
    };
    let money = |cents: u64| format!("{}.{:02}", cents / 100, cents % 100);
    let (status, payment, fulfillment, native) = match draw(i, 3) % 20 {
        0 => ("PENDING_PAYMENT", "UNPAID", "UNFULFILLED", "awaiting_payment"),
        1 => ("CANCELED", "UNPAID", "CANCELED", "cancelled"),
        2 | 3 => ("PROCESSING", "PAID", "IN_PROGRESS", "picking"),
        4 => ("AWAITING_CONFIRMATION", "PAID", "SHIPPED", "shipped"),
        _ => ("COMPLETED", "PAID", "DELIVERED", "done"),
    };
    let paid = payment == "PAID";
    let mut subtotal = 0;
    let lines: Vec<Value> = (0..3 + draw(i, 4) % 2)
        .map(|line| {
            let (price, quantity) = (199 + draw(i, 30 + line) % 9_000, 1 + draw(i, 40 + line) % 3);
            subtotal += price * quantity;
            json!({
                "id": (line + 1).to_string(), "sku": sku(i, line), "productId": format!("p{}", draw(i, 10 + line) % 900),
                "name": format!("{} {}", ["Ceramic mug", "Wool blanket", "Desk lamp", "Travel bag"][line as usize % 4], sku(i, line)),
                "quantity": { "ordered": quantity, "current": quantity, "fulfilled": if paid { quantity } else { 0 } },
                "unitPrice": money(price), "total": money(price * quantity)
            })
        })
        .collect();
    let total = subtotal + 495;
    let transaction = |id: &str, kind: &str, minutes| {
        json!({ "id": format!("{id}-{i}"), "type": kind, "status": "SUCCEEDED", "amount": money(total), "at": at(minutes),
                "reference": format!("ch_{:016x}", draw(i, 5)) })
    };
    let payments = json!([{
        "id": format!("pay-{i}"), "method": "card", "provider": "acme-pay", "status": "CAPTURED", "amount": money(total),
        "createdAt": at(1), "transactions": [transaction("au", "AUTHORIZE", 1), transaction("ca", "CAPTURE", 3)]
    }]);
    let parcel_lines: Vec<Value> =
        lines.iter().map(|line| json!({ "lineId": line["id"], "quantity": line["quantity"]["ordered"] })).collect();
    let fulfillments = json!([{
        "id": format!("ful-{i}"), "status": fulfillment, "location": "warehouse-1", "lines": parcel_lines,
        "tracking": [{ "carrier": "DHL", "number": format!("00340{:015}", draw(i, 6) % 1_000_000_000_000_000),
                       "url": "https://www.dhl.example/track" }],
        "createdAt": at(60), "shippedAt": at(600)
    }]);
    let address = json!({
        "name": format!("Customer {:06}", customer(i)), "lines": [format!("{} High Street", draw(i, 7) % 200 + 1)],
        "city": "Springfield", "postalCode": format!("{:05}", draw(i, 8) % 100_000),
        "countryCode": COUNTRIES[draw(i, 9) as usize % COUNTRIES.len()]
    });
    json!({
        "sourceOrderId": id(i), "version": 1, "number": number(i), "kind": "RETAIL", "channel": "web", "status": status,
        "paymentStatus": payment, "fulfillmentStatus": fulfillment, "native": { "state": native }, "currency": "EUR",
        "pricesIncludeTax": true, "times": { "updatedAt": at(601), "placedAt": at(0) },
        "customer": { "id": customer_id(i), "name": format!("Customer {:06}", customer(i)), "email": email(i) },
        "billingAddress": address, "shippingAddress": address, "lines": lines,
        "totals": {
            "subtotal": money(subtotal), "shipping": "4.95", "total": money(total),
            "captured": if paid { money(total) } else { "0".into() }, "refunded": "0"
        },
        "payments": if paid { payments } else { json!([]) },
        "fulfillments": if paid { fulfillments } else { json!([]) }
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use order_contract::{Rounding, parse_snapshot};

    #[test]
    fn synthetic_orders_are_valid_and_add_up() {
        for i in 0..300 {
            let (order, _) = parse_snapshot(super::order(i).as_bytes(), Rounding::Refuse).expect("valid");
            assert_eq!(order.violations(), [], "order {i}");
            assert_eq!(order.lines[0].sku, Some(super::sku(i, 0)));
        }
    }
}
