//! Tables that were emptied or made anew: rows below the offset that nobody has read.

use connect_core::error::Result;

use super::{
    Mark, Offset, SourceConfig,
    bounds::Clauses,
    database::{Origin, SourceDatabase, Standing},
    keys::Mode,
    statement::{column, from},
    task::Polling,
};

/// Looks whether the table is still the one that the offset is of, and reads it from its start if it is not.
pub(super) async fn look<D: SourceDatabase>(
    database: &mut D,
    config: &SourceConfig,
    origin: &Origin,
    polling: &mut Polling,
) -> Result<()> {
    let Origin::Table(table) = origin else { return Ok(()) };
    let name = polling.column.as_ref().filter(|column| !column.numeric_text && !column.other);
    let name = name.map(|column| column.name.clone());
    let Some(now) = database.standing(table, name.as_deref()).await? else { return Ok(()) };
    let before = polling.standing.replace(now.clone());
    if before.is_none() {
        keep_gaps(config, origin, polling, &now);
    }
    let from = from(origin, config, D::QUOTE);
    let offset = match &polling.offset.incrementing {
        Some(Mark::Number(n)) if config.mode == Some(Mode::Incrementing) => {
            name.map(|name| (*n, column(origin, config, D::QUOTE, &name)))
        }
        _ => None,
    };
    let mut emptied = before.as_ref().is_some_and(|before| before.table != now.table);
    let stored = before.as_ref().filter(|before| before.storage != now.storage);
    if let Some(before) = stored.filter(|_| !emptied) {
        match database.any_older(&from, before).await? {
            Some(older) => emptied = !older,
            None => polling.rebuilt = true,
        }
    }
    if let Some((n, id)) = &offset {
        // Ids are given out again that were given out before.
        let again = now.last.is_some_and(|last| last < *n);
        let unknown = now.last.is_none() && before.is_none();
        let rebuilt = std::mem::take(&mut polling.rebuilt) && !emptied;
        if !emptied && (again || unknown || rebuilt) {
            let behind = !database.any(&from, &format!("{id} >= {n}")).await?
                && database.any(&from, &format!("{id} < {n}")).await?;
            emptied = behind && again;
            if (behind || rebuilt) && !emptied {
                let notice = format!(
                    "{} may have been filled anew: {}; if it was, rows with {id} up to the stored offset {n} were not read, and \
                     the connector's offsets have to be set lower to read them",
                    table.qualified(),
                    if behind {
                        "all of its rows are behind the offset"
                    } else {
                        "it was truncated or rebuilt"
                    }
                );
                tracing::warn!("{notice}");
                polling.below = Some(notice);
            }
        }
    }
    if emptied && polling.offset != Offset::default() {
        start_over(config, origin, polling);
    }
    Ok(())
}

/// Reads the table from its start.
pub(super) fn start_over(config: &SourceConfig, origin: &Origin, polling: &mut Polling) {
    tracing::warn!(
        table = origin.describe(),
        "the table was emptied or made anew: reading it from its start"
    );
    polling.offset = match config.initial_timestamp() {
        // All of its rows have come since.
        Some(-1) if polling.offset.timestamp.is_some() => Offset::default().at(0),
        _ => Offset::default(),
    };
    (polling.position, polling.held) = (None, None);
    polling.gaps.clear();
    polling.readers.clear();
}

/// Whether ids that were passed over are looked for again; where the table's sequence makes that likely, this is said.
fn keep_gaps(config: &SourceConfig, origin: &Origin, polling: &mut Polling, standing: &Standing) {
    if let Some((sequence, cache)) = standing.sequence.as_ref().filter(|(_, cache)| *cache > 1) {
        polling.cached = true;
        if polling.lag(config).is_some() {
            tracing::warn!(
                table = origin.describe(),
                sequence,
                cache,
                gaps = config.lag_gaps,
                "sessions take several ids of this sequence at once and commit them in any order: ids that were passed over are \
                 looked for again, in the last so many gaps; CACHE 1 makes that unnecessary"
            );
        } else {
            tracing::warn!(
                table = origin.describe(),
                sequence,
                cache,
                "sessions take several ids of this sequence at once and commit them in any order: with incrementing.lag.ms=0 rows \
                 are lost; CACHE 1 makes that unnecessary"
            );
        }
    }
    polling.gaps.limit(polling.most_gaps(config));
}

/// What is to be said of rows that are before the first that is read, or that have no place in the order; once, where there is
/// no offset yet.
pub(super) async fn unread<D: SourceDatabase, T>(
    database: &mut D,
    clauses: &Clauses<'_, T>,
    polling: &mut Polling,
) -> Result<()> {
    if polling.looked || clauses.origin.table().is_none() || polling.offset != Offset::default() {
        polling.looked = true;
        return Ok(());
    }
    polling.looked = true;
    let config = clauses.config;
    let from = from(clauses.origin, config, D::QUOTE);
    let (expression, first, remedy) = match clauses.mode {
        Mode::Bulk => return Ok(()),
        Mode::Incrementing => {
            let Some(id) = clauses.number::<D>() else { return Ok(()) };
            let first = config.initial_incrementing().to_string();
            (id, first, "set the connector's offsets lower to read them")
        }
        Mode::Timestamp | Mode::TimestampIncrementing if config.initial_timestamp().is_some() => {
            return Ok(());
        }
        Mode::Timestamp | Mode::TimestampIncrementing => {
            let first = clauses.clock::<D>(clauses.position(&polling.offset))?;
            (clauses.timestamp::<D>(), first, "set timestamp.initial lower to read them")
        }
    };
    let mut unread = Vec::new();
    if database.any(&from, &format!("{expression} <= {first}")).await? {
        unread.push(format!("rows with {expression} up to {first} are not read: {remedy}"));
    }
    if database.any(&from, &format!("{expression} IS NULL")).await? {
        unread.push(format!("rows whose {expression} is null are not read"));
    }
    if !unread.is_empty() {
        let notice = format!("{}: {}", clauses.origin.describe(), unread.join("; "));
        tracing::warn!("{notice}");
        polling.unread = Some(notice);
    }
    Ok(())
}
