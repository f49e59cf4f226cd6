//! What a command's supervisor tells the agent, over a pipe that only the two of them and the
//! command before its `execve` hold. Each report is one write far below `PIPE_BUF`.

/// One report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Report {
    /// The command's process exists; said by itself.
    Exists { pid: i32 },
    /// The command's process ended, with this wait status.
    Ended { status: i32 },
    /// It never came to `execve`: the step that failed.
    NotStarted { errno: i32, step: String },
}

const STEP_BYTES: usize = 200;

impl Report {
    pub(super) fn encode(&self) -> Vec<u8> {
        let (kind, number, text) = match self {
            Self::Exists { pid } => (1, *pid, ""),
            Self::Ended { status } => (2, *status, ""),
            Self::NotStarted { errno, step } => (3, *errno, step.as_str()),
        };
        let text = &text.as_bytes()[..text.len().min(STEP_BYTES)];
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&number.to_ne_bytes());
        bytes.push(u8::try_from(text.len()).unwrap_or(0));
        bytes.extend_from_slice(text);
        bytes
    }

    /// The reports in `bytes`, which one read of the pipe returned.
    pub(super) fn decode_all(mut bytes: &[u8]) -> Vec<Self> {
        let mut reports = Vec::new();
        while let Some(([kind, n0, n1, n2, n3, length], rest)) = bytes.split_first_chunk::<6>() {
            let number = i32::from_ne_bytes([*n0, *n1, *n2, *n3]);
            let Some((text, rest)) = rest.split_at_checked((*length).into()) else { break };
            bytes = rest;
            match kind {
                1 => reports.push(Self::Exists { pid: number }),
                2 => reports.push(Self::Ended { status: number }),
                3 => reports.push(Self::NotStarted {
                    errno: number,
                    step: String::from_utf8_lossy(text).into_owned(),
                }),
                _ => break,
            }
        }
        reports
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_survive_one_read() {
        let reports = vec![
            Report::Exists { pid: 77 },
            Report::NotStarted { errno: 13, step: "confine the command".to_owned() },
            Report::Ended { status: 127 << 8 },
        ];
        let bytes: Vec<u8> = reports.iter().flat_map(Report::encode).collect();
        assert_eq!(Report::decode_all(&bytes), reports);
        assert_eq!(Report::decode_all(&bytes[..7]), reports[..1]);
    }
}
