//! `order-center adapter try` and `record`: an adapter against the platform itself, read only.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clap::Args;
use order_adapter::engine::{Engine, Exchange};
use order_adapter::{Answer, Package, list_case};
use order_contract::{OrderSnapshot, SourceOrderId};

use super::super::{Failure, print};
use super::scrub::scrub;
use crate::config::{Config, Overrides};
use crate::mapping::{Limits, Pool};
use crate::source::manifest::Witness;
use crate::source::{ChangeWindow, Factory, OrderSource, Plug, RawOrder};

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
    let source = factory().plug(plug(options)?)?;
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

/// Live records as fixtures and the pages they came on as a case, without secrets and personal data.
pub(super) async fn record(options: &Options) -> Result<(), Failure> {
    let seen = Seen::default();
    let plug = plug(options)?;
    let package = Package::load(&options.folder)?;
    let engine = Engine::compile(&package, &plug.settings.clone().into_iter().collect())?;
    let source = Factory { witness: Some(seen.witness()), ..factory() }.plug(plug)?;
    let (raws, pages) = match options.ids.as_slice() {
        [] => pass(&source, options, &seen, package.file("adapter.toml").unwrap_or_default()).await?,
        _ => (read(&source, options).await?, Vec::new()),
    };

    let (mut written, mut there) = (0, 0);
    let mut keep = |folder: &str, id: &str, text: &str| {
        let name: String = id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let folder = options.folder.join(folder);
        let path = folder.join(format!("recorded-{name}.json"));
        if path.exists() {
            there += 1;
            return Ok(());
        }
        let kept = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, format!("{text}\n")));
        written += 1;
        kept.map_err(|e| Failure(format!("could not write {}: {e}", path.display())))
    };
    for (i, raw) in raws.iter().enumerate() {
        let id = raw.source_order_id.as_ref().map_or_else(|| format!("{}", i + 1), ToString::to_string);
        keep("fixtures", &id, &scrub(&String::from_utf8_lossy(&raw.body)))?;
    }
    if !pages.is_empty() {
        let case = list_case(&engine, options.limit, &pages).map_err(|error| {
            let hint = "its orders are in fixtures/; write the case by hand (docs/adapters.md)";
            Failure(format!("the list cannot be read from what is kept of it ({error:?}): {hint}"))
        })?;
        keep("cases", "list", &serde_json::to_string_pretty(&case).unwrap_or_default())?;
    }
    print(&format!(
        "{written} files written to {}, {there} were there already. Personal data is masked by the names of fields: read \
         them before you publish them, then keep what they map to with `check --accept`\n",
        options.folder.display()
    ))
}

/// Pages of the list until they have as many orders as are wanted: the orders, and the pages as cases hold them.
async fn pass(
    source: &Arc<dyn OrderSource>,
    options: &Options,
    seen: &Seen,
    manifest: &str,
) -> Result<(Vec<RawOrder>, Vec<Answer>), Failure> {
    let (mut raws, mut pages, mut window) = (Vec::new(), Vec::new(), window(options));
    let wanted = options.limit as usize;
    loop {
        let page = source.list_changes(&window).await?;
        raws.extend(page.orders);
        // The page is asked for before what belongs to its orders.
        pages.extend(seen.take().iter().find(|exchange| exchange.status < 300).map(|page| answer(page, manifest)));
        (window.page, window.until) = (page.next, Some(page.until));
        if window.page.is_none() || raws.len() >= wanted {
            raws.truncate(wanted);
            return Ok((raws, pages));
        }
    }
}

/// What a platform has answered.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Exchange>>>);

impl Seen {
    fn witness(&self) -> Witness {
        let seen = self.clone();
        Witness(Arc::new(move |exchange| seen.lock().push(exchange.clone())))
    }

    fn take(&self) -> Vec<Exchange> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Exchange>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A page as a case holds it: of its headers those that paging may need.
fn answer(page: &Exchange, manifest: &str) -> Answer {
    let needed = |name: &str| ["content-type", "date", "link"].contains(&name) || manifest.contains(name);
    let headers = page.headers.iter().filter(|(name, _)| needed(name));
    let text = String::from_utf8_lossy(&page.body);
    Answer {
        status: page.status,
        headers: headers.map(|(name, value)| (name.clone(), value.clone())).collect(),
        body: serde_json::from_str(&scrub(&text)).unwrap_or_default(),
    }
}

fn factory() -> Factory {
    Factory::new(Pool::new(Limits::default()))
}

/// The source of the configuration, speaking through the adapter in the folder.
fn plug(options: &Options) -> Result<Plug, Failure> {
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
    Ok(source.plug()?)
}

fn window(options: &Options) -> ChangeWindow {
    ChangeWindow { since: None, until: None, page: None, limit: options.limit }
}

async fn read(source: &Arc<dyn OrderSource>, options: &Options) -> Result<Vec<RawOrder>, Failure> {
    if options.ids.is_empty() {
        return Ok(source.list_changes(&window(options)).await?.orders);
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
