//! A database from before the ledger keeps its books.

use std::str::FromStr;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, Row};

const BEFORE: &str = include_str!("../../migrations/0001_orders.sql");
const SERVICES: &str = include_str!("../../migrations/0002_services.sql");

/// One order that shipped 3 of 5 reserved, got 1 back restocked and 1 damaged, and was refunded in part.
const LIFE: &str = "
    INSERT INTO orders VALUES ('R/1', 3, 'SHIPPED', 9, NULL, '{\"currency\":\"EUR\"}');
    INSERT INTO products VALUES ('A', 'product', 25000);
    INSERT INTO stock VALUES ('A', 80000, 20000, 10000);
    INSERT INTO stock_movements (sku, reason, order_id, event, on_hand, reserved, damaged, at) VALUES
        ('A', 'RECEIPT', NULL, NULL, 100000, 0, 0, 1),
        ('A', 'RESERVE', 'R/1', 'e1', 0, 60000, 0, 2),
        ('A', 'RELEASE', 'R/1', 'e2', 0, -10000, 0, 3),
        ('A', 'SHIP', 'R/1', 'e3', -30000, -30000, 0, 4),
        ('A', 'RESTOCK', 'R/1', 'e4', 10000, 0, 0, 5),
        ('A', 'DAMAGED', 'R/1', 'e5', 0, 0, 10000, 6);
    INSERT INTO transactions VALUES ('R/1', 't1', 'p1', 'SALE', 'e1', 125000, 2), ('R/1', 't2', 'p1', 'REFUND', 'e4', -50000, 5);
";

#[tokio::test]
async fn old_books_become_ledgers_with_the_same_sums() {
    let options = SqliteConnectOptions::from_str("sqlite::memory:").unwrap().foreign_keys(true);
    let db: SqlitePool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    for script in [BEFORE, LIFE, SERVICES] {
        sqlx::raw_sql(AssertSqlSafe(script)).execute(&db).await.unwrap();
    }
    let rows =
        sqlx::query("SELECT service, account, item, amount FROM ledger_balances ORDER BY 1, 2").fetch_all(&db).await;
    let balances: Vec<(String, String, String, i64)> =
        rows.unwrap().iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect();
    let expected = [
        ("payment", "@card/R%2F1/p1", "EUR", -75_000),
        ("payment", "merchant/R%2F1", "EUR", 75_000),
        ("warehouse", "@supplier", "A", -100_000),
        ("warehouse", "available", "A", 60_000),
        ("warehouse", "damaged", "A", 10_000),
        ("warehouse", "reserved/R%2F1", "A", 20_000),
        ("warehouse", "shipped/R%2F1", "A", 10_000),
    ];
    let expected =
        expected.map(|(service, account, item, amount)| (service.into(), account.into(), item.into(), amount));
    assert_eq!(balances, expected);
    let (entries, postings, of_order): (i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT COUNT(*) FROM ledger_entries), (SELECT COUNT(*) FROM ledger_postings),
                (SELECT COUNT(*) FROM ledger_entries WHERE order_id = 'R/1')",
    )
    .fetch_one(&db)
    .await
    .unwrap();
    assert_eq!((entries, postings, of_order), (8, 8, 7));
    let old = "SELECT COUNT(*) FROM sqlite_schema WHERE name IN ('stock', 'stock_movements', 'transactions', 'moved')";
    assert_eq!(sqlx::query_scalar::<_, i64>(old).fetch_one(&db).await.unwrap(), 0);
}
