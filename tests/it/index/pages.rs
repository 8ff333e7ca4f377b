//! Keyset pages: every order once, in order, forward and backward, while others come in.

use std::collections::HashSet;

use order_center::index::{Cursor, Direction, Filter, Index, LineFilter, ListedOrder, OrderList, SortField, TextMatch};
use order_contract::OrderId;
use serde_json::{Value, json};

use super::{apply, entry, everything};
use crate::world::{at, clear, databases, order_id, order_json};

const SORTS: [SortField; 3] = [SortField::PlacedAt, SortField::UpdatedAt, SortField::Total];
const DIRECTIONS: [Direction; 2] = [Direction::Ascending, Direction::Descending];

/// Seven orders share each moment and each total, so that ties cross the borders of pages.
fn tied(i: i64) -> Value {
    let mut order = order_json(&format!("{i:03}"), 1);
    order["times"] = json!({ "placedAt": at(i / 7), "updatedAt": at(100 + i / 7) });
    order["totals"]["total"] = json!((i / 7).to_string());
    order["lines"][1]["sku"] = json!("85123A");
    order
}

#[tokio::test]
async fn a_walk_sees_every_order_once_while_others_come_in() {
    for db in databases().await {
        let index = Index::new(db.database.clone());
        let mut next = 500;
        let first: Vec<_> = (0..40).map(|i| i * 3).collect();
        let sku = LineFilter { sku: Some(TextMatch::In(vec!["85123A".into()])), ..LineFilter::default() };
        for filter in [Filter::All(Vec::new()), Filter::Lines(sku)] {
            for (sort, direction, backward) in combinations() {
                clear(&db.database).await;
                apply(&index, first.iter().map(|i| entry(&tied(*i))).collect()).await;
                let mut list = OrderList { sort, direction, backward, filter: filter.clone(), ..everything(4) };
                let mut seen: Vec<ListedOrder> = Vec::new();
                let mut late = first.iter().map(|i| i + 1);
                loop {
                    let page = index.list(&list).await.unwrap();
                    let keys = page.orders.iter().map(|o| o.id.clone());
                    assert_eq!(keys.collect::<HashSet<_>>().len(), page.orders.len());
                    let (more, edge) = if backward {
                        seen.splice(0..0, page.orders.iter().cloned());
                        (page.has_previous, page.orders.first())
                    } else {
                        seen.extend(page.orders.iter().cloned());
                        (page.has_next, page.orders.last())
                    };
                    let Some(edge) = edge.filter(|_| more) else { break };
                    let sent = Cursor::parse(&edge.cursor.encode(), sort, direction).unwrap();
                    *(if backward { &mut list.before } else { &mut list.after }) = Some(sent);
                    // Others: one between those that are there, one beyond them.
                    let between = late.next().map(tied);
                    next += 1;
                    apply(&index, between.into_iter().chain([tied(next)]).map(|json| entry(&json)).collect()).await;
                }
                let ids: Vec<&OrderId> = seen.iter().map(|o| &o.id).collect();
                let unique: HashSet<_> = ids.iter().collect();
                assert_eq!(unique.len(), ids.len(), "seen twice: {sort:?} {direction:?} {backward} on {}", db.name);
                for i in &first {
                    let id = order_id("retail", &format!("{i:03}"));
                    assert!(unique.contains(&&id), "{id} not seen: {sort:?} {direction:?} {backward} on {}", db.name);
                }
                let mut sorted = ids.clone();
                sorted.sort_by_key(|id| {
                    let i: i64 = id.source_order_id().as_str().parse().unwrap();
                    (i / 7, id.to_string())
                });
                if direction == Direction::Descending {
                    sorted.reverse();
                }
                assert_eq!(ids, sorted, "{sort:?} {direction:?} {backward} on {}", db.name);
            }
        }
    }
}

fn combinations() -> impl Iterator<Item = (SortField, Direction, bool)> {
    SORTS.into_iter().flat_map(|sort| {
        DIRECTIONS
            .into_iter()
            .flat_map(move |direction| [false, true].into_iter().map(move |backward| (sort, direction, backward)))
    })
}

#[tokio::test]
async fn pages_between_two_cursors_and_of_nothing() {
    for db in databases().await {
        let index = Index::new(db.database.clone());
        assert!(index.list(&everything(3)).await.unwrap().orders.is_empty());
        apply(&index, (0..20).map(|i| entry(&tied(i))).collect()).await;
        let all = index.list(&everything(100)).await.unwrap();
        assert_eq!((all.orders.len(), all.has_next, all.has_previous), (20, false, false));
        let at = |i: usize| Some(all.orders[i].cursor.clone());

        let between = OrderList { after: at(4), before: at(10), ..everything(3) };
        let page = index.list(&between).await.unwrap();
        assert_eq!((page.orders.as_slice(), page.has_next, page.has_previous), (&all.orders[5..8], true, true));
        let page = index.list(&OrderList { backward: true, ..between }).await.unwrap();
        assert_eq!((page.orders.as_slice(), page.has_next, page.has_previous), (&all.orders[7..10], true, true));

        let page = index.list(&everything(0)).await.unwrap();
        assert_eq!((page.orders.len(), page.has_next), (0, true));
        let newest = index.newest_update(&crate::world::source("retail")).await.unwrap();
        assert_eq!(newest, Some(crate::world::at(102)));
    }
}
