//! Invariant checks: identities that an order's own numbers should satisfy. A violation is reported on the order and
//! never repaired: the source owns its numbers, the center says when they do not add up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::money::{Amount, Quantity};
use crate::order::OrderSnapshot;
use crate::status::{PaymentStatus, RefundStatus, TransactionStatus, TransactionType};

/// Which identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CheckCode {
    /// `subtotal − discount + shipping + fees + tax (unless included) = total`.
    TotalIdentity,
    /// Σ unit price × ordered quantity = subtotal.
    SubtotalIdentity,
    /// Unit price × ordered quantity − discount + tax (unless included) = the line's total.
    LineTotalIdentity,
    /// Σ succeeded captures = captured.
    CapturedAgrees,
    /// Σ succeeded refunds = refunded.
    RefundedAgrees,
    /// Refunded ≤ captured.
    RefundWithinCaptured,
    /// The payment status that follows from the amounts is the one the source claims.
    PaymentStatusAgrees,
    /// `current ≤ ordered` and `canceled + returned ≤ ordered` on each line.
    LineQuantities,
    /// Not a violation: an amount was rounded by the rule the source declares; the raw payload has the original.
    Rounded,
}

/// An identity that does not hold, or a notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InvariantCheck {
    /// Which identity.
    pub code: CheckCode,
    /// JSON pointer into the canonical order.
    pub path: String,
    /// What the identity asks for, or the original of a rounded amount.
    pub expected: String,
    /// What the source says, or what was stored.
    pub actual: String,
}

impl OrderSnapshot {
    /// The identities that do not hold. Empty when every one does.
    #[must_use]
    pub fn violations(&self) -> Vec<InvariantCheck> {
        let mut found = Found(Vec::new());
        let totals = &self.totals;
        let added_tax = |tax: Amount| if self.prices_include_tax { Amount::ZERO } else { tax };

        let mut subtotal = Some(Amount::ZERO);
        for (i, line) in self.lines.iter().enumerate() {
            let gross = line.unit_price.checked_mul(line.quantity.ordered);
            subtotal = subtotal.zip(gross).map(|(sum, gross)| sum + gross);
            // A product with more than four fraction digits cannot be compared exactly, so nothing is claimed of it.
            if let Some(gross) = gross {
                let total = gross - line.discount + added_tax(line.tax);
                found.amounts(CheckCode::LineTotalIdentity, format!("/lines/{i}/total"), total, line.total);
            }
            let q = &line.quantity;
            let least: Quantity = q.current.max(q.canceled + q.returned);
            if least > q.ordered {
                found.push(
                    CheckCode::LineQuantities,
                    format!("/lines/{i}/quantity"),
                    format!("at most {}", q.ordered),
                    least.to_string(),
                );
            }
        }
        if let Some(subtotal) = subtotal {
            found.amounts(CheckCode::SubtotalIdentity, "/totals/subtotal".into(), subtotal, totals.subtotal);
        }
        let total = totals.subtotal - totals.discount + totals.shipping + totals.fees + added_tax(totals.tax);
        found.amounts(CheckCode::TotalIdentity, "/totals/total".into(), total, totals.total);

        let mut transactions = self.payments.iter().flat_map(|p| &p.transactions).peekable();
        if let (Some(captured), Some(_)) = (totals.captured, transactions.peek()) {
            let sum = transactions
                .filter(|t| t.status == TransactionStatus::Succeeded)
                .filter(|t| matches!(t.transaction_type, TransactionType::Capture | TransactionType::Sale))
                .map(|t| t.amount)
                .sum();
            found.amounts(CheckCode::CapturedAgrees, "/totals/captured".into(), sum, captured);
        }
        if let Some(refunded) = totals.refunded {
            let sum = self.refunds.iter().filter(|r| r.status == RefundStatus::Succeeded).map(|r| r.amount).sum();
            found.amounts(CheckCode::RefundedAgrees, "/totals/refunded".into(), sum, refunded);
            if let Some(captured) = totals.captured.filter(|captured| refunded > *captured) {
                found.push(
                    CheckCode::RefundWithinCaptured,
                    "/totals/refunded".into(),
                    format!("at most {captured}"),
                    refunded.to_string(),
                );
            }
        }
        let computed = self.computed_payment_status();
        if computed != self.payment_status {
            found.push(
                CheckCode::PaymentStatusAgrees,
                "/paymentStatus".into(),
                computed.to_string(),
                self.payment_status.to_string(),
            );
        }
        found.0
    }

    /// The payment status that follows from the amounts; the source's claim where the amounts cannot tell.
    #[must_use]
    pub fn computed_payment_status(&self) -> PaymentStatus {
        let Some(captured) = self.totals.captured else { return self.payment_status };
        let total = self.totals.total;
        let authorized = self.totals.authorized.unwrap_or_default();
        let refunded = self.totals.refunded.unwrap_or_default();
        if captured.is_zero() && authorized.is_zero() {
            // No amount distinguishes an order that nobody tried to pay from one whose payment failed or ran out.
            return match self.payment_status {
                claim @ (PaymentStatus::Failed
                | PaymentStatus::Expired
                | PaymentStatus::Pending
                | PaymentStatus::Voided) => claim,
                _ if total.is_zero() => PaymentStatus::NotRequired,
                _ => PaymentStatus::Unpaid,
            };
        }
        if captured.is_zero() {
            return if authorized >= total { PaymentStatus::Authorized } else { PaymentStatus::PartiallyAuthorized };
        }
        if refunded >= captured {
            PaymentStatus::Refunded
        } else if captured - refunded > total {
            PaymentStatus::Overpaid
        } else if !refunded.is_zero() {
            PaymentStatus::PartiallyRefunded
        } else if captured == total {
            PaymentStatus::Paid
        } else {
            PaymentStatus::PartiallyPaid
        }
    }
}

struct Found(Vec<InvariantCheck>);

impl Found {
    fn amounts(&mut self, code: CheckCode, path: String, expected: Amount, actual: Amount) {
        if expected != actual {
            self.push(code, path, expected.to_string(), actual.to_string());
        }
    }

    fn push(&mut self, code: CheckCode, path: String, expected: String, actual: String) {
        self.0.push(InvariantCheck { code, path, expected, actual });
    }
}

#[cfg(test)]
mod tests {
    use super::CheckCode;
    use crate::parse::tests::sample;
    use crate::status::PaymentStatus;

    fn codes(change: impl FnOnce(&mut crate::OrderSnapshot)) -> Vec<CheckCode> {
        let mut order = sample();
        change(&mut order);
        order.violations().into_iter().map(|c| c.code).collect()
    }

    #[test]
    fn the_sample_adds_up_and_each_lie_is_named() {
        let amount = |text: &str| text.parse().expect("an amount");
        assert_eq!(codes(|_| ()), []);
        assert_eq!(
            codes(|o| o.totals.total = amount("25.00")),
            [CheckCode::TotalIdentity, CheckCode::PaymentStatusAgrees]
        );
        assert_eq!(codes(|o| o.lines[0].total = amount("1")), [CheckCode::LineTotalIdentity]);
        assert_eq!(
            codes(|o| o.totals.captured = Some(amount("1"))),
            [CheckCode::CapturedAgrees, CheckCode::PaymentStatusAgrees]
        );
        assert_eq!(
            codes(|o| o.totals.refunded = Some(amount("99"))),
            [CheckCode::RefundedAgrees, CheckCode::RefundWithinCaptured, CheckCode::PaymentStatusAgrees]
        );
        assert_eq!(codes(|o| o.payment_status = PaymentStatus::Unpaid), [CheckCode::PaymentStatusAgrees]);
        assert_eq!(codes(|o| o.lines[0].quantity.returned = 99.into()), [CheckCode::LineQuantities]);
    }

    #[test]
    fn payment_status_follows_from_the_amounts() {
        use PaymentStatus::{
            Authorized, Failed, NotRequired, Overpaid, Paid, PartiallyAuthorized, PartiallyPaid, PartiallyRefunded,
            Refunded, Unpaid,
        };
        for (total, authorized, captured, refunded, claim, computed) in [
            (0, 0, 0, 0, Unpaid, NotRequired),
            (9, 0, 0, 0, Paid, Unpaid),
            (9, 0, 0, 0, Failed, Failed),
            (9, 4, 0, 0, Unpaid, PartiallyAuthorized),
            (9, 9, 0, 0, Unpaid, Authorized),
            (9, 0, 4, 0, Unpaid, PartiallyPaid),
            (9, 0, 9, 0, Unpaid, Paid),
            (9, 0, 12, 0, Unpaid, Overpaid),
            (9, 0, 9, 4, Paid, PartiallyRefunded),
            (9, 0, 9, 9, Paid, Refunded),
        ] {
            let mut order = sample();
            order.totals.total = total.into();
            order.totals.authorized = Some(authorized.into());
            order.totals.captured = Some(captured.into());
            order.totals.refunded = Some(refunded.into());
            order.payment_status = claim;
            assert_eq!(order.computed_payment_status(), computed, "{total} {authorized} {captured} {refunded} {claim}");
        }
    }
}
