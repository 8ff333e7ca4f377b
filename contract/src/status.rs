//! The unified vocabulary of states. Each is a projection of a native state that is always kept beside it, and each
//! has `UNKNOWN`: a state nobody mapped is shown as such, never guessed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// Every value, in the order of an order's life.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The value as it stands in JSON, GraphQL and the database.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// Parses what [`Self::as_str`] gives.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

vocabulary!(
    /// What kind of business an order belongs to.
    OrderKind {
        /// Goods that are picked, packed and shipped.
        Retail = "RETAIL",
        /// Codes, licences and downloads.
        Digital = "DIGITAL",
        /// A slot, a stay or an appointment.
        Booking = "BOOKING",
        /// Sold by a third party on a marketplace.
        Marketplace = "MARKETPLACE",
        /// One period of a recurring contract.
        Subscription = "SUBSCRIPTION",
        /// Work done for the customer.
        Service = "SERVICE",
        /// None of the others.
        Other = "OTHER",
    }
);

vocabulary!(
    /// Which tab an order is in: to pay, to accept, in work, to confirm, done, or closed without being done.
    OrderStatus {
        /// Not placed yet: a quote or a cart the module shares.
        Draft = "DRAFT",
        /// Placed; waits for the customer's payment.
        PendingPayment = "PENDING_PAYMENT",
        /// Waits for the merchant or a review to accept it.
        PendingAcceptance = "PENDING_ACCEPTANCE",
        /// Accepted and being produced, picked or shipped.
        Processing = "PROCESSING",
        /// Handed over; waits for the customer to confirm, or for time to pass.
        AwaitingConfirmation = "AWAITING_CONFIRMATION",
        /// Done.
        Completed = "COMPLETED",
        /// Called off by the customer, the merchant or a rule.
        Canceled = "CANCELED",
        /// Ended by time before it was paid or accepted.
        Expired = "EXPIRED",
        /// The native state has no mapping yet.
        Unknown = "UNKNOWN",
    }
);

vocabulary!(
    /// Where an order's money stands, over all its payments.
    PaymentStatus {
        /// Nothing is owed.
        NotRequired = "NOT_REQUIRED",
        /// Nothing was authorized or captured.
        Unpaid = "UNPAID",
        /// A payment is under way; its outcome is not known yet.
        Pending = "PENDING",
        /// Less than the total is authorized.
        PartiallyAuthorized = "PARTIALLY_AUTHORIZED",
        /// The total is authorized, nothing is captured.
        Authorized = "AUTHORIZED",
        /// Less than the total is captured.
        PartiallyPaid = "PARTIALLY_PAID",
        /// The total is captured.
        Paid = "PAID",
        /// More than the total is captured.
        Overpaid = "OVERPAID",
        /// Part of what was captured went back.
        PartiallyRefunded = "PARTIALLY_REFUNDED",
        /// All that was captured went back.
        Refunded = "REFUNDED",
        /// The authorization was given up before capture.
        Voided = "VOIDED",
        /// The payment was declined or broke.
        Failed = "FAILED",
        /// The authorization or payment offer ran out.
        Expired = "EXPIRED",
        /// The source's claim has no mapping yet.
        Unknown = "UNKNOWN",
    }
);

vocabulary!(
    /// How far an order's goods or services have come.
    FulfillmentStatus {
        /// Nothing has to be handed over.
        NotRequired = "NOT_REQUIRED",
        /// Not begun.
        Unfulfilled = "UNFULFILLED",
        /// Being picked, packed or produced.
        InProgress = "IN_PROGRESS",
        /// Ready to ship or to be collected.
        Ready = "READY",
        /// Some of it is on its way.
        PartiallyShipped = "PARTIALLY_SHIPPED",
        /// All of it is on its way.
        Shipped = "SHIPPED",
        /// Some of it has arrived.
        PartiallyDelivered = "PARTIALLY_DELIVERED",
        /// All of it has arrived or was provided.
        Delivered = "DELIVERED",
        /// It will not be handed over.
        Canceled = "CANCELED",
        /// The native state has no mapping yet.
        Unknown = "UNKNOWN",
    }
);

vocabulary!(
    /// How far an order's returns have come, over all of them.
    ReturnStatus {
        /// No return was asked for.
        None = "NONE",
        /// Asked for, not approved yet.
        Requested = "REQUESTED",
        /// Approved or on its way back.
        InProgress = "IN_PROGRESS",
        /// Some of the order came back.
        PartiallyReturned = "PARTIALLY_RETURNED",
        /// All of the order came back.
        Returned = "RETURNED",
        /// The native state has no mapping yet.
        Unknown = "UNKNOWN",
    }
);

vocabulary!(
    /// The state of one payment.
    PaymentState {
        /// Begun; its outcome is not known yet.
        Pending = "PENDING",
        /// Held for the merchant, not captured.
        Authorized = "AUTHORIZED",
        /// Some of it captured.
        PartiallyCaptured = "PARTIALLY_CAPTURED",
        /// Captured.
        Captured = "CAPTURED",
        /// Some of what was captured went back.
        PartiallyRefunded = "PARTIALLY_REFUNDED",
        /// All that was captured went back.
        Refunded = "REFUNDED",
        /// Given up before capture.
        Voided = "VOIDED",
        /// Declined or broken.
        Failed = "FAILED",
        /// Ran out.
        Expired = "EXPIRED",
        /// No mapping yet.
        Unknown = "UNKNOWN",
    }
);

vocabulary!(
    /// What one payment transaction does.
    TransactionType {
        /// Holds money.
        Authorize = "AUTHORIZE",
        /// Takes money that was held.
        Capture = "CAPTURE",
        /// Authorizes and captures at once.
        Sale = "SALE",
        /// Gives up a hold.
        Void = "VOID",
        /// Gives money back.
        Refund = "REFUND",
        /// The card issuer took money back.
        Chargeback = "CHARGEBACK",
        /// No mapping yet.
        Unknown = "UNKNOWN",
    }
);

vocabulary!(
    /// The state of one payment transaction.
    TransactionStatus {
        /// Sent; no outcome yet.
        Pending = "PENDING",
        /// Done.
        Succeeded = "SUCCEEDED",
        /// Declined or broken.
        Failed = "FAILED",
        /// No mapping yet.
        Unknown = "UNKNOWN",
    }
);

vocabulary!(
    /// The state of one refund.
    RefundStatus {
        /// Asked for.
        Requested = "REQUESTED",
        /// On its way to the customer.
        Pending = "PENDING",
        /// Paid back.
        Succeeded = "SUCCEEDED",
        /// Did not go through.
        Failed = "FAILED",
        /// Called off.
        Canceled = "CANCELED",
        /// No mapping yet.
        Unknown = "UNKNOWN",
    }
);

vocabulary!(
    /// The state of one return.
    ReturnState {
        /// Asked for.
        Requested = "REQUESTED",
        /// May be sent back.
        Approved = "APPROVED",
        /// Was refused.
        Declined = "DECLINED",
        /// On its way back.
        InTransit = "IN_TRANSIT",
        /// Some of it has come back.
        PartiallyReceived = "PARTIALLY_RECEIVED",
        /// All of it has come back.
        Received = "RECEIVED",
        /// Settled; nothing more will happen.
        Closed = "CLOSED",
        /// Called off.
        Canceled = "CANCELED",
        /// No mapping yet.
        Unknown = "UNKNOWN",
    }
);

vocabulary!(
    /// What became of returned goods.
    Disposition {
        /// Back in stock.
        Restock = "RESTOCK",
        /// Kept apart as damaged.
        Damaged = "DAMAGED",
        /// Thrown away or written off.
        Discarded = "DISCARDED",
        /// Not inspected yet.
        Pending = "PENDING",
        /// No mapping yet.
        Unknown = "UNKNOWN",
    }
);

vocabulary!(
    /// How another order relates to this one.
    RelationType {
        /// This order was split off the other.
        SplitOf = "SPLIT_OF",
        /// This order gathers the other.
        Aggregate = "AGGREGATE",
        /// This order replaces the other.
        Replaces = "REPLACES",
        /// This order reverses the other, wholly or in part.
        Reverses = "REVERSES",
        /// This order is another system's copy of the other.
        CopyOf = "COPY_OF",
        /// This order is a period of the other, a subscription.
        SubscriptionOf = "SUBSCRIPTION_OF",
        /// This order exchanges goods of the other.
        ExchangeOf = "EXCHANGE_OF",
        /// No mapping yet.
        Unknown = "UNKNOWN",
    }
);

vocabulary!(
    /// What a risk assessment advises.
    RiskRecommendation {
        /// Nothing speaks against the order.
        Accept = "ACCEPT",
        /// Someone should look at it.
        Investigate = "INVESTIGATE",
        /// It should be canceled.
        Cancel = "CANCEL",
        /// Not assessed, or no mapping yet.
        Unknown = "UNKNOWN",
    }
);

impl OrderStatus {
    /// Whether nothing more is expected to happen to the order on this axis.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Canceled | Self::Expired)
    }
}

impl ReturnStatus {
    /// `NONE`: what a source means that says nothing of returns.
    #[must_use]
    pub fn none() -> Self {
        Self::None
    }
}
