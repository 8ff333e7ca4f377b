//! The lines of business: each is one definition and a few words about itself.

use order_contract::OrderKind;

/// A line of business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Goods: reserved when they are ordered, picked, shipped, sometimes sent back.
    Retail,
    /// Licence codes: allocated when they are paid, given back while nobody has claimed them.
    Digital,
    /// Places of a slot: kept when they are asked for, accepted by the merchant, used on the day.
    Booking,
}

impl Line {
    /// Every line.
    pub const ALL: &[Self] = &[Self::Retail, Self::Digital, Self::Booking];

    /// Its name, as in its definition.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Retail => "retail",
            Self::Digital => "digital",
            Self::Booking => "booking",
        }
    }

    /// Its name for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Retail => "Retail orders",
            Self::Digital => "Digital orders",
            Self::Booking => "Bookings",
        }
    }

    /// What kind of business its orders belong to.
    #[must_use]
    pub fn kind(self) -> OrderKind {
        match self {
            Self::Retail => OrderKind::Retail,
            Self::Digital => OrderKind::Digital,
            Self::Booking => OrderKind::Booking,
        }
    }

    /// The definition that new orders go by, as JSON.
    #[must_use]
    pub fn definition(self) -> &'static str {
        match self {
            Self::Retail => include_str!("processes/retail.json"),
            Self::Digital => include_str!("processes/digital.json"),
            Self::Booking => include_str!("processes/booking.json"),
        }
    }

    /// The letter that its order numbers begin with.
    pub(crate) fn prefix(self) -> char {
        match self {
            Self::Retail => 'R',
            Self::Digital => 'D',
            Self::Booking => 'B',
        }
    }
}
