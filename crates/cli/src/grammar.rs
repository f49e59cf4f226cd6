//! The clap commands: one for each operation, made from its fields, and the few that are none.
//!
//! A call builds only the command that it names; the whole tree is for help, completions and
//! mistakes.

use clap::{
    Arg, ArgAction, ArgGroup, ColorChoice, Command,
    builder::{PossibleValuesParser, ValueParser},
    value_parser,
};
use pyro_operations::{OPERATIONS, Operation};

use crate::{
    conveniences::{self, Extra},
    fields::{self, Field, Kind},
    front, globals,
    idiom::spoken,
    serve,
};

/// The id of the positional `-` that reads standard input.
pub(crate) const STDIN_MARK: &str = "-";

/// What the words of a group are about.
const GROUPS: &[(&[&str], &str)] = &[
    (&["workspace"], "Work in isolated copies of a project"),
    (&["workspace", "file"], "Read and change files of a workspace"),
    (&["workspace", "patch"], "Change several files of a workspace at once"),
    (&["env"], "Root file systems that workspaces start from"),
    (&["mcp"], "The server for chat hosts"),
    (&["host"], "Set pyro up in Claude Code, Codex and opencode"),
];

/// Something that can be typed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Leaf {
    Operation(&'static Operation),
    Own(front::Own),
}

impl Leaf {
    pub(crate) fn words(&self) -> &'static [&'static str] {
        match self {
            Leaf::Operation(operation) => operation.command,
            Leaf::Own(own) => own.words(),
        }
    }

    /// The fields of an operation's request.
    pub(crate) fn fields(&self) -> Vec<Field> {
        match self {
            Leaf::Operation(operation) => fields::of(&(operation.request_schema)()),
            Leaf::Own(_) => Vec::new(),
        }
    }

    fn command(&self, fields: &[Field]) -> Command {
        match self {
            Leaf::Operation(operation) => operation_command(operation, fields),
            Leaf::Own(own) => own_command(*own),
        }
    }
}

/// Everything that can be typed.
pub(crate) fn leaves() -> impl Iterator<Item = Leaf> {
    let own = front::Own::ALL.iter().map(|own| Leaf::Own(*own));
    OPERATIONS.iter().map(Leaf::Operation).chain(own)
}

/// The leaf that the leading words name.
pub(crate) fn find<'a>(words: impl IntoIterator<Item = &'a str>) -> Option<Leaf> {
    let mut candidates: Vec<Leaf> = leaves().collect();
    for (depth, word) in words.into_iter().enumerate() {
        candidates.retain(|leaf| leaf.words().get(depth) == Some(&word));
        let whole = candidates.iter().find(|leaf| leaf.words().len() == depth + 1);
        if whole.is_some() || candidates.is_empty() {
            return whole.copied();
        }
    }
    None
}

/// `pyro` with only this leaf, which has these fields.
pub(crate) fn only(leaf: &Leaf, fields: &[Field]) -> Command {
    let words = leaf.words();
    let groups = words.iter().enumerate().rev().skip(1);
    let inner = groups
        .fold(leaf.command(fields), |inner, (depth, _)| group(&words[..=depth]).subcommand(inner));
    root().subcommand(inner)
}

/// `pyro` with everything.
pub(crate) fn tree() -> Command {
    leaves().fold(root(), |tree, leaf| insert(tree, leaf.words(), 0, &leaf))
}

fn insert(parent: Command, words: &'static [&'static str], depth: usize, leaf: &Leaf) -> Command {
    let word = words[depth];
    if depth + 1 == words.len() {
        return parent.subcommand(leaf.command(&leaf.fields()));
    }
    let parent = match parent.find_subcommand(word) {
        Some(_) => parent,
        None => parent.subcommand(group(&words[..=depth])),
    };
    parent.mut_subcommand(word, |inner| insert(inner, words, depth + 1, leaf))
}

fn root() -> Command {
    Command::new("pyro")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Disposable, isolated, reviewable workspaces for coding agents")
        .color(ColorChoice::Never)
        .args(globals::arguments())
        .after_help(
            "Exit codes, tools and failures: docs/reference. `pyro` alone says how things stand.",
        )
}

fn group(words: &[&'static str]) -> Command {
    let about = GROUPS.iter().find(|(group, _)| *group == words).map_or("", |(_, about)| about);
    Command::new(*words.last().unwrap_or(&"pyro"))
        .about(about)
        .subcommand_required(true)
        .arg_required_else_help(true)
}

fn own_command(own: front::Own) -> Command {
    let command = Command::new(*own.words().last().unwrap_or(&"pyro")).about(own.about());
    match own {
        front::Own::Ps => command,
        front::Own::McpServe => command.args(serve::arguments()),
        front::Own::Completions => command.arg(
            Arg::new("shell")
                .value_name("SHELL")
                .required(true)
                .value_parser(value_parser!(clap_complete::Shell)),
        ),
        front::Own::Man => command,
        front::Own::Reference => command.hide(true).arg(
            Arg::new("directory")
                .value_name("DIR")
                .required(true)
                .value_parser(value_parser!(std::path::PathBuf)),
        ),
    }
}

fn operation_command(operation: &Operation, fields: &[Field]) -> Command {
    let extras = conveniences::of(operation.name);
    let about = spoken(operation.summary, fields);
    let mut command = Command::new(*operation.command.last().unwrap_or(&operation.name))
        .about(operation.title)
        .long_about(about);
    for field in fields {
        command = command.args(field_arguments(field, fields, extras));
        if field.content {
            command = command.group(source_group(field));
        }
    }
    if fields.iter().any(|field| field.content) {
        command = command.arg(stdin_mark(fields));
    }
    command.args(extras.iter().filter_map(|extra| extra.argument()))
}

/// A content field comes from one place at most, and from one if it is required.
fn source_group(field: &Field) -> ArgGroup {
    ArgGroup::new(format!("{}-source", field.name))
        .args([field.name.clone(), file_flag(field), STDIN_MARK.to_owned()])
        .required(field.required)
        .multiple(false)
}

/// The flag that names a file with a content field's text.
pub(crate) fn file_flag(field: &Field) -> String {
    format!("{}-file", field.flag)
}

fn positions(fields: &[Field]) -> usize {
    fields.iter().filter(|field| field.position.is_some()).count()
}

fn stdin_mark(fields: &[Field]) -> Arg {
    let into = fields.iter().find(|field| field.content).map_or("", |field| &field.flag);
    // A file's name or a command is what most people type here: say where it goes.
    let instead = match fields.iter().any(|field| field.command) {
        true => "a command comes after `--`".to_owned(),
        false => format!("a file is given with --{into}-file FILE"),
    };
    let mark = move |word: &str| match word {
        "-" => Ok(word.to_owned()),
        _ => Err(format!("only `-`, standard input, stands here; {instead}")),
    };
    Arg::new(STDIN_MARK)
        .value_name("-")
        .index(positions(fields) + 1)
        .value_parser(mark)
        .help(format!("Take --{into} from standard input"))
}

fn choice(values: &[String]) -> ValueParser {
    ValueParser::new(PossibleValuesParser::new(values.to_vec()))
}

/// The arguments of a field.
pub(crate) fn field_arguments(field: &Field, fields: &[Field], extras: &[Extra]) -> Vec<Arg> {
    let about = spoken(field.about.trim_end_matches('.'), fields);
    let base = Arg::new(field.name.clone()).help(about).required(field.required);
    let base = match &field.within {
        Some(within) => base.help_heading(within.heading.clone()),
        None => base,
    };
    if field.command {
        let about = "The command and its arguments, as words; for a shell line: sh -c 'LINE'";
        let after_all = base.help(about).index(positions(fields) + 2).last(true);
        return vec![after_all.value_name("CMD").num_args(1..).allow_hyphen_values(true)];
    }
    if let Some(position) = field.position {
        let base = base.index(position + 1).value_name(field.placeholder());
        let several = extras.contains(&Extra::Several);
        let base = match &field.kind {
            Kind::Choice(values) => base.value_parser(choice(values)),
            _ => base,
        };
        return vec![if several { base.num_args(1..).action(ArgAction::Append) } else { base }];
    }
    let base = base.long(field.flag.clone());
    let valued = |name: &str| base.clone().value_name(name.to_owned());
    let argument = match &field.kind {
        Kind::Switch => base.action(ArgAction::SetTrue),
        Kind::Either => valued("true|false")
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_parser(value_parser!(bool))
            .hide_possible_values(true),
        Kind::Whole => valued("N").value_parser(value_parser!(u64)),
        Kind::Choice(values) => valued(&field.placeholder()).value_parser(choice(values)),
        Kind::List => valued(&field.flag.to_uppercase()).action(ArgAction::Append),
        Kind::Map => valued("K=V").action(ArgAction::Append),
        // Text that must be given is content of some kind, and may begin with a dash.
        Kind::Text => valued(&field.placeholder()).allow_hyphen_values(field.required),
    };
    if !field.content {
        return vec![argument];
    }
    let file = Arg::new(file_flag(field))
        .long(file_flag(field))
        .value_name("FILE")
        .value_parser(value_parser!(std::path::PathBuf))
        .help("The same from a file; `-` is standard input");
    // The group says that one of the sources is required.
    vec![argument.required(false).value_name("TEXT").allow_hyphen_values(true), file]
}
