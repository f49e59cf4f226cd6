//! Rows of a reply as a table: as wide as its cells, no colour, nothing that a terminal obeys.

use serde_json::Value;

use crate::idiom::shown;

/// The table, with a head.
pub(crate) fn draw(rows: &[Value], columns: &[&str]) -> String {
    // A column that no row fills says nothing.
    let used: Vec<&str> = columns
        .iter()
        .copied()
        .filter(|key| rows.iter().any(|row| row.get(key).is_some()))
        .collect();
    let head = used.iter().map(|key| key.replace('_', " ").to_uppercase()).collect();
    let body = rows.iter().map(|row| used.iter().map(|key| cell(row.get(key))).collect());
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(body).collect();
    let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..used.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let mut drawn = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            drawn.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(drawn.trim_end());
        text.push('\n');
    }
    text
}

fn cell(value: Option<&Value>) -> String {
    let text = match value {
        None => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(yes)) => if *yes { "yes" } else { "no" }.to_owned(),
        Some(Value::Object(pairs)) => {
            let pair = |(key, value): (&String, &Value)| {
                format!("{key}={}", value.as_str().unwrap_or_default())
            };
            pairs.iter().map(pair).collect::<Vec<_>>().join(",")
        }
        Some(other) => other.to_string(),
    };
    shown(&text).replace(['\n', '\t'], " ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let rows = [
            json!({"path": "a", "bytes": 12}),
            json!({"path": "long/name\u{1b}[0m", "installed": true}),
        ];
        assert_eq!(
            draw(&rows, &["bytes", "path", "target", "installed"]),
            "BYTES  PATH           INSTALLED\n12     a              -\n\
             -      long/name\u{fffd}[0m  yes\n"
        );
    }
}
