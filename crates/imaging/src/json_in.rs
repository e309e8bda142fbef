//! Reads DICOM JSON (PS3.18 annex F) from outside: strict, and bounded as [`crate::compose`] is. Not what [`crate::json`] does, which
//! writes it; not the reader of dicom-json, which takes unknown VRs for UN, lets the last of two elements win, and drops bulk data.

use std::{borrow::Cow, fmt};

use dicom_core::{Tag, VR};
use serde::de::{self, DeserializeSeed, Deserializer as _, MapAccess, SeqAccess, Visitor};

use crate::compose::{Composed, Composer, Flaw, Reading, Unreadable, Values, parse_tag, parse_vr};

/// Most sequences inside each other: each takes three of the 128 levels that the JSON reader goes down.
pub const DEPTH_MAX: usize = 40;

impl Reading {
    /// Reads an array of objects, as metadata of STOW-RS are.
    ///
    /// # Errors
    /// When it is no DICOM JSON, or too large.
    pub fn json(&mut self, text: &[u8]) -> Result<Vec<Composed>, Unreadable> {
        self.limits.depth = self.limits.depth.min(DEPTH_MAX);
        let mut state = State::default();
        let mut deserializer = serde_json::Deserializer::from_slice(text);
        let mut objects = Vec::new();
        let read =
            deserializer.deserialize_seq(Objects { reading: self, state: &mut state, objects: &mut objects });
        match read.and_then(|()| deserializer.end()) {
            Ok(()) => Ok(objects),
            Err(error) => Err(state.explain(&error, objects.len() + 1)),
        }
    }
}

/// What is known when something is wrong.
#[derive(Default)]
struct State {
    path: Vec<Tag>,
    flaw: Option<Flaw>,
}

impl State {
    fn fail<E: de::Error>(&mut self, flaw: Flaw) -> E {
        self.flaw.get_or_insert(flaw);
        E::custom("refused")
    }

    fn explain(self, error: &serde_json::Error, object: usize) -> Unreadable {
        let flaw = self.flaw.unwrap_or_else(|| match error.classify() {
            // What stands at a place of another kind is not said: it may be a name.
            serde_json::error::Category::Data => Flaw::Model("another kind of JSON value must stand here"),
            _ => {
                let text = error.to_string();
                Flaw::Syntax(text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what).to_owned())
            }
        });
        let mut place = format!("object {object}");
        self.path.iter().for_each(|tag| place.push_str(&format!(", element {tag}")));
        place.push_str(&format!(", line {}, column {}", error.line(), error.column()));
        Unreadable { flaw, place }
    }
}

struct Objects<'s, 'o> {
    reading: &'s mut Reading,
    state: &'s mut State,
    objects: &'o mut Vec<Composed>,
}

impl<'de> Visitor<'de> for Objects<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        let Self { reading, state, objects } = self;
        while let Some(object) = array.next_element_seed(Object { reading, state })? {
            objects.push(object);
        }
        Ok(())
    }
}

struct Object<'s> {
    reading: &'s mut Reading,
    state: &'s mut State,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = Composed;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Composed, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = Composed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Composed, A::Error> {
        let Self { reading, state } = self;
        let mut composer = Composer::new(reading, false).map_err(|flaw| state.fail(flaw))?;
        data_set(&mut composer, state, map, None)?;
        composer.finish().map_err(|flaw| state.fail(flaw))
    }
}

/// The attributes of a data set; the first key may have been read.
fn data_set<'de, A: MapAccess<'de>>(
    composer: &mut Composer<'_>,
    state: &mut State,
    mut map: A,
    first: Option<Text<'de>>,
) -> Result<(), A::Error> {
    let mut next = match first {
        Some(key) => Some(key),
        None => map.next_key_seed(TextSeed)?,
    };
    while let Some(key) = next {
        let Some(tag) = parse_tag(&key) else {
            return Err(state.fail(Flaw::Model("a key is no tag of eight hexadecimal digits")));
        };
        state.path.push(tag);
        map.next_value_seed(Attribute { composer, state, tag })?;
        state.path.pop();
        next = map.next_key_seed(TextSeed)?;
    }
    Ok(())
}

type Text<'de> = Cow<'de, str>;

/// A text, not copied where that can be.
struct TextSeed;

impl<'de> DeserializeSeed<'de> for TextSeed {
    type Value = Text<'de>;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Text<'de>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for TextSeed {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// What an attribute holds (PS3.18 section F.2.2), before its vr is known: the order of the keys is free.
enum Content<'de> {
    Nothing,
    Values(Values, usize),
    Items,
    Inline(Text<'de>),
    Bulk(Text<'de>),
}

struct Attribute<'s, 'r> {
    composer: &'s mut Composer<'r>,
    state: &'s mut State,
    tag: Tag,
}

impl<'de> DeserializeSeed<'de> for Attribute<'_, '_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Attribute<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an attribute")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { composer, state, tag } = self;
        let (mut vr, mut content) = (None, None);
        while let Some(key) = map.next_key_seed(TextSeed)? {
            if &*key == "vr" {
                let text = map.next_value_seed(TextSeed)?;
                let found = parse_vr(&text).map_err(|flaw| state.fail(flaw))?;
                if vr.replace(found).is_some() {
                    return Err(state.fail(Flaw::Model("vr stands twice")));
                }
                continue;
            }
            if content.is_some() {
                return Err(
                    state.fail(Flaw::Model("an attribute has more than one value field, or an unknown one"))
                );
            }
            content = Some(match &*key {
                "Value" => {
                    map.next_value_seed(Array { composer: &mut *composer, state: &mut *state, tag })?
                }
                "InlineBinary" => Content::Inline(map.next_value_seed(TextSeed)?),
                "BulkDataURI" => Content::Bulk(map.next_value_seed(TextSeed)?),
                _ => return Err(state.fail(Flaw::Model("an attribute has an unknown field"))),
            });
        }
        let Some(vr) = vr else { return Err(state.fail(Flaw::Model("an attribute has no vr"))) };
        let content = content.unwrap_or(Content::Nothing);
        write(composer, tag, vr, content).map_err(|flaw| state.fail(flaw))
    }
}

fn write(composer: &mut Composer<'_>, tag: Tag, vr: VR, content: Content<'_>) -> Result<(), Flaw> {
    match (content, vr) {
        (Content::Items, VR::SQ) => Ok(()),
        (Content::Items, _) => Err(Flaw::Model("items stand at a vr that is not SQ")),
        (Content::Values(values, empty), VR::SQ) if values.len() == 0 => {
            composer.begin_sequence(tag)?;
            for _ in 0..empty {
                composer.begin_item()?;
                composer.end_item()?;
            }
            composer.end_sequence();
            Ok(())
        }
        (Content::Nothing, VR::SQ) => {
            composer.begin_sequence(tag)?;
            composer.end_sequence();
            Ok(())
        }
        (Content::Nothing, vr) => composer.values(tag, vr, &Values::default()),
        (Content::Values(mut values, empty), VR::PN) => {
            (0..empty).for_each(|_| values.null());
            composer.values(tag, vr, &values)
        }
        (Content::Values(_, 1..), _) => Err(Flaw::Model("an object stands at a vr that has none")),
        (Content::Values(values, 0), vr) => composer.values(tag, vr, &values),
        (Content::Inline(base64), vr) => composer.inline(tag, vr, &base64),
        (Content::Bulk(uri), vr) => composer.bulk(tag, vr, &uri),
    }
}

struct Array<'s, 'r> {
    composer: &'s mut Composer<'r>,
    state: &'s mut State,
    tag: Tag,
}

impl<'de> DeserializeSeed<'de> for Array<'_, '_> {
    type Value = Content<'de>;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Content<'de>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Array<'_, '_> {
    type Value = Content<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Content<'de>, A::Error> {
        let Self { composer, state, tag } = self;
        // Empty objects may be items or names; which, the vr or what follows says.
        let (mut values, mut empty, mut has_items) = (Values::default(), 0, false);
        loop {
            let single = Single {
                composer: &mut *composer,
                state: &mut *state,
                tag,
                values: &mut values,
                empty: &mut empty,
                has_items: &mut has_items,
            };
            if array.next_element_seed(single)?.is_none() {
                break;
            }
        }
        if has_items {
            composer.end_sequence();
            return Ok(Content::Items);
        }
        Ok(Content::Values(values, empty))
    }
}

/// One of the values of an attribute.
struct Single<'s, 'r> {
    composer: &'s mut Composer<'r>,
    state: &'s mut State,
    tag: Tag,
    values: &'s mut Values,
    empty: &'s mut usize,
    has_items: &'s mut bool,
}

impl Single<'_, '_> {
    /// A value that is no item.
    fn plain<E: de::Error>(self, keep: impl FnOnce(&mut Values) -> Result<(), Flaw>) -> Result<(), E> {
        let kept = match (*self.has_items, *self.empty) {
            (true, _) => Err(Flaw::Model("something that is no item stands in a sequence")),
            (false, empty) => {
                (0..empty).for_each(|_| self.values.null());
                *self.empty = 0;
                self.composer.count_value().and_then(|()| keep(self.values))
            }
        };
        kept.map_err(|flaw| self.state.fail(flaw))
    }

    fn empty_object(&mut self) -> Result<(), Flaw> {
        if *self.has_items {
            self.composer.begin_item()?;
            return self.composer.end_item();
        }
        *self.empty += 1;
        self.composer.count_value()
    }

    fn begin_item(&mut self) -> Result<(), Flaw> {
        if self.values.len() > 0 {
            return Err(Flaw::Model("an item stands among other values"));
        }
        if !std::mem::replace(self.has_items, true) {
            self.composer.begin_sequence(self.tag)?;
            for _ in 0..std::mem::take(self.empty) {
                self.composer.begin_item()?;
                self.composer.end_item()?;
            }
        }
        self.composer.begin_item()
    }

    /// The groups of a name (PS3.18 section F.2.2).
    fn name<'de, A: MapAccess<'de>>(self, mut map: A, first: Text<'de>) -> Result<(), A::Error> {
        let mut groups: [Option<Text<'de>>; 3] = [None, None, None];
        let mut next = Some(first);
        while let Some(key) = next {
            let place = match &*key {
                "Alphabetic" => 0,
                "Ideographic" => 1,
                "Phonetic" => 2,
                _ => return Err(self.state.fail(Flaw::Model("a name has an unknown group"))),
            };
            if groups[place].replace(map.next_value_seed(TextSeed)?).is_some() {
                return Err(self.state.fail(Flaw::Model("a group of a name stands twice")));
            }
            next = map.next_key_seed(TextSeed)?;
        }
        let group = |place: usize| groups[place].as_deref().unwrap_or_default();
        self.plain(|values| values.name([group(0), group(1), group(2)]))
    }
}

impl<'de> DeserializeSeed<'de> for Single<'_, '_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Single<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.plain(|values| {
            values.null();
            Ok(())
        })
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        self.plain(|values| values.text(text))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<(), E> {
        self.plain(|values| {
            values.signed(number);
            Ok(())
        })
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<(), E> {
        self.plain(|values| {
            values.unsigned(number);
            Ok(())
        })
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<(), E> {
        self.plain(|values| {
            values.float(number);
            Ok(())
        })
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        match map.next_key_seed(TextSeed)? {
            None => self.empty_object().map_err(|flaw| self.state.fail(flaw)),
            Some(key) if matches!(&*key, "Alphabetic" | "Ideographic" | "Phonetic") => self.name(map, key),
            Some(key) => {
                self.begin_item().map_err(|flaw| self.state.fail(flaw))?;
                data_set(self.composer, self.state, map, Some(key))?;
                self.composer.end_item().map_err(|flaw| self.state.fail(flaw))
            }
        }
    }
}
