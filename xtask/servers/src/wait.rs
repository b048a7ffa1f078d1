//! Waiting on a condition with a deadline: the only way in which tests wait.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long to rest between two looks at the condition.
const PAUSE: Duration = Duration::from_millis(20);

/// Asks `condition` until it gives a value, and fails after `deadline`, naming `what` was awaited.
///
/// The condition is asked at least once, and once more when the deadline has passed.
pub fn wait_until<T>(
    what: &str,
    deadline: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        let last = start.elapsed() >= deadline;
        if let Some(value) = condition() {
            return Ok(value);
        }
        if last {
            bail!("waited {:.1} s in vain for {what}", start.elapsed().as_secs_f64());
        }
        thread::sleep(PAUSE.min(deadline.saturating_sub(start.elapsed())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_the_value_as_soon_as_there_is_one() {
        let mut looks = 0;
        let value = wait_until("the third look", Duration::from_secs(60), || {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        assert_eq!(value.unwrap(), 3);
    }

    #[test]
    fn names_what_never_came() {
        let error = wait_until("Godot", Duration::from_millis(1), || None::<()>).unwrap_err();
        assert!(error.to_string().contains("in vain for Godot"), "{error}");
    }

    #[test]
    fn a_condition_that_holds_needs_no_time() {
        assert_eq!(wait_until("now", Duration::ZERO, || Some(1)).unwrap(), 1);
    }
}
