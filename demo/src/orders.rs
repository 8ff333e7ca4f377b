//! Invoices as orders of the retail module, with the life that the file tells or implies.
//!
//! It owns the rules by which an invoice becomes an order and its reversals become cancellations and returns. It
//! refuses to invent amounts: every price, quantity and refund is the file's. That is so that the module's books are
//! the file's books.
//!
//! The file says when something was invoiced and when it was taken back, and nothing of payment or delivery. So:
//!
//! - An order that was wholly reversed on the day it was placed never left the house: it is canceled and refunded.
//! - Any other reversal is a return of delivered goods with the refund of their price; one return per C-invoice.
//! - Orders of the newest day are still open: in turn unpaid, paid and being picked.
//! - Orders of the three days before are on their way, of the seven days before these delivered, all others completed;
//!   an order with a return is at least delivered.

use chrono::NaiveDate;
use order_contract::{Amount, Disposition, Quantity};
use order_modules::{ImportedLine, ImportedOrder, ImportedReturn, ImportedState};

use crate::country;
use crate::invoices::{Invoice, InvoiceError, Invoices};
use crate::ledger::{Ledger, Reversal, split};

/// The orders of a settled file, in the order of its invoices.
pub struct Orders<'a> {
    invoices: Invoices<'a>,
    ledger: &'a Ledger,
    newest_day: NaiveDate,
    open: usize,
}

impl<'a> Orders<'a> {
    /// Orders of these invoices, which the ledger settled before.
    #[must_use]
    pub fn new(invoices: Invoices<'a>, ledger: &'a Ledger, newest_day: NaiveDate) -> Self {
        Self { invoices, ledger, newest_day, open: 0 }
    }

    fn order(&mut self, invoice: Invoice) -> Option<ImportedOrder> {
        let (ordered, _) = split(&invoice);
        if ordered.is_empty() {
            return None;
        }
        let reversals = self.ledger.reversals(&invoice.number);
        let pieces: i64 = ordered.iter().map(|line| line.quantity).sum();
        let same_day = reversals.iter().all(|r| r.at.date_naive() == invoice.at.date_naive());
        let whole = reversals.iter().map(|r| r.quantity).sum::<i64>() == pieces;
        let (state, returns) = match reversals.last() {
            Some(last) if whole && same_day => {
                let mut documents: Vec<_> = reversals.iter().map(|r| r.document.as_str()).collect();
                documents.dedup();
                (ImportedState::Canceled { at: last.at, reason: documents.join(", ") }, Vec::new())
            }
            last => (self.state(invoice.at.date_naive(), last.is_some()), returns(reversals)),
        };
        let lines = ordered.iter().map(|line| ImportedLine {
            sku: line.sku.clone(),
            name: if line.name.is_empty() { line.sku.clone() } else { line.name.clone() },
            quantity: line.quantity.into(),
            unit_price: line.unit_price,
        });
        Some(ImportedOrder {
            lines: lines.collect(),
            state,
            returns,
            placed_at: invoice.at,
            country_code: country::code(&invoice.country).map(str::to_owned),
            number: invoice.number,
            customer: invoice.customer,
            country: Some(invoice.country),
        })
    }

    fn state(&mut self, day: NaiveDate, returned: bool) -> ImportedState {
        match (self.newest_day - day).num_days() {
            ..=3 if returned => ImportedState::Delivered,
            ..=0 => {
                self.open += 1;
                match self.open % 3 {
                    1 => ImportedState::PendingPayment,
                    2 => ImportedState::Paid,
                    _ => ImportedState::Picking,
                }
            }
            1..=3 => ImportedState::Shipped,
            4..=10 => ImportedState::Delivered,
            _ => ImportedState::Completed,
        }
    }
}

impl Iterator for Orders<'_> {
    type Item = Result<ImportedOrder, InvoiceError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.invoices.next()? {
                Ok(invoice) => {
                    if let Some(order) = self.order(invoice) {
                        return Some(Ok(order));
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// One return per C-invoice, oldest first; pieces of one line in one place.
fn returns(reversals: &[Reversal]) -> Vec<ImportedReturn> {
    let mut returns: Vec<ImportedReturn> = Vec::new();
    for reversal in reversals {
        if returns.last().is_none_or(|last| last.number != reversal.document) {
            returns.push(ImportedReturn {
                number: reversal.document.clone(),
                at: reversal.at,
                lines: Vec::new(),
                refund: Amount::ZERO,
                disposition: Disposition::Restock,
            });
        }
        let Some(last) = returns.last_mut() else { continue };
        last.refund += reversal.value;
        let pieces = Quantity::from(reversal.quantity);
        match last.lines.iter_mut().find(|(line, _)| *line == reversal.line) {
            Some((_, quantity)) => *quantity += pieces,
            None => last.lines.push((reversal.line, pieces)),
        }
    }
    returns
}
