//! The workers of each source, begun and ended with it while the center runs.

use std::collections::BTreeMap;

use order_contract::SourceKey;
use tokio::task::JoinSet;
use tokio::time::{Duration, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::Ingest;

/// How often health is measured.
const MEASURE: Duration = Duration::from_secs(5);

impl Ingest {
    /// Polls every source and applies webhooks until canceled. What is under way then is either whole in the database
    /// or not in it. A source that is plugged in meanwhile is followed from then on, one that is removed no longer.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut workers = JoinSet::new();
        let mut stops: BTreeMap<SourceKey, CancellationToken> = BTreeMap::new();
        let mut registry = self.registry.watch();
        let mut measure = interval(MEASURE);
        measure.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let sources = registry.borrow_and_update().clone();
            stops.retain(|key, stop| {
                let stays = sources.contains_key(key);
                if !stays {
                    stop.cancel();
                }
                stays
            });
            for key in sources.keys().filter(|key| !stops.contains_key(key)).cloned().collect::<Vec<_>>() {
                let stop = shutdown.child_token();
                workers.spawn(self.clone().follow(key.clone(), stop.clone()));
                workers.spawn(self.clone().work_inbox(key.clone(), stop.clone()));
                stops.insert(key, stop);
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = registry.changed() => {}
                _ = measure.tick() => {
                    let _ = shutdown.run_until_cancelled(self.measure()).await;
                }
                Some(ended) = workers.join_next(), if !workers.is_empty() => {
                    if let Err(error) = ended {
                        // The others end with it, at a safe point as ever; who runs this starts all of them again.
                        tracing::error!(%error, "an ingest worker died");
                        stops.values().for_each(CancellationToken::cancel);
                        break;
                    }
                }
            }
        }
        while workers.join_next().await.is_some() {}
    }
}
