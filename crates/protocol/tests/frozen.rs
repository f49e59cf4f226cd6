//! The bytes of every message of version 1, frozen. A workspace that was started by an older pyro
//! runs an older agent: when one of these changes, `VERSION` does too (see `VERSIONING.md`).
//!
//! A new variant at the end of an enum gets a new line at the end of its table; a line that is
//! there is never changed while `VERSION` is 1.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use pyro_model::{ChangeKind, ExecId, ExecState, OutputStream};
use pyro_protocol::{
    Decoder, GuestFrame, GuestMessage, HostFrame, HostMessage, VERSION, encode,
    exec::{ExecStart, Finished, Follow, MachineStatus, Program},
    files,
    message::{Refusal, RefusalKind},
    patch,
    spool::{Record, StopReason, decode_records, encode_record},
    upper::{AgainstSeed, UpperDirectory, UpperEntry, UpperKind, UpperList},
};

fn id() -> ExecId {
    "ex_abcdefghij".parse().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn finished() -> Finished {
    Finished {
        exec: id(),
        state: ExecState::Exited,
        exit_code: Some(3),
        signal: None,
        duration_ms: 250,
        stdout_bytes: 300,
        stderr_bytes: 7,
        survivors: 1,
    }
}

fn start(program: Program, stdin: Option<Vec<u8>>, follow: Follow) -> HostMessage {
    HostMessage::Exec(Box::new(ExecStart {
        exec: id(),
        line: "l".into(),
        program,
        cwd: "/workspace".into(),
        environment: vec![("K".into(), "V".into())],
        stdin,
        timeout_ms: 600_000,
        kept_bytes: 64 << 20,
        follow,
        at_ms: 1,
    }))
}

fn patch() -> patch::Patch {
    let line = |kind| patch::Line { kind, text: "t".into() };
    let hunk = patch::Hunk {
        line: 300,
        below: vec!["b".into()],
        lines: vec![
            line(patch::LineKind::Context),
            line(patch::LineKind::Removed),
            line(patch::LineKind::Added),
        ],
        old_ends_bare: true,
        new_ends_bare: false,
        at_end: true,
    };
    let file = |action, body| patch::FilePatch {
        path: "p".into(),
        from: Some("f".into()),
        copy: true,
        action,
        mode: Some(0o100_755),
        body,
    };
    patch::Patch {
        files: vec![
            file(patch::Action::Create, patch::Body::Hunks(vec![hunk])),
            file(patch::Action::Modify, patch::Body::Whole(vec![1])),
            file(patch::Action::Delete, patch::Body::Delta(vec![2])),
        ],
    }
}

fn host() -> Vec<HostMessage> {
    use HostMessage as H;
    let follow = Follow::Output { stdout: 1, stderr: 2 };
    vec![
        H::Hello { version: 1 },
        start(Program::Words(vec!["a".into(), "b".into()]), Some(vec![9]), Follow::End),
        start(Program::Shell("s".into()), None, follow),
        H::ExecAttach { exec: id(), follow },
        H::ExecSignal { exec: id(), signal: 15 },
        H::ExecStop { exec: id(), signal: 15, grace_ms: 1_000 },
        H::Credit { bytes: 65_536 },
        H::Cancel,
        H::List(files::List { path: "p".into(), depth: 2, glob: Some("*".into()), limit: 500 }),
        H::Read(files::Read {
            path: "p".into(),
            unit: files::Unit::Lines,
            offset: 1,
            limit: 2_000,
            max_bytes: 30_000,
        }),
        H::Read(files::Read {
            path: "p".into(),
            unit: files::Unit::Bytes,
            offset: 0,
            limit: 1,
            max_bytes: 1,
        }),
        H::Write(files::Write { path: "p".into(), content: vec![1, 2], executable: Some(true) }),
        H::Edit(files::Edit { path: "p".into(), old: "o".into(), new: "n".into(), all: true }),
        H::Upper(UpperList { directories: vec![vec![], b"d".to_vec()] }),
        H::Pack(files::Pack {
            paths: vec![b"p".to_vec()],
            recursive: true,
            max_bytes: 5,
            max_entries: 6,
        }),
        H::Status,
        H::Shutdown,
        H::Patch(patch()),
    ]
}

fn upper() -> UpperDirectory {
    let entry = |name: &[u8], now| UpperEntry { name: name.to_vec(), now };
    let file = |against_seed| UpperKind::File { bytes: 4, mode: 0o644, against_seed };
    UpperDirectory {
        path: b"d".to_vec(),
        opaque: true,
        entries: vec![
            entry(b"w", UpperKind::Whiteout),
            entry(b"d", UpperKind::Directory { seeded: true, mode: 0o755 }),
            entry(b"a", file(AgainstSeed::Absent)),
            entry(b"s", file(AgainstSeed::SameContent)),
            entry(b"o", file(AgainstSeed::OtherContent)),
            entry(
                b"l",
                UpperKind::Link { target: b"t".to_vec(), against_seed: AgainstSeed::OtherType },
            ),
            entry(b"f", UpperKind::Other),
        ],
    }
}

fn guest() -> Vec<GuestMessage> {
    use GuestMessage as G;
    let entry = |kind| files::Entry {
        path: "p".into(),
        kind,
        bytes: 5,
        executable: true,
        target: Some("t".into()),
    };
    let mut messages = vec![
        G::Hello { version: 1, boot: [7; 16] },
        G::Started { pid: 300 },
        G::Output { stream: OutputStream::Stdout, offset: 128, bytes: vec![1] },
        G::Output { stream: OutputStream::Stderr, offset: 0, bytes: vec![] },
        G::Finished(finished()),
        G::Stopped { survivors: 2 },
        G::Listed(files::Listed {
            entries: vec![
                entry(files::EntryKind::File),
                entry(files::EntryKind::Directory),
                entry(files::EntryKind::Link),
                entry(files::EntryKind::Other),
            ],
            truncated: true,
        }),
        G::Content(files::Content {
            bytes: vec![1],
            total_bytes: 2,
            total_lines: 3,
            next_offset: Some(4),
            sha256: [5; 32],
        }),
        G::Written(files::Written { created: true, unchanged: false }),
        G::Edited(files::Edited { replacements: 1, bytes: 2 }),
        G::Upper(upper()),
        G::Entry(files::PackEntry {
            path: b"p".to_vec(),
            kind: files::EntryKind::Link,
            mode: 0o777,
            bytes: 0,
            target: Some(b"t".to_vec()),
        }),
        G::Chunk { bytes: vec![1, 2, 3] },
        G::Status(MachineStatus { processes: 1, running: vec![id()], idle_ms: 2, uptime_ms: 3 }),
        G::Done,
    ];
    use RefusalKind as K;
    let kinds = [
        K::NotFound,
        K::PathEscapes,
        K::WrongType,
        K::TooLarge,
        K::NotText,
        K::EditMissing,
        K::EditAmbiguous,
        K::NoSpace,
        K::Denied,
        K::Invalid,
        K::System,
    ];
    messages.extend(
        kinds.map(|kind| G::Failed(Refusal { kind, what: "w".into(), message: "m".into() })),
    );
    let changes = [
        ChangeKind::Created,
        ChangeKind::Modified,
        ChangeKind::Deleted,
        ChangeKind::Renamed,
        ChangeKind::Mode,
    ];
    let files = changes.map(|change| patch::PatchedFile {
        path: "p".into(),
        change,
        from: Some("f".into()),
        bytes: Some(300),
    });
    messages.push(G::Patched(patch::Patched { files: files.to_vec() }));
    messages.push(G::PatchConflict(Box::new(patch::Conflict {
        path: "p".into(),
        hunk: 1,
        line: 2,
        expected: "e".into(),
        found: "f".into(),
        message: "m".into(),
    })));
    messages
}

fn states() -> Vec<Record> {
    use ExecState as S;
    [S::Running, S::Exited, S::Signaled, S::TimedOut, S::Cancelled, S::Lost]
        .map(|state| Record::ExecFinished {
            at_ms: 9,
            finished: Finished { state, signal: Some(9), ..finished() },
        })
        .to_vec()
}

fn records() -> Vec<Record> {
    let mut records = vec![
        Record::MachineStarted { at_ms: 5, boot: [7; 16] },
        Record::ExecStarted { exec: id(), at_ms: 6, line: "l".into(), cwd: "/".into() },
        Record::MachineStopped { at_ms: 7, reason: StopReason::Idle },
        Record::MachineStopped { at_ms: 7, reason: StopReason::Asked },
        Record::MachineStopped { at_ms: 7, reason: StopReason::Runaway },
    ];
    records.extend(states());
    records.push(Record::MachineFailed { at_ms: 8, why: "w".into() });
    records
}

/// A variant that no table has is a compile error here: add it to its table.
#[expect(dead_code, reason = "only its exhaustiveness matters")]
fn every_variant_is_known(host: &HostMessage, guest: &GuestMessage, record: &Record) {
    match host {
        HostMessage::Hello { .. }
        | HostMessage::Exec(_)
        | HostMessage::ExecAttach { .. }
        | HostMessage::ExecSignal { .. }
        | HostMessage::ExecStop { .. }
        | HostMessage::Credit { .. }
        | HostMessage::Cancel
        | HostMessage::List(_)
        | HostMessage::Read(_)
        | HostMessage::Write(_)
        | HostMessage::Edit(_)
        | HostMessage::Upper(_)
        | HostMessage::Pack(_)
        | HostMessage::Status
        | HostMessage::Shutdown
        | HostMessage::Patch(_) => {}
    }
    match guest {
        GuestMessage::Hello { .. }
        | GuestMessage::Started { .. }
        | GuestMessage::Output { .. }
        | GuestMessage::Finished(_)
        | GuestMessage::Stopped { .. }
        | GuestMessage::Listed(_)
        | GuestMessage::Content(_)
        | GuestMessage::Written(_)
        | GuestMessage::Edited(_)
        | GuestMessage::Upper(_)
        | GuestMessage::Entry(_)
        | GuestMessage::Chunk { .. }
        | GuestMessage::Status(_)
        | GuestMessage::Done
        | GuestMessage::Failed(_)
        | GuestMessage::Patched(_)
        | GuestMessage::PatchConflict(_) => {}
    }
    match record {
        Record::MachineStarted { .. }
        | Record::ExecStarted { .. }
        | Record::ExecFinished { .. }
        | Record::MachineStopped { .. }
        | Record::MachineFailed { .. } => {}
    }
}

/// Compares what is encoded with the frozen lines; shows all lines as they are now if not.
fn compare(name: &str, now: &[String], frozen: &str) {
    let frozen: Vec<&str> = frozen.split_whitespace().collect();
    assert_eq!(now, frozen, "{name} is now:\n{}\n", now.join("\n"));
}

#[test]
fn messages_of_the_host_are_frozen() {
    assert_eq!(VERSION, 1);
    let now: Vec<String> = host()
        .into_iter()
        .map(|message| {
            let mut wire = Vec::new();
            let frame = HostFrame { call: 200, message };
            encode(&frame, &mut wire).unwrap();
            let mut decoder = Decoder::default();
            decoder.push(&wire);
            assert_eq!(decoder.next::<HostFrame>().unwrap(), Some(frame));
            hex(&wire)
        })
        .collect();
    compare("the host's table", &now, HOST);
}

#[test]
fn messages_of_the_guest_are_frozen() {
    let now: Vec<String> = guest()
        .into_iter()
        .map(|message| {
            let mut wire = Vec::new();
            let frame = GuestFrame { call: 200, message };
            encode(&frame, &mut wire).unwrap();
            let mut decoder = Decoder::default();
            decoder.push(&bytes(&hex(&wire)));
            assert_eq!(decoder.next::<GuestFrame>().unwrap(), Some(frame));
            hex(&wire)
        })
        .collect();
    compare("the guest's table", &now, GUEST);
}

#[test]
fn records_of_the_spool_are_frozen() {
    let now: Vec<String> = records()
        .into_iter()
        .map(|record| {
            let mut log = Vec::new();
            encode_record(&record, &mut log).unwrap();
            assert_eq!(decode_records(&log), (vec![record], log.len()));
            hex(&log)
        })
        .collect();
    compare("the spool's table", &now, RECORDS);
}

const HOST: &str = "
04000000c8010001
35000000c801010d65785f6162636465666768696a016c0002016101620a2f776f726b737061636501014b0156010109c0cf24808080200001
32000000c801010d65785f6162636465666768696a016c0101730a2f776f726b737061636501014b015600c0cf248080802001010201
14000000c801020d65785f6162636465666768696a010102
12000000c801030d65785f6162636465666768696a1e
14000000c801040d65785f6162636465666768696a1ee807
06000000c80105808004
03000000c80106
0b000000c8010701700201012af403
0c000000c8010801700001d00fb0ea01
09000000c80108017001000101
0a000000c8010901700201020101
0a000000c8010a0170016f016e01
07000000c8010b02000164
09000000c8010c010170010506
03000000c8010d
03000000c8010e
3f000000c8010f030170010166010001ed83020001ac02010162030001740101740201740100010170010166010101ed83020101010170010166010201ed8302020102
";

const GUEST: &str = "
14000000c801000107070707070707070707070707070707
05000000c80101ac02
08000000c801020080010101
06000000c80102010000
1b000000c801030d65785f6162636465666768696a01010600fa01ac020701
04000000c8010402
25000000c8010504017000050101017401700105010101740170020501010174017003050101017401
29000000c801060101020301040505050505050505050505050505050505050505050505050505050505050505
05000000c801070100
05000000c801080102
2e000000c801090164010701770001640101ed0301610204a4030001730204a40301016f0204a40302016c03017403016604
0c000000c8010a017002ff0300010174
07000000c8010b03010203
15000000c8010c01010d65785f6162636465666768696a0203
03000000c8010d
08000000c8010e000177016d
08000000c8010e010177016d
08000000c8010e020177016d
08000000c8010e030177016d
08000000c8010e040177016d
08000000c8010e050177016d
08000000c8010e060177016d
08000000c8010e070177016d
08000000c8010e080177016d
08000000c8010e090177016d
08000000c8010e0a0177016d
31000000c8010f0501700001016601ac0201700101016601ac0201700201016601ac0201700301016601ac0201700401016601ac02
0d000000c801100170010201650166016d
";

const RECORDS: &str = "
12000000ed04171f000507070707070707070707070707070707
1400000025136821010d65785f6162636465666768696a06016c012f
030000008cf146b2030700
030000001ac141c5030701
03000000a090485c030702
1b000000561e036602090d65785f6162636465666768696a0001060112fa01ac020701
1b00000096c18da702090d65785f6162636465666768696a0101060112fa01ac020701
1b00000097a76f3e02090d65785f6162636465666768696a0201060112fa01ac020701
1b0000005778e1ff02090d65785f6162636465666768696a0301060112fa01ac020701
1b000000d46ddad602090d65785f6162636465666768696a0401060112fa01ac020701
1b00000014b2541702090d65785f6162636465666768696a0501060112fa01ac020701
040000002dcc4f7704080177
";
