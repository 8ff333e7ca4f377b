//! What goes wrong at the command line is one clear line and an exit code.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

const HEADER: &str = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country";

fn file(folder: &Path, name: &str, lines: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, format!("{HEADER}\n{lines}\n")).expect("written");
    path.display().to_string()
}

fn demo(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_demo"))
        .arg("--data-dir")
        .arg(folder.join("data"))
        .arg("--exit-after-load")
        .args(arguments)
        .output()
        .expect("it runs")
}

fn refused(folder: &Path, arguments: &[&str], said: &str) {
    let output = demo(folder, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{arguments:?}");
    let lines: Vec<_> = error.lines().filter(|line| line.starts_with("demo: ")).collect();
    assert!(lines.len() == 1 && lines[0].contains(said), "{arguments:?}: {error}");
    assert!(!error.contains("panicked"), "{error}");
}

#[test]
fn each_mistake_is_one_clear_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let line = "536365,85123A,CUP,6,2010-12-01 08:26:00,2.55,17850,EIRE";
    let good = file(folder, "good.csv", line);
    let damaged = file(folder, "damaged.csv", &format!("{line}\n536366,1,CUP,six,2010-12-01 08:26:00,1,1,EIRE"));
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port().to_string();

    refused(folder, &["--data", "/nowhere/orders.csv"], "cannot open /nowhere/orders.csv: No such file");
    refused(folder, &["--data", &damaged], "line 3: Quantity \"six\": a whole number is wanted");
    refused(folder, &["--data", &good, "--port", &port], &format!("port {port} cannot be listened on"));
    refused(folder, &["--data", &good, "--port", "0", "--database", "mysql://x"], "sqlite");
    refused(folder, &["--data", &good, "--port", "0", "--database", "sqlite:/nowhere/center.db"], "/nowhere/center.db");
    let nobody = "postgres://nobody@127.0.0.1:1/none";
    refused(folder, &["--data", &good, "--port", "0", "--database", nobody], "127.0.0.1:1/none");
    refused(folder, &["--data", &good, "--port", "0", "--fresh", "--database", nobody], "--fresh does not empty");

    let loaded = demo(folder, &["--data", &good, "--port", "0"]);
    let said = String::from_utf8_lossy(&loaded.stdout);
    assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
    assert!(said.contains("Equal to the sums of the file, to the penny, country by country (1)."), "{said}");

    let other = file(folder, "other.csv", &line.replace("2.55", "2.56"));
    refused(folder, &["--data", &other, "--port", "0"], "holds the orders of another file: start over with --fresh");
    assert!(demo(folder, &["--data", &other, "--port", "0", "--fresh"]).status.success());
}
