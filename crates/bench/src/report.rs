//! The table for people and the object for programs, of the same rows.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::row::Row;

/// The row as lines of the table: candidates with median and spread, then the goals.
pub(crate) fn table(row: &Row) -> String {
    let mut text = format!("\n{}\n", row.title);
    for (name, samples) in &row.candidates {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "  {name:<38} {:>10} {}   {:>9} .. {:<9} n={}",
            number(samples.median()),
            row.unit,
            number(samples.quantile(0.1)),
            number(samples.quantile(0.9)),
            samples.count(),
        );
    }
    for (goal, ratio) in row.reached() {
        let _ = writeln!(
            text,
            "  {} {} is {} of {}, goal at most {}",
            sign(ratio <= goal.at_most),
            goal.of,
            times(ratio),
            goal.against,
            times(goal.at_most),
        );
    }
    for (name, bound, value) in bounds(row) {
        let met = sign(value <= bound);
        let _ = writeln!(
            text,
            "  {met} {name} is {} {}, goal at most {}",
            number(value),
            row.unit,
            number(bound)
        );
    }
    for note in &row.notes {
        let _ = writeln!(text, "  - {note}");
    }
    text
}

/// The whole run as one object.
pub(crate) fn object(facts: &Value, rows: &[Row]) -> Value {
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            let candidates: serde_json::Map<String, Value> = row
                .candidates
                .iter()
                .map(|(name, samples)| {
                    let values = json!({
                        "median": samples.median(),
                        "p10": samples.quantile(0.1),
                        "p90": samples.quantile(0.9),
                        "n": samples.count(),
                        "values": samples.values(),
                    });
                    ((*name).to_owned(), values)
                })
                .collect();
            let mut goals: Vec<Value> = row
                .reached()
                .map(|(goal, ratio)| {
                    json!({
                        "of": goal.of,
                        "against": goal.against,
                        "ratio": ratio,
                        "at_most": goal.at_most,
                        "met": ratio <= goal.at_most,
                    })
                })
                .collect();
            goals.extend(bounds(row).map(|(name, bound, value)| {
                json!({ "of": name, "value": value, "at_most": bound, "met": value <= bound })
            }));
            json!({
                "row": row.title,
                "unit": row.unit,
                "candidates": candidates,
                "goals": goals,
                "notes": row.notes,
            })
        })
        .collect();
    json!({ "computer": facts, "rows": rows })
}

/// How many goals there are, and how many are met.
pub(crate) fn tally(rows: &[Row]) -> (usize, usize) {
    let met: Vec<bool> = rows
        .iter()
        .flat_map(|row| {
            let ratios = row.reached().map(|(goal, ratio)| ratio <= goal.at_most);
            ratios.chain(bounds(row).map(|(_, bound, value)| value <= bound)).collect::<Vec<_>>()
        })
        .collect();
    (met.len(), met.iter().filter(|met| **met).count())
}

fn bounds(row: &Row) -> impl Iterator<Item = (&'static str, f64, f64)> {
    row.bounds.iter().filter_map(|(name, bound)| Some((*name, *bound, row.samples(name)?.median())))
}

fn sign(met: bool) -> char {
    if met { '✓' } else { '✗' }
}

fn number(value: f64) -> String {
    match value {
        value if value >= 1_000.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

/// A ratio; small ones as a fraction.
fn times(ratio: f64) -> String {
    if ratio >= 0.995 { format!("{ratio:.2}x") } else { format!("1/{:.1}", 1.0 / ratio) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::Samples;

    #[test]
    fn a_goal_is_met_or_missed_and_counted() {
        let mut row = Row::new("run").goal("pyro", 3.0, "bwrap").goal("pyro", 0.125, "podman");
        for (name, value) in [("pyro", 10.0), ("bwrap", 4.0), ("podman", 120.0)] {
            let mut samples = Samples::default();
            samples.value(value);
            row.candidates.push((name, samples));
        }
        row.bounds.push(("pyro", 9.0));
        let text = table(&row);
        assert!(text.contains("✓ pyro is 2.50x of bwrap, goal at most 3.00x"), "{text}");
        assert!(text.contains("✓ pyro is 1/12.0 of podman, goal at most 1/8.0"), "{text}");
        assert!(text.contains("✗ pyro is 10.0 ms, goal at most 9.00"), "{text}");
        assert_eq!(tally(&[row]), (3, 2));
    }
}
