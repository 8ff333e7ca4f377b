//! What the retail module holds after the import.

use std::path::Path;

use demo::folder::{Folder, FolderError};
use demo::invoices::{Invoices, Survey};
use demo::ledger::Ledger;
use demo::module;
use demo::orders::Orders;
use order_modules::{ImportedState, Line};

use crate::file::sample;

fn orders<'a>(survey: &'a Survey, ledger: &'a Ledger) -> Orders<'a> {
    Orders::new(Invoices::open(&sample(), survey).expect("opens"), ledger, survey.newest_day)
}

#[tokio::test]
async fn the_module_takes_every_order_once() {
    let survey = Survey::of(&sample()).expect("sound");
    let ledger = Ledger::of(Invoices::open(&sample(), &survey).expect("opens")).expect("sound");
    let directory = tempfile::tempdir().expect("a folder");
    let mut folder = Folder::open(directory.path(), false, &survey).expect("a folder");
    assert!(!folder.is_filled(Line::Retail));

    let imported = module::import(&folder, orders(&survey, &ledger), |_| ()).await.expect("imported");
    assert_eq!(imported.refused, []);
    assert_eq!((imported.orders as u64, imported.known), (ledger.total().orders, 0));

    let again = module::import(&folder, orders(&survey, &ledger), |_| ()).await.expect("imported");
    assert_eq!((again.orders, again.known as u64), (0, ledger.total().orders));

    folder.set_filled(Line::Retail).expect("written");
    assert!(matches!(Folder::open(directory.path(), true, &survey), Err(FolderError::InUse(_))));
    drop(folder);
    assert!(Folder::open(directory.path(), false, &survey).expect("the same").is_filled(Line::Retail));
    let other = directory.path().join("other.csv");
    let line = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n\
                1,1,CUP,1,2011-01-01 10:00:00,1,1,EIRE\n";
    std::fs::write(&other, line).expect("written");
    let other = Survey::of(Path::new(&other)).expect("sound");
    assert!(matches!(Folder::open(directory.path(), false, &other), Err(FolderError::OtherFile(_))));
    assert!(!Folder::open(directory.path(), true, &other).expect("fresh").is_filled(Line::Retail));
}

#[test]
fn the_newest_day_is_open_and_reversals_are_kept_to_the_penny() {
    let survey = Survey::of(&sample()).expect("sound");
    let ledger = Ledger::of(Invoices::open(&sample(), &survey).expect("opens")).expect("sound");
    let (mut open, mut returned, mut canceled) = (0, 0, 0);
    for order in orders(&survey, &ledger) {
        let order = order.expect("sound");
        match order.state {
            ImportedState::PendingPayment | ImportedState::Paid | ImportedState::Picking => {
                assert_eq!(order.placed_at.date_naive(), survey.newest_day);
                assert!(order.returns.is_empty());
                open += 1;
            }
            ImportedState::Canceled { at, .. } => {
                assert_eq!(at.date_naive(), order.placed_at.date_naive());
                canceled += ledger.reversals(&order.number).iter().map(|r| r.value.units()).sum::<i64>();
                let total: i64 =
                    order.lines.iter().map(|l| l.unit_price.checked_mul(l.quantity).expect("fits").units()).sum();
                assert_eq!(total, ledger.reversals(&order.number).iter().map(|r| r.value.units()).sum::<i64>());
            }
            _ => {}
        }
        returned += order.returns.iter().map(|r| r.refund.units()).sum::<i64>();
    }
    assert!(open > 20, "{open}");
    assert!(canceled > 0);
    assert_eq!(canceled + returned, ledger.total().reversed.units());
}
