//! How fast a platform is asked: the rate of the manifest, lowered by what its answers say. Reads and writes share it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use order_adapter::engine::BudgetLeft;
use order_adapter::manifest::Rate;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until};

use crate::source::RateBudget;

/// The longest a request waits for its turn before it is given up instead: its caller has better things to do.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest a platform can keep the center away by asking for it.
const QUIET_MAX: Duration = Duration::from_secs(3600);

/// The rate budget of one source.
pub(super) struct Budget {
    /// The least time between two requests, and how far ahead of it a burst may run.
    pace: Option<(Duration, Duration)>,
    room: Semaphore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When the next request would be due if all came at the pace (the "theoretical arrival time" of GCRA).
    due: Option<Instant>,
    /// Nothing is sent before then.
    quiet_until: Option<Instant>,
    told: Option<RateBudget>,
}

impl Budget {
    pub(super) fn new(rate: Option<Rate>) -> Self {
        let pace = rate.map(|rate| {
            let interval = rate.per.0 / rate.requests.max(1);
            let burst = rate.burst.unwrap_or(rate.requests).max(1);
            (interval, interval * (burst - 1))
        });
        let concurrency = rate.and_then(|rate| rate.concurrency).unwrap_or(4).max(1);
        Self { pace, room: Semaphore::new(concurrency as usize), state: Mutex::default() }
    }

    /// Waits for the turn of one request.
    ///
    /// # Errors
    /// How long the wait would be, when that is too long.
    pub(super) async fn turn(&self) -> Result<SemaphorePermit<'_>, Duration> {
        let now = Instant::now();
        let at = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let quiet = state.quiet_until.filter(|until| *until > now).unwrap_or(now);
            let (at, due) = match self.pace {
                None => (quiet, None),
                Some((interval, ahead)) => {
                    let due = state.due.unwrap_or(now).max(now);
                    let allowed = due.checked_sub(ahead).unwrap_or(now).max(quiet);
                    (allowed, Some(due.max(allowed) + interval))
                }
            };
            let wait = at.saturating_duration_since(now);
            if wait > PATIENCE {
                return Err(wait);
            }
            state.due = due.or(state.due);
            at
        };
        sleep_until(at).await;
        // The semaphore is never closed.
        self.room.acquire().await.map_err(|_| Duration::ZERO)
    }

    /// The platform asks to be left alone.
    pub(super) fn quiet(&self, wait: Duration) {
        let until = Instant::now() + wait.min(QUIET_MAX);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.quiet_until = state.quiet_until.max(Some(until));
    }

    /// What an answer told.
    pub(super) fn told(&self, told: BudgetLeft) {
        if let Some(wait_s) = told.wait_s {
            self.quiet(Duration::from_secs(wait_s));
        }
        let limit = told.limit.unwrap_or(told.left);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.told = Some(RateBudget { left: told.left, limit });
    }

    /// What the last answer that told anything said.
    pub(super) fn left(&self) -> Option<RateBudget> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).told
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;
    use order_adapter::manifest::{Rate, Span};
    use std::time::Duration;
    use tokio::time::Instant;

    fn budget(requests: u32, per_s: u64, burst: Option<u32>) -> Budget {
        let per = Span(Duration::from_secs(per_s));
        Budget::new(Some(Rate { requests, per, burst, concurrency: None }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_let_through_and_then_the_pace_is_kept() {
        let budget = budget(2, 1, Some(3));
        let began = Instant::now();
        let mut at = Vec::new();
        for _ in 0..6 {
            drop(budget.turn().await.expect("a turn"));
            at.push(began.elapsed().as_millis());
        }
        assert_eq!(at, [0, 0, 0, 500, 1000, 1500]);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_waits_while_the_platform_wants_quiet_and_not_forever() {
        let budget = budget(100, 1, None);
        budget.quiet(Duration::from_secs(3));
        let began = Instant::now();
        drop(budget.turn().await.expect("a turn"));
        assert_eq!(began.elapsed(), Duration::from_secs(3));
        budget.quiet(Duration::from_secs(60));
        assert_eq!(budget.turn().await.err(), Some(Duration::from_secs(60)), "a minute is not waited for");
        assert_eq!(began.elapsed(), Duration::from_secs(3));
    }
}
