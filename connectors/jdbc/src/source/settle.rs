//! How far an incrementing column may be read: ids are given out in order, but committed in any.

use std::time::Duration;

use connect_core::error::{Error, Result};
use tokio::time::Instant;

use super::{
    Mark, Offset, SourceConfig,
    anew::start_over,
    database::{Horizon, Origin, SourceDatabase},
    statement,
    task::{Incrementing, Polling, WAIT},
};

/// Shortest wait for writers that are told of.
const PATIENCE: Duration = Duration::from_secs(2);

/// How far a table may be read.
pub(super) enum Settled {
    Everything,
    /// Up to this value, as it stands in a statement.
    UpTo(String),
    Wait(Duration),
}

/// Ids are given out in order, but committed in any. What was the highest id when nobody, or nobody any more, was
/// writing to the table: no lower id can come after it. So the highest id is noted first, then who is writing; rows up
/// to it are read when all of those have ended.
pub(super) async fn settled<D: SourceDatabase>(
    database: &mut D,
    config: &SourceConfig,
    origin: &Origin,
    polling: &mut Polling,
    column: &Incrementing,
) -> Result<Settled> {
    let horizon = match polling.held.take() {
        None => {
            polling.held_since = Instant::now();
            let name = statement::column(origin, config, D::QUOTE, &column.name);
            let expression = if column.numeric_text { D::number(&name) } else { name };
            match database.horizon(origin, &expression, config).await? {
                None => return Ok(Settled::Everything),
                Some(horizon) => horizon,
            }
        }
        Some(held) => {
            let writers = database.running(origin, &held.writers).await?;
            Horizon { writers, ..held }
        }
    };
    let nothing = match polling.more {
        Some(_) => Settled::Wait(Duration::ZERO),
        None => Settled::Wait(polling.rest(config)),
    };
    let Some(highest) = horizon.highest.clone() else {
        // Whatever comes next has come since, whatever its id.
        if horizon.writers.is_empty()
            && origin.table().is_some()
            && polling.offset != Offset::default()
        {
            start_over(config, origin, polling);
        }
        return Ok(nothing);
    };
    if horizon.writers.is_empty() {
        polling.wait = WAIT.0;
        polling.complained = None;
        let read = match &polling.offset.incrementing {
            Some(Mark::Number(n)) => n.to_string() == highest,
            Some(Mark::Text(text)) => *text == highest,
            None => false,
        };
        // Nothing is new. A text among numbers that is none has no place in their order, and must not be passed over.
        if read && !column.numeric_text && polling.gaps.is_empty() {
            return Ok(nothing);
        }
        let highest = if column.other { D::text(&highest) } else { number(highest)? };
        return Ok(Settled::UpTo(highest));
    }
    if polling.held_since.elapsed() > config.poll_interval.get().max(PATIENCE)
        && polling.complained.is_none()
    {
        let who = database.describe(&horizon.writers).await?;
        tracing::warn!(
            table = origin.describe(),
            transactions = who,
            "rows wait for transactions that are writing and still run; hold.back.running.transactions=false would lose \
             what they commit"
        );
        polling.complained = Some(who);
    }
    polling.held = Some(horizon);
    let pause = polling.wait;
    polling.wait = (pause * 2).min(WAIT.1);
    Ok(Settled::Wait(pause))
}

/// A number as the database wrote it.
fn number(text: String) -> Result<String> {
    let digits = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    if digits && !text.is_empty() {
        Ok(text)
    } else {
        Err(Error::data("the incrementing column's highest value is not a number")
            .context("value", text))
    }
}
