//! The enums of the schema: the unified vocabulary with its documentation, and the API's own choices.
//!
//! It owns their GraphQL names and docs. It refuses to add or drop a value: each is converted from the contract by an
//! exhaustive match, so a value that is added there does not compile until it is documented here. That is so that the
//! vocabulary reads the same on every side.

use async_graphql::Enum;
use serde::Serialize;

macro_rules! mirror {
    ($(#[$doc:meta])* $name:ident = $remote:literal { $($(#[$variant_doc:meta])* $variant:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Enum, Clone, Copy, Debug, PartialEq, Eq, Serialize)]
        #[graphql(remote = $remote)]
        #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
        pub(super) enum $name {
            $($(#[$variant_doc])* $variant,)+
        }
    };
}

mirror!(
    /// What kind of business an order belongs to.
    OrderKind = "order_contract::OrderKind" {
        /// Goods that are picked, packed and shipped.
        Retail,
        /// Codes, licences and downloads.
        Digital,
        /// A slot, a stay or an appointment.
        Booking,
        /// Sold by a third party on a marketplace.
        Marketplace,
        /// One period of a recurring contract.
        Subscription,
        /// Work done for the customer.
        Service,
        /// None of the others.
        Other,
    }
);

mirror!(
    /// Which tab an order is in: to pay, to accept, in work, to confirm, done, or closed without being done.
    OrderStatus = "order_contract::OrderStatus" {
        /// Not placed yet: a quote or a cart the module shares.
        Draft,
        /// Placed; waits for the customer's payment.
        PendingPayment,
        /// Waits for the merchant or a review to accept it.
        PendingAcceptance,
        /// Accepted and being produced, picked or shipped.
        Processing,
        /// Handed over; waits for the customer to confirm, or for time to pass.
        AwaitingConfirmation,
        /// Done.
        Completed,
        /// Called off by the customer, the merchant or a rule.
        Canceled,
        /// Ended by time before it was paid or accepted.
        Expired,
        /// The native state has no mapping yet.
        Unknown,
    }
);

mirror!(
    /// Where an order's money stands, over all its payments.
    PaymentStatus = "order_contract::PaymentStatus" {
        /// Nothing is owed.
        NotRequired,
        /// Nothing was authorized or captured.
        Unpaid,
        /// A payment is under way; its outcome is not known yet.
        Pending,
        /// Less than the total is authorized.
        PartiallyAuthorized,
        /// The total is authorized, nothing is captured.
        Authorized,
        /// Less than the total is captured.
        PartiallyPaid,
        /// The total is captured.
        Paid,
        /// More than the total is captured.
        Overpaid,
        /// Part of what was captured went back.
        PartiallyRefunded,
        /// All that was captured went back.
        Refunded,
        /// The authorization was given up before capture.
        Voided,
        /// The payment was declined or broke.
        Failed,
        /// The authorization or payment offer ran out.
        Expired,
        /// The source's claim has no mapping yet.
        Unknown,
    }
);

mirror!(
    /// How far an order's goods or services have come.
    FulfillmentStatus = "order_contract::FulfillmentStatus" {
        /// Nothing has to be handed over.
        NotRequired,
        /// Not begun.
        Unfulfilled,
        /// Being picked, packed or produced.
        InProgress,
        /// Ready to ship or to be collected.
        Ready,
        /// Some of it is on its way.
        PartiallyShipped,
        /// All of it is on its way.
        Shipped,
        /// Some of it has arrived.
        PartiallyDelivered,
        /// All of it has arrived or was provided.
        Delivered,
        /// It will not be handed over.
        Canceled,
        /// The native state has no mapping yet.
        Unknown,
    }
);

mirror!(
    /// How far an order's returns have come, over all of them.
    ReturnStatus = "order_contract::ReturnStatus" {
        /// No return was asked for.
        None,
        /// Asked for, not approved yet.
        Requested,
        /// Approved or on its way back.
        InProgress,
        /// Some of the order came back.
        PartiallyReturned,
        /// All of the order came back.
        Returned,
        /// The native state has no mapping yet.
        Unknown,
    }
);

mirror!(
    /// The state of one payment.
    PaymentState = "order_contract::PaymentState" {
        /// Begun; its outcome is not known yet.
        Pending,
        /// Held for the merchant, not captured.
        Authorized,
        /// Some of it captured.
        PartiallyCaptured,
        /// Captured.
        Captured,
        /// Some of what was captured went back.
        PartiallyRefunded,
        /// All that was captured went back.
        Refunded,
        /// Given up before capture.
        Voided,
        /// Declined or broken.
        Failed,
        /// Ran out.
        Expired,
        /// No mapping yet.
        Unknown,
    }
);

mirror!(
    /// What one payment transaction does.
    TransactionType = "order_contract::TransactionType" {
        /// Holds money.
        Authorize,
        /// Takes money that was held.
        Capture,
        /// Authorizes and captures at once.
        Sale,
        /// Gives up a hold.
        Void,
        /// Gives money back.
        Refund,
        /// The card issuer took money back.
        Chargeback,
        /// No mapping yet.
        Unknown,
    }
);

mirror!(
    /// The state of one payment transaction.
    TransactionStatus = "order_contract::TransactionStatus" {
        /// Sent; no outcome yet.
        Pending,
        /// Done.
        Succeeded,
        /// Declined or broken.
        Failed,
        /// No mapping yet.
        Unknown,
    }
);

mirror!(
    /// The state of one refund.
    RefundStatus = "order_contract::RefundStatus" {
        /// Asked for.
        Requested,
        /// On its way to the customer.
        Pending,
        /// Paid back.
        Succeeded,
        /// Did not go through.
        Failed,
        /// Called off.
        Canceled,
        /// No mapping yet.
        Unknown,
    }
);

mirror!(
    /// The state of one return.
    ReturnState = "order_contract::ReturnState" {
        /// Asked for.
        Requested,
        /// May be sent back.
        Approved,
        /// Was refused.
        Declined,
        /// On its way back.
        InTransit,
        /// Some of it has come back.
        PartiallyReceived,
        /// All of it has come back.
        Received,
        /// Settled; nothing more will happen.
        Closed,
        /// Called off.
        Canceled,
        /// No mapping yet.
        Unknown,
    }
);

mirror!(
    /// What became of returned goods.
    Disposition = "order_contract::Disposition" {
        /// Back in stock.
        Restock,
        /// Kept apart as damaged.
        Damaged,
        /// Thrown away or written off.
        Discarded,
        /// Not inspected yet.
        Pending,
        /// No mapping yet.
        Unknown,
    }
);

mirror!(
    /// How another order relates to this one.
    RelationType = "order_contract::RelationType" {
        /// This order was split off the other.
        SplitOf,
        /// This order gathers the other.
        Aggregate,
        /// This order replaces the other.
        Replaces,
        /// This order reverses the other, wholly or in part.
        Reverses,
        /// This order is another system's copy of the other.
        CopyOf,
        /// This order is a period of the other, a subscription.
        SubscriptionOf,
        /// This order exchanges goods of the other.
        ExchangeOf,
        /// No mapping yet.
        Unknown,
    }
);

mirror!(
    /// What a risk assessment advises.
    RiskRecommendation = "order_contract::RiskRecommendation" {
        /// Nothing speaks against the order.
        Accept,
        /// Someone should look at it.
        Investigate,
        /// It should be canceled.
        Cancel,
        /// Not assessed, or no mapping yet.
        Unknown,
    }
);

mirror!(
    /// The standard actions of an order's life. A module's own verbs are `CUSTOM`.
    ActionType = "order_contract::ActionType" {
        /// Place an order.
        Create,
        /// Pay, wholly or in part.
        Pay,
        /// Begin production, picking or preparation.
        Produce,
        /// Hand over to a carrier.
        Ship,
        /// Confirm receipt (the buyer) or acceptance (the merchant).
        Confirm,
        /// Close as done.
        Complete,
        /// Change address, quantity or slot.
        Modify,
        /// Call off.
        Cancel,
        /// Give money back.
        Refund,
        /// Ask to send goods back.
        RequestReturn,
        /// Take returned goods in.
        ReceiveReturn,
        /// A verb of the module's own.
        Custom,
    }
);

mirror!(
    /// What an action moves besides the order itself.
    EffectKind = "order_contract::EffectKind" {
        /// Stock, codes or capacity: reserved, released, deducted, restored.
        Stock,
        /// A coupon use: spent or given back.
        Coupon,
        /// Loyalty points: earned, spent, returned.
        Points,
        /// Money: authorized, captured, voided, refunded.
        Payment,
        /// A shipment: created, recalled.
        Shipping,
        /// Anything else.
        Other,
    }
);

mirror!(
    /// Whether an effect has happened.
    EffectStatus = "order_contract::EffectStatus" {
        /// It happened.
        Done,
        /// It will; it is under way.
        Pending,
        /// The owner cannot do it: someone must see to it.
        NotSupported,
        /// It was tried and did not work.
        Failed,
    }
);

mirror!(
    /// Which identity of an order's amounts or quantities.
    CheckCode = "order_contract::CheckCode" {
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
);

mirror!(
    /// Who sets a transition off.
    ProcessTrigger = "order_contract::process::Trigger" {
        /// Someone asks for it.
        Manual,
        /// Time passes.
        Timer,
        /// Something happens in the module.
        System,
    }
);

mirror!(
    /// How safely a module can be asked to act.
    Idempotency = "order_contract::protocol::Idempotency" {
        /// It deduplicates by the key: retry freely.
        Keyed,
        /// It checks the expected version: after doubt, read, then retry.
        Conditional,
        /// Neither: ask at most once; doubt is settled by reading the order or by a person.
        Blind,
    }
);

mirror!(
    /// By which way the center learned of an order's version.
    Via = "crate::index::Via" {
        /// A page of the source's change list.
        Poll,
        /// A webhook of the source.
        Webhook,
        /// A read of this one order.
        Fetch,
        /// The source's answer to an action.
        Operation,
        /// A comparison with the source.
        Reconcile,
        /// A replay from quarantine or from stored payloads.
        Replay,
    }
);

mirror!(
    /// Where an operation stands.
    OperationState = "crate::operation::OperationState" {
        /// Recorded; the owner is being asked.
        Dispatching,
        /// The owner took it and will end it later.
        Accepted,
        /// The owner did it.
        Succeeded,
        /// The owner refused it; nothing changed.
        Rejected,
        /// It may or may not have happened; the center is finding out. Never treat it as a failure.
        Unknown,
    }
);

mirror!(
    /// What an operator found at the owner about an operation in doubt.
    OperationVerdict = "crate::operation::Verdict" {
        /// It was done.
        TookEffect,
        /// It was not done, and will not be.
        DidNotHappen,
    }
);

mirror!(
    /// What a run does with a source.
    SourceRunKind = "crate::catalog::RunKind" {
        /// Reads what changed in a range of time once more.
        Backfill,
        /// Compares the index with the source and repairs what is missing, stale or deleted.
        Reconcile,
        /// Maps stored orders anew from what the source sent, and tries quarantined inputs again.
        Remap,
        /// Tells what mapping anew would change, and changes nothing.
        Trial,
    }
);

mirror!(
    /// Where a run stands.
    SourceRunState = "crate::catalog::RunState" {
        /// Recorded; a node will take it.
        Waiting,
        /// Under way.
        Running,
        /// Done.
        Succeeded,
        /// Given up after many tries.
        Failed,
        /// Called off.
        Canceled,
    }
);

mirror!(
    /// What happened to an order in the center's index.
    ChangeKind = "crate::index::ChangeKind" {
        /// A newer version was stored.
        Upserted,
        /// The source no longer has the order.
        Deleted,
    }
);

mirror!(
    /// What a list of orders is sorted by. Ties are broken by the order id.
    OrderOrderField = "crate::index::SortField" {
        /// When the order was placed; drafts stand where they were last changed.
        PlacedAt,
        /// When it last changed in its source.
        UpdatedAt,
        /// Its total, whatever the currency: combine it with a filter on `currency`.
        Total,
    }
);

mirror!(
    /// What aggregates are grouped by. The currency always groups: amounts of two currencies have no sum.
    OrderDimension = "crate::index::Dimension" {
        /// The source that owns the order.
        Source,
        /// The kind of business.
        Kind,
        /// The sales channel.
        Channel,
        /// The status.
        Status,
        /// The payment status.
        PaymentStatus,
        /// The fulfillment status.
        FulfillmentStatus,
        /// The country of the shipping address, else of the billing address.
        Country,
        /// The UTC day it was placed.
        PlacedDay,
        /// The UTC month it was placed.
        PlacedMonth,
    }
);

/// Which way a list is sorted.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "crate::index::Direction")]
pub(super) enum OrderDirection {
    /// Smallest or oldest first.
    #[graphql(name = "ASC")]
    Ascending,
    /// Greatest or newest first.
    #[graphql(name = "DESC")]
    Descending,
}

/// Whether a look-up asks the owner first.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    /// What the center has: fast, and as fresh as the source's synchronization.
    Cached,
    /// Read from the owner now, stored and returned. Fails with `SOURCE_UNAVAILABLE` where the owner does not answer.
    Live,
}
