//! What a reader can try in retail beside the file's own products: coupons, a limited edition, a review.

use order_modules::service::{CouponRule, Goods};
use serde_json::Map;

use super::{Book, amount, coupon, limit, product};

pub(super) fn book() -> Book {
    Book {
        products: vec![product("LANTERN-LTD", "Storm lantern, limited edition", "24.00", Map::new())],
        goods: vec![Goods { sku: "LANTERN-LTD".into(), quantity: 10.into() }],
        codes: Vec::new(),
        coupons: vec![
            CouponRule {
                limit_per_member: Some(1),
                ..coupon("WELCOME10", "10% off your first order", Some("10"), None)
            },
            CouponRule {
                minimum: Some(amount("30")),
                stackable: true,
                ..coupon("FIVER", "5.00 off from 30.00", None, Some("5"))
            },
        ],
        limits: vec![limit("LANTERN-LTD", 4)],
        review_from: amount("1000"),
        stories: Vec::new(),
    }
}
