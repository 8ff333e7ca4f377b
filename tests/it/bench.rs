//! The measurements run to their end and leave figures.

use std::process::Command;

fn bench(database: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_order-center"))
        .args(["bench", "--database", database, "--orders", "300", "--requests", "30"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[tokio::test]
async fn every_figure_is_measured_on_both_databases() {
    for db in crate::world::databases().await {
        let text = bench(&db.url);
        for line in ["center / plain", "SKU, placed", "seen before / REST", "for the first time"] {
            assert!(text.contains(line), "no {line:?} on {}:\n{text}", db.name);
        }
        let again = Command::new(env!("CARGO_BIN_EXE_order-center")).args(["bench", "--database", &db.url]).output();
        let again = String::from_utf8(again.unwrap().stderr).unwrap();
        assert!(again.contains("holds 300 orders"), "{again}");
    }
}
