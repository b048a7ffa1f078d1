//! How the cost grows with the size of a table, with its columns, and with tasks.

use anyhow::Result;
use xtask_servers::Kafka;

use super::{Bench, Cost, FLOOR, chain, floor, table::Table};

/// Fewest rows: what is there however few there are.
const FEW: u64 = 1;
/// Cells of each table of the growth by columns.
pub(crate) const CELLS: u64 = 4_000_000;

/// What copying a table cost on one log, or the databases by themselves.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    pub(crate) log: &'static str,
    /// Rows, columns or tasks.
    pub(crate) size: u64,
    pub(crate) rows: u64,
    /// Bytes of data in a row.
    pub(crate) row: u64,
    pub(crate) cost: Cost,
}

impl Point {
    /// Its wall time, in that of the databases by themselves for as much.
    pub(crate) fn times(&self, points: &[Self]) -> f64 {
        let floor = points.iter().find(|point| point.log == FLOOR && point.size == self.size);
        floor.map_or(f64::NAN, |floor| self.cost.wall / floor.cost.wall)
    }
}

/// From one row to `largest`, each ten times as many as the one before from 10,000 on.
pub(crate) fn by_rows(bench: &Bench, logs: &[Option<&Kafka>], largest: u64) -> Result<Vec<Point>> {
    let sizes = std::iter::successors(Some(10_000_u64), |rows| rows.checked_mul(10));
    let sizes = std::iter::once(FEW).chain(sizes.take_while(|rows| *rows <= largest));
    let mut points = Vec::new();
    for rows in sizes {
        let table = Table::of_rows(&format!("rows_{rows}"), rows);
        points.extend(one(bench, logs, &table, rows)?);
    }
    Ok(points)
}

/// From 2 to 200 columns, with as many cells in each table.
pub(crate) fn by_columns(bench: &Bench, logs: &[Option<&Kafka>]) -> Result<Vec<Point>> {
    let mut points = Vec::new();
    for columns in [2, 20, 200] {
        let table = Table::of_columns(&format!("columns_{columns}"), columns, CELLS);
        points.extend(one(bench, logs, &table, columns)?);
    }
    Ok(points)
}

fn one(bench: &Bench, logs: &[Option<&Kafka>], table: &Table, size: u64) -> Result<Vec<Point>> {
    table.fill(&bench.postgres)?;
    let cost = floor::measure(&bench.postgres, &bench.mariadb, table)?;
    let floor = Point { log: FLOOR, size, rows: table.rows, row: table.row(), cost };
    let points = on_all(bench, logs, table, size, 1);
    bench.postgres.query(&format!("DROP TABLE {}", table.name))?;
    Ok(std::iter::once(floor).chain(points?).collect())
}

/// With one and with two partitions and tasks of the sink.
pub(crate) fn by_tasks(
    bench: &Bench,
    logs: &[Option<&Kafka>],
    table: &Table,
) -> Result<Vec<Point>> {
    let mut points = Vec::new();
    for tasks in [1, 2] {
        points.extend(on_all(bench, logs, table, u64::from(tasks), tasks)?);
    }
    Ok(points)
}

fn on_all(
    bench: &Bench,
    logs: &[Option<&Kafka>],
    table: &Table,
    size: u64,
    tasks: u32,
) -> Result<Vec<Point>> {
    let mut points = Vec::new();
    for kafka in logs {
        let log = if kafka.is_some() { "Kafka" } else { "embedded" };
        let work = bench.dir.path().join(format!("{}-{tasks}-{}", table.name, log.to_lowercase()));
        let parts = chain::Parts { tasks, ..bench.parts(table) };
        let cost = chain::measure(&parts, *kafka, false, &work)?;
        println!(
            "{log}, {} x{tasks}: {:.2} s, worker {:.2} CPU s, {:.0} MB",
            table.name, cost.wall, cost.worker, cost.memory
        );
        points.push(Point { log, size, rows: table.rows, row: table.row(), cost });
    }
    Ok(points)
}
