//! Orders that nobody placed, but somebody could have: the book of the digital and the booking module.
//!
//! It owns the stories and who lives in them; a module lives each one through its own protocol, on a clock that is led
//! through the past days. It refuses to write an order: every state, receipt and refusal is the module's. That is so
//! that what a reader sees is what the process does, expiries, sold-out codes and cancellation fees included.

mod booking;
mod digital;
mod retail;
mod writer;

use chrono::{DateTime, TimeDelta, Utc};
use order_contract::Amount;
use order_modules::Line;
use order_modules::service::{CouponRule, Embedded, Goods, Product, PurchaseLimit};
use serde_json::{Map, Value, json};

pub use writer::{BookError, Written, write};

/// What a module sells and on which terms, and the orders of the past days.
pub(crate) struct Book {
    products: Vec<Product>,
    goods: Vec<Goods>,
    codes: Vec<(String, Vec<String>)>,
    coupons: Vec<CouponRule>,
    limits: Vec<PurchaseLimit>,
    review_from: Amount,
    pub(crate) stories: Vec<Story>,
}

impl Book {
    /// The book of a line as it is at that time. Retail has no stories: its orders are those of the file.
    pub(crate) fn of(line: Line, now: DateTime<Utc>) -> Self {
        match line {
            Line::Retail => retail::book(),
            Line::Digital => digital::book(now),
            Line::Booking => booking::book(now),
        }
    }

    /// Puts what is sold on the shelf.
    async fn stock(&self, services: &Embedded) -> Result<(), BookError> {
        services.put_products(&self.products).await?;
        if !self.goods.is_empty() {
            services.receive_goods("demo/opening", &self.goods).await?;
        }
        for (sku, codes) in &self.codes {
            services.add_codes(sku, codes).await?;
        }
        services.put_coupons(&self.coupons).await?;
        services.put_limits(&self.limits).await?;
        Ok(services.set_review_from(Some(self.review_from)).await?)
    }
}

/// What somebody does at a time, and how it ends.
pub(crate) struct Step {
    pub(crate) at: DateTime<Utc>,
    /// The verb and its input; none where only time passes.
    pub(crate) ask: Option<(&'static str, Value)>,
    /// The code of the refusal, where the module is expected to refuse.
    pub(crate) refused: Option<&'static str>,
}

/// The life of one order.
pub(crate) struct Story {
    pub(crate) steps: Vec<Step>,
}

impl Story {
    /// Somebody orders.
    fn begins(at: DateTime<Utc>, order: Value) -> Self {
        Self { steps: vec![Step { at, ask: Some(("create", order)), refused: None }] }
    }

    /// Somebody tries to order, and is refused.
    fn refused_at_once(at: DateTime<Utc>, order: Value, code: &'static str) -> Self {
        Self { steps: vec![Step { at, ask: Some(("create", order)), refused: Some(code) }] }
    }

    fn last(&self) -> DateTime<Utc> {
        self.steps.last().map_or(DateTime::UNIX_EPOCH, |step| step.at)
    }

    /// Then, after so long, somebody asks for something.
    fn then(self, after: TimeDelta, action: &'static str, input: Value) -> Self {
        let at = self.last() + after;
        self.at(at, action, input)
    }

    /// At that time, somebody asks for something.
    fn at(mut self, at: DateTime<Utc>, action: &'static str, input: Value) -> Self {
        self.steps.push(Step { at, ask: Some((action, input)), refused: None });
        self
    }

    /// The step before is refused with this code.
    fn refused(mut self, code: &'static str) -> Self {
        if let Some(step) = self.steps.last_mut() {
            step.refused = Some(code);
        }
        self
    }

    /// Time passes, and the module does what it brings.
    fn wait(self, after: TimeDelta) -> Self {
        let at = self.last() + after;
        self.wait_until(at)
    }

    fn wait_until(mut self, at: DateTime<Utc>) -> Self {
        self.steps.push(Step { at, ask: None, refused: None });
        self
    }
}

/// Who orders: id, name, city, country.
const CUSTOMERS: &[(&str, &str, &str, &str)] = &[
    ("c-ada", "Ada Byrne", "Dublin", "IE"),
    ("c-ben", "Ben Carter", "Leeds", "GB"),
    ("c-chloe", "Chloé Dupont", "Lyon", "FR"),
    ("c-dirk", "Dirk Ebert", "Bremen", "DE"),
    ("c-elin", "Elin Falk", "Malmö", "SE"),
    ("c-femi", "Femi Grant", "London", "GB"),
    ("c-gaia", "Gaia Hofer", "Zürich", "CH"),
    ("c-hugo", "Hugo Ibáñez", "Bilbao", "ES"),
    ("c-iris", "Iris Jansen", "Utrecht", "NL"),
    ("c-jack", "Jack King", "Bristol", "GB"),
    ("c-kaja", "Kaja Lund", "Oslo", "NO"),
    ("c-luca", "Luca Moretti", "Turin", "IT"),
];

/// An order of this customer, counted around.
fn order(customer: usize, lines: &[(&str, u32)], coupons: &[&str]) -> Value {
    let (id, name, city, country) = CUSTOMERS[customer % CUSTOMERS.len()];
    let lines: Vec<_> = lines.iter().map(|(sku, quantity)| json!({ "sku": sku, "quantity": quantity })).collect();
    let mut order = json!({
        "lines": lines,
        "channel": "web",
        "customer": { "id": id, "name": name, "email": format!("{}@example.com", &id[2..]) },
        "billingAddress": { "name": name, "city": city, "countryCode": country },
    });
    if !coupons.is_empty() {
        order["coupons"] = json!(coupons);
    }
    order
}

fn nothing() -> Value {
    Value::Object(Map::new())
}

fn minutes(count: i64) -> TimeDelta {
    TimeDelta::minutes(count)
}

fn hours(count: i64) -> TimeDelta {
    TimeDelta::hours(count)
}

fn amount(text: &str) -> Amount {
    text.parse().expect("an amount that is written here")
}

fn product(sku: impl Into<String>, name: impl Into<String>, price: &str, details: Map<String, Value>) -> Product {
    Product { sku: sku.into(), name: name.into(), price: amount(price), details }
}

/// A coupon that takes off a part or an amount; its limits are added where it has any.
fn coupon(code: &str, title: &str, percent: Option<&str>, off: Option<&str>) -> CouponRule {
    CouponRule {
        code: code.into(),
        title: title.into(),
        percent: percent.map(amount),
        amount: off.map(amount),
        skus: Vec::new(),
        minimum: None,
        stackable: false,
        limit: None,
        limit_per_member: None,
        valid_from: None,
        valid_until: None,
    }
}

/// So many pieces of one product for each customer, whenever they buy.
fn limit(sku: &str, most: u32) -> PurchaseLimit {
    PurchaseLimit { sku: sku.into(), most, period_seconds: u32::MAX }
}

#[cfg(test)]
mod tests {
    use super::Book;
    use chrono::{TimeDelta, Utc};
    use order_modules::Line;

    /// How far back the first story begins, at most.
    const DAYS: i64 = 21;

    /// Whatever the hour of the start: a story that would end tomorrow would stop halfway.
    #[test]
    fn every_story_lies_in_the_past_days_and_in_its_order() {
        for hour in 0..48 {
            let now = Utc::now() + TimeDelta::minutes(hour * 31);
            for line in [Line::Digital, Line::Booking] {
                let book = Book::of(line, now);
                let orders = book.stories.iter().filter(|story| story.steps[0].refused.is_none()).count();
                assert!((55..=70).contains(&orders), "{line:?}: {orders}");
                for steps in book.stories.iter().map(|story| &story.steps) {
                    assert!(steps.is_sorted_by_key(|step| step.at), "{line:?}");
                    let (first, last) = (steps[0].at, steps[steps.len() - 1].at);
                    assert!(now - TimeDelta::days(DAYS) < first && last <= now, "{line:?}: {first} to {last}");
                }
            }
        }
    }
}
