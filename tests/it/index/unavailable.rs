//! A database that cannot take a write says so, loses nothing and recovers.

use order_center::database::{Database, DatabaseError, PoolLimits};
use order_center::index::{Filter, Index, IndexError};

use super::{apply, entry};
use crate::world::{order_id, order_json, postgres, sqlite};

async fn refused(index: &Index, id: &str) -> DatabaseError {
    let result = async {
        let mut writer = index.writer().await?;
        writer.apply((0..200).map(|i| entry(&order_json(&format!("{id}-{i}"), 1))).collect()).await?;
        writer.commit().await
    };
    match result.await {
        Err(IndexError::Write(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_full_sqlite_file() {
    let db = sqlite().await;
    let index = Index::new(db.database.clone());
    apply(&index, vec![entry(&order_json("1", 1))]).await;
    // There is one writing connection: its page limit is the disk that is full.
    let pages = db.database.fetch_all("pragma page_count", &[]).await.unwrap()[0].int(0).unwrap();
    db.database.execute(&format!("pragma max_page_count = {pages}"), &[]).await.unwrap();
    let error = refused(&index, "full").await;
    assert!(error.is_unavailable(), "{error:?}");
    assert!(index.find(&order_id("retail", "1")).await.unwrap().is_some(), "what was there is still read");
    assert_eq!(index.feed_head().await.unwrap().0, 1);

    db.database.execute("pragma max_page_count = 1000000", &[]).await.unwrap();
    apply(&index, vec![entry(&order_json("2", 1))]).await;
    assert_eq!(index.feed_head().await.unwrap().0, 2);
}

#[tokio::test]
async fn a_sqlite_file_that_is_read_only() {
    let db = sqlite().await;
    let index = Index::new(db.database.clone());
    db.database.execute("pragma query_only = 1", &[]).await.unwrap();
    let error = refused(&index, "read-only").await;
    assert!(error.is_unavailable(), "{error:?}");
    assert!(db.database.check_writable().await.unwrap_err().is_unavailable());
    assert_eq!(index.count(&Filter::All(Vec::new())).await.unwrap(), 0, "reading goes on");
    let again = Database::open(&db.url, PoolLimits::default()).await.unwrap();
    again.check_writable().await.unwrap();
}

#[tokio::test]
async fn a_path_where_no_file_can_be() {
    let error = Database::open("sqlite:/nowhere/at/all/center.db", PoolLimits::default()).await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    let error = Database::open("mysql://localhost/orders", PoolLimits::default()).await.unwrap_err();
    assert!(matches!(error, DatabaseError::UnknownUrl));
}

#[tokio::test]
async fn a_postgres_server_that_takes_no_writes() {
    let Some(db) = postgres().await else { return };
    let one = PoolLimits { connections_max: 1, ..PoolLimits::default() };
    let database = Database::open(&db.url, one).await.unwrap();
    let index = Index::new(database.clone());
    database.execute("set default_transaction_read_only = on", &[]).await.unwrap();
    let error = refused(&index, "standby").await;
    assert!(error.is_unavailable(), "{error:?}");
    database.close().await;
    let nobody = Database::open("postgres://127.0.0.1:1/nothing", one).await.unwrap_err();
    assert!(nobody.is_unavailable(), "{nobody:?}");
}
