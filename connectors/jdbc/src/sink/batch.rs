//! In which statements the records of a batch go: as few as their order allows.

use std::collections::HashMap;

use connect_core::{error::Result, sink::SinkRecord};

use super::{SinkConfig, plan::Plan};

/// Records that are written alike, one after the other; in upserts and deletes each has another key.
#[derive(Debug)]
pub(super) struct Step<'b> {
    /// Position of the plan.
    pub(super) plan: usize,
    pub(super) records: Vec<&'b SinkRecord>,
}

/// The records of one table, with the plans of their shapes.
#[derive(Debug, Default)]
pub(super) struct Rows<'b> {
    pub(super) plans: Vec<Plan>,
    /// Each with the position of its plan, in order.
    pub(super) records: Vec<(usize, &'b SinkRecord)>,
}

impl<'b> Rows<'b> {
    /// Adds a record.
    pub(super) fn add(&mut self, config: &SinkConfig, record: &'b SinkRecord) -> Result<()> {
        let last = self.records.last().map(|(plan, _)| *plan);
        let fits = |at: &usize| self.plans[*at].fits(config, &record.record);
        let known = last.filter(fits).or_else(|| (0..self.plans.len()).find(fits));
        let plan = match known {
            Some(plan) => plan,
            None => {
                self.plans.push(Plan::new(config, &record.record)?);
                self.plans.len() - 1
            }
        };
        self.records.push((plan, record));
        Ok(())
    }

    /// The steps in the order of the log, neighbours of one plan together.
    pub(super) fn in_order(&self) -> Vec<Step<'b>> {
        let mut steps: Vec<Step<'b>> = Vec::new();
        for (plan, record) in &self.records {
            match steps.last_mut() {
                Some(step) if step.plan == *plan => step.records.push(record),
                _ => steps.push(Step { plan: *plan, records: vec![record] }),
            }
        }
        steps
    }

    /// The steps where a key's last state is all that counts. Records of different keys may change places; of one key,
    /// the last of a plan takes the place of those before it, a delete that of all, and what follows a delete or has
    /// another plan goes into a later step.
    pub(super) fn by_key(&self, keys: &Keys) -> Vec<Step<'b>> {
        struct Group<'b> {
            level: usize,
            plan: usize,
            records: Vec<Option<&'b SinkRecord>>,
        }
        /// A record's place, and that of the one of the same key before it.
        struct Place {
            group: usize,
            at: usize,
            before: Option<usize>,
        }
        let (mut groups, mut places): (Vec<Group<'b>>, Vec<Place>) = (Vec::new(), Vec::new());
        let mut last: HashMap<&[u8], usize> = HashMap::with_capacity(self.records.len());
        for (n, (plan, record)) in self.records.iter().enumerate() {
            let key = keys.of(n);
            let mut before = last.get(key).copied();
            let mut level = 0;
            if let Some(at) = before {
                let Place { group, at, .. } = places[at];
                if groups[group].plan == *plan {
                    groups[group].records[at] = Some(record);
                    continue;
                }
                level = groups[group].level + 1;
            }
            if self.plans[*plan].delete {
                while let Some(at) = before {
                    let Place { group, at, before: earlier } = places[at];
                    groups[group].records[at] = None;
                    before = earlier;
                }
                level = 0;
            }
            let known = groups.iter().rposition(|g| g.level == level && g.plan == *plan);
            let group = known.unwrap_or_else(|| {
                groups.push(Group { level, plan: *plan, records: Vec::new() });
                groups.len() - 1
            });
            groups[group].records.push(Some(record));
            places.push(Place { group, at: groups[group].records.len() - 1, before });
            last.insert(key, places.len() - 1);
        }
        groups.sort_by_key(|group| group.level);
        let step = |group: Group<'b>| Step {
            plan: group.plan,
            records: group.records.into_iter().flatten().collect(),
        };
        groups.into_iter().map(step).filter(|step| !step.records.is_empty()).collect()
    }
}

/// The keys of a table's records as bytes, one behind the other.
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
