//! An argument list as one shell line: the words arrive in the guest exactly as they were given.
//!
//! Plain words stay plain, so that a line of them also runs without a shell.

/// Characters that mean nothing to a shell, wherever they stand in a word.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-./:=@%+,".contains(&byte)
}

/// Words that mean something to a shell where a command begins.
const RESERVED: &[&str] = &[
    "if", "then", "else", "elif", "fi", "do", "done", "case", "esac", "while", "until", "for",
    "in", "function", "select", "time", "coproc",
];

/// The line.
pub(crate) fn join<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut line = String::new();
    // `A=b` before the command would be an assignment, not the word it is.
    let mut at_command = true;
    for word in words {
        if !line.is_empty() {
            line.push(' ');
        }
        let means_something = at_command && (word.contains('=') || RESERVED.contains(&word));
        at_command = false;
        if !word.is_empty() && word.bytes().all(is_plain) && !means_something {
            line.push_str(word);
        } else {
            line.push('\'');
            line.push_str(&word.replace('\'', r"'\''"));
            line.push('\'');
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn plain_words_stay_plain() {
        assert_eq!(join(["true"]), "true");
        assert_eq!(join(["cargo", "test", "--lib"]), "cargo test --lib");
        assert_eq!(join(["make", "-j4", "CC=gcc", "./a/b:c"]), "make -j4 CC=gcc ./a/b:c");
    }

    #[test]
    fn a_shell_reads_back_exactly_the_words() {
        let lists: &[&[&str]] = &[
            &["a b", "", "it's", "$HOME", "`id`", "*", "~", "a\nb", "\\", "\"", "é", "#x", "!"],
            &["{a,b}", "&", "|", ";", "<", ">", "(", ")", "[a]", "a?", "-n", "%", "^"],
        ];
        for words in lists {
            let line = format!("printf '%s\\0' {}", join(words.iter().copied()));
            let output = Command::new("sh").args(["-c", &line]).output().unwrap();
            let expected: String = words.iter().map(|word| format!("{word}\0")).collect();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
        }
    }

    #[test]
    fn the_first_word_is_a_program_and_nothing_else() {
        for first in ["A=b", "if", "time"] {
            let output = Command::new("sh").args(["-c", &join([first, "x"])]).output().unwrap();
            assert_eq!(output.status.code(), Some(127), "{first}");
        }
    }
}
