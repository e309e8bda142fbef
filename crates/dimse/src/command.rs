//! Command sets: reading and writing them (PS3.7 section 6.3.1 and annex E).
//! A command set is flat, of group 0000 and always implicit VR little endian, so it is read without a data set parser:
//! every length is held against the bytes that are there, nothing is allocated from it.

use dicom_dictionary_std::uids;

use crate::error::CommandError;
use crate::requestor::StoreCommand;
use crate::text;

/// Bit of the command field (0000,0100) that makes a response of a request (PS3.7 section E.1).
pub(crate) const RESPONSE: u16 = 0x8000;
pub(crate) const C_STORE: u16 = 0x0001;
pub(crate) const C_GET: u16 = 0x0010;
pub(crate) const C_FIND: u16 = 0x0020;
pub(crate) const C_MOVE: u16 = 0x0021;
pub(crate) const C_ECHO: u16 = 0x0030;
pub(crate) const C_CANCEL: u16 = 0x0fff;
pub(crate) const N_EVENT_REPORT: u16 = 0x0100;
pub(crate) const N_ACTION: u16 = 0x0130;
pub(crate) const N_CREATE: u16 = 0x0140;

/// Command Data Set Type (0000,0800) that says: no data set follows. Every other value says that one does.
const NO_DATA_SET: u16 = 0x0101;
const DATA_SET: u16 = 0x0001;

/// Element numbers of group 0000 (PS3.7 table E.1-1).
pub(crate) mod element {
    pub(crate) const AFFECTED_SOP_CLASS_UID: u16 = 0x0002;
    pub(crate) const REQUESTED_SOP_CLASS_UID: u16 = 0x0003;
    pub(crate) const COMMAND_FIELD: u16 = 0x0100;
    pub(crate) const MESSAGE_ID: u16 = 0x0110;
    pub(crate) const MESSAGE_ID_BEING_RESPONDED_TO: u16 = 0x0120;
    pub(crate) const MOVE_DESTINATION: u16 = 0x0600;
    pub(crate) const PRIORITY: u16 = 0x0700;
    pub(crate) const COMMAND_DATA_SET_TYPE: u16 = 0x0800;
    pub(crate) const STATUS: u16 = 0x0900;
    pub(crate) const OFFENDING_ELEMENT: u16 = 0x0901;
    pub(crate) const ERROR_COMMENT: u16 = 0x0902;
    pub(crate) const AFFECTED_SOP_INSTANCE_UID: u16 = 0x1000;
    pub(crate) const REQUESTED_SOP_INSTANCE_UID: u16 = 0x1001;
    pub(crate) const EVENT_TYPE_ID: u16 = 0x1002;
    pub(crate) const ACTION_TYPE_ID: u16 = 0x1008;
    pub(crate) const REMAINING: u16 = 0x1020;
    pub(crate) const COMPLETED: u16 = 0x1021;
    pub(crate) const FAILED: u16 = 0x1022;
    pub(crate) const WARNING: u16 = 0x1023;
    pub(crate) const MOVE_ORIGINATOR_AE_TITLE: u16 = 0x1030;
    pub(crate) const MOVE_ORIGINATOR_MESSAGE_ID: u16 = 0x1031;
}

/// Urgency that a request asks for (0000,0700), PS3.7 table E.1-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Priority {
    /// 0000H, and what an absent or unknown value means.
    #[default]
    Medium,
    /// 0001H.
    High,
    /// 0002H.
    Low,
}

impl Priority {
    fn from_code(code: Option<u16>) -> Self {
        match code {
            Some(1) => Self::High,
            Some(2) => Self::Low,
            _ => Self::Medium,
        }
    }

    pub(crate) fn code(self) -> u16 {
        match self {
            Self::Medium => 0,
            Self::High => 1,
            Self::Low => 2,
        }
    }
}

/// A command set whose elements all lie inside its bytes.
#[derive(Debug)]
pub(crate) struct CommandSet<'a> {
    elements: Vec<(u16, &'a [u8])>,
}

impl<'a> CommandSet<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, CommandError> {
        let mut elements = Vec::new();
        let mut offset = 0;
        while offset < bytes.len() {
            let cut = CommandError::Cut { offset };
            let header = bytes.get(offset..offset + 8).ok_or(cut)?;
            let group = u16::from_le_bytes([header[0], header[1]]);
            let element = u16::from_le_bytes([header[2], header[3]]);
            let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
            if group != 0 {
                return Err(CommandError::ForeignGroup { group, element });
            }
            let end = (offset + 8).checked_add(length).ok_or(cut)?;
            elements.push((element, bytes.get(offset + 8..end).ok_or(cut)?));
            offset = end;
        }
        Ok(Self { elements })
    }

    fn value(&self, element: u16) -> Option<&'a [u8]> {
        self.elements.iter().find(|(number, _)| *number == element).map(|(_, value)| *value)
    }

    /// Number of an element of VR US and multiplicity 1.
    pub(crate) fn number(&self, element: u16) -> Option<u16> {
        self.value(element)?.try_into().ok().map(u16::from_le_bytes)
    }

    pub(crate) fn required_number(&self, element: u16) -> Result<u16, CommandError> {
        self.number(element).ok_or(CommandError::Missing { element })
    }

    /// Text without padding; an empty value counts as absent.
    pub(crate) fn text(&self, element: u16) -> Option<String> {
        let text = text::from_bytes(self.value(element)?);
        (!text.is_empty()).then_some(text)
    }

    /// Identifier, if it is present and well formed.
    pub(crate) fn uid(&self, element: u16) -> Option<String> {
        self.text(element).filter(|uid| text::is_uid(uid))
    }

    pub(crate) fn priority(&self) -> Priority {
        Priority::from_code(self.number(element::PRIORITY))
    }

    pub(crate) fn has_data_set(&self) -> Result<bool, CommandError> {
        Ok(self.required_number(element::COMMAND_DATA_SET_TYPE)? != NO_DATA_SET)
    }
}

/// N-EVENT-REPORT-RQ of a storage commitment (PS3.7 table 10.3-1).
pub(crate) fn event_report(message_id: u16, event_type: u16) -> Vec<u8> {
    CommandWriter::new()
        .uid(element::AFFECTED_SOP_CLASS_UID, Some(uids::STORAGE_COMMITMENT_PUSH_MODEL))
        .number(element::COMMAND_FIELD, N_EVENT_REPORT)
        .number(element::MESSAGE_ID, message_id)
        .data_set(true)
        .uid(element::AFFECTED_SOP_INSTANCE_UID, Some(crate::commitment::INSTANCE_UID))
        .number(element::EVENT_TYPE_ID, event_type)
        .finish()
}

/// C-STORE-RQ (PS3.7 table 9.3-1).
pub(crate) fn store(message_id: u16, store: &StoreCommand) -> Vec<u8> {
    let writer = CommandWriter::new()
        .uid(element::AFFECTED_SOP_CLASS_UID, Some(&store.sop_class_uid))
        .number(element::COMMAND_FIELD, C_STORE)
        .number(element::MESSAGE_ID, message_id)
        .number(element::PRIORITY, store.priority.code())
        .data_set(true)
        .uid(element::AFFECTED_SOP_INSTANCE_UID, Some(&store.sop_instance_uid));
    let Some(originator) = &store.move_originator else { return writer.finish() };
    let writer = writer.text(element::MOVE_ORIGINATOR_AE_TITLE, Some(&originator.ae_title));
    match originator.message_id {
        Some(id) => writer.number(element::MOVE_ORIGINATOR_MESSAGE_ID, id).finish(),
        None => writer.finish(),
    }
}

/// Writes a command set; elements are given in ascending order, the group length is put in front at the end.
#[derive(Debug)]
pub(crate) struct CommandWriter {
    bytes: Vec<u8>,
}

impl CommandWriter {
    pub(crate) fn new() -> Self {
        // Group length (0000,0000), VR UL, value filled in by `finish`.
        Self { bytes: vec![0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0] }
    }

    pub(crate) fn number(mut self, element: u16, value: u16) -> Self {
        self.element(element, &value.to_le_bytes(), 0);
        self
    }

    /// An element of VR AT and multiplicity 1.
    pub(crate) fn tag(mut self, element: u16, tag: Option<(u16, u16)>) -> Self {
        if let Some((group, number)) = tag {
            self.element(element, &[group.to_le_bytes(), number.to_le_bytes()].concat(), 0);
        }
        self
    }

    pub(crate) fn data_set(self, follows: bool) -> Self {
        self.number(element::COMMAND_DATA_SET_TYPE, if follows { DATA_SET } else { NO_DATA_SET })
    }

    pub(crate) fn uid(mut self, element: u16, uid: Option<&str>) -> Self {
        if let Some(uid) = uid {
            self.element(element, uid.as_bytes(), 0);
        }
        self
    }

    pub(crate) fn text(mut self, element: u16, text: Option<&str>) -> Self {
        if let Some(text) = text {
            self.element(element, text.as_bytes(), b' ');
        }
        self
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        let length = (self.bytes.len() - 12) as u32;
        self.bytes[8..12].copy_from_slice(&length.to_le_bytes());
        self.bytes
    }

    fn element(&mut self, element: u16, value: &[u8], padding: u8) {
        let odd = value.len() % 2;
        self.bytes.extend_from_slice(&[0, 0]);
        self.bytes.extend_from_slice(&element.to_le_bytes());
        self.bytes.extend_from_slice(&((value.len() + odd) as u32).to_le_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.extend(std::iter::repeat_n(padding, odd));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dicom_core::{DataElement, PrimitiveValue, VR};
    use dicom_dictionary_std::tags;
    use dicom_object::InMemDicomObject;
    use dicom_transfer_syntax_registry::entries::IMPLICIT_VR_LITTLE_ENDIAN;

    #[test]
    fn dicom_object_reads_what_we_write() {
        let bytes = CommandWriter::new()
            .uid(element::AFFECTED_SOP_CLASS_UID, Some("1.2.840.10008.1.1"))
            .number(element::COMMAND_FIELD, C_ECHO | RESPONSE)
            .number(element::MESSAGE_ID_BEING_RESPONDED_TO, 0xfffe)
            .data_set(false)
            .number(element::STATUS, 0xa700)
            .text(element::ERROR_COMMENT, Some("odd"))
            .uid(element::AFFECTED_SOP_INSTANCE_UID, Some("1.2.34"))
            .finish();
        let object =
            InMemDicomObject::read_dataset_with_ts(bytes.as_slice(), &IMPLICIT_VR_LITTLE_ENDIAN.erased())
                .unwrap();
        assert_eq!(
            object.element(tags::COMMAND_GROUP_LENGTH).unwrap().to_int::<usize>().unwrap(),
            bytes.len() - 12
        );
        assert_eq!(
            object.element(tags::AFFECTED_SOP_CLASS_UID).unwrap().to_str().unwrap(),
            "1.2.840.10008.1.1"
        );
        assert_eq!(object.element(tags::COMMAND_FIELD).unwrap().to_int::<u16>().unwrap(), 0x8030);
        assert_eq!(
            object.element(tags::MESSAGE_ID_BEING_RESPONDED_TO).unwrap().to_int::<u16>().unwrap(),
            0xfffe
        );
        assert_eq!(object.element(tags::STATUS).unwrap().to_int::<u16>().unwrap(), 0xa700);
        assert_eq!(object.element(tags::ERROR_COMMENT).unwrap().to_str().unwrap(), "odd");
        assert_eq!(bytes.len() % 2, 0);
    }

    #[test]
    fn we_read_what_dicom_object_writes() {
        let object = InMemDicomObject::command_from_element_iter([
            DataElement::new(tags::AFFECTED_SOP_CLASS_UID, VR::UI, PrimitiveValue::from("1.2.840.10008.1.1")),
            DataElement::new(tags::COMMAND_FIELD, VR::US, PrimitiveValue::from(0x0030_u16)),
            DataElement::new(tags::MESSAGE_ID, VR::US, PrimitiveValue::from(513_u16)),
            DataElement::new(tags::COMMAND_DATA_SET_TYPE, VR::US, PrimitiveValue::from(0x0101_u16)),
        ]);
        let mut bytes = Vec::new();
        object.write_dataset_with_ts(&mut bytes, &IMPLICIT_VR_LITTLE_ENDIAN.erased()).unwrap();
        let command = CommandSet::parse(&bytes).unwrap();
        assert_eq!(command.number(element::COMMAND_FIELD), Some(C_ECHO));
        assert_eq!(command.number(element::MESSAGE_ID), Some(513));
        assert_eq!(command.uid(element::AFFECTED_SOP_CLASS_UID).as_deref(), Some("1.2.840.10008.1.1"));
        assert!(!command.has_data_set().unwrap());
    }

    #[test]
    fn broken_command_sets() {
        let cases: [(&[u8], CommandError); 5] = [
            (&[0; 7], CommandError::Cut { offset: 0 }),
            (&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff], CommandError::Cut { offset: 0 }),
            (&[0, 0, 0, 1, 4, 0, 0, 0, 1, 0], CommandError::Cut { offset: 0 }),
            (&[0x10, 0, 0x10, 0, 0, 0, 0, 0], CommandError::ForeignGroup { group: 0x10, element: 0x10 }),
            (&[0, 0, 0, 1, 2, 0, 0, 0, 1, 0, 9], CommandError::Cut { offset: 10 }),
        ];
        for (bytes, expected) in cases {
            assert_eq!(CommandSet::parse(bytes).unwrap_err(), expected, "{bytes:?}");
        }
        let empty = CommandSet::parse(&[]).unwrap();
        assert_eq!(empty.has_data_set(), Err(CommandError::Missing { element: 0x0800 }));
        let wide = [0, 0, 0, 1, 4, 0, 0, 0, 1, 0, 0, 0];
        assert_eq!(CommandSet::parse(&wide).unwrap().number(0x0100), None, "four bytes are no US");
    }
}
