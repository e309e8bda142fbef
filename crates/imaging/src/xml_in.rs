//! Reads the Native DICOM Model (PS3.19 section A.1) from outside: strict, iterative, and bounded as [`crate::compose`] is. There is no
//! document type, no entity but the five of XML, and no processing instruction; nothing outside of the text is ever looked at.

use std::collections::{HashMap, HashSet};

use dicom_core::{Tag, VR};
use quick_xml::{
    Reader, XmlVersion,
    escape::resolve_predefined_entity,
    events::{BytesStart, Event},
};

use crate::{
    compose::{Composed, Composer, Flaw, Reading, Unreadable, Values, parse_tag, parse_vr},
    tree::VALUES_MAX,
};

/// Most attributes of an XML element; the model has five at most.
const ATTRIBUTES_MAX: usize = 16;
/// Blocks that a private creator may reserve (PS3.5 section 7.8.1).
const BLOCKS: std::ops::RangeInclusive<u16> = 0x10..=0xFF;

impl Reading {
    /// Reads a document of one object, as each metadata part of STOW-RS is.
    ///
    /// # Errors
    /// When it is no document of the model, or too large.
    pub fn xml(&mut self, text: &[u8]) -> Result<Composed, Unreadable> {
        let at = |flaw, path: &[Open], position: usize, object: usize| {
            let mut place = format!("object {object}");
            for open in path {
                if let Open::Attribute { tag, .. } = open {
                    place.push_str(&format!(", element {tag}"));
                }
            }
            let before = &text[..position.min(text.len())];
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
            place.push_str(&format!(", line {line}, column {column}"));
            Unreadable { flaw, place }
        };
        let number = self.objects + 1;
        let decoded = std::str::from_utf8(text).map_err(|error| {
            at(Flaw::Syntax("the text is not UTF-8".to_owned()), &[], error.valid_up_to(), number)
        })?;
        let is_ascii = text.is_ascii();
        let mut reader = Reader::from_str(decoded);
        let config = reader.config_mut();
        config.expand_empty_elements = true;
        config.check_comments = true;
        let composer = Composer::new(self, true).map_err(|flaw| at(flaw, &[], 0, number))?;
        let mut model = Model {
            composer,
            open: Vec::new(),
            sets: vec![Blocks::default()],
            text: String::new(),
            state: Before,
        };
        loop {
            let event = match reader.read_event() {
                Ok(event) => event,
                Err(error) => {
                    let position = usize::try_from(reader.error_position()).unwrap_or(usize::MAX);
                    return Err(at(Flaw::Syntax(syntax(&error)), &model.open, position, number));
                }
            };
            let position = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
            if matches!(event, Event::Eof) {
                break;
            }
            if let Err(flaw) = model.take(event, is_ascii) {
                return Err(at(flaw, &model.open, position, number));
            }
        }
        let Model { composer, state, open, .. } = model;
        if state != After || !open.is_empty() {
            return Err(at(
                Flaw::Syntax("the document is not complete".to_owned()),
                &open,
                text.len(),
                number,
            ));
        }
        composer.finish().map_err(|flaw| at(flaw, &[], text.len(), number))
    }
}

/// What is wrong with the XML, without what stands there.
fn syntax(error: &quick_xml::Error) -> String {
    use quick_xml::Error;
    match error {
        Error::Syntax(error) => error.to_string(),
        Error::IllFormed(_) => "an end tag is missing or closes something else".to_owned(),
        Error::InvalidAttr(_) => "an attribute of XML is malformed or stands twice".to_owned(),
        Error::Escape(_) => "a reference is none of the five of XML and no character".to_owned(),
        _ => "the XML cannot be read".to_owned(),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Before,
    Inside,
    After,
}
use State::{After, Before, Inside};

/// Which private creator has which block, in one data set.
#[derive(Debug, Default)]
struct Blocks {
    of: HashMap<(u16, String), u16>,
    taken: HashSet<(u16, u16)>,
}

impl Blocks {
    fn is_free(&self, group: u16, block: u16) -> bool {
        !self.taken.contains(&(group, block))
    }

    fn take(&mut self, group: u16, creator: String, block: u16) {
        self.taken.insert((group, block));
        self.of.entry((group, creator)).or_insert(block);
    }
}

/// An XML element that is open.
#[derive(Debug)]
enum Open {
    Attribute { tag: Tag, vr: VR, has: Has, values: Values, creator: bool },
    Item,
    Value,
    Inline,
    Bulk,
    Person { groups: [String; 3], seen: usize },
    Group { place: usize, parts: [String; 5], seen: usize },
    Part { place: usize },
}

/// What an attribute holds so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Has {
    Nothing,
    Values,
    /// Items, and the number of the last one.
    Items(usize),
    /// Its one value, written already.
    All,
}

struct Model<'r> {
    composer: Composer<'r>,
    open: Vec<Open>,
    sets: Vec<Blocks>,
    text: String,
    state: State,
}

const GROUPS: [&str; 3] = ["Alphabetic", "Ideographic", "Phonetic"];
const PARTS: [&str; 5] = ["FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix"];
const MISPLACED: Flaw = Flaw::Model("an XML element stands where the model has none such");

impl Model<'_> {
    fn take(&mut self, event: Event<'_>, is_ascii: bool) -> Result<(), Flaw> {
        match event {
            Event::Start(start) => self.start(&start),
            Event::End(_) => self.end(),
            Event::Text(text) => self.characters(&text.xml10_content()),
            Event::CData(text) => self.characters(&text.xml10_content()),
            Event::GeneralRef(reference) => {
                let illegal =
                    || Flaw::Syntax("a reference is none of the five of XML and no character".to_owned());
                if let Some(c) = reference.resolve_char_ref().map_err(|_| illegal())? {
                    return self.characters(c.encode_utf8(&mut [0; 4]));
                }
                self.characters(resolve_predefined_entity(&reference).ok_or_else(illegal)?)
            }
            Event::Decl(declaration) => match declaration.encoding() {
                // Text of ASCII alone is the same in all of them; anything else was read as UTF-8.
                Some(Ok(name)) if !is_ascii && !name.eq_ignore_ascii_case("utf-8") => {
                    Err(Flaw::Syntax("the text is not in UTF-8".to_owned()))
                }
                Some(Ok(name)) if name.to_ascii_lowercase().starts_with("utf-16") => {
                    Err(Flaw::Syntax("the text is not in UTF-8".to_owned()))
                }
                Some(Err(_)) => Err(Flaw::Syntax("the XML declaration is malformed".to_owned())),
                Some(Ok(_)) | None => Ok(()),
            },
            Event::DocType(_) => Err(Flaw::Syntax("a document type is not taken".to_owned())),
            Event::PI(_) => Err(Flaw::Syntax("a processing instruction is not taken".to_owned())),
            Event::Comment(_) | Event::Empty(_) | Event::Eof => Ok(()),
        }
    }

    /// Text, where there may be some; blanks between elements are passed over.
    fn characters(&mut self, text: &str) -> Result<(), Flaw> {
        if let Some(Open::Value | Open::Inline | Open::Part { .. }) = self.open.last() {
            self.text.push_str(text);
            return Ok(());
        }
        match text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {
            true => Ok(()),
            false => Err(Flaw::Model("text stands where the model has none")),
        }
    }

    fn start(&mut self, start: &BytesStart<'_>) -> Result<(), Flaw> {
        let name = start.local_name();
        let name: &str = name.as_ref();
        let [tag, vr, creator, number, uri, uuid] =
            wanted(start, ["tag", "vr", "privateCreator", "number", "uri", "uuid"])?;
        if self.state != Inside {
            if self.state == Before && name == "NativeDicomModel" {
                self.state = Inside;
                return Ok(());
            }
            return Err(MISPLACED);
        }
        match (self.open.last_mut(), name) {
            (None | Some(Open::Item), "DicomAttribute") => self.start_attribute(tag, vr, creator),
            (Some(Open::Attribute { has, .. }), "Item") => {
                let last = match *has {
                    Has::Nothing => 0,
                    Has::Items(last) => last,
                    Has::Values | Has::All => return Err(MISPLACED),
                };
                let is_first = *has == Has::Nothing;
                *has = Has::Items(ascending(number, last)?);
                self.start_item(is_first)
            }
            (
                Some(Open::Attribute { has: has @ (Has::Nothing | Has::Values), values, .. }),
                "Value" | "PersonName",
            ) => {
                *has = Has::Values;
                let number = ascending(number, values.len())?;
                while values.len() + 1 < number {
                    self.composer.count_value()?;
                    values.null();
                }
                self.composer.count_value()?;
                self.text.clear();
                self.open.push(match name {
                    "Value" => Open::Value,
                    _ => Open::Person { groups: Default::default(), seen: 0 },
                });
                Ok(())
            }
            (Some(Open::Attribute { has: has @ Has::Nothing, .. }), "InlineBinary") => {
                *has = Has::All;
                self.text.clear();
                self.open.push(Open::Inline);
                Ok(())
            }
            (Some(Open::Attribute { has: has @ Has::Nothing, tag, vr, .. }), "BulkData") => {
                *has = Has::All;
                let uri = uri.or(uuid).ok_or(Flaw::Model("bulk data have neither uri nor uuid"))?;
                self.composer.bulk(*tag, *vr, &uri)?;
                self.open.push(Open::Bulk);
                Ok(())
            }
            (Some(Open::Person { seen, .. }), name) => {
                let place = once_each(&GROUPS, name, seen)?;
                self.open.push(Open::Group { place, parts: Default::default(), seen: 0 });
                Ok(())
            }
            (Some(Open::Group { seen, .. }), name) => {
                let place = once_each(&PARTS, name, seen)?;
                self.text.clear();
                self.open.push(Open::Part { place });
                Ok(())
            }
            _ => Err(MISPLACED),
        }
    }

    fn start_attribute(
        &mut self,
        tag: Option<String>,
        vr: Option<String>,
        creator: Option<String>,
    ) -> Result<(), Flaw> {
        let tag = tag.as_deref().and_then(parse_tag).ok_or(Flaw::Model("a tag is missing or malformed"))?;
        let vr = parse_vr(&vr.ok_or(Flaw::Model("an attribute has no vr"))?)?;
        let is_creator = tag.group() % 2 == 1 && creator.is_none() && BLOCKS.contains(&tag.element());
        let tag = match creator.filter(|_| tag.group() % 2 == 1) {
            Some(creator) => self.private(tag, &creator)?,
            None => tag,
        };
        self.open.push(Open::Attribute {
            tag,
            vr,
            has: Has::Nothing,
            values: Values::default(),
            creator: is_creator,
        });
        Ok(())
    }

    /// The tag of a private element in the block of its creator, who reserves one if there is none yet.
    fn private(&mut self, tag: Tag, creator: &str) -> Result<Tag, Flaw> {
        let Tag(group, element) = tag;
        let blocks = self.sets.last_mut().expect("the root has its blocks");
        let written = element >> 8;
        if written != 0 && !BLOCKS.contains(&written) {
            return Err(Flaw::Model("a private tag is outside of all blocks"));
        }
        let known = blocks.of.get(&(group, creator.to_owned())).copied();
        let block = match known {
            Some(block) if written == 0 || written == block => {
                return Ok(Tag(group, block << 8 | element & 0xFF));
            }
            _ if written != 0 && !blocks.is_free(group, written) => return Ok(tag),
            _ if written != 0 => written,
            _ => BLOCKS
                .into_iter()
                .find(|block| blocks.is_free(group, *block))
                .ok_or(Flaw::Model("a private group has more creators than blocks"))?,
        };
        blocks.take(group, creator.to_owned(), block);
        let mut values = Values::default();
        values.text(creator)?;
        self.composer.values(Tag(group, block), VR::LO, &values)?;
        Ok(Tag(group, block << 8 | element & 0xFF))
    }

    fn start_item(&mut self, is_first: bool) -> Result<(), Flaw> {
        let Some(Open::Attribute { tag, vr: VR::SQ, .. }) = self.open.last() else {
            return Err(Flaw::Model("items stand at a vr that is not SQ"));
        };
        if is_first {
            self.composer.begin_sequence(*tag)?;
        }
        self.composer.begin_item()?;
        self.sets.push(Blocks::default());
        self.open.push(Open::Item);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Flaw> {
        let Some(done) = self.open.pop() else {
            self.state = After;
            return Ok(());
        };
        match done {
            Open::Attribute { tag, vr, has, values, creator } => {
                let ended = self.end_attribute(tag, vr, has, &values, creator);
                if ended.is_err() {
                    // So that the place is known.
                    self.open.push(Open::Attribute { tag, vr, has, values, creator });
                }
                ended
            }
            Open::Item => {
                self.sets.pop();
                self.composer.end_item()
            }
            Open::Value => {
                let Some(Open::Attribute { values, .. }) = self.open.last_mut() else {
                    return Err(MISPLACED);
                };
                if self.text.is_empty() {
                    values.null();
                    return Ok(());
                }
                values.text(&self.text)
            }
            Open::Inline => {
                let Some(Open::Attribute { tag, vr, .. }) = self.open.last() else { return Err(MISPLACED) };
                // Writers break the lines.
                self.text.retain(|c| !c.is_ascii_whitespace());
                self.composer.inline(*tag, *vr, &self.text)
            }
            Open::Bulk => Ok(()),
            Open::Person { groups, .. } => {
                let Some(Open::Attribute { values, .. }) = self.open.last_mut() else {
                    return Err(MISPLACED);
                };
                if groups.iter().all(String::is_empty) {
                    values.null();
                    return Ok(());
                }
                values.name([&groups[0], &groups[1], &groups[2]])
            }
            Open::Group { place, parts, .. } => {
                let name = parts.join("^").trim_end_matches('^').to_owned();
                let Some(Open::Person { groups, .. }) = self.open.last_mut() else { return Err(MISPLACED) };
                groups[place] = name;
                Ok(())
            }
            Open::Part { place } => {
                let Some(Open::Group { parts, .. }) = self.open.last_mut() else { return Err(MISPLACED) };
                if place + 1 < PARTS.len() && self.text.contains('^') {
                    return Err(Flaw::Model("a component of a name holds ^"));
                }
                parts[place] = std::mem::take(&mut self.text);
                Ok(())
            }
        }
    }

    fn end_attribute(
        &mut self,
        tag: Tag,
        vr: VR,
        has: Has,
        values: &Values,
        creator: bool,
    ) -> Result<(), Flaw> {
        match has {
            Has::Items(_) => self.composer.end_sequence(),
            Has::All => {}
            Has::Nothing if vr == VR::SQ => {
                self.composer.begin_sequence(tag)?;
                self.composer.end_sequence();
            }
            Has::Nothing | Has::Values => {
                if let Some(name) = values.first().filter(|_| creator) {
                    let blocks = self.sets.last_mut().expect("the root has its blocks");
                    blocks.take(tag.group(), name, tag.element());
                }
                self.composer.values(tag, vr, values)?;
            }
        }
        Ok(())
    }
}

/// The attributes of an XML element that count. What else there is (keyword, namespaces) says nothing that is not known.
fn wanted<const N: usize>(start: &BytesStart<'_>, names: [&str; N]) -> Result<[Option<String>; N], Flaw> {
    let mut found = [const { None }; N];
    let malformed = || Flaw::Syntax("an attribute of XML is malformed or stands twice".to_owned());
    for (count, attribute) in start.attributes().enumerate() {
        if count == ATTRIBUTES_MAX {
            return Err(Flaw::Limit("an XML element has too many attributes"));
        }
        let attribute = attribute.map_err(|_| malformed())?;
        let Some(place) = names.iter().position(|name| attribute.key.as_ref() == *name) else { continue };
        let value = attribute.normalized_value(XmlVersion::Explicit1_0).map_err(|_| malformed())?;
        found[place] = Some(value.into_owned());
    }
    Ok(found)
}

/// The number of a value or item, which goes up.
fn ascending(number: Option<String>, last: usize) -> Result<usize, Flaw> {
    let number = number.and_then(|number| number.parse().ok()).filter(|number| *number > last);
    let number = number.ok_or(Flaw::Model("a number of a value or item is missing, or does not go up"))?;
    if number > VALUES_MAX {
        return Err(Flaw::Limit("an object has too many values"));
    }
    Ok(number)
}

/// The place of a name among those that may stand once each, in any order.
fn once_each(names: &[&str], name: &str, seen: &mut usize) -> Result<usize, Flaw> {
    let place = names.iter().position(|known| *known == name).ok_or(MISPLACED)?;
    if *seen >> place & 1 == 1 {
        return Err(Flaw::Model("a part of a name stands twice"));
    }
    *seen |= 1 << place;
    Ok(place)
}
