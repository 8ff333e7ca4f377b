//! What the services know, read without moving anything.
//!
//! It owns the reading of [`Facts`], one statement for each kind of thing, however many are asked about. It refuses
//! nothing: what is unknown is left out, and stock that was never there is zero.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use order_contract::Amount;
use serde_json::{Map, Value};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::embedded::{ServiceError, limits, rules};
use super::{CouponOffer, CouponRule, Facts, Member, Product, Question, Service, plan};

/// The part of the facts that one service knows; `now` where the question has no time.
pub(crate) async fn read(
    db: &mut SqliteConnection,
    service: Service,
    question: &Question,
    now: DateTime<Utc>,
) -> Result<Facts, ServiceError> {
    let mut facts = Facts::default();
    let member = question.member.as_deref();
    let at = question.at.unwrap_or(now);
    match service {
        Service::Product => facts.products = products(db, &question.skus).await?,
        Service::Warehouse => {
            let found = balances(db, service, question.skus.iter().map(|sku| (plan::AVAILABLE, sku.as_str())));
            let found = found.await?.into_iter().map(|((_, sku), amount)| (sku, amount));
            facts.available = question.skus.iter().map(|sku| (sku.clone(), Amount::ZERO)).chain(found).collect();
        }
        Service::Promotion => facts.coupons = offers(db, &question.coupons, member).await?,
        Service::Membership => {
            if let Some(id) = member {
                facts.member = Some(self::member(db, id).await?);
            }
        }
        Service::Payment => {}
        Service::Risk => {
            let row =
                sqlx::query_scalar("SELECT value FROM service_settings WHERE (service, name) = ('risk', 'reviewFrom')");
            let review_from: Option<String> = row.fetch_optional(&mut *db).await?;
            facts.review_from = review_from.and_then(|amount| amount.parse().ok());
            if let Some(id) = member {
                facts.allowances = allowances(db, &question.skus, id, at).await?;
            }
        }
    }
    Ok(facts)
}

/// Balances by account and item; what is empty is not there.
async fn balances<'a>(
    db: &mut SqliteConnection,
    service: Service,
    asked: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<HashMap<(String, String), Amount>, ServiceError> {
    let asked = serde_json::to_string(&asked.collect::<Vec<_>>())?;
    let rows = sqlx::query(
        "SELECT b.account, b.item, b.amount FROM json_each(?2) AS j CROSS JOIN ledger_balances AS b
         ON b.service = ?1 AND b.account = j.value->>0 AND b.item = j.value->>1",
    );
    let rows = rows.bind(service.as_str()).bind(asked).fetch_all(db).await?;
    Ok(rows.iter().map(|row| ((row.get(0), row.get(1)), Amount::from_units(row.get(2)))).collect())
}

async fn products(db: &mut SqliteConnection, skus: &[String]) -> Result<BTreeMap<String, Product>, ServiceError> {
    let rows =
        sqlx::query("SELECT sku, name, price, details FROM products WHERE sku IN (SELECT value FROM json_each(?))");
    let rows = rows.bind(serde_json::to_string(skus)?).fetch_all(db).await?;
    let product = |row: &SqliteRow| {
        let details: Map<String, Value> = serde_json::from_str(row.get(3))?;
        let product = Product { sku: row.get(0), name: row.get(1), price: Amount::from_units(row.get(2)), details };
        Ok((product.sku.clone(), product))
    };
    rows.iter().map(product).collect()
}

async fn offers(
    db: &mut SqliteConnection,
    codes: &[String],
    member: Option<&str>,
) -> Result<BTreeMap<String, CouponOffer>, ServiceError> {
    let rules = rules(db, codes).await?;
    let (by_all, by_member) = (plan::used(None), plan::used(member));
    let asked = rules.keys().flat_map(|code| [(by_all.as_str(), code.as_str()), (by_member.as_str(), code.as_str())]);
    let uses = balances(db, Service::Promotion, asked).await?;
    let left = |limit: Option<u32>, account: &String, code: &String| {
        let used = uses.get(&(account.clone(), code.clone())).map_or(0, |used| used.units() / plan::ONE);
        limit.map(|limit| u32::try_from(i64::from(limit) - used).unwrap_or(0))
    };
    let offer = |(code, rule): (&String, &CouponRule)| {
        let of_member = match member {
            Some(_) => left(rule.limit_per_member, &by_member, code),
            // A guest cannot use it at all.
            None => rule.limit_per_member.map(|_| 0),
        };
        let left = [left(rule.limit, &by_all, code), of_member].into_iter().flatten().min();
        (code.clone(), CouponOffer { rule: rule.clone(), left })
    };
    Ok(rules.iter().map(offer).collect())
}

async fn member(db: &mut SqliteConnection, id: &str) -> Result<Member, ServiceError> {
    let (account, issuer) = (plan::points_of(id), plan::issuer(id));
    let asked = [(account.as_str(), plan::POINTS), (issuer.as_str(), plan::POINTS)];
    let mut held = balances(db, Service::Membership, asked.into_iter()).await?;
    let mut points = |account: String| held.remove(&(account, plan::POINTS.into())).unwrap_or_default();
    let (points, issued) = (points(account), points(issuer));
    Ok(Member { id: id.into(), level: plan::level(-issued).into(), points })
}

async fn allowances(
    db: &mut SqliteConnection,
    skus: &[String],
    member: &str,
    at: DateTime<Utc>,
) -> Result<BTreeMap<String, Amount>, ServiceError> {
    let skus: Vec<_> = skus.iter().cloned().chain([plan::ORDERS.into()]).collect();
    let limits = limits(db, &skus).await?;
    let limits: Vec<_> = limits.values().flatten().map(|limit| (plan::counted(member, limit, at), limit)).collect();
    let asked = limits.iter().map(|(account, limit)| (account.as_str(), limit.sku.as_str()));
    let counted = balances(db, Service::Risk, asked).await?;
    let mut allowances: BTreeMap<String, Amount> = BTreeMap::new();
    for (account, limit) in &limits {
        let counted = counted.get(&(account.clone(), limit.sku.clone())).copied().unwrap_or_default();
        let left = (Amount::from(i64::from(limit.most)) - counted).max(Amount::ZERO);
        let least = allowances.entry(limit.sku.clone()).or_insert(left);
        *least = left.min(*least);
    }
    Ok(allowances)
}
