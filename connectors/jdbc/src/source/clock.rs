//! How far timestamps may be read: which clock they were stamped by, how coarse they are, and who may still commit some
//! that are past.

use std::time::Duration;

use connect_core::error::Result;
use tokio::time::Instant;

use super::{
    SourceConfig,
    bounds::Clauses,
    database::{Clocks, Column, Holder, Order, Origin, Running, SourceDatabase, YEAR},
    task::{Polling, WAIT},
};
use crate::{
    datetime::{self, DAY},
    zone::Zone,
};

/// A statement's time is taken a moment before others can see that its transaction has begun.
const MARGIN_MICROS: i64 = 5_000;
const SECOND: i64 = 1_000_000;
/// Zones change their offsets at quarters of an hour, and set clocks back by less than this.
const QUARTER: i64 = 900 * SECOND;
const QUARTERS: i64 = 12;
/// Clocks that differ by less are the same.
const SAME: i64 = 60 * SECOND;
/// What a clock has stamped of late is younger.
const RECENT: i64 = 600 * SECOND;
/// Shortest wait for a transaction that is told of.
const PATIENCE: i64 = 2 * SECOND;

/// What was known before the rows were looked at: whatever is committed later has times from `until` on.
pub(super) struct Moment {
    /// The database's time, in microseconds since the epoch.
    pub(super) now: i64,
    /// Rows that are not visible yet have times from here on, but for those of readers that turn into writers.
    until: i64,
    /// Whether a transaction holds that back.
    held: bool,
    running: Running,
}

/// How far to read, in what the clock of the columns shows.
pub(super) struct Bound {
    /// Times before this.
    pub(super) until: i64,
    /// What the clock shows now.
    pub(super) now: i64,
    /// The times of rows that may have been committed behind an earlier bound.
    pub(super) late: Vec<i64>,
}

/// Looks at the clock, and who is writing. To be done before the rows are: what is committed in between may be missing from them.
pub(super) async fn moment<D: SourceDatabase>(
    database: &mut D,
    config: &SourceConfig,
    origin: &Origin,
    polling: &mut Polling,
) -> Result<Moment> {
    let now = database.now().await?;
    if !config.hold_back {
        return Ok(Moment { now, until: now, held: false, running: Running::default() });
    }
    let mut running = database.transactions(origin).await?;
    // What was not there at the last look has begun after it.
    let (known, reached) = (std::mem::take(&mut polling.vague), polling.reached);
    for mut holder in std::mem::take(&mut running.vague) {
        let first = known.iter().find(|known| known.who == holder.who).map(|known| known.since);
        holder.since = first.or(reached).unwrap_or(holder.since).min(holder.since);
        polling.vague.push(holder);
    }
    let oldest = running.holder.take().into_iter().chain(polling.vague.iter().cloned());
    running.holder = oldest.min_by_key(|holder| holder.since);
    let until = now - MARGIN_MICROS;
    let since = running.holder.as_ref().map_or(until, |holder| holder.since);
    let moment = Moment { now, until: until.min(since), held: since < until, running };
    polling.reached = Some(moment.until);
    moment.complain(config, origin, polling);
    Ok(moment)
}

impl Moment {
    /// Says once for whom a table waits longer than its interval.
    fn complain(&self, config: &SourceConfig, origin: &Origin, polling: &mut Polling) {
        let interval = i64::try_from(config.poll_interval.get().as_micros()).unwrap_or(i64::MAX);
        let long =
            |holder: &&Holder| self.now.saturating_sub(holder.since) > interval.max(PATIENCE);
        let Some(holder) = self.running.holder.as_ref().filter(|_| self.held).filter(long) else {
            polling.complained = None;
            return;
        };
        if polling.complained.as_ref() != Some(&holder.who) {
            polling.complained = Some(holder.who.clone());
            tracing::warn!(
                table = origin.describe(),
                transaction = holder.who,
                "rows wait for a transaction that has written and still runs; hold.back.running.transactions=false would \
                 lose what it commits"
            );
        }
    }

    /// Brings up to date which readers were passed by, and returns the times of those that have ended since: theirs may be
    /// the times of rows that were committed behind the bound.
    pub(super) fn passed(&self, polling: &mut Polling, until: i64) {
        let Running { readers, writers, .. } = &self.running;
        let open = |start: &i64| readers.contains(start) || writers.contains(start);
        let (still, ended): (Vec<i64>, Vec<i64>) =
            polling.readers.iter().partition(|start| open(start));
        polling.late.extend(ended);
        polling.readers = still;
        let new =
            readers.iter().filter(|start| **start < until && !polling.readers.contains(start));
        let new: Vec<i64> = new.copied().collect();
        polling.readers.extend(new);
    }
}

/// What the columns' clock shows, where it may be one of several: each with what it shows now, and at the bound.
struct Candidate {
    now: i64,
    until: i64,
    /// Whether it is that of a `db.timezone` which counts before others, if it has stamped anything of late.
    given: bool,
}

/// The bound for these columns.
pub(super) async fn bound<D: SourceDatabase, T>(
    database: &mut D,
    clauses: &Clauses<'_, T>,
    moment: &Moment,
    polling: &mut Polling,
) -> Result<Bound> {
    let config = clauses.config;
    let delay = i64::try_from(config.timestamp_delay.get().as_micros()).unwrap_or(i64::MAX);
    let instant = moment.until.saturating_sub(delay);
    let columns: Vec<&Column<T>> =
        clauses.criteria.timestamps.iter().map(|at| &clauses.columns[*at]).collect();
    // As the JVM's: cut to milliseconds at least.
    let coarsest = columns.iter().map(|column| column.step).max().unwrap_or(1).max(1000);
    // A program may cut its times itself. As long as no fraction of a second was seen, there may be none.
    let step = if polling.fine { coarsest } else { coarsest.max(SECOND) };
    let has = |order| columns.iter().any(|column| column.order == order);
    let (local, shown) = (has(Order::Local), has(Order::Shown));
    let Candidate { now, until, .. } = if local || shown {
        let candidates =
            candidates(database, clauses, (moment.now, instant), (local, shown), polling).await?;
        choose(database, clauses, candidates, step).await?
    } else {
        Candidate { now: moment.now, until: instant, given: false }
    };
    let cut = cut(until, step);
    let reached = instant.saturating_sub(until.saturating_sub(cut));
    moment.passed(polling, reached);
    again(polling, moment, reached);
    let late = late(database, clauses.zone, (local, shown), coarsest, &polling.late).await?;
    Ok(Bound { until: cut, now, late })
}

/// What columns of such a step have of these instants. Of days nothing: no bound passes over the present one.
async fn late<D: SourceDatabase>(
    database: &mut D,
    zone: &Zone,
    (local, shown): (bool, bool),
    step: i64,
    instants: &[i64],
) -> Result<Vec<i64>> {
    if instants.is_empty() || step >= DAY {
        return Ok(Vec::new());
    }
    let mut times: Vec<i64> = Vec::new();
    if local || shown {
        let clocks = database.clocks(instants).await?;
        times.extend(clocks.stamped.iter().chain(&clocks.shown));
        times.extend(instants.iter().map(|instant| zone.local(*instant)));
    } else {
        times.extend(instants);
    }
    if step > 1000 {
        // Rounded down, or up.
        times =
            times.iter().flat_map(|time| [cut(*time, step), cut(time + step / 2, step)]).collect();
    }
    times.sort_unstable();
    times.dedup();
    Ok(times)
}

/// The clocks by which the rows may have been stamped: that of sessions without a zone of their own, and the one that the
/// configuration names; of instants that are shown in the session's zone, that.
async fn candidates<D: SourceDatabase, T>(
    database: &mut D,
    clauses: &Clauses<'_, T>,
    (now, until): (i64, i64),
    (local, shown): (bool, bool),
    polling: &mut Polling,
) -> Result<Vec<Candidate>> {
    // Where a clock is set back after the bound, what is committed later may have earlier times than the bound.
    let first = until.div_euclid(QUARTER) * QUARTER;
    let later = (1..=QUARTERS).map(|n| first.saturating_add(n * QUARTER));
    let instants: Vec<i64> = [now, until].into_iter().chain(later).collect();
    let Clocks { stamped, shown: session } = database.clocks(&instants).await?;
    let zone = clauses.zone;
    let configured: Vec<i64> = instants.iter().map(|instant| zone.local(*instant)).collect();
    if local && !polling.zone_told && (stamped[0] - configured[0]).abs() >= SAME {
        polling.zone_told = true;
        tracing::warn!(
            table = polling.partition.table.as_deref().unwrap_or("query"),
            hours = (stamped[0] - configured[0]) as f64 / 3600e6,
            "the database's clock is ahead of db.timezone by so many hours: times without zone that it stamps are taken for \
             others than they are; set db.timezone to its zone, or sessions' zone to db.timezone"
        );
    }
    let mut candidates: Vec<Candidate> = Vec::new();
    let used = [(local, &stamped), (local, &configured), (shown, &session)];
    for clock in used.into_iter().filter(|(used, _)| *used).map(|(_, clock)| clock) {
        let until = clock[1..].iter().copied().min().unwrap_or(clock[0]);
        match candidates.iter_mut().find(|known| (known.now - clock[0]).abs() < SAME) {
            Some(known) => known.until = known.until.min(until),
            None => candidates.push(Candidate { now: clock[0], until, given: false }),
        }
    }
    candidates.sort_by_key(|candidate| candidate.now);
    let given = local && D::PREFERS_GIVEN_ZONE && clauses.config.zone_given;
    for candidate in candidates.iter_mut().filter(|_| given) {
        candidate.given = (candidate.now - configured[0]).abs() < SAME;
    }
    Ok(candidates)
}

/// The latest clock that has stamped anything of late; else the earliest, which bounds what all of them may still stamp.
async fn choose<D: SourceDatabase, T>(
    database: &mut D,
    clauses: &Clauses<'_, T>,
    mut candidates: Vec<Candidate>,
    step: i64,
) -> Result<Candidate> {
    let origin = clauses.origin;
    let from = super::statement::from(origin, clauses.config, D::QUOTE);
    while let [.., earlier, later] = candidates.as_slice() {
        // A coarse time may be rounded up.
        let after = earlier.now.saturating_add(step.max(SECOND));
        let timestamp = clauses.timestamp::<D>();
        if earlier.given {
            let recent = clauses.clock::<D>(earlier.now.saturating_sub(RECENT))?;
            let now = clauses.clock::<D>(after)?;
            let condition = format!("{timestamp} > {recent} AND {timestamp} <= {now}");
            if database.any(&from, &condition).await? {
                candidates.pop();
                continue;
            }
        }
        let (after, until) = (clauses.clock::<D>(after)?, clauses.clock::<D>(later.now)?);
        let condition = format!("{timestamp} > {after} AND {timestamp} <= {until}");
        if database.any(&from, &condition).await? {
            break;
        }
        candidates.pop();
    }
    let none = || connect_core::error::Error::internal("no clock");
    candidates.pop().ok_or_else(none)
}

/// The start of the step that a time is in.
fn cut(micros: i64, step: i64) -> i64 {
    if step >= YEAR {
        let days = micros.div_euclid(DAY);
        let start = (days - 366..=days).rev().find(|day| datetime::first_of_year(*day).is_some());
        return start.unwrap_or(days).saturating_mul(DAY);
    }
    micros.div_euclid(step).saturating_mul(step)
}

/// Whether what was told of lies beyond the bound, and gets a look of its own.
fn again(polling: &mut Polling, moment: &Moment, until: i64) {
    if std::mem::take(&mut polling.told) {
        polling.wanted = Some(moment.now);
    }
    polling.wanted = polling.wanted.filter(|wanted| *wanted >= until);
    let missing = polling.wanted.map(|wanted| wanted.saturating_sub(until).unsigned_abs());
    let held = moment.held;
    polling.more = missing.map(|missing| {
        // The bound itself is not read, and up to a millisecond is cut off.
        let pause = Duration::from_micros(missing + 1) + Duration::from_millis(1);
        Instant::now() + if held { polling.wait } else { pause }
    });
    polling.wait = if held && missing.is_some() { (polling.wait * 2).min(WAIT.1) } else { WAIT.0 };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_cut_to_what_the_column_holds() {
        let at = 1_614_834_367_123_456;
        for (step, expected) in [
            (1_000, 1_614_834_367_123_000),
            (SECOND, 1_614_834_367_000_000),
            (DAY, 1_614_816_000_000_000),
            (YEAR, 1_609_459_200_000_000),
        ] {
            assert_eq!(cut(at, step), expected);
            assert_eq!(cut(expected, step), expected);
        }
        assert_eq!(cut(-1, SECOND), -SECOND);
    }
}
