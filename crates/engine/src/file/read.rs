//! `workspace_file_read`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use pyro_model::limits;
use pyro_operations::{
    Code, Failure,
    file::{Encoding, WorkspaceFileContent, WorkspaceFileRead},
};
use pyro_protocol::{
    GuestMessage, HostMessage,
    files::{Read, Unit},
};

use super::{Need, file_path, unexpected};
use crate::{Context, Door, Engine, Handle, exec::escaped_length};

/// Bytes of a part in base64: four characters for three bytes, within the same bound.
const BASE64_BYTES: u64 = (limits::FILE_READ_CHARACTERS / 4 * 3) as u64;
/// Bytes of a part as JSON writes it; the rest of a reply's bound is for its other fields.
const ESCAPED: usize = limits::OUTPUT_CHARACTERS_MOST - 3_000;

impl Handle<WorkspaceFileRead> for Engine {
    fn handle(
        &self,
        request: WorkspaceFileRead,
        context: &Context,
    ) -> Result<WorkspaceFileContent, Failure> {
        let record = self.workspace(&request.workspace)?;
        let path = file_path(&record, &request.path)?;
        let encoding = request.encoding.unwrap_or(Encoding::Utf8);
        let offset = request.offset.unwrap_or(0);
        // A terminal shows any number of lines; a chat host does not.
        let lines = match context.door {
            Door::Mcp => limits::OUTPUT_LINES_MOST as u64,
            _ => u64::MAX,
        };
        let message = HostMessage::Read(match encoding {
            Encoding::Utf8 => Read {
                path: path.clone(),
                unit: Unit::Lines,
                offset,
                limit: request.limit.unwrap_or(limits::FILE_READ_LINES).min(lines),
                max_bytes: limits::FILE_READ_CHARACTERS as u64,
            },
            Encoding::Base64 => Read {
                path: path.clone(),
                unit: Unit::Bytes,
                offset,
                limit: request.limit.unwrap_or(BASE64_BYTES).min(BASE64_BYTES),
                max_bytes: BASE64_BYTES,
            },
        });
        let (answer, _) = self.ask_files(&record, Need::Disk, message, context)?;
        let GuestMessage::Content(part) = answer else { return Err(unexpected("read")) };
        let (mut text, lines) = match encoding {
            Encoding::Utf8 => {
                let text = String::from_utf8(part.bytes).map_err(|_| {
                    Failure::new(Code::NotText, format!("`{path}` is not UTF-8 text"))
                        .hint("read it with encoding `base64`")
                })?;
                (text, Some(part.total_lines))
            }
            Encoding::Base64 => (STANDARD.encode(&part.bytes), None),
        };
        let mut next_offset = part.next_offset;
        if lines.is_some()
            && let Some(end) = whole_lines(&text)
        {
            text.truncate(end);
            next_offset = Some(offset + text.lines().count() as u64);
        }
        // Parts of a text are whole lines, but for a line that is longer than a part: its rest would
        // be missed by whoever goes on.
        let mut notices = Vec::new();
        let most = limits::FILE_READ_CHARACTERS;
        if lines.is_some()
            && text.len() + 4 > most
            && (text.len() as u64) < part.total_bytes
            && !text.contains('\n')
        {
            notices.push(format!(
                "line {} is longer than a part: these are its first {} bytes; encoding `base64` reads by bytes",
                offset + 1,
                text.len()
            ));
        }
        let extent = match lines {
            Some(1) => format!("1 line, {} bytes", part.total_bytes),
            Some(lines) => format!("{lines} lines, {} bytes", part.total_bytes),
            None => format!("{} bytes", part.total_bytes),
        };
        let more = match next_offset {
            Some(next) => format!("; go on with offset {next}"),
            None => String::new(),
        };
        Ok(WorkspaceFileContent {
            verdict: format!("{path}: {extent}{more}"),
            path,
            content: text,
            encoding,
            bytes: part.total_bytes,
            lines,
            offset,
            next_offset,
            sha256: crate::diff::hex(&part.sha256),
            notices,
        })
    }
}

/// Where the whole lines end that fit into a reply, if not all of the text does: quotes, line ends
/// and control codes take more room there than in the file.
fn whole_lines(text: &str) -> Option<usize> {
    if escaped_length(text) <= ESCAPED {
        return None;
    }
    let (mut cost, mut end) = (0, 0);
    for line in text.split_inclusive('\n') {
        cost += escaped_length(line);
        if cost > ESCAPED {
            break;
        }
        end += line.len();
    }
    // One line that is longer than that is cut by the door, which says so.
    (end > 0).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_as_many_lines_as_its_reply_has_room_for() {
        assert_eq!(whole_lines(&"plain line\n".repeat(2_000)), None);
        let quotes = format!("{}\n", "\"".repeat(99)).repeat(300);
        let end = whole_lines(&quotes).unwrap();
        assert_eq!(end % 100, 0);
        assert!(escaped_length(&quotes[..end]) <= ESCAPED);
        assert!(escaped_length(&quotes[..end + 100]) > ESCAPED);
        assert_eq!(whole_lines(&"\u{1}".repeat(10_000)), None);
    }
}
