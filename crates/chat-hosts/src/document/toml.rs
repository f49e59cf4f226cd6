//! TOML, changed in its own syntax tree. The tree knows one kind of line end only, so the lines
//! that a change does not touch are taken from the original text.

use serde_json::{Map, Value};
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike, TomlError};

use super::{Done, Edit, Trouble, depth, line_of, not_a_list, not_an_object};

pub(super) fn read(text: &str) -> Done<Value> {
    Ok(of_table(parsed(text)?.as_table()))
}

fn parsed(text: &str) -> Done<DocumentMut> {
    text.parse().map_err(|error: TomlError| Trouble::Malformed {
        line: error.span().map_or(1, |span| line_of(text, span.start)),
        why: error.message().trim().replace('\n', ", "),
    })
}

pub(super) fn edit(text: &str, key: &[String], edit: &Edit<'_>) -> Done<String> {
    let mut document = parsed(text)?;
    let Some((last, parents)) = key.split_last() else { return Ok(text.to_owned()) };
    let takes_away = matches!(edit, Edit::Remove | Edit::RemoveItem(_));
    if let Some(appended) = appended(text, &document, key, edit) {
        return Ok(appended);
    }
    // A header stands off from what is before it.
    let before_header = if text.trim().is_empty() { "" } else { "\n" };
    let mut holder: &mut Item = document.as_item_mut();
    for (depth, part) in parents.iter().enumerate() {
        let in_braces = holder.is_inline_table();
        let table = holder.as_table_like_mut().ok_or_else(|| not_an_object(key, depth))?;
        if table.get(part).is_none_or(Item::is_none) {
            if takes_away {
                return Ok(text.to_owned());
            }
            let made = if in_braces || table.is_dotted() {
                toml_edit::value(InlineTable::new())
            } else {
                Item::Table(header(before_header))
            };
            table.insert(part, made);
        }
        holder = table.get_mut(part).ok_or_else(|| not_an_object(key, depth + 1))?;
    }
    let in_braces = holder.is_inline_table();
    let table = holder.as_table_like_mut().ok_or_else(|| not_an_object(key, parents.len()))?;
    let in_braces = in_braces || table.is_dotted();
    match edit {
        Edit::Set(value) => set(table, last, value, in_braces, before_header),
        Edit::Remove => {
            table.remove(last);
        }
        Edit::AddItem(item) => {
            if table.get(last).is_none_or(Item::is_none) {
                table.insert(last, toml_edit::value(Array::new()));
            }
            let list = list(table, last, key)?;
            if !list.iter().any(|found| found.as_str() == Some(item)) {
                list.push(*item);
            }
        }
        Edit::RemoveItem(item) => {
            if table.get(last).is_some_and(|found| !found.is_none()) {
                list(table, last, key)?.retain(|found| found.as_str() != Some(item));
            }
        }
    }
    Ok(graft(text, &document.to_string()))
}

/// The text with a new table at its end, where nothing that is there moves; None when what is asked
/// for is no new table, or belongs into one that is written otherwise.
fn appended(text: &str, document: &DocumentMut, key: &[String], edit: &Edit<'_>) -> Option<String> {
    let Edit::Set(value) = edit else { return None };
    let known = depth(&of_table(document.as_table()), key);
    let is_table = known < key.len() && value.is_object() && key.len() > 1;
    let needs_table = known + 1 < key.len();
    if text.trim().is_empty() || !(is_table || needs_table || document.is_empty()) {
        return None;
    }
    let fragment = self::edit("", key, edit).ok()?;
    let line_end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let end = if text.ends_with('\n') { "" } else { line_end };
    let fragment = fragment.replace('\n', line_end);
    let whole = format!("{text}{end}{line_end}{fragment}");
    let read = of_table(parsed(&whole).ok()?.as_table());
    (super::at(&read, key) == Some(*value)).then_some(whole)
}

/// A table that is written with a header as soon as it holds a value of its own.
fn header(before: &str) -> Table {
    let mut table = Table::new();
    table.set_implicit(true);
    table.decor_mut().set_prefix(before);
    table
}

fn list<'a>(table: &'a mut dyn TableLike, name: &str, key: &[String]) -> Done<&'a mut Array> {
    table.get_mut(name).and_then(Item::as_array_mut).ok_or_else(|| not_a_list(key))
}

fn set(table: &mut dyn TableLike, name: &str, value: &Value, in_braces: bool, before: &str) {
    if let (Value::Object(fields), false) = (value, in_braces) {
        let mut made = header(before);
        for (name, value) in fields {
            made.insert(name, Item::Value(to_value(value)));
        }
        made.set_implicit(false);
        table.insert(name, Item::Table(made));
        return;
    }
    let mut made = to_value(value);
    match table.get_mut(name) {
        Some(Item::Value(found)) => {
            // Comments around a value stay with its place.
            *made.decor_mut() = found.decor().clone();
            *found = made;
        }
        _ => {
            table.insert(name, Item::Value(made));
        }
    }
}

fn to_value(value: &Value) -> toml_edit::Value {
    match value {
        // TOML has no null: an empty text is as near as it gets, and nobody asks for it.
        Value::Null => "".into(),
        Value::Bool(yes) => (*yes).into(),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => number.as_f64().unwrap_or_default().into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => items.iter().map(to_value).collect::<Array>().into(),
        Value::Object(fields) => {
            let mut table = InlineTable::new();
            for (name, value) in fields {
                table.insert(name, to_value(value));
            }
            table.into()
        }
    }
}

fn of_table(table: &dyn TableLike) -> Value {
    let field = |(name, item): (&str, &Item)| Some((name.to_owned(), of_item(item)?));
    Value::Object(table.iter().filter_map(field).collect::<Map<_, _>>())
}

fn of_item(item: &Item) -> Option<Value> {
    match item {
        Item::None => None,
        Item::Value(value) => Some(of_value(value)),
        Item::Table(table) => Some(of_table(table)),
        Item::ArrayOfTables(tables) => {
            Some(Value::Array(tables.iter().map(|table| of_table(table)).collect()))
        }
    }
}

fn of_value(value: &toml_edit::Value) -> Value {
    match value {
        toml_edit::Value::String(text) => Value::String(text.value().clone()),
        toml_edit::Value::Integer(number) => Value::from(*number.value()),
        toml_edit::Value::Float(number) => Value::from(*number.value()),
        toml_edit::Value::Boolean(yes) => Value::from(*yes.value()),
        toml_edit::Value::Datetime(time) => Value::String(time.value().to_string()),
        toml_edit::Value::Array(items) => items.iter().map(of_value).collect(),
        toml_edit::Value::InlineTable(table) => of_table(table),
    }
}

/// The edited text, with the original's own bytes for every line before and after the change.
fn graft(original: &str, edited: &str) -> String {
    let theirs: Vec<&str> = original.split_inclusive('\n').collect();
    let ours: Vec<&str> = edited.split_inclusive('\n').collect();
    let same = |their: &str, our: &str| {
        their.trim_end_matches(['\r', '\n']) == our.trim_end_matches(['\r', '\n'])
            && their.ends_with('\n') == our.ends_with('\n')
    };
    let most = theirs.len().min(ours.len());
    let head = (0..most).take_while(|at| same(theirs[*at], ours[*at])).count();
    let tail = (1..=most - head)
        .take_while(|back| same(theirs[theirs.len() - back], ours[ours.len() - back]))
        .count();
    if ours.len() == head + tail {
        // What stands above a table that goes is somebody's word on what is around it.
        let gone = &theirs[head..theirs.len() - tail];
        let table = gone.iter().position(|line| line.trim_start().starts_with('[')).unwrap_or(0);
        let words = gone[..table].iter().rposition(|line| line.trim_start().starts_with('#'));
        let words = words.map_or(0, |last| last + 1);
        return [&theirs[..head + words], &theirs[theirs.len() - tail..]].concat().concat();
    }
    let crlf = theirs.iter().any(|line| line.ends_with("\r\n"));
    let mut text: String = theirs[..head].concat();
    for line in &ours[head..ours.len() - tail] {
        match line.strip_suffix('\n') {
            Some(line) if crlf => {
                text.push_str(line.trim_end_matches('\r'));
                text.push_str("\r\n");
            }
            _ => text.push_str(line),
        }
    }
    text.push_str(&theirs[theirs.len() - tail..].concat());
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(dotted: &str) -> Vec<String> {
        dotted.split('.').map(str::to_owned).collect()
    }

    fn server() -> Value {
        json!({"command": "/p", "args": ["mcp", "serve"]})
    }

    #[test]
    fn comments_and_order_stay_also_among_servers() {
        let text = "# head\nmodel = \"m\"  # mine\n\n[mcp_servers.other] # theirs\ncommand = \"x\"\n# inside\nargs = [ \"a\" ]\n\n[tui]\nx = 1\n# end\n";
        let set = edit(text, &key("mcp_servers.pyro"), &Edit::Set(&server())).unwrap();
        assert!(
            set.contains("\n[mcp_servers.pyro]\ncommand = \"/p\"\nargs = [\"mcp\", \"serve\"]\n")
        );
        for line in text.lines() {
            assert!(set.lines().any(|found| found == line), "{line} in {set}");
        }
        assert_eq!(edit(&set, &key("mcp_servers.pyro"), &Edit::Remove).unwrap(), text);
    }

    #[test]
    fn line_ends_stay_also_mixed_ones() {
        let text = "a = 1\r\nb = 2\n\r\n[t]\r\nc = '''x\r\ny'''\r\n";
        let set = edit(text, &key("mcp_servers.pyro"), &Edit::Set(&server())).unwrap();
        assert!(set.starts_with(text), "{set:?}");
        assert!(set.contains("command = \"/p\"\r\n"));
        assert_eq!(edit(&set, &key("mcp_servers.pyro"), &Edit::Remove).unwrap(), text);
    }

    #[test]
    fn tables_in_braces_and_dotted_keys_are_kept_so() {
        let braces = "mcp_servers = { other = { command = \"x\" } }\n";
        let set = edit(braces, &key("mcp_servers.pyro"), &Edit::Set(&server())).unwrap();
        assert_eq!(read(&set).unwrap()["mcp_servers"]["pyro"], server());
        assert!(set.starts_with("mcp_servers = { other"), "{set}");
        let dotted = "mcp_servers.other.command = \"x\"\n";
        let set = edit(dotted, &key("mcp_servers.pyro"), &Edit::Set(&server())).unwrap();
        assert_eq!(read(&set).unwrap()["mcp_servers"]["pyro"], server());
        assert!(set.starts_with(dotted), "{set}");
    }

    #[test]
    fn values_are_set_beside_others() {
        let text = "[features]\nx = true # mine\n";
        let set = edit(text, &key("features.x"), &Edit::Set(&json!(false))).unwrap();
        assert_eq!(set, "[features]\nx = false # mine\n");
        let top = edit(text, &key("sandbox_mode"), &Edit::Set(&json!("read-only"))).unwrap();
        assert_eq!(read(&top).unwrap()["sandbox_mode"], "read-only");
        assert_eq!(edit(&top, &key("sandbox_mode"), &Edit::Remove).unwrap(), text);
        let made = edit("", &key("features.shell_tool"), &Edit::Set(&json!(false))).unwrap();
        assert_eq!(made, "[features]\nshell_tool = false\n");
    }

    #[test]
    fn comments_around_a_table_stay_where_they_are() {
        for text in ["# only words\n", "x = 1\n# end\n", "# no line end", "[a]\nb = 1\n\n# end\n"] {
            let set = edit(text, &key("mcp_servers.pyro"), &Edit::Set(&server())).unwrap();
            assert!(set.starts_with(text), "{set}");
            let gone = edit(&set, &key("mcp_servers.pyro"), &Edit::Remove).unwrap();
            assert_eq!(gone.trim_end(), text.trim_end());
        }
    }

    #[test]
    fn what_cannot_be_changed_is_refused_with_its_line() {
        let broken = read("a = 1\nb = \n").unwrap_err();
        assert!(matches!(broken, Trouble::Malformed { line: 2, .. }), "{broken:?}");
        let twice = read("[a]\nx = 1\n[a]\n").unwrap_err();
        assert!(matches!(twice, Trouble::Malformed { line: 3, .. }), "{twice:?}");
        assert!(edit("mcp_servers = 1\n", &key("mcp_servers.p"), &Edit::Set(&server())).is_err());
    }
}
