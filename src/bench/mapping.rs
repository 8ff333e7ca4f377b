//! What it costs to map one order: the CPU of a worker and of the center, from the platform's bytes to the snapshot.

use std::time::Instant;

use order_adapter::Package;

use super::{BenchError, cpu, row};
use crate::mapping::{Limits, Mapper, Pool};

/// Maps recorded orders of a platform over and over and prints the CPU that each took.
///
/// # Errors
/// [`BenchError`] when there are no orders in the documents or they do not map.
pub async fn mapping(package: &Package, settings: &str, documents: &[Vec<u8>], runs: usize) -> Result<(), BenchError> {
    let failed = |error: order_adapter::MapError| BenchError::Answer(error.to_string());
    let pool = Pool::new(Limits { workers: 1, ..Limits::default() });
    let mapper = Mapper::new(&pool, package);
    let mut records = Vec::new();
    let mut refused = 0_usize;
    for document in documents {
        for record in mapper.map_document(document, settings).await.map_err(failed)? {
            match record.order {
                Ok((order, _)) => records.push((record.raw, order.lines.len())),
                Err(_) => refused += 1,
            }
        }
    }
    let [worker] = pool.idle_workers()[..] else { return Err(BenchError::Answer("the worker is gone".into())) };
    if records.is_empty() {
        return Err(BenchError::Answer("the files hold no order that maps".into()));
    }
    let rounds = (runs / records.len()).max(1);
    // What is measured begins warm, as a server is.
    for (record, _) in &records {
        mapper.map(record, settings).await.map_err(failed)?;
    }
    let spent =
        || (cpu::of_process("self").unwrap_or_default(), cpu::of_process(&worker.to_string()).unwrap_or_default());
    let (before, began) = (spent(), Instant::now());
    for _ in 0..rounds {
        for (record, _) in &records {
            mapper.map(record, settings).await.map_err(failed)?;
        }
    }
    let (after, wall) = (spent(), began.elapsed());
    let mapped = (rounds * records.len()) as u64;
    let (center, inside) = ((after.0 - before.0) / mapped, (after.1 - before.1) / mapped);
    let (bytes, lines) = records.iter().fold((0, 0), |(b, l), (record, lines)| (b + record.len(), l + lines));
    println!(
        "{}: {} orders in {} files ({refused} records refused), each {rounds} times",
        package.manifest.name,
        records.len(),
        documents.len()
    );
    row("bytes and lines of one, on average", &format!("{} B, {} lines", bytes / records.len(), lines / records.len()));
    row("CPU of one order in the worker", &format!("{inside:>7} µs"));
    row("CPU of one order in the center", &format!("{center:>7} µs"));
    row("together", &format!("{:>7} µs", inside + center));
    row("one after another, by the clock", &format!("{:>7} µs", wall.as_micros() / u128::from(mapped)));
    Ok(())
}
