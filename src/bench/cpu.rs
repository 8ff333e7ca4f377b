//! CPU time from `/proc`: of this process and of the database's. Unlike wall time it stays the same on a busy machine.

use std::collections::BTreeMap;

use crate::database::{Database, DatabaseError, Dialect};

/// Linux counts in hundredths of a second for programs, whatever the kernel does inside.
const MICROS_PER_TICK: u64 = 10_000;

/// User and system time of a process since its start, in µs; none where there is no `/proc`.
pub(super) fn of_process(process: &str) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, in parentheses, may hold spaces; after it come the state and eleven numbers, then the two.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some((ticks()? + ticks()?) * MICROS_PER_TICK)
}

/// CPU time spent so far.
pub(super) struct Spent {
    own: u64,
    backends: BTreeMap<i64, u64>,
}

impl Spent {
    /// Of this process, and of every PostgreSQL backend of this database on this machine.
    pub(super) async fn so_far(database: &Database) -> Result<Self, DatabaseError> {
        let mut backends = BTreeMap::new();
        if database.dialect() == Dialect::Postgres {
            let sql = "select cast(pid as bigint) from pg_stat_activity where datname = current_database()";
            for row in database.fetch_all(sql, &[]).await? {
                let pid = row.int(0)?;
                let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                if let Some(spent) = of_process(&pid.to_string()).filter(|_| name.starts_with("postgres")) {
                    backends.insert(pid, spent);
                }
            }
        }
        Ok(Self { own: of_process("self").unwrap_or_default(), backends })
    }

    /// What was spent since, in µs: by this process and by the database's.
    pub(super) fn until(&self, later: &Self) -> (u64, u64) {
        let before = |pid| self.backends.get(pid).copied().unwrap_or_default();
        let backends = later.backends.iter().map(|(pid, spent)| spent.saturating_sub(before(pid))).sum();
        (later.own.saturating_sub(self.own), backends)
    }
}
