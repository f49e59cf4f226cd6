//! The last bound of a reply: 45,000 characters, above which chat hosts cut or spill.
//!
//! The engine bounds each reply to what was asked for; this holds where it did not, and says so.

use pyro_model::limits;
use serde_json::Value;

/// Text that is shorter is never cut.
const SHORT: usize = 400;
/// Room for the mark that stands where something was left out, and for the notice.
const MARK: usize = 120;

/// The value, cut until its serialized form fits.
#[must_use]
pub(crate) fn fit(mut value: Value) -> Value {
    let most = limits::OUTPUT_CHARACTERS_MOST;
    let mut size = written(&value);
    if size <= most {
        return value;
    }
    notice(&mut value, "this reply was too long and parts were left out: ask for less at once");
    size = written(&value);
    // Each round cuts what is longest; the last resort is to answer less than was asked.
    for _ in 0..64 {
        if size <= most {
            break;
        }
        // One long text is worth cutting; where many make up the size, rows go first.
        let over = size - most + MARK;
        let cut = cut_longest_text(&mut value, over, size / 8)
            || halve_longest_list(&mut value)
            || cut_longest_text(&mut value, over, 0);
        if !cut {
            break;
        }
        size = written(&value);
    }
    value
}

/// Text, cut in the middle until it fits.
#[must_use]
pub(crate) fn fit_text(text: String) -> String {
    let most = limits::OUTPUT_CHARACTERS_MOST;
    let length = text.chars().count();
    if length <= most { text } else { without_middle(&text, length - most + MARK) }
}

fn written(value: &Value) -> usize {
    value.to_string().chars().count()
}

fn notice(value: &mut Value, text: &str) {
    if let Value::Object(fields) = value {
        let notices = fields.entry("notices").or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(notices) = notices {
            notices.push(Value::String(text.to_owned()));
        }
    }
}

fn cut_longest_text(value: &mut Value, over: usize, at_least: usize) -> bool {
    match longest_text(value).filter(|text| text.len() >= at_least) {
        Some(text) => {
            // Escapes make the written form longer than the text: cutting as many characters as
            // are too many always cuts at least that much of it.
            *text = without_middle(text, over);
            true
        }
        None => false,
    }
}

fn longest_text(value: &mut Value) -> Option<&mut String> {
    match value {
        Value::String(text) if text.len() > SHORT => Some(text),
        Value::Array(items) => {
            items.iter_mut().filter_map(longest_text).max_by_key(|text| text.len())
        }
        Value::Object(fields) => {
            fields.values_mut().filter_map(longest_text).max_by_key(|text| text.len())
        }
        _ => None,
    }
}

fn halve_longest_list(value: &mut Value) -> bool {
    match longest_list(value) {
        Some(items) => {
            items.truncate(items.len() / 2);
            true
        }
        None => false,
    }
}

fn longest_list(value: &mut Value) -> Option<&mut Vec<Value>> {
    match value {
        Value::Array(items) => {
            if items.len() > 1 {
                Some(items)
            } else {
                items.iter_mut().find_map(longest_list)
            }
        }
        Value::Object(fields) => {
            fields.values_mut().filter_map(longest_list).max_by_key(|items| items.len())
        }
        _ => None,
    }
}

/// Leaves out at least `over` characters in the middle, and keeps some of both ends.
fn without_middle(text: &str, over: usize) -> String {
    let characters: Vec<char> = text.chars().collect();
    let keep = characters.len().saturating_sub(over).max(SHORT / 2);
    let head: String = characters[..keep / 2].iter().collect();
    let tail: String = characters[characters.len() - (keep - keep / 2)..].iter().collect();
    format!("{head}\n[{} characters left out]\n{tail}", characters.len() - keep)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_fits_is_left_alone() {
        let value = json!({"verdict": "v", "content": "x".repeat(40_000)});
        assert_eq!(fit(value.clone()), value);
    }

    #[test]
    fn long_text_escaped_text_and_long_lists_are_cut_to_fit() {
        for value in [
            json!({"verdict": "v", "content": "x".repeat(400_000)}),
            json!({"verdict": "v", "content": "\u{1}".repeat(40_000), "other": "\"".repeat(40_000)}),
            json!({"verdict": "v", "entries": vec![json!({"path": "p".repeat(300)}); 5_000]}),
            json!({"verdict": "v", "entries": vec![json!({"path": "é".repeat(3_000)}); 90]}),
        ] {
            let fitted = fit(value);
            assert!(written(&fitted) <= limits::OUTPUT_CHARACTERS_MOST, "{}", written(&fitted));
            assert_eq!(fitted["verdict"], "v");
            assert!(fitted["notices"][0].as_str().unwrap().contains("too long"));
        }
        let text = fit_text("é".repeat(100_000));
        assert!(text.chars().count() <= limits::OUTPUT_CHARACTERS_MOST);
        assert!(text.contains("characters left out"));
    }
}
