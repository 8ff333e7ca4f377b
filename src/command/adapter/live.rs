//! `order-center adapter try` and `record`: an adapter against the platform itself, read only.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{Config, Overrides};
use crate::mapping::{Limits, Pool};
use crate::source::{ChangeWindow, Factory, OrderSource, RawOrder};
use clap::Args;
use order_contract::{OrderSnapshot, SourceOrderId};

use super::super::{Failure, print};
use super::scrub::scrub;

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// The adapter's folder.
    folder: PathBuf,
    /// The configuration file, whose `[[sources]]` give address, settings and secrets [default: order-center.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Which of its sources; needed when several speak through adapters.
    #[arg(long, value_name = "KEY")]
    source: Option<String>,
    /// An order to read; one page of the list of changes when none is given.
    #[arg(long = "id", value_name = "ID")]
    ids: Vec<String>,
    /// Orders of the page, at most.
    #[arg(long, default_value_t = 20)]
    limit: u32,
}

/// One live page, normalized, as a table.
pub(super) async fn try_out(options: &Options) -> Result<(), Failure> {
    let source = open(options)?;
    let mut rows = vec![HEAD.map(str::to_owned)];
    let mut failed = 0;
    for raw in read(&source, options).await? {
        rows.push(match source.normalize(&raw).await {
            Ok(normalized) => row(&normalized.snapshot),
            Err(rejection) => {
                failed += 1;
                let id = raw.source_order_id.map(|id| id.to_string()).unwrap_or_default();
                let reason = format!("refused at {:?}: {}", rejection.path, rejection.rule);
                [id, String::new(), reason]
                    .into_iter()
                    .chain(std::iter::repeat(String::new()))
                    .take(8)
                    .collect::<Vec<_>>()
                    .try_into()
                    .unwrap_or_default()
            }
        });
    }
    print(&table(&rows))?;
    print(&format!("{} orders, {failed} refused\n", rows.len() - 1))?;
    if failed == 0 { Ok(()) } else { Err(Failure(format!("{failed} orders could not be normalized"))) }
}

/// Live records as fixtures, without secrets and personal data.
pub(super) async fn record(options: &Options) -> Result<(), Failure> {
    let source = open(options)?;
    let folder = options.folder.join("fixtures");
    let cannot = |path: &Path, e: std::io::Error| Failure(format!("could not write {}: {e}", path.display()));
    std::fs::create_dir_all(&folder).map_err(|e| cannot(&folder, e))?;
    let (mut written, mut there) = (0, 0);
    for (i, raw) in read(&source, options).await?.iter().enumerate() {
        let id = raw.source_order_id.as_ref().map_or_else(|| format!("{}", i + 1), ToString::to_string);
        let name: String = id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let path = folder.join(format!("recorded-{name}.json"));
        if path.exists() {
            there += 1;
            continue;
        }
        let text = scrub(&String::from_utf8_lossy(&raw.body));
        std::fs::write(&path, format!("{text}\n")).map_err(|e| cannot(&path, e))?;
        written += 1;
    }
    print(&format!(
        "{written} orders written to {}, {there} were there already. Personal data is masked by the names of fields: read \
         them before you publish them, then keep what they map to with `check --accept`\n",
        folder.display()
    ))
}

/// The source of the configuration, speaking through the adapter in the folder.
fn open(options: &Options) -> Result<Arc<dyn OrderSource>, Failure> {
    let config = Config::load(options.config.as_deref(), &Overrides::default())?;
    let fits = |key: &str| options.source.as_deref().is_none_or(|wanted| wanted == key);
    let mut sources = config.sources.into_iter().filter(|s| !s.is_protocol() && fits(&s.key.to_string()));
    let hint = "name one with --source KEY; [[sources]] of the configuration has them";
    let mut source = match (sources.next(), sources.next()) {
        (Some(source), None) => source,
        (None, _) => return Err(Failure(format!("no such source speaks through an adapter: {hint}"))),
        (Some(_), Some(_)) => return Err(Failure(format!("several sources speak through adapters: {hint}"))),
    };
    source.adapter = options.folder.to_string_lossy().into_owned();
    Ok(Factory { workers: Pool::new(Limits::default()) }.plug(source.plug()?)?)
}

async fn read(source: &Arc<dyn OrderSource>, options: &Options) -> Result<Vec<RawOrder>, Failure> {
    if options.ids.is_empty() {
        let window = ChangeWindow { since: None, until: None, page: None, limit: options.limit };
        return Ok(source.list_changes(&window).await?.orders);
    }
    let mut orders = Vec::new();
    for id in &options.ids {
        let id = SourceOrderId::try_new(id)?;
        let order = source.fetch(&id).await?;
        orders.push(order.ok_or_else(|| Failure(format!("the platform has no order {id}")))?);
    }
    Ok(orders)
}

const HEAD: [&str; 8] = ["number", "native", "status", "payment", "fulfillment", "total", "lines", "updated"];

fn row(order: &OrderSnapshot) -> [String; 8] {
    let word = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let json = serde_json::to_value(order).unwrap_or_default();
    [
        order.number.clone(),
        word(json["native"]["state"].clone()),
        word(json["status"].clone()),
        word(json["paymentStatus"].clone()),
        word(json["fulfillmentStatus"].clone()),
        format!("{} {}", word(json["totals"]["total"].clone()), word(json["currency"].clone())),
        order.lines.len().to_string(),
        word(json["times"]["updatedAt"].clone()),
    ]
}

/// Columns as wide as their widest cell.
fn table(rows: &[[String; 8]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..8).map(width).collect();
    let line = |row: &[String; 8]| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}
