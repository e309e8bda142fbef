//! What a Key Object Selection document says (PS3.3 section A.35.4, PS3.16 TID 2010): which images somebody marked, who, and when. Reads by
//! codes, whatever the code meanings say in which language.

use dicom_core::Tag;

use crate::tree::{self, Tree};

/// Key Object Selection Document Storage.
pub const KEY_OBJECT_SELECTION: &str = "1.2.840.10008.5.1.4.1.1.88.59";
/// Most images of a document that are read.
const IMAGES_MAX: usize = 500;

/// Codes of the DICOM controlled terminology (PS3.16 annex D).
mod code {
    pub const OF_INTEREST: &str = "113000";
    pub const OBSERVER_NAME: &str = "121008";
    pub const OBSERVER_LOGIN: &str = "128774";
}

/// A document that says that images are of interest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyObjects {
    /// Name of the person who marked them (TID 1003), as it stands.
    pub observer: Option<String>,
    /// What they sign in with, where the document says so.
    pub login: Option<String>,
    /// Content Date and Content Time, one behind the other: of two the later one is greater.
    pub at: String,
    /// The images, in order. None when an earlier document is taken back.
    pub images: Vec<KeyReference>,
}

/// An image that a document names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyReference {
    /// Its SOP Instance UID, as it stands.
    pub instance: String,
    /// Which frames; all when there are none.
    pub frames: Vec<u32>,
}

/// Content Date, Content Time, Concept Name Code Sequence, Code Value, Content Sequence, Value Type, Person Name, Text Value, Referenced
/// SOP Sequence, Referenced SOP Instance UID, Referenced Frame Number.
const CONTENT_DATE: Tag = Tag(0x0008, 0x0023);
const CONTENT_TIME: Tag = Tag(0x0008, 0x0033);
const CONCEPT_NAME: Tag = Tag(0x0040, 0xA043);
const CODE_VALUE: Tag = Tag(0x0008, 0x0100);
const CONTENT: Tag = Tag(0x0040, 0xA730);
const VALUE_TYPE: Tag = Tag(0x0040, 0xA040);
const PERSON_NAME: Tag = Tag(0x0040, 0xA123);
const TEXT: Tag = Tag(0x0040, 0xA160);
const REFERENCED: Tag = Tag(0x0008, 0x1199);
const REFERENCED_INSTANCE: Tag = Tag(0x0008, 0x1155);
const REFERENCED_FRAMES: Tag = Tag(0x0008, 0x1160);

/// Reads a document; `None` when its title is another than "Of Interest": rejected images, a manifest.
#[must_use]
pub fn read(document: &Tree) -> Option<KeyObjects> {
    if code_of(document)? != code::OF_INTEREST {
        return None;
    }
    let content = tree::items(document, CONTENT);
    let named = |code: &str| content.iter().find(|item| code_of(item).as_deref() == Some(code));
    let images = content.iter().filter(|item| tree::text(item, VALUE_TYPE).as_deref() == Some("IMAGE"));
    let day_and_time = [CONTENT_DATE, CONTENT_TIME].map(|tag| tree::text(document, tag).unwrap_or_default());
    Some(KeyObjects {
        observer: named(code::OBSERVER_NAME).and_then(|item| tree::text(item, PERSON_NAME)),
        login: named(code::OBSERVER_LOGIN).and_then(|item| tree::text(item, TEXT)),
        at: day_and_time.concat(),
        images: images.filter_map(reference).take(IMAGES_MAX).collect(),
    })
}

fn code_of(item: &Tree) -> Option<String> {
    tree::text(tree::items(item, CONCEPT_NAME).first()?, CODE_VALUE)
}

fn reference(item: &Tree) -> Option<KeyReference> {
    let referenced = tree::items(item, REFERENCED).first()?;
    let frames = referenced.get(REFERENCED_FRAMES).and_then(|element| element.to_multi_int::<u32>().ok());
    Some(KeyReference {
        instance: tree::text(referenced, REFERENCED_INSTANCE)?,
        frames: frames.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use dicom_core::{DataElement, PrimitiveValue, VR, value::DataSetSequence};

    use super::*;

    fn with(elements: Vec<DataElement<Tree>>) -> Tree {
        Tree::from_element_iter(elements)
    }

    fn text(tag: Tag, vr: VR, value: &str) -> DataElement<Tree> {
        DataElement::new(tag, vr, PrimitiveValue::from(value))
    }

    fn items(tag: Tag, items: Vec<Tree>) -> DataElement<Tree> {
        DataElement::new(tag, VR::SQ, DataSetSequence::from(items))
    }

    fn concept(code: &str) -> DataElement<Tree> {
        items(CONCEPT_NAME, vec![with(vec![text(CODE_VALUE, VR::SH, code)])])
    }

    fn image(instance: &str, frames: &[i32]) -> Tree {
        let mut referenced = with(vec![text(REFERENCED_INSTANCE, VR::UI, instance)]);
        if !frames.is_empty() {
            referenced.put(DataElement::new(REFERENCED_FRAMES, VR::IS, PrimitiveValue::I32(frames.into())));
        }
        with(vec![text(VALUE_TYPE, VR::CS, "IMAGE"), items(REFERENCED, vec![referenced])])
    }

    fn document(title: &str) -> Tree {
        let name = with(vec![concept(code::OBSERVER_NAME), text(PERSON_NAME, VR::PN, "Moreau^Ada")]);
        let login = with(vec![concept(code::OBSERVER_LOGIN), text(TEXT, VR::UT, "ada")]);
        with(vec![
            text(CONTENT_DATE, VR::DA, "20240302"),
            text(CONTENT_TIME, VR::TM, "140301.5"),
            concept(title),
            items(CONTENT, vec![name, login, image("1.2.3", &[]), image("1.2.4", &[2, 5])]),
        ])
    }

    #[test]
    fn a_document_says_which_images_who_and_when() {
        let read = read(&document(code::OF_INTEREST)).unwrap();
        assert_eq!((read.observer.as_deref(), read.login.as_deref()), (Some("Moreau^Ada"), Some("ada")));
        assert_eq!(read.at, "20240302140301.5");
        let images: Vec<_> = read.images.iter().map(|one| (one.instance.as_str(), &one.frames[..])).collect();
        assert_eq!(images, [("1.2.3", &[][..]), ("1.2.4", &[2, 5][..])]);
    }

    #[test]
    fn other_titles_mark_nothing() {
        assert_eq!(read(&document("113001")), None, "rejected for quality reasons");
        assert_eq!(read(&Tree::new_empty()), None);
    }
}
