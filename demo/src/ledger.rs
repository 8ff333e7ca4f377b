//! What every line of the file comes to: part of an order, the reversal of a part of one, or left over with a reason.
//!
//! It owns the rule by which a cancellation finds what it reverses, and the sums that the center must show in the end.
//! It refuses to guess: what cannot be told from the file is counted by reason with its value. That is so that orders,
//! reversals and left-overs add up to the file to the penny.
//!
//! The rule: a line of a C-invoice reverses earlier purchases of the same customer, of the same stock code, at the same
//! unit price, the most recent first, as many pieces as are left of each; one line may touch several orders.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use order_contract::Amount;

use crate::country;
use crate::invoices::{Document, Invoice, InvoiceError, Line, Survey};

/// Why a line of the file is in no order and reverses none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// A cancellation that names no customer.
    NoCustomer,
    /// A discount that names no purchase (`D`).
    Discount,
    /// A cancellation of what the customer did not buy before, in this file.
    NeverBought,
    /// A cancellation of what the customer bought, but never at this price.
    OtherPrice,
    /// The pieces of a cancellation beyond those that were bought and not reversed yet.
    MoreThanBought,
    /// Bad debt written off (`A…`).
    BadDebt,
    /// Stock written off: a negative quantity outside a cancellation.
    WrittenOff,
    /// Stock found or booked: no customer, and nothing on the invoice has a price.
    Booked,
    /// A negative price, or a cancellation of a positive quantity: the file's own has none.
    Odd,
}

impl Reason {
    /// A sentence for the report.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::NoCustomer => "cancellation without a customer",
            Self::Discount => "discount that names no purchase",
            Self::NeverBought => "cancellation of what was not bought in this file",
            Self::OtherPrice => "cancellation at a price it was never bought at",
            Self::MoreThanBought => "cancellation of more pieces than were left",
            Self::BadDebt => "adjustment for bad debt",
            Self::WrittenOff => "stock written off",
            Self::Booked => "stock booked without a sale",
            Self::Odd => "neither a sale nor a cancellation",
        }
    }
}

/// Lines of one reason, and what they add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOver {
    /// Lines, counting one that is partly left over.
    pub lines: u64,
    /// Their value, mostly below zero.
    pub value: Amount,
}

/// The sums of one country.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Orders.
    pub orders: u64,
    /// Order lines.
    pub lines: u64,
    /// What was ordered.
    pub ordered: Amount,
    /// What of it was reversed later.
    pub reversed: Amount,
}

impl Sums {
    /// These sums and others.
    #[must_use]
    pub fn with(self, other: &Self) -> Self {
        Self {
            orders: self.orders + other.orders,
            lines: self.lines + other.lines,
            ordered: self.ordered + other.ordered,
            reversed: self.reversed + other.reversed,
        }
    }
}

/// Cancellation invoices by what became of their lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cancellations {
    /// Every piece found its purchase.
    pub attributed: u64,
    /// Some pieces did.
    pub partly: u64,
    /// None did.
    pub unattributed: u64,
}

/// Pieces of one order line that a cancellation took back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reversal {
    /// The number of the C-invoice.
    pub document: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Index of the line among the order's lines.
    pub line: usize,
    /// How many.
    pub quantity: i64,
    /// What they cost.
    pub value: Amount,
}

/// The whole file, settled.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By ISO code, or by name where there is none: as the center groups.
    pub countries: BTreeMap<String, Sums>,
    /// What is in no order and reverses none.
    pub left: BTreeMap<Reason, LeftOver>,
    /// What became of the C-invoices.
    pub cancellations: Cancellations,
    reversals: HashMap<String, Vec<Reversal>>,
}

/// A line that is bought, and how many of it are not reversed.
struct Purchase {
    order: u32,
    line: u32,
    at: DateTime<Utc>,
    left: i64,
}

/// What customers hold that was not reversed yet: by customer and stock code, then by price.
#[derive(Default)]
struct Books {
    customers: Names,
    skus: Names,
    /// Number and country of each order.
    orders: Vec<(String, String)>,
    bought: HashMap<(u32, u32), BTreeMap<Amount, Vec<Purchase>>>,
}

impl Books {
    fn buy(&mut self, customer: &str, line: &Line, purchase: Purchase) {
        let held = (self.customers.number(customer), self.skus.number(&line.sku));
        self.bought.entry(held).or_default().entry(line.unit_price).or_default().push(purchase);
    }

    fn held(&mut self, customer: Option<&str>, sku: &str) -> Option<&mut BTreeMap<Amount, Vec<Purchase>>> {
        let held = (*self.customers.0.get(customer?)?, *self.skus.0.get(sku)?);
        self.bought.get_mut(&held)
    }
}

/// Texts by number, so that a purchase costs a few bytes.
#[derive(Default)]
struct Names(HashMap<String, u32>);

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.0.get(name) {
            return *number;
        }
        let number = u32::try_from(self.0.len()).expect("fewer names than lines of a file");
        self.0.insert(name.to_owned(), number);
        number
    }
}

/// The order lines of an invoice, and the others with their reason. No order lines: the invoice is no order.
#[must_use]
pub fn split(invoice: &Invoice) -> (Vec<&Line>, Vec<(&Line, Reason)>) {
    let (mut ordered, mut left) = (Vec::new(), Vec::new());
    for line in &invoice.lines {
        match invoice.document {
            Document::Reversal => {}
            Document::Adjustment => left.push((line, Reason::BadDebt)),
            Document::Sale if line.quantity <= 0 => left.push((line, Reason::WrittenOff)),
            Document::Sale if line.unit_price.is_negative() => left.push((line, Reason::Odd)),
            Document::Sale => ordered.push(line),
        }
    }
    if invoice.customer.is_none() && ordered.iter().all(|line| line.unit_price.is_zero()) {
        left.extend(ordered.drain(..).map(|line| (line, Reason::Booked)));
    }
    (ordered, left)
}

impl Ledger {
    /// Settles all invoices, which must come in the order of time, as the file has them.
    ///
    /// # Errors
    /// [`InvoiceError`] of the file.
    pub fn of(invoices: impl Iterator<Item = Result<Invoice, InvoiceError>>) -> Result<Self, InvoiceError> {
        let mut ledger = Self::default();
        let mut books = Books::default();
        for invoice in invoices {
            let invoice = invoice?;
            if invoice.document == Document::Reversal {
                ledger.reverse(&invoice, &mut books);
            } else {
                ledger.sell(&invoice, &mut books);
            }
        }
        Ok(ledger)
    }

    fn sell(&mut self, invoice: &Invoice, books: &mut Books) {
        let (ordered, left) = split(invoice);
        left.into_iter().for_each(|(line, reason)| self.leave(reason, line.value));
        if ordered.is_empty() {
            return;
        }
        let order = u32::try_from(books.orders.len()).expect("fewer orders than lines of a file");
        let country = country::code(&invoice.country).unwrap_or(&invoice.country);
        books.orders.push((invoice.number.clone(), country.to_owned()));
        let sums = self.countries.entry(country.to_owned()).or_default();
        sums.orders += 1;
        for (line, index) in ordered.into_iter().zip(0..) {
            sums.lines += 1;
            sums.ordered += line.value;
            if let Some(customer) = &invoice.customer {
                books.buy(customer, line, Purchase { order, line: index, at: invoice.at, left: line.quantity });
            }
        }
    }

    fn reverse(&mut self, invoice: &Invoice, books: &mut Books) {
        let (mut some, mut all) = (false, true);
        for line in &invoice.lines {
            let mut wanted = -line.quantity;
            let prices = books.held(invoice.customer.as_deref(), &line.sku);
            let reason = match &prices {
                _ if wanted <= 0 || line.unit_price.is_negative() => Reason::Odd,
                _ if line.sku == "D" => Reason::Discount,
                _ if invoice.customer.is_none() => Reason::NoCustomer,
                None => Reason::NeverBought,
                Some(prices) if !prices.contains_key(&line.unit_price) => Reason::OtherPrice,
                Some(_) => Reason::MoreThanBought,
            };
            let mut taken = Vec::new();
            if reason == Reason::MoreThanBought {
                let purchases = prices.and_then(|prices| prices.get_mut(&line.unit_price));
                for purchase in purchases.into_iter().flatten().rev().filter(|p| p.at <= invoice.at) {
                    let quantity = wanted.min(purchase.left);
                    if quantity > 0 {
                        purchase.left -= quantity;
                        wanted -= quantity;
                        taken.push((purchase.order as usize, purchase.line as usize, quantity));
                    }
                }
            }
            for (order, index, quantity) in taken {
                some = true;
                let (number, country) = &books.orders[order];
                let value = line.unit_price.checked_mul(quantity.into()).expect("at most the line's value");
                self.countries.entry(country.clone()).or_default().reversed += value;
                self.reversals.entry(number.clone()).or_default().push(Reversal {
                    document: invoice.number.clone(),
                    at: invoice.at,
                    line: index,
                    quantity,
                    value,
                });
            }
            if wanted != 0 {
                all = false;
                let value = line.unit_price.checked_mul(wanted.into()).expect("at most the line's value");
                self.leave(reason, -value);
            }
        }
        match (some, all) {
            (_, true) => self.cancellations.attributed += 1,
            (true, false) => self.cancellations.partly += 1,
            (false, false) => self.cancellations.unattributed += 1,
        }
    }

    fn leave(&mut self, reason: Reason, value: Amount) {
        let left = self.left.entry(reason).or_default();
        left.lines += 1;
        left.value += value;
    }

    /// What cancellations took back of this order, in the order of time.
    #[must_use]
    pub fn reversals(&self, number: &str) -> &[Reversal] {
        self.reversals.get(number).map_or(&[], Vec::as_slice)
    }

    /// The sums over all countries.
    #[must_use]
    pub fn total(&self) -> Sums {
        self.countries.values().fold(Sums::default(), Sums::with)
    }

    /// Whether orders − reversals + left-overs are exactly the sum over all lines of the file.
    #[must_use]
    pub fn balances(&self, survey: &Survey) -> bool {
        let total = self.total();
        let left: Amount = self.left.values().map(|left| left.value).sum();
        total.ordered - total.reversed + left == survey.value
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::{Cancellations, Ledger, Reason};
    use crate::invoices::{Invoices, Survey};

    /// Settles rows of `number quantity day price sku,customer,country`.
    fn settled(rows: &[&str]) -> Ledger {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        writeln!(file, "InvoiceNo,Quantity,InvoiceDate,UnitPrice,StockCode,CustomerID,Country,Description")
            .expect("written");
        for row in rows {
            let fields: Vec<_> = row.splitn(5, ' ').collect();
            let [number, quantity, day, price, rest] = fields.try_into().expect("five fields");
            writeln!(file, "{number},{quantity},2011-01-{day} 10:00:00,{price},{rest},CUP").expect("written");
        }
        let survey = Survey::of(file.path()).expect("sound");
        let ledger = Ledger::of(Invoices::open(file.path(), &survey).expect("opens")).expect("sound");
        assert!(ledger.balances(&survey), "{ledger:?}");
        ledger
    }

    #[test]
    fn a_cancellation_takes_from_the_most_recent_purchases_at_its_price() {
        let ledger = settled(&[
            "1 5 01 2.50 A,7,EIRE",
            "2 5 02 2.50 A,7,EIRE",
            "2 2 02 2.50 A,7,EIRE",
            "3 9 03 2.40 A,7,EIRE",
            "4 9 04 2.50 A,8,EIRE",
            "C5 -8 05 2.50 A,7,EIRE",
            "6 9 06 2.50 A,7,EIRE",
        ]);
        let taken = |number: &str| -> Vec<_> {
            ledger.reversals(number).iter().map(|r| (r.line, r.quantity, r.value.to_string())).collect()
        };
        assert_eq!(taken("2"), [(1, 2, "5".to_owned()), (0, 5, "12.50".to_owned())]);
        assert_eq!(taken("1"), [(0, 1, "2.50".to_owned())]);
        assert!(["3", "4", "6"].iter().all(|number| taken(number).is_empty()));
        assert_eq!(ledger.countries["IE"].reversed.to_string(), "20");
        assert_eq!(ledger.cancellations, Cancellations { attributed: 1, partly: 0, unattributed: 0 });
    }

    #[test]
    fn what_cannot_be_told_is_left_over_with_its_reason_and_value() {
        let ledger = settled(&[
            "1 5 01 2.50 A,7,Unspecified",
            "C2 -6 02 2.50 A,7,Unspecified",
            "C2 -1 02 9.99 A,7,Unspecified",
            "C3 -1 03 1.10 B,7,Unspecified",
            "C4 -1 04 1.20 A,,Unspecified",
            "C5 -1 05 1.30 D,7,Unspecified",
            "A6 1 06 -1.40 B,,Unspecified",
            "7 -9 07 0 A,,Unspecified",
            "8 9 08 0 A,,Unspecified",
            "9 9 09 0 A,7,Unspecified",
            "C10 1 10 1.50 A,7,Unspecified",
        ]);
        let left: Vec<_> = ledger.left.iter().map(|(reason, l)| (*reason, l.lines, l.value.to_string())).collect();
        let said = [
            (Reason::NoCustomer, "-1.20"),
            (Reason::Discount, "-1.30"),
            (Reason::NeverBought, "-1.10"),
            (Reason::OtherPrice, "-9.99"),
            (Reason::MoreThanBought, "-2.50"),
            (Reason::BadDebt, "-1.40"),
            (Reason::WrittenOff, "0"),
            (Reason::Booked, "0"),
            (Reason::Odd, "1.50"),
        ];
        assert_eq!(left, said.map(|(reason, value)| (reason, 1, value.to_owned())));
        assert_eq!(ledger.cancellations, Cancellations { attributed: 0, partly: 1, unattributed: 4 });
        let sums = ledger.countries["Unspecified"];
        assert_eq!((sums.orders, sums.lines), (2, 2), "free goods to a customer are an order, found stock is not");
    }
}
