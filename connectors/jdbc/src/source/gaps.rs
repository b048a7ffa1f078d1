//! Ids that were passed over: a session that took several at once, or took one and waits, may still commit them.

use std::{fmt::Write, time::Duration};

use tokio::time::Instant;

/// Ranges of ids that were not there when higher ones were read.
#[derive(Debug, Clone, Default)]
pub(super) struct Gaps {
    /// In the order of their ids.
    ranges: Vec<Gap>,
    /// Most ranges; the lowest are given up first.
    most: usize,
}

#[derive(Debug, Clone)]
struct Gap {
    first: i64,
    last: i64,
    since: Instant,
}

impl Gaps {
    /// Those that an offset has, as `2-20,40`.
    pub(super) fn parse(text: &str, most: usize) -> Self {
        let since = Instant::now();
        let range = |range: &str| {
            // A minus sign in front is no separator.
            let (first, last) = match range[1..].find('-') {
                Some(at) => (&range[..=at], &range[at + 2..]),
                None => (range, range),
            };
            Some(Gap { first: first.parse().ok()?, last: last.parse().ok()?, since })
        };
        let ranges = text.split(',').filter(|range| !range.is_empty()).filter_map(range);
        Self { ranges: ranges.collect(), most }
    }

    /// As an offset has them; none if there are none.
    pub(super) fn text(&self) -> Option<String> {
        let mut text = String::new();
        for Gap { first, last, .. } in &self.ranges {
            let comma = if text.is_empty() { "" } else { "," };
            // Writing to a string cannot fail.
            let _ = match first == last {
                true => write!(text, "{comma}{first}"),
                false => write!(text, "{comma}{first}-{last}"),
            };
        }
        (!text.is_empty()).then_some(text)
    }

    /// From now on so many are kept.
    pub(super) fn limit(&mut self, most: usize) {
        self.most = most;
        self.ranges.drain(..self.ranges.len().saturating_sub(most));
    }

    pub(super) fn clear(&mut self) {
        self.ranges.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Nothing of the ids between `before` and `after` was there.
    pub(super) fn add(&mut self, before: i64, after: i64) {
        let (first, last) = (before.saturating_add(1), after.saturating_sub(1));
        if first > last || self.most == 0 {
            return;
        }
        if self.ranges.len() >= self.most {
            self.ranges.remove(0);
        }
        self.ranges.push(Gap { first, last, since: Instant::now() });
    }

    /// This id was there after all.
    pub(super) fn fill(&mut self, id: i64) {
        let at = self.ranges.partition_point(|gap| gap.last < id);
        let Some(gap) = self.ranges.get(at).filter(|gap| gap.first <= id).cloned() else { return };
        let below = Gap { last: id.saturating_sub(1), ..gap };
        let above = Gap { first: id.saturating_add(1), ..gap };
        let parts = [below, above].into_iter().filter(|gap| gap.first <= gap.last);
        self.ranges.splice(at..=at, parts);
    }

    /// Gives up those that are older.
    pub(super) fn expire(&mut self, age: Duration) {
        self.ranges.retain(|gap| gap.since.elapsed() <= age);
    }

    /// Each range, its ends included.
    pub(super) fn ranges(&self) -> impl Iterator<Item = (i64, i64)> {
        self.ranges.iter().map(|gap| (gap.first, gap.last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_is_no_longer_looked_for() {
        let mut gaps = Gaps::parse("", 3);
        gaps.add(1, 21);
        gaps.add(21, 22);
        gaps.add(22, 24);
        assert_eq!(gaps.text().as_deref(), Some("2-20,23"));
        for (id, expected) in [
            (2, "3-20,23"),
            (7, "3-6,8-20,23"),
            (20, "3-6,8-19,23"),
            (23, "3-6,8-19"),
            (50, "3-6,8-19"),
        ] {
            gaps.fill(id);
            assert_eq!(gaps.text().as_deref(), Some(expected), "{id}");
        }
        gaps.add(30, 32);
        gaps.add(40, 43);
        assert_eq!(gaps.text().as_deref(), Some("8-19,31,41-42"), "the lowest are given up");
        assert_eq!(Gaps::parse("8-19,31,41-42", 3).text(), gaps.text());
        assert_eq!(Gaps::parse("-9--3,-1", 3).ranges().collect::<Vec<_>>(), [(-9, -3), (-1, -1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_old_is_given_up() {
        let mut gaps = Gaps::parse("2-20", 3);
        tokio::time::advance(Duration::from_secs(10)).await;
        gaps.add(21, 23);
        gaps.expire(Duration::from_secs(5));
        assert_eq!(gaps.text().as_deref(), Some("22"));
        assert!(Gaps::parse("", 0).text().is_none());
    }
}
