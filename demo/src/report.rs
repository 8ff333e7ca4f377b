//! What the demonstration prints: the center's sums beside the file's, and what is in no order.
//!
//! It owns numbers as people read them and the comparison. It refuses to round: an amount is shown with every digit it
//! has, at least two.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use order_contract::Amount;

use crate::invoices::Survey;
use crate::ledger::{Ledger, Sums};

/// A whole number with commas.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut text = digits[..first].to_owned();
    for at in (first..digits.len()).step_by(3) {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&digits[at..at + 3]);
    }
    text
}

/// An amount with commas and at least two fraction digits, such as `1,081,923.562`.
#[must_use]
pub fn pounds(amount: Amount) -> String {
    let units = amount.units();
    let fraction = format!("{:04}", units.unsigned_abs() % 10_000);
    let fraction = &fraction[..2 + fraction[2..].trim_end_matches('0').len()];
    let sign = if units < 0 { "-" } else { "" };
    format!("{sign}{}.{fraction}", grouped(units.unsigned_abs() / 10_000))
}

/// The countries where the center's sums are not the file's, each with both. Empty: equal to the penny.
/// `reversed`: whether reversals are compared too; they are not once somebody has canceled or refunded by hand.
#[must_use]
pub fn differences(file: &Ledger, center: &BTreeMap<String, Sums>, reversed: bool) -> Vec<String> {
    let keys: BTreeSet<_> = file.countries.keys().chain(center.keys()).collect();
    let sums = |of: &BTreeMap<String, Sums>, key: &str| {
        let sums = of.get(key).copied().unwrap_or_default();
        if reversed { sums } else { Sums { reversed: Amount::ZERO, ..sums } }
    };
    keys.into_iter()
        .map(|key| (key, sums(&file.countries, key), sums(center, key)))
        .filter(|(_, file, center)| file != center)
        .map(|(key, file, center)| format!("{key}: the file has {}, the center {}", all(&file), all(&center)))
        .collect()
}

fn all(sums: &Sums) -> String {
    let Sums { orders, lines, ordered, reversed } = sums;
    format!("{orders} orders, {lines} lines, {} ordered, {} given back", pounds(*ordered), pounds(*reversed))
}

/// The table of countries, largest first.
#[must_use]
pub fn countries(center: &BTreeMap<String, Sums>) -> String {
    let mut rows: Vec<_> = center.iter().collect();
    rows.sort_by_key(|(name, sums)| (-sums.ordered, *name));
    let mut total = Sums::default();
    let mut text = row("Country", ["Orders", "Lines", "Ordered GBP", "Given back GBP"].map(str::to_owned));
    for (name, sums) in rows {
        text += &cells(name, sums);
        total = total.with(sums);
    }
    text + &cells("Total", &total)
}

/// The sources and how many orders of each status they have.
#[must_use]
pub fn sources(statuses: &BTreeMap<String, Vec<(String, u64)>>) -> String {
    let line = |(source, counts): (&String, &Vec<(String, u64)>)| {
        let all = counts.iter().map(|(_, orders)| orders).sum();
        let counts: Vec<_> = counts.iter().map(|(status, orders)| format!("{} {status}", grouped(*orders))).collect();
        format!("\n  {source:<8} {:>6} orders: {}", grouped(all), counts.join(", "))
    };
    format!("\nThe sources behind the one endpoint:{}", statuses.iter().map(line).collect::<String>())
}

fn cells(name: &str, sums: &Sums) -> String {
    row(name, [grouped(sums.orders), grouped(sums.lines), pounds(sums.ordered), pounds(sums.reversed)])
}

fn row(name: &str, [orders, lines, ordered, reversed]: [String; 4]) -> String {
    format!("  {name:<20} {orders:>8} {lines:>9} {ordered:>16} {reversed:>16}\n")
}

/// What is in no order and reverses none, by reason, and how it all adds up to the file.
#[must_use]
pub fn left_over(survey: &Survey, ledger: &Ledger) -> String {
    let total = ledger.total();
    let of = ledger.cancellations;
    let mut text = format!(
        "Of {} cancellation invoices {} found what they reverse, {} in part, {} not at all. In no order, by reason:\n",
        grouped(of.attributed + of.partly + of.unattributed),
        grouped(of.attributed),
        grouped(of.partly),
        grouped(of.unattributed),
    );
    let mut left = Amount::ZERO;
    for (reason, of) in &ledger.left {
        left += of.value;
        let _ = writeln!(text, "  {:>7} lines {:>16}  {}", grouped(of.lines), pounds(of.value), reason.sentence());
    }
    let _ = write!(
        text,
        "{} ordered - {} given back {} in no order = {}: all {} lines of the file",
        pounds(total.ordered),
        pounds(total.reversed),
        if left.is_negative() { format!("- {}", pounds(-left)) } else { format!("+ {}", pounds(left)) },
        pounds(survey.value),
        grouped(survey.lines),
    );
    text
}

#[cfg(test)]
mod tests {
    use super::{grouped, pounds};

    #[test]
    fn numbers_read_well_and_lose_nothing() {
        assert_eq!(
            [0, 7, 999, 1_000, 541_909, 1_000_000].map(grouped),
            ["0", "7", "999", "1,000", "541,909", "1,000,000"]
        );
        for (text, shown) in [
            ("0", "0.00"),
            ("3", "3.00"),
            ("-0.5", "-0.50"),
            ("0.001", "0.001"),
            ("9747747.934", "9,747,747.934"),
            ("-1234.5678", "-1,234.5678"),
        ] {
            assert_eq!(pounds(text.parse().expect("an amount")), shown);
        }
    }
}
