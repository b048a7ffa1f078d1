//! In which statements the records of a batch go: as few as the tables' definitions allow without anybody being able to
//! tell them from one statement a record, in the order of the log (invariant 12).

use std::collections::{HashMap, HashSet};

use connect_core::{error::Result, sink::SinkRecord};

use super::{SinkConfig, plan::Plan};

/// Records that are written alike, one after the other.
#[derive(Debug)]
pub(super) struct Step<'b> {
    /// Position of the table.
    pub(super) table: usize,
    /// Position of the plan.
    pub(super) plan: usize,
    pub(super) records: Vec<&'b SinkRecord>,
}

/// A record with its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed<'b> {
    /// Position in the batch.
    pub(super) at: usize,
    /// Position of its plan.
    pub(super) plan: usize,
    pub(super) record: &'b SinkRecord,
}

/// The records of one table, with the plans of their shapes.
#[derive(Debug, Default)]
pub(super) struct Rows<'b> {
    pub(super) plans: Vec<Plan>,
    /// In the order of the batch.
    pub(super) records: Vec<Placed<'b>>,
}

impl<'b> Rows<'b> {
    /// Adds a record, which is at this position of the batch.
    pub(super) fn add(
        &mut self,
        config: &SinkConfig,
        at: usize,
        record: &'b SinkRecord,
    ) -> Result<()> {
        let last = self.records.last().map(|placed| placed.plan);
        let fits = |at: &usize| self.plans[*at].fits(config, &record.record);
        let known = last.filter(fits).or_else(|| (0..self.plans.len()).find(fits));
        let plan = match known {
            Some(plan) => plan,
            None => {
                self.plans.push(Plan::new(config, &record.record)?);
                self.plans.len() - 1
            }
        };
        self.records.push(Placed { at, plan, record });
        Ok(())
    }

    /// The records of a plan.
    pub(super) fn of_plan(&self, plan: usize) -> Vec<&'b SinkRecord> {
        self.records.iter().filter(|placed| placed.plan == plan).map(|p| p.record).collect()
    }

    /// The steps of a table whose rows have to do with each other only by their key: records of different keys may change
    /// places. Of one key, the last of a plan takes the place of those before it, and a delete that of all, as far as
    /// these are `superfluous`: nobody can tell that they were not written, since the database would not have refused
    /// them. What is not left out goes into a later step than what is before it.
    pub(super) fn by_key(
        &self,
        table: usize,
        keys: &Keys,
        superfluous: impl Fn(Placed<'b>) -> bool,
    ) -> Vec<Step<'b>> {
        struct Group<'b> {
            level: usize,
            plan: usize,
            records: Vec<Option<Placed<'b>>>,
        }
        /// A record's place, and that of the one of the same key before it.
        struct Place {
            group: usize,
            at: usize,
            before: Option<usize>,
        }
        let (mut groups, mut places): (Vec<Group<'b>>, Vec<Place>) = (Vec::new(), Vec::new());
        let mut last: HashMap<&[u8], usize> = HashMap::with_capacity(self.records.len());
        for (n, placed) in self.records.iter().enumerate() {
            let (key, plan) = (keys.of(n), placed.plan);
            let mut before = last.get(key).copied();
            let mut level = 0;
            if let Some(at) = before {
                let Place { group, at, .. } = places[at];
                let same = groups[group].plan == plan;
                let earlier = &mut groups[group].records[at];
                if same && earlier.is_some_and(&superfluous) {
                    *earlier = Some(*placed);
                    continue;
                }
                level = groups[group].level + 1;
            }
            if self.plans[plan].delete {
                let mut chain = Vec::new();
                while let Some(at) = before {
                    let Place { group, at, before: earlier } = places[at];
                    chain.push((group, at));
                    before = earlier;
                }
                let of = |(group, at): &(usize, usize)| groups[*group].records[*at];
                if chain.iter().filter_map(of).all(&superfluous) {
                    for (group, at) in chain {
                        groups[group].records[at] = None;
                    }
                    level = 0;
                } else {
                    before = last.get(key).copied();
                }
            }
            let known = groups.iter().rposition(|g| g.level == level && g.plan == plan);
            let group = known.unwrap_or_else(|| {
                groups.push(Group { level, plan, records: Vec::new() });
                groups.len() - 1
            });
            groups[group].records.push(Some(*placed));
            places.push(Place { group, at: groups[group].records.len() - 1, before });
            last.insert(key, places.len() - 1);
        }
        groups.sort_by_key(|group| group.level);
        let step = |group: Group<'b>| Step {
            table,
            plan: group.plan,
            records: group.records.into_iter().flatten().map(|placed| placed.record).collect(),
        };
        groups.into_iter().map(step).filter(|step| !step.records.is_empty()).collect()
    }
}

/// The steps in the order of the log, neighbours of one table and plan together.
pub(super) fn in_order<'b>(tables: &[(usize, &Rows<'b>)]) -> Vec<Step<'b>> {
    let mut all: Vec<(usize, Placed<'b>)> = Vec::new();
    for (table, rows) in tables {
        all.extend(rows.records.iter().map(|placed| (*table, *placed)));
    }
    // The rows of one table are in order already.
    if tables.len() > 1 {
        all.sort_by_key(|(_, placed)| placed.at);
    }
    let mut steps: Vec<Step<'b>> = Vec::new();
    for (table, Placed { plan, record, .. }) in all {
        match steps.last_mut() {
            Some(step) if step.table == table && step.plan == plan => step.records.push(record),
            _ => steps.push(Step { table, plan, records: vec![record] }),
        }
    }
    steps
}

/// Cuts records where a key comes again, so that each run has every key once. `keys` are those of these records.
pub(super) fn distinct<'r, 'b>(
    records: &'r [&'b SinkRecord],
    keys: &Keys,
) -> Vec<&'r [&'b SinkRecord]> {
    let (mut runs, mut start, mut seen) = (Vec::new(), 0, HashSet::new());
    for n in 0..records.len() {
        if !seen.insert(keys.of(n)) {
            runs.push(&records[start..n]);
            start = n;
            seen.clear();
            seen.insert(keys.of(n));
        }
    }
    runs.push(&records[start..]);
    runs
}

/// Keys as bytes, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Keys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Keys {
    /// Ends a key.
    pub(super) fn end(&mut self) {
        self.ends.push(self.bytes.len());
    }
    /// Makes the key differ from all others; `n` is the position of its record.
    pub(super) fn alone(&mut self, n: usize) {
        self.part(3, &(n as u64).to_be_bytes());
    }
    fn of(&self, n: usize) -> &[u8] {
        let start = if n == 0 { 0 } else { self.ends[n - 1] };
        &self.bytes[start..self.ends[n]]
    }
    fn part(&mut self, tag: u8, bytes: &[u8]) {
        self.bytes.push(tag);
        self.bytes.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        self.bytes.extend_from_slice(bytes);
    }
}

impl super::cell::Cells for Keys {
    fn null(&mut self) {
        self.part(0, &[]);
    }
    fn number(&mut self, digits: &str) {
        self.part(1, digits.as_bytes());
    }
    fn boolean(&mut self, value: bool) {
        self.part(1, if value { b"1" } else { b"0" });
    }
    fn text(&mut self, text: &str) {
        self.part(1, text.as_bytes());
    }
    fn bytes(&mut self, bytes: &[u8]) {
        self.part(2, bytes);
    }
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
