//! One command line: run without a shell where it is plain words, else by a shell.
//!
//! Plain words (also in single quotes) mean the same to every shell, so leaving the shell out
//! changes nothing but the time. Whatever a shell might see otherwise goes to a shell.

use pyro_protocol::exec::Program;

/// Words that only a shell knows, as the first of a line.
const SHELL_WORDS: &[&str] = &[
    ".",
    ":",
    "[",
    "[[",
    "alias",
    "bg",
    "bind",
    "break",
    "builtin",
    "caller",
    "case",
    "cd",
    "command",
    "compgen",
    "complete",
    "continue",
    "coproc",
    "declare",
    "dirs",
    "disown",
    "do",
    "done",
    "elif",
    "else",
    "enable",
    "esac",
    "eval",
    "exec",
    "exit",
    "export",
    "fc",
    "fg",
    "fi",
    "for",
    "function",
    "getopts",
    "hash",
    "help",
    "history",
    "if",
    "in",
    "jobs",
    "let",
    "local",
    "logout",
    "mapfile",
    "popd",
    "pushd",
    "read",
    "readarray",
    "readonly",
    "return",
    "select",
    "set",
    "shift",
    "shopt",
    "source",
    "suspend",
    "then",
    "time",
    "times",
    "trap",
    "type",
    "typeset",
    "ulimit",
    "umask",
    "unalias",
    "unset",
    "until",
    "wait",
    "while",
    "{",
    "}",
    "!",
];

/// What is executed for a line.
pub(crate) fn program(line: &str) -> Program {
    match plain_words(line) {
        Some(words) => Program::Words(words),
        None => Program::Shell(line.to_owned()),
    }
}

fn plain_words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match c {
            ' ' | '\t' => words.extend(word.take()),
            '\'' => {
                let quoted = word.get_or_insert_default();
                loop {
                    match rest.next() {
                        Some('\'') => break,
                        Some(c) => quoted.push(c),
                        None => return None,
                    }
                }
            }
            // `~` and `#` matter at the start of a word only, `=` before the first word ends.
            '~' | '#' if word.is_none() => return None,
            '=' if words.is_empty() => return None,
            c if c.is_alphanumeric() || "_-./:,@%+=^~#".contains(c) => {
                word.get_or_insert_default().push(c);
            }
            _ => return None,
        }
    }
    words.extend(word);
    match words.first() {
        Some(first) if !first.is_empty() && !SHELL_WORDS.contains(&first.as_str()) => Some(words),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Option<Vec<String>> {
        match program(line) {
            Program::Words(words) => Some(words),
            Program::Shell(text) => {
                assert_eq!(text, line);
                None
            }
        }
    }

    #[test]
    fn plain_words_need_no_shell() {
        assert_eq!(words("cargo test --lib").unwrap(), ["cargo", "test", "--lib"]);
        assert_eq!(words("  true ").unwrap(), ["true"]);
        assert!(words("echo 'a b' 'c'\"").is_none());
        assert_eq!(words("grep 'a b$' x.txt").unwrap(), ["grep", "a b$", "x.txt"]);
        assert_eq!(words("make CC=gcc").unwrap(), ["make", "CC=gcc"]);
        assert_eq!(words("printf ''").unwrap(), ["printf", ""]);
    }

    #[test]
    fn whatever_a_shell_reads_otherwise_goes_to_a_shell() {
        for line in [
            "a|b",
            "a;b",
            "a&b",
            "a && b",
            "echo $HOME",
            "echo `id`",
            "ls *",
            "ls ?",
            "ls [a]",
            "A=1 env",
            "echo \"x\"",
            "a>b",
            "a<b",
            "(a)",
            "{ a",
            "cd x",
            "exit 3",
            "~/x",
            "# no",
            "! true",
            "a\nb",
            "echo {a,b}",
            "a \\",
            "'unclosed",
            "time ls",
            "",
        ] {
            assert_eq!(words(line), None, "{line}");
        }
    }
}
