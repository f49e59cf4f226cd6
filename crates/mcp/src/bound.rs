//! The last bound of a reply: 45,000 bytes in either form and 1,990 lines of text, above which chat
//! hosts cut or spill. Some count characters and some bytes, so bytes are counted.
//!
//! The engine bounds each reply to what was asked for; this holds where it did not, and says so.

use pyro_model::limits;
use serde_json::Value;

use crate::text;

/// Bytes of either form. The contract's bound is in characters, which are never more.
const BYTES: usize = limits::OUTPUT_CHARACTERS_MOST;
/// Lines of the text: one chat host cuts after 2,000.
const LINES: usize = 1_990;
/// Text that is shorter is never cut.
const SHORT: usize = 400;
/// Room for the mark that stands where something was left out.
const MARK: usize = 120;
const TOO_LONG: &str = "this reply was too long and parts were left out: ask for less at once";

/// The value, cut until its serialized form fits.
#[must_use]
pub(crate) fn fit(mut value: Value) -> Value {
    let mut size = written(&value);
    if size <= BYTES {
        return value;
    }
    notice(&mut value);
    size = written(&value);
    // Each round cuts what is longest; the last resort is to answer less than was asked.
    for _ in 0..256 {
        if size <= BYTES {
            break;
        }
        // One long text is worth cutting; where many make up the size, rows go first.
        let over = size - BYTES + MARK;
        let cut = cut_longest_text(&mut value, over, size / 8)
            || halve_longest_list(&mut value)
            || cut_longest_text(&mut value, over, 0)
            || drop_largest_field(&mut value);
        if !cut {
            break;
        }
        size = written(&value);
    }
    value
}

/// The text of a reply that fits: where it has too many lines, those of its longest block go.
#[must_use]
pub(crate) fn text_of(reply: &Value) -> String {
    let mut text = text::reply(reply);
    let mut shown = None;
    for _ in 0..16 {
        let lines = text.lines().count();
        if lines <= LINES {
            break;
        }
        let value = shown.get_or_insert_with(|| reply.clone());
        let Some(block) = longest_block(value) else { break };
        *block = without_middle_lines(block, lines - LINES);
        text = text::reply(value);
    }
    fit_text(text)
}

/// Text, cut in the middle until it fits.
#[must_use]
pub(crate) fn fit_text(mut text: String) -> String {
    let lines = text.lines().count();
    if lines > LINES {
        text = without_middle_lines(&text, lines - LINES);
    }
    let over = text.len().saturating_sub(BYTES);
    if over > 0 { without_middle(&text, over + MARK) } else { text }
}

fn written(value: &Value) -> usize {
    value.to_string().len()
}

fn notice(value: &mut Value) {
    if let Value::Object(fields) = value {
        let notices = fields.entry("notices").or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(notices) = notices {
            // First, so that it stays where notices themselves are what is too long.
            notices.insert(0, Value::String(TOO_LONG.to_owned()));
        }
    }
}

fn cut_longest_text(value: &mut Value, over: usize, at_least: usize) -> bool {
    match longest_text(value).filter(|text| text.len() >= at_least) {
        Some(text) => {
            // Escapes make the written form longer than the text: cutting as many bytes as are too
            // many always cuts at least that much of it.
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

/// The text with the most lines, at the top: those inside stand on one line each.
fn longest_block(value: &mut Value) -> Option<&mut String> {
    let Value::Object(fields) = value else { return None };
    let blocks = fields.values_mut().filter_map(|field| match field {
        Value::String(block) => Some((block.lines().count(), block)),
        _ => None,
    });
    let longest = blocks.max_by_key(|(lines, _)| *lines);
    longest.filter(|(lines, _)| *lines > 4).map(|(_, block)| block)
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

/// Takes away the field that is largest, but what a model needs to know first.
fn drop_largest_field(value: &mut Value) -> bool {
    let Value::Object(fields) = value else { return false };
    if let Some(error) = fields.get_mut("error") {
        return drop_largest_field(error);
    }
    let kept = ["verdict", "notices", "code", "message", "hint"];
    let droppable = fields.iter().filter(|(name, _)| !kept.contains(&name.as_str()));
    let largest = droppable.max_by_key(|(name, field)| name.len() + written(field));
    match largest.map(|(name, _)| name.clone()) {
        Some(name) => fields.shift_remove(&name).is_some(),
        None => false,
    }
}

/// Leaves out at least `over` bytes in the middle, and keeps some of both ends.
fn without_middle(text: &str, over: usize) -> String {
    let keep = text.len().saturating_sub(over).max(SHORT / 2);
    let head = text.floor_char_boundary(keep / 2);
    let tail = text.ceil_char_boundary(text.len() - keep / 2).max(head);
    let out = text[head..tail].chars().count();
    format!("{}\n[{out} characters left out]\n{}", &text[..head], &text[tail..])
}

/// Leaves out at least `over` lines in the middle.
fn without_middle_lines(text: &str, over: usize) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let keep = lines.len().saturating_sub(over + 2).max(2);
    let (head, tail) = (keep / 2, lines.len() - (keep - keep / 2));
    let newline =
        if lines[..head].last().is_some_and(|line| !line.ends_with('\n')) { "\n" } else { "" };
    format!(
        "{}{newline}[{} lines left out: ask for less at once]\n{}",
        lines[..head].concat(),
        tail - head,
        lines[tail..].concat()
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, json};

    use super::*;

    #[test]
    fn what_fits_is_left_alone() {
        let value = json!({"verdict": "v", "content": "x".repeat(40_000)});
        assert_eq!(fit(value.clone()), value);
        assert_eq!(text_of(&value), text::reply(&value));
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
            assert!(written(&fitted) <= BYTES, "{}", written(&fitted));
            assert_eq!(fitted["verdict"], "v");
            assert!(fitted["notices"][0].as_str().unwrap().contains("too long"));
        }
        let text = fit_text("é".repeat(100_000));
        assert!(text.len() <= BYTES);
        assert!(text.contains("characters left out"));
    }

    #[test]
    fn lines_go_from_the_block_that_has_the_most_and_both_its_ends_stay() {
        let stdout: String = (0..9_000).map(|n| format!("{n}\n")).collect();
        let value = json!({"verdict": "v", "stdout": stdout, "stderr": "first\nlast\n"});
        let text = text_of(&value);
        assert!(text.lines().count() <= LINES, "{}", text.lines().count());
        assert!(text.contains("--- stdout ---\n0\n1\n"));
        assert!(text.contains("8999\n--- stderr ---\nfirst\nlast\n"));
        assert!(text.contains("lines left out"));
    }

    fn texts() -> impl Strategy<Value = String> {
        let pieces = prop_oneof![
            Just("x"),
            Just("é"),
            Just("漢"),
            Just("😀"),
            Just("\n"),
            Just("\u{1}"),
            Just("\""),
            Just("line\n"),
            Just("\\"),
        ];
        (pieces, "\\PC{0,20}", 0_usize..12_000)
            .prop_map(|(piece, rest, times)| format!("{}{rest}", piece.repeat(times)))
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            texts().prop_map(Value::String),
            any::<i64>().prop_map(|n| json!(n)),
            any::<bool>().prop_map(|b| json!(b)),
        ];
        leaf.prop_recursive(2, 12, 6, |inner| {
            prop_oneof![
                (inner.clone(), 0_usize..400)
                    .prop_map(|(item, times)| json!(vec![item; times.min(40)])),
                prop::collection::vec(("[a-z_]{1,12}", inner), 0..12)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        #[test]
        fn both_forms_of_whatever_reply_fit_and_begin_with_the_verdict(
            verdict in "[a-z ]{1,300}",
            fields in prop::collection::vec(("[a-z_]{1,12}", values()), 0..12),
        ) {
            let mut reply = Map::new();
            reply.insert("verdict".to_owned(), json!(verdict));
            reply.extend(fields.into_iter().filter(|(name, _)| name != "verdict" && name != "next"));
            let fitted = fit(Value::Object(reply));
            prop_assert!(written(&fitted) <= BYTES, "{}", written(&fitted));
            prop_assert_eq!(fitted.as_object().unwrap().keys().next().unwrap(), "verdict");
            prop_assert_eq!(fitted["verdict"].as_str().unwrap(), &verdict);
            let text = text_of(&fitted);
            prop_assert!(text.len() <= BYTES, "{}", text.len());
            prop_assert!(text.lines().count() <= 2_000, "{}", text.lines().count());
            prop_assert!(text.starts_with(verdict.trim_end_matches(' ')));
        }
    }
}
