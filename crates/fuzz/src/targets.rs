//! Fuzz targets: ordinary functions from bytes to a judgement. Each panics when a promise is broken; whatever else it does with the bytes
//! is right. Called by libFuzzer, and by telerad's tests with mutated corpus cases. A new reader of foreign bytes adds a function here
//! and its name to [`ALL`].

use bytes::Bytes;
use dimse::{Acceptor, AcceptorConfig, Event, RejectReason, Reply, Status};
use domain::uid::TransferSyntaxUid;
use imaging::{
    compose::{self, Composed, Reading},
    guard::{Flaw, Guard, GuardLimits, GuardedHeader, HeaderEnd, Refusal},
    header::Header,
    json, xml,
};
use intake::{
    multipart::{MultipartError, Piece, Splitter},
    upload::archive::{ArchiveLimits, contents},
};

use serde_json::{Map, Value};

/// A target.
pub type Target = fn(&[u8]);

/// Every target with its name.
pub const ALL: [(&str, Target); 9] = [
    ("archive", archive),
    ("association", association),
    ("command", command),
    ("guard", guard),
    ("header", header),
    ("json", json),
    ("json_in", json_in),
    ("multipart", multipart),
    ("xml_in", xml_in),
];

/// Transfer syntaxes that a target chooses from by its first byte.
const SYNTAXES: [&str; 5] =
    ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99", "1.2.3.4"];

/// Cuts bytes into pieces of sizes that follow from a seed.
fn pieces(bytes: &[u8], seed: u8) -> impl Iterator<Item = &[u8]> {
    let (mut rest, mut state) = (bytes, u32::from(seed) | 1);
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let size = match state >> 30 {
            0 => 1,
            1 => 2 + (state >> 16) as usize % 30,
            _ => 32 + (state >> 16) as usize % 8_000,
        };
        let (piece, more) = rest.split_at(size.min(rest.len()));
        rest = more;
        Some(piece)
    })
}

/// PDUs to a server that accepts everybody: it keeps its memory bounded and says nothing after its end.
pub fn association(bytes: &[u8]) {
    let Some((&seed, bytes)) = bytes.split_first() else { return };
    let config = AcceptorConfig { offers_query_retrieve: true, ..AcceptorConfig::new("TELERAD") };
    let held_max =
        config.max_association_pdu as usize + config.max_command_set + config.max_notice + (1 << 20);
    let mut acceptor = Acceptor::new(config);
    for piece in pieces(bytes, seed) {
        acceptor.receive(piece);
        if !serve(&mut acceptor, seed) {
            break;
        }
        assert!(acceptor.held_bytes() <= held_max, "{} bytes held", acceptor.held_bytes());
        acceptor.take_outgoing();
    }
    if acceptor.is_finished() {
        acceptor.take_outgoing();
        acceptor.receive(bytes);
        assert!(matches!(acceptor.next_event(), Ok(None)), "an event after the end");
        assert!(acceptor.take_outgoing().is_none(), "an answer after the end");
    }
    let _ = acceptor.connection_closed();
}

/// Answers every event; whether the association goes on.
fn serve(acceptor: &mut Acceptor, seed: u8) -> bool {
    loop {
        let event = match acceptor.next_event() {
            Ok(Some(event)) => event,
            Ok(None) => return !acceptor.is_finished(),
            Err(_) => {
                assert!(acceptor.is_finished(), "broken and not over");
                return false;
            }
        };
        let answered = match event {
            Event::AssociationRequested(_) if seed == 0xFF => {
                acceptor.reject(RejectReason::LocalLimitExceeded)
            }
            Event::AssociationRequested(_) => acceptor.accept(),
            Event::Echo { message_id, .. } => acceptor.respond_echo(message_id),
            Event::StoreEnd { message_id } => acceptor.respond_store(message_id, Status::SUCCESS, None),
            Event::AvailabilityNotified(notified) => {
                acceptor.respond_create(notified.message_id, Status::SUCCESS, Some("1.2.3"))
            }
            Event::CommitmentRequested(asked) => acceptor.respond_action(asked.message_id, Status::SUCCESS),
            Event::Asked(asked) => acceptor.reply(asked.message_id, &Reply::of(Status::SUCCESS)),
            Event::ReleaseRequested => acceptor.confirm_release(),
            Event::StoreBegin(_)
            | Event::ReportAnswered { .. }
            | Event::StoreAnswered { .. }
            | Event::Cancelled { .. }
            | Event::StoreData(_)
            | Event::Refused { .. }
            | Event::UnsupportedOperation { .. }
            | Event::Aborted { .. } => Ok(()),
        };
        assert!(answered.is_ok(), "an event that cannot be answered: {answered:?}");
    }
}

/// A command set, and a data set behind it, on an open association.
pub fn command(bytes: &[u8]) {
    let Some((&seed, bytes)) = bytes.split_first() else { return };
    let item = |kind: u8, body: &[u8]| [&[kind, 0][..], &(body.len() as u16).to_be_bytes(), body].concat();
    let pdu = |kind: u8, body: &[u8]| [&[kind, 0][..], &(body.len() as u32).to_be_bytes(), body].concat();
    let context = |id: u8, class: &[u8]| {
        item(0x20, &[&[id, 0, 0, 0][..], &item(0x30, class), &item(0x40, b"1.2.840.10008.1.2")].concat())
    };
    let mut stream = vec![seed & 0x7F];
    let fixed = [&[0, 1, 0, 0][..], b"TELERAD         FUZZ            ", &[0; 32]].concat();
    let items = [
        item(0x10, b"1.2.840.10008.3.1.1.1"),
        context(1, b"1.2.840.10008.5.1.4.1.1.2"),
        context(3, b"1.2.840.10008.1.1"),
        context(5, b"1.2.840.10008.5.1.4.33"),
        context(7, b"1.2.840.10008.1.20.1"),
        context(9, b"1.2.840.10008.5.1.4.1.2.2.1"),
        context(11, b"1.2.840.10008.5.1.4.1.2.2.3"),
        item(0x50, &item(0x51, &[0, 0, 0x40, 0])),
    ];
    stream.extend(pdu(1, &[fixed, items.concat()].concat()));
    let cut = bytes.len().min(usize::from(seed) * 8);
    for (control, part) in [(3, &bytes[..cut]), (2, &bytes[cut..])] {
        for chunk in part.chunks(100_000) {
            let value = [&(chunk.len() as u32 + 2).to_be_bytes()[..], &[1 + 2 * (seed % 6), control], chunk];
            stream.extend(pdu(4, &value.concat()));
        }
    }
    association(&stream);
}

/// A ZIP: what comes out stays within the limits.
pub fn archive(bytes: &[u8]) {
    let limits = ArchiveLimits { unpacked_bytes: 8 << 20, ..ArchiveLimits::default() };
    if let Ok(found) = contents(bytes, limits) {
        let unpacked: u64 = found.iter().filter_map(|(_, size)| size.as_ref().ok()).sum();
        assert!(unpacked <= limits.unpacked_bytes, "{unpacked} bytes came out");
        assert!(found.len() * 46 <= bytes.len(), "{} entries from {} bytes", found.len(), bytes.len());
    }
}

fn syntax(seed: u8) -> TransferSyntaxUid {
    TransferSyntaxUid::parse(SYNTAXES[usize::from(seed) % SYNTAXES.len()]).expect("constant UIDs")
}

/// A data set past the guard: however it is cut, the judgement is the same, and memory stays within the limit.
pub fn guard(bytes: &[u8]) {
    let Some((&seed, bytes)) = bytes.split_first() else { return };
    let whole = GuardedHeader::of(bytes, &syntax(seed));
    let cut = guard_in_pieces(bytes, seed);
    match (&whole, &cut) {
        (Ok(whole), Ok(cut)) => assert_eq!((whole.ends_at, whole.end), (cut.ends_at, cut.end)),
        // A deflated stream may break anywhere; how soon that shows, and beside what else, depends on the pieces.
        (Ok(_), Err(refusal)) | (Err(refusal), Ok(_) | Err(_)) | (Err(_), Err(refusal))
            if refusal.flaw == Flaw::Inflate => {}
        (Err(whole), Err(cut)) => assert_eq!(whole.flaw, cut.flaw, "{whole} and {cut}"),
        (whole, cut) => panic!("{whole:?} as a whole, {cut:?} in pieces"),
    }
    if let Ok(header) = whole {
        assert!(header.bytes.len() <= GuardLimits::default().header_bytes + (2 << 20));
        let again = GuardedHeader::of_beginning(&header.bytes, &syntax(seed));
        assert!(header.deflated || again.is_ok(), "what was let in is not let in again: {again:?}");
    }
}

fn guard_in_pieces(bytes: &[u8], seed: u8) -> Result<GuardedHeader, Refusal> {
    let mut guard = Guard::new(&syntax(seed), GuardLimits::default());
    for piece in pieces(bytes, seed) {
        guard.push(piece)?;
    }
    guard.finish()
}

/// What a header says, in whatever character set.
pub fn header(bytes: &[u8]) {
    let Some((&seed, bytes)) = bytes.split_first() else { return };
    let Ok(guarded) = GuardedHeader::of(bytes, &syntax(seed)) else { return };
    let _ = Header::read(&guarded);
}

/// DICOM JSON of a header: it can be written and read back, and then says the same.
pub fn json(bytes: &[u8]) {
    let Some((&seed, bytes)) = bytes.split_first() else { return };
    let Ok(guarded) = GuardedHeader::of(bytes, &syntax(seed)) else { return };
    let _ = json::bulk(&guarded, "00291010/1/00080018");
    said_again(&guarded);
}

/// DICOM JSON from outside: what is made of it is no larger than it may be, and says the same when it is written and read again.
pub fn json_in(bytes: &[u8]) {
    let Ok(objects) = Reading::new(GuardLimits::default(), 100).json(bytes) else { return };
    objects.into_iter().for_each(|object| made(object, bytes.len()));
}

/// The Native DICOM Model from outside: the same.
pub fn xml_in(bytes: &[u8]) {
    if let Ok(object) = Reading::new(GuardLimits::default(), 100).xml(bytes) {
        assert!(!bytes.windows(9).any(|window| window == b"<!DOCTYPE"), "a document type was taken");
        made(object, bytes.len());
    }
}

fn made(object: Composed, text_bytes: usize) {
    // The shortest item is three characters, and sixteen bytes with its end.
    assert!(object.bytes.len() <= 8 * text_bytes + 64, "{} bytes from {text_bytes}", object.bytes.len());
    assert!(object.bulk.is_sorted_by_key(|bulk| bulk.at), "places out of order");
    let filled = filled(&object, |_| Some(vec![0; 2]));
    let Ok(guarded) = GuardedHeader::of(&filled, &syntax(0)) else { return };
    assert_eq!(
        guarded.ends_at as usize == filled.len(),
        guarded.end == HeaderEnd::DataSet,
        "it was not read whole"
    );
    said_again(&guarded);
}

/// A data set with its bulk data put in.
fn filled(object: &Composed, value: impl Fn(&str) -> Option<Vec<u8>>) -> Vec<u8> {
    let (mut filled, mut at) = (Vec::new(), 0);
    for bulk in &object.bulk {
        filled.extend_from_slice(&object.bytes[at..bulk.at]);
        at = bulk.at;
        let mut bytes = value(&bulk.uri).unwrap_or_else(|| vec![0; 2]);
        bytes.extend((bytes.len() % 2 == 1).then_some(0));
        filled.extend(compose::head(bulk.tag, bulk.vr, bytes.len() as u32));
        filled.extend(bytes);
    }
    filled.extend_from_slice(&object.bytes[at..]);
    filled
}

/// What we write of a header can be read, and says the same when it is written again; also by way of XML.
fn said_again(guarded: &GuardedHeader) {
    let Ok(object) = json::metadata(guarded, "/bulk") else { return };
    let value = |uri: &str| json::bulk(guarded, uri.strip_prefix("/bulk/")?).ok()?;
    let text = Value::Array(vec![object.clone().into()]).to_string();
    let Some(again) = read_ours(Reading::new(GuardLimits::default(), 1).json(text.as_bytes())) else {
        return;
    };
    let Some(first) = written_again(&filled(&again[0], value)) else { return };
    let text = Value::Array(vec![first.clone().into()]).to_string();
    let Some(again) = read_ours(Reading::new(GuardLimits::default(), 1).json(text.as_bytes())) else {
        return;
    };
    let Some(second) = written_again(&filled(&again[0], value)) else { return };
    same(&first, &second, "JSON");
    if !first.values().all(xml_can_say) {
        return;
    }
    let text = xml::native(&first);
    let Some(again) = read_ours(Reading::new(GuardLimits::default(), 1).xml(text.as_bytes())) else { return };
    let Some(third) = written_again(&filled(&again, value)) else { return };
    same(&first, &third, "XML");
}

fn same(one: &Map<String, Value>, other: &Map<String, Value>, by: &str) {
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>(), "by {by}");
    for (key, value) in one {
        assert_eq!(value, &other[key], "{key} by {by}");
    }
}

fn written_again(data_set: &[u8]) -> Option<Map<String, Value>> {
    let guarded = match GuardedHeader::of(data_set, &syntax(0)) {
        Ok(guarded) => guarded,
        // What identifies may be as large as it likes where it came from a data set, and is written longer as explicit.
        Err(refusal) if matches!(refusal.flaw, Flaw::TooLong | Flaw::TooManyElements | Flaw::Busy) => {
            return None;
        }
        Err(refusal) if refusal.flaw == Flaw::ForeignGroup => return None,
        Err(refusal) => panic!("what was made is not let in: {refusal}"),
    };
    json::metadata(&guarded, "/bulk").ok()
}

fn read_ours<T>(read: Result<T, compose::Unreadable>) -> Option<T> {
    match read {
        Ok(read) => Some(read),
        Err(compose::Unreadable { flaw: compose::Flaw::Limit(_) | compose::Flaw::Busy, .. }) => None,
        Err(unreadable) => panic!("what we write cannot be read: {unreadable}"),
    }
}

/// Whether XML can hold what is said: it has no control characters, and names in it lose their last carets.
fn xml_can_say(attribute: &Value) -> bool {
    match attribute {
        Value::String(text) => {
            let is_out =
                |c: char| c < ' ' && !matches!(c, '\t' | '\n' | '\r') || matches!(c, '\u{FFFE}' | '\u{FFFF}');
            !text.contains(is_out) && !text.ends_with('^')
        }
        Value::Array(values) => values.iter().all(xml_can_say),
        Value::Object(fields) => fields.values().all(xml_can_say),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

/// A multipart body: however it is cut, the parts are the same.
pub fn multipart(bytes: &[u8]) {
    let Some((&seed, bytes)) = bytes.split_first() else { return };
    let whole = split(std::iter::once(bytes));
    let cut = split(pieces(bytes, seed));
    match (&whole, &cut) {
        (Ok(whole), Ok(cut)) => assert!(whole == cut, "cut otherwise, split otherwise"),
        (Err(_), Err(_)) => {}
        (whole, cut) => panic!("{:?} as a whole, {:?} in pieces", whole.is_ok(), cut.is_ok()),
    }
}

/// Heads and bodies of the parts.
fn split<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Vec<(Bytes, Vec<u8>)>, MultipartError> {
    let mut splitter = Splitter::new("b0");
    let mut parts: Vec<(Bytes, Vec<u8>)> = Vec::new();
    for piece in pieces {
        splitter.push(Bytes::copy_from_slice(piece));
        while let Some(found) = splitter.next_piece()? {
            match (found, parts.last_mut()) {
                (Piece::Part(head), _) => parts.push((head, Vec::new())),
                (Piece::Data(bytes), Some(part)) => part.1.extend_from_slice(&bytes),
                (Piece::Data(_), None) => panic!("bytes before the first part"),
                (Piece::PartEnd, _) => {}
            }
        }
    }
    splitter.finish().map(|()| parts)
}
