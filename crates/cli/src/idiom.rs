//! Words of the engine in the idiom of this door: operations as commands, fields as flags.
//!
//! Hints and verdicts name operations; a person at a terminal types commands. `--json` prints them
//! as they are.

use pyro_operations::OPERATIONS;

use crate::fields::Field;

/// Text with every operation's name as its command, and fields of this request as flags.
pub(crate) fn spoken(text: &str, fields: &[Field]) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut spoken = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_word) {
        spoken.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        spoken.push_str(&translated(word, fields));
        rest = after;
    }
    spoken.push_str(rest);
    spoken
}

fn translated(word: &str, fields: &[Field]) -> String {
    // One-word names are ordinary words too often.
    if !word.contains('_') {
        return word.to_owned();
    }
    if let Some(operation) = OPERATIONS.iter().find(|operation| operation.name == word) {
        return format!("pyro {}", operation.command.join(" "));
    }
    match fields.iter().find(|field| field.name == word) {
        Some(field) if field.position.is_some() => field.placeholder(),
        Some(field) => format!("--{}", field.flag),
        None => word.to_owned(),
    }
}

/// Text from a guest or a repository, safe to show: control characters cannot reach the terminal.
pub(crate) fn shown(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields;

    #[test]
    fn operations_become_commands_and_fields_become_flags() {
        let create = pyro_operations::list::find("workspace_create").unwrap();
        let fields = fields::of(&(create.request_schema)());
        assert_eq!(
            spoken("seed_path, repo_url exclude each other; see `workspace_list`.", &fields),
            "--seed-path, --repo-url exclude each other; see `pyro workspace list`."
        );
        assert_eq!(spoken("my_workspace_list stays", &fields), "my_workspace_list stays");
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(shown("a\u{1b}[31mb\tc\n"), "a\u{fffd}[31mb\tc\n");
    }
}
