//! One row of the table: candidates that did the same, side by side, and the goals between them.
//!
//! Candidates take turns (A B C A B C ...), so that whatever else the computer does hits all
//! alike; a few rounds before are not counted.

use std::time::Duration;

use crate::{error::Result, samples::Samples};

/// How often a row is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rounds {
    pub(crate) warm_up: usize,
    pub(crate) counted: usize,
}

/// What one turn measures: its preparation and its tidying are not in the time.
pub(crate) type Turn<'a> = Box<dyn FnMut() -> Result<Duration> + 'a>;

/// A candidate's value may be at most this many times another's.
#[derive(Debug, Clone)]
pub(crate) struct Goal {
    pub(crate) of: &'static str,
    pub(crate) against: &'static str,
    pub(crate) at_most: f64,
}

/// One row.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) title: String,
    pub(crate) unit: &'static str,
    pub(crate) candidates: Vec<(&'static str, Samples)>,
    pub(crate) goals: Vec<Goal>,
    /// A bound on a candidate's own value.
    pub(crate) bounds: Vec<(&'static str, f64)>,
    /// Why a candidate is not here.
    pub(crate) notes: Vec<String>,
}

impl Row {
    /// An empty row, in milliseconds.
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            unit: "ms",
            candidates: Vec::new(),
            goals: Vec::new(),
            bounds: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Measures the candidates in turns.
    pub(crate) fn measure(
        mut self,
        rounds: Rounds,
        mut turns: Vec<(&'static str, Turn<'_>)>,
    ) -> Result<Self> {
        self.candidates = turns.iter().map(|(name, _)| (*name, Samples::default())).collect();
        for round in 0..rounds.warm_up + rounds.counted {
            for ((_, turn), (_, samples)) in turns.iter_mut().zip(&mut self.candidates) {
                let time = turn()?;
                if round >= rounds.warm_up {
                    samples.took(time);
                }
            }
        }
        Ok(self)
    }

    /// With a goal between two candidates; kept only where both are there.
    pub(crate) fn goal(mut self, of: &'static str, at_most: f64, against: &'static str) -> Self {
        self.goals.push(Goal { of, against, at_most });
        self
    }

    /// With a remark.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// The samples of a candidate.
    pub(crate) fn samples(&self, name: &str) -> Option<&Samples> {
        self.candidates.iter().find(|(known, _)| *known == name).map(|(_, samples)| samples)
    }

    /// Each goal with the ratio that was reached.
    pub(crate) fn reached(&self) -> impl Iterator<Item = (&Goal, f64)> {
        self.goals.iter().filter_map(|goal| {
            let ratio = self.samples(goal.of)?.median() / self.samples(goal.against)?.median();
            Some((goal, ratio))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_take_turns_and_warm_ups_do_not_count() {
        let order = std::cell::RefCell::new(String::new());
        let turn = |name: char, ms: u64| -> Turn<'_> {
            let order = &order;
            Box::new(move || {
                order.borrow_mut().push(name);
                Ok(Duration::from_millis(ms))
            })
        };
        let row = Row::new("x")
            .measure(
                Rounds { warm_up: 1, counted: 2 },
                vec![("a", turn('a', 6)), ("b", turn('b', 2))],
            )
            .unwrap()
            .goal("a", 2.0, "b")
            .goal("a", 2.0, "absent");
        assert_eq!(*order.borrow(), "ababab");
        assert_eq!(row.samples("a").unwrap().count(), 2);
        let reached: Vec<_> = row.reached().map(|(goal, ratio)| (goal.at_most, ratio)).collect();
        assert_eq!(reached, [(2.0, 3.0)]);
    }
}
