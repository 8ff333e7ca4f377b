//! From an indexed order to the data that clients see.
//!
//! It owns the one conversion, field by field and by value. It refuses to compute anything the index or the contract
//! could have told. That is so that a new field of the contract is one line here and nowhere else.

use order_contract as contract;
use order_contract::{Amount, Currency, OrderId};

use super::object::{
    ActionBlocker, Address, AvailableAction, Coupon, Customer, Discount, Fee, Fulfillment, Hold, InvariantCheck,
    LineQuantities, Money, NativeState, Note, OrderData, OrderEvent, OrderLine, OrderRelation, OrderSync, OrderTimes,
    OrderTotals, Payment, PredictedEffect, QuantityLine, Refund, RefundLine, Return, ReturnLine, RiskAssessment,
    ShippingLine, TaxLine, Tracking, Transaction,
};
use super::scalar::{Decimal, Json, Long, Time};
use crate::index::IndexedOrder;

/// An amount with its currency.
pub(super) fn money(currency: Currency, amount: Amount) -> Money {
    Money { amount: Decimal(amount), currency_code: currency.code() }
}

impl From<IndexedOrder> for OrderData {
    fn from(order: IndexedOrder) -> Self {
        let country = order.snapshot.country().map(str::to_owned);
        let snapshot = order.snapshot;
        let c = snapshot.currency;
        let updated_at = snapshot.times.updated_at;
        Self {
            id: order.id.to_string().into(),
            version: Long(snapshot.version.get()),
            number: snapshot.number,
            kind: snapshot.kind.into(),
            channel: snapshot.channel,
            source_url: snapshot.source_url,
            status: snapshot.status.into(),
            payment_status: order.payment_status.into(),
            fulfillment_status: snapshot.fulfillment_status.into(),
            return_status: snapshot.return_status.into(),
            native: NativeState { state: snapshot.native.state, sub_states: Json::object(snapshot.native.sub_states) },
            holds: each(snapshot.holds, |h| Hold { code: h.code, reason: h.reason, since: h.since.map(Time) }),
            currency_code: c.code(),
            prices_include_tax: snapshot.prices_include_tax,
            times: times(&snapshot.times),
            cancel_reason: snapshot.cancel_reason,
            customer: snapshot.customer.map(|p| Customer {
                customer_id: p.id,
                name: p.name,
                email: p.email,
                phone: p.phone,
                group: p.group,
            }),
            billing_address: snapshot.billing_address.map(address),
            shipping_address: snapshot.shipping_address.map(address),
            country,
            lines: each(snapshot.lines, |l| line(c, l)),
            totals: totals(c, &snapshot.totals),
            discounts: discounts(c, snapshot.discounts),
            coupons: each(snapshot.coupons, |k| Coupon { code: k.code, discount: k.discount.map(|a| money(c, a)) }),
            tax_lines: tax_lines(c, snapshot.tax_lines),
            shipping_lines: each(snapshot.shipping_lines, |s| ShippingLine {
                title: s.title,
                amount: money(c, s.amount),
            }),
            fees: each(snapshot.fees, |f| Fee { title: f.title, amount: money(c, f.amount) }),
            payments: each(snapshot.payments, |p| payment(c, p)),
            refunds: each(snapshot.refunds, |r| refund(c, r)),
            fulfillments: each(snapshot.fulfillments, fulfillment),
            returns: each(snapshot.returns, |r| Return {
                return_id: r.id,
                status: r.status.into(),
                reason: r.reason,
                lines: each(r.lines, |l| ReturnLine {
                    line_id: l.line_id,
                    quantity: Decimal(l.quantity),
                    disposition: l.disposition.map(Into::into),
                }),
                refund_id: r.refund_id,
                created_at: r.created_at.map(Time),
            }),
            risk: snapshot.risk.map(|r| RiskAssessment { recommendation: r.recommendation.into(), reasons: r.reasons }),
            notes: each(snapshot.notes, |n| Note {
                text: n.text,
                author: n.author,
                at: n.at.map(Time),
                customer_visible: n.customer_visible,
            }),
            relations: each(snapshot.relations, |r| relation(&order.id, r)),
            events: each(snapshot.events, |e| OrderEvent {
                event_id: e.id,
                event_type: e.event_type,
                at: Time(e.at),
                actor: e.actor,
                message: e.message,
                from_state: e.from_state,
                to_state: e.to_state,
            }),
            available_actions: each(snapshot.available_actions, |a| available_action(c, a)),
            attributes: Json::object(snapshot.attributes),
            details: Json::object(snapshot.details),
            checks: each(order.checks, |k| InvariantCheck {
                code: k.code.into(),
                path: k.path,
                expected: k.expected,
                actual: k.actual,
            }),
            sync: OrderSync {
                source_version: Long(snapshot.version.get()),
                source_updated_at: Time(updated_at),
                observed_at: Time(order.observed_at),
                via: order.via.into(),
                lag_seconds: Long((order.observed_at - updated_at).num_seconds().max(0)),
                revision: Long(order.revision),
            },
            source_order_id: snapshot.source_order_id.into(),
        }
    }
}

fn each<T, U>(items: Vec<T>, convert: impl FnMut(T) -> U) -> Vec<U> {
    items.into_iter().map(convert).collect()
}

fn times(t: &contract::OrderTimes) -> OrderTimes {
    OrderTimes {
        updated_at: Time(t.updated_at),
        placed_at: t.placed_at.map(Time),
        paid_at: t.paid_at.map(Time),
        shipped_at: t.shipped_at.map(Time),
        delivered_at: t.delivered_at.map(Time),
        completed_at: t.completed_at.map(Time),
        canceled_at: t.canceled_at.map(Time),
        expires_at: t.expires_at.map(Time),
    }
}

fn address(a: contract::Address) -> Address {
    Address {
        name: a.name,
        company: a.company,
        lines: a.lines,
        city: a.city,
        region: a.region,
        postal_code: a.postal_code,
        country_code: a.country_code,
        country: a.country,
        phone: a.phone,
    }
}

fn line(c: Currency, l: contract::OrderLine) -> OrderLine {
    OrderLine {
        line_id: l.id,
        sku: l.sku,
        product_id: l.product_id,
        variant_id: l.variant_id,
        name: l.name,
        quantity: LineQuantities {
            ordered: Decimal(l.quantity.ordered),
            current: Decimal(l.quantity.current),
            fulfilled: Decimal(l.quantity.fulfilled),
            canceled: Decimal(l.quantity.canceled),
            returned: Decimal(l.quantity.returned),
            refunded: Decimal(l.quantity.refunded),
        },
        unit_price: money(c, l.unit_price),
        discount: money(c, l.discount),
        tax: money(c, l.tax),
        total: money(c, l.total),
        discounts: discounts(c, l.discounts),
        tax_lines: tax_lines(c, l.tax_lines),
        attributes: Json::object(l.attributes),
    }
}

fn totals(c: Currency, t: &contract::OrderTotals) -> OrderTotals {
    OrderTotals {
        subtotal: money(c, t.subtotal),
        discount: money(c, t.discount),
        shipping: money(c, t.shipping),
        tax: money(c, t.tax),
        fees: money(c, t.fees),
        total: money(c, t.total),
        authorized: t.authorized.map(|a| money(c, a)),
        captured: t.captured.map(|a| money(c, a)),
        refunded: t.refunded.map(|a| money(c, a)),
        due: t.due.map(|a| money(c, a)),
    }
}

fn discounts(c: Currency, discounts: Vec<contract::Discount>) -> Vec<Discount> {
    each(discounts, |d| Discount { title: d.title, amount: money(c, d.amount), coupon_code: d.coupon_code })
}

fn tax_lines(c: Currency, lines: Vec<contract::TaxLine>) -> Vec<TaxLine> {
    each(lines, |t| TaxLine { title: t.title, rate: t.rate.map(Decimal), amount: money(c, t.amount) })
}

fn payment(c: Currency, p: contract::Payment) -> Payment {
    Payment {
        payment_id: p.id,
        method: p.method,
        provider: p.provider,
        status: p.status.into(),
        amount: money(c, p.amount),
        reference: p.reference,
        created_at: p.created_at.map(Time),
        transactions: each(p.transactions, |t| Transaction {
            transaction_id: t.id,
            transaction_type: t.transaction_type.into(),
            status: t.status.into(),
            amount: money(c, t.amount),
            at: t.at.map(Time),
            reference: t.reference,
            error: t.error,
        }),
    }
}

fn refund(c: Currency, r: contract::Refund) -> Refund {
    Refund {
        refund_id: r.id,
        status: r.status.into(),
        amount: money(c, r.amount),
        reason: r.reason,
        payment_id: r.payment_id,
        shipping: r.shipping.map(|a| money(c, a)),
        created_at: r.created_at.map(Time),
        lines: each(r.lines, |l| RefundLine {
            line_id: l.line_id,
            quantity: Decimal(l.quantity),
            amount: l.amount.map(|a| money(c, a)),
        }),
    }
}

fn fulfillment(f: contract::Fulfillment) -> Fulfillment {
    Fulfillment {
        fulfillment_id: f.id,
        status: f.status.into(),
        lines: each(f.lines, |l| QuantityLine { line_id: l.line_id, quantity: Decimal(l.quantity) }),
        location: f.location,
        tracking: each(f.tracking, |t| Tracking { carrier: t.carrier, number: t.number, url: t.url }),
        created_at: f.created_at.map(Time),
        shipped_at: f.shipped_at.map(Time),
        delivered_at: f.delivered_at.map(Time),
        details: Json::object(f.details),
    }
}

fn relation(order: &OrderId, r: contract::OrderRelation) -> OrderRelation {
    let source = r.source.unwrap_or_else(|| order.source().clone());
    OrderRelation {
        relation_type: r.relation_type.into(),
        order_id: OrderId::new(source.clone(), r.source_order_id.clone()).to_string().into(),
        source_key: source.into(),
        source_order_id: r.source_order_id.into(),
        number: r.number,
    }
}

fn available_action(c: Currency, a: contract::AvailableAction) -> AvailableAction {
    AvailableAction {
        action_type: a.action_type().into(),
        name: a.name.into(),
        enabled: a.enabled,
        blockers: each(a.blockers, blocker),
        input_schema: a.input_schema.and_then(Json::object),
        effects: each(a.effects, |e| PredictedEffect {
            kind: e.kind.into(),
            description: e.description,
            amount: e.amount.map(|amount| money(c, amount)),
        }),
    }
}

/// A blocker, as an action or a refusal names it.
pub(super) fn blocker(b: contract::ActionBlocker) -> ActionBlocker {
    ActionBlocker { code: b.code, message: b.message, details: b.details.and_then(Json::object) }
}
