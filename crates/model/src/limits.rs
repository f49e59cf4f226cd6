//! Every bound and default number of the product, once, with its unit in its name.
//!
//! The contract's table of limits is this file. Nothing here is read from a configuration; what a
//! user may change is looked up by the engine, with these as the last resort.

/// How long a command may run when the caller does not say.
pub const EXEC_TIMEOUT_S: u64 = 600;
/// The longest time a command may be given.
pub const EXEC_TIMEOUT_MOST_S: u64 = 86_400;
/// How long a call waits for a command before it answers `running`.
pub const WAIT_S: u64 = 45;
/// The same, where the call carries a progress token.
pub const WAIT_WITH_PROGRESS_S: u64 = 240;
/// The longest a call may wait.
pub const WAIT_MOST_S: u64 = 280;
/// Characters of a whole serialized reply when the caller does not say.
pub const OUTPUT_CHARACTERS: usize = 20_000;
/// The most characters of a whole serialized reply.
pub const OUTPUT_CHARACTERS_MOST: usize = 45_000;
/// Lines of the long texts of one reply: a chat host cuts what has more than 2,000 in all.
pub const OUTPUT_LINES_MOST: usize = 1_800;
/// Bytes of each stream of a command that are kept: the first half and the last half of this.
pub const OUTPUT_KEPT_BYTES: u64 = 64 << 20;
/// Bytes of output kept per workspace; the oldest goes first.
pub const JOURNAL_BYTES: u64 = 512 << 20;
/// Lines that one read of a file returns at most when the caller does not say.
pub const FILE_READ_LINES: u64 = 2_000;
/// Characters that one read of a file returns at most.
pub const FILE_READ_CHARACTERS: usize = 30_000;
/// Bytes that one write of a file may have.
pub const FILE_WRITE_BYTES: usize = 8 << 20;
/// Bytes that a file may have to be edited in place.
pub const FILE_EDIT_BYTES: u64 = 8 << 20;
/// Bytes that a patch may have.
pub const PATCH_BYTES: usize = 8 << 20;
/// Bytes of standard input that a command may be given.
pub const STDIN_BYTES: usize = 1 << 20;
/// Bytes of one command line.
pub const COMMAND_BYTES: usize = 128 << 10;
/// Entries that one listing of files returns when the caller does not say.
pub const FILE_LIST_ENTRIES: u64 = 500;
/// The most entries of one listing.
pub const FILE_LIST_ENTRIES_MOST: u64 = 5_000;
/// Levels that a listing descends when the caller does not say.
pub const FILE_LIST_DEPTH: u32 = 2;
/// Bytes of a project that may be seeded.
pub const SEED_BYTES: u64 = 20 << 30;
/// Entries of a project or an archive.
pub const SEED_ENTRIES: u64 = 1_000_000;
/// Memory of a container workspace, in MiB.
pub const CONTAINER_MEMORY_MIB: u64 = 4_096;
/// Memory of a microVM workspace, in MiB.
pub const MICROVM_MEMORY_MIB: u64 = 2_048;
/// Disk of a workspace, in MiB.
pub const DISK_MIB: u64 = 10_240;
/// Processes of a workspace.
pub const PROCESSES: u64 = 4_096;
/// Workspaces that may exist at once.
pub const WORKSPACES: u64 = 64;
/// Seconds without use after which a workspace is stopped.
pub const IDLE_TTL_S: u64 = 86_400;
/// Seconds that the last patch and summary of a deleted workspace are kept.
pub const TRASH_S: u64 = 7 * 86_400;
/// `prune` takes what was stopped longer ago than this.
pub const PRUNE_OLDER_THAN_S: u64 = 604_800;
/// Workspaces on one page of `list`.
pub const LIST_PAGE: u64 = 50;
/// Bytes of a path inside a workspace.
pub const PATH_BYTES: usize = 4_096;
/// Variables that one command may be given.
pub const ENV_ENTRIES: usize = 256;
/// Labels of one workspace.
pub const LABELS: usize = 64;
