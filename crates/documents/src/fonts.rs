//! Which fonts there are, which of them set the text, and which characters they can show together. Faces are
//! described once at start and loaded when a page first needs them. Not a font matcher: typst chooses among
//! what is listed here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use typst::foundations::Bytes;
use typst::text::{Font, FontBook, FontInfo};
use typst::utils::LazyHash;
use walkdir::WalkDir;

use crate::world::SetupError;

/// Where Debian and its relatives keep fonts.
pub const DEFAULT_FONT_DIRECTORY: &str = "/usr/share/fonts";
/// Most font files looked at: a full TeX and Noto installation has about as many.
pub const MAX_FONT_FILES: usize = 4_000;
/// Largest font file read, in bytes: the largest Noto CJK collections are half of it.
pub const MAX_FONT_FILE_BYTES: u64 = 256 << 20;
/// Deepest folder looked at below a font directory.
pub const MAX_FONT_DIRECTORY_DEPTH: usize = 6;

/// Embedded, so that a page looks the same on every machine as long as its script is Latin, Greek or
/// Cyrillic.
const EMBEDDED_TEXT_FAMILY: &str = "Libertinus Serif";
/// Embedded, for hashes.
const EMBEDDED_MONO_FAMILY: &str = "DejaVu Sans Mono";
/// Tried after the text family for what it lacks, before any other font.
const WIDE_FAMILIES: [&str; 4] = ["Noto Sans", "DejaVu Sans", "Noto Sans Symbols", "Noto Sans Symbols 2"];
/// Han characters have national shapes: the family for the language of the report comes first.
const HAN_FAMILIES: [(&str, [&str; 3]); 4] = [
    ("ja", ["Noto Sans CJK JP", "Noto Serif CJK JP", "IPAexGothic"]),
    ("ko", ["Noto Sans CJK KR", "Noto Serif CJK KR", "NanumGothic"]),
    ("zh-hant", ["Noto Sans CJK TC", "Noto Serif CJK TC", "AR PL UMing TW"]),
    ("zh", ["Noto Sans CJK SC", "Noto Serif CJK SC", "WenQuanYi Zen Hei"]),
];
/// Covers Han and kana in one modest file.
const HAN_LAST_RESORT: &str = "Droid Sans Fallback";

const LATIN_PROBE: &str = "AZazÀÉÎÕÜßàéîõüåøæœŁłĄąĘęŚśŹźŻżČčŘřŠšŽžŐőŰűİıĞğŞşȘșȚțĀāĒēĪīŪūÞþÐð";
const GREEK_PROBE: &str = "ΑΩαωΆάΈέΉήΊίΌόΎύΏώΪϊΫϋςΐΰ";
const CYRILLIC_PROBE: &str = "АЯаяЁёЄєІіЇїҐґЂђЋћЉљЊњЏџЎў";
const HAN_PROBE: &str = "中国漢字體図沢渡邉臺灣龍龙";
const KANA_PROBE: &str = "あをんアヴー";
const HANGUL_PROBE: &str = "가김한국어힣";

/// Where fonts come from besides the embedded ones.
#[derive(Debug, Clone)]
pub struct FontSources {
    /// Folders to search; one that does not exist is passed over.
    pub directories: Vec<PathBuf>,
    /// Family to set text in, which must be found; `None` takes the embedded one.
    pub text_family: Option<String>,
}

impl Default for FontSources {
    fn default() -> Self {
        Self { directories: vec![PathBuf::from(DEFAULT_FONT_DIRECTORY)], text_family: None }
    }
}

/// Scripts that the fonts together can show, judged by letters that names and reports need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coverage {
    /// Latin with the accents of European languages and Turkish.
    pub latin: bool,
    /// Monotonic Greek.
    pub greek: bool,
    /// Cyrillic of the Slavic languages.
    pub cyrillic: bool,
    /// Simplified, traditional and Japanese Han.
    pub han: bool,
    /// Hiragana and katakana.
    pub kana: bool,
    /// Hangul syllables; the usual Debian fallback font lacks them.
    pub hangul: bool,
}

impl Coverage {
    /// Whether Chinese, Japanese and Korean can all be shown.
    #[must_use]
    pub fn cjk(&self) -> bool {
        self.han && self.kana && self.hangul
    }
}

/// All fonts.
pub(crate) struct Fonts {
    book: LazyHash<FontBook>,
    slots: Vec<Slot>,
    repertoire: Repertoire,
    text_family: String,
}

impl Fonts {
    /// Describes the embedded fonts and those of the directories, in a fixed order.
    pub(crate) fn find(sources: &FontSources) -> Result<Self, SetupError> {
        let mut book = FontBook::new();
        let mut slots = Vec::new();
        let mut repertoire = Repertoire::default();
        let mut add = |data: &[u8], origin: &dyn Fn() -> Origin| {
            for (index, info) in (0..).zip(FontInfo::iter(data)) {
                if info.is_last_resort() {
                    continue;
                }
                repertoire.add(info.coverage.iter());
                book.push(info);
                slots.push(Slot { origin: origin(), index, font: OnceLock::new() });
            }
        };
        for data in typst_assets::fonts() {
            add(data, &|| Origin::Embedded(data));
        }
        for path in font_files(&sources.directories) {
            match std::fs::read(&path) {
                Ok(data) => add(&data, &|| Origin::File(path.clone())),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "font file not readable, passed over")
                }
            }
        }
        let text_family = match &sources.text_family {
            Some(family) if !book.contains_family(&family.to_lowercase()) => {
                return Err(SetupError::UnknownFontFamily { family: family.clone() });
            }
            Some(family) => family.clone(),
            None => EMBEDDED_TEXT_FAMILY.to_owned(),
        };
        Ok(Self { book: LazyHash::new(book), slots, repertoire, text_family })
    }

    pub(crate) fn book(&self) -> &LazyHash<FontBook> {
        &self.book
    }

    pub(crate) fn font(&self, index: usize) -> Option<Font> {
        self.slots.get(index)?.font()
    }

    pub(crate) fn repertoire(&self) -> &Repertoire {
        &self.repertoire
    }

    pub(crate) fn text_family(&self) -> &str {
        &self.text_family
    }

    pub(crate) fn mono_family(&self) -> &'static str {
        EMBEDDED_MONO_FAMILY
    }

    /// Families for text of this language, best first, only such as are there.
    pub(crate) fn text_families(&self, language_tag: &str) -> Vec<String> {
        let mut tag = language_tag.to_lowercase();
        if ["zh-tw", "zh-hk", "zh-mo"].iter().any(|region| tag.starts_with(region)) {
            "zh-hant".clone_into(&mut tag);
        }
        let is_own = |entry: &&(&str, [&'static str; 3])| tag.starts_with(entry.0);
        let own = HAN_FAMILIES.iter().filter(is_own);
        let other = HAN_FAMILIES.iter().filter(|entry| !is_own(entry));
        let han = own.chain(other).flat_map(|entry| entry.1);
        let wanted = [self.text_family.as_str(), EMBEDDED_TEXT_FAMILY]
            .into_iter()
            .chain(han)
            .chain([HAN_LAST_RESORT])
            .chain(WIDE_FAMILIES);
        let mut families: Vec<String> = Vec::new();
        for family in wanted {
            if self.book.contains_family(&family.to_lowercase())
                && !families.iter().any(|known| known == family)
            {
                families.push(family.to_owned());
            }
        }
        families
    }

    pub(crate) fn coverage(&self) -> Coverage {
        let shows = |probe: &str| probe.chars().all(|character| self.repertoire.can_show(character));
        Coverage {
            latin: shows(LATIN_PROBE),
            greek: shows(GREEK_PROBE),
            cyrillic: shows(CYRILLIC_PROBE),
            han: shows(HAN_PROBE),
            kana: shows(KANA_PROBE),
            hangul: shows(HANGUL_PROBE),
        }
    }
}

enum Origin {
    Embedded(&'static [u8]),
    File(PathBuf),
}

struct Slot {
    origin: Origin,
    index: u32,
    font: OnceLock<Option<Font>>,
}

impl Slot {
    fn font(&self) -> Option<Font> {
        self.font
            .get_or_init(|| {
                let data = match &self.origin {
                    Origin::Embedded(data) => Bytes::new(*data),
                    Origin::File(path) => match std::fs::read(path) {
                        Ok(data) => Bytes::new(data),
                        Err(error) => {
                            tracing::error!(path = %path.display(), %error, "font file gone since start");
                            return None;
                        }
                    },
                };
                Font::new(data, self.index)
            })
            .clone()
    }
}

fn font_files(directories: &[PathBuf]) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    for directory in directories {
        let walk = WalkDir::new(directory)
            .max_depth(MAX_FONT_DIRECTORY_DEPTH)
            .follow_links(true)
            .sort_by_file_name()
            .into_iter()
            .filter_map(Result::ok);
        for entry in walk {
            if !is_font_file(entry.path()) {
                continue;
            }
            if entry.metadata().map_or(true, |data| !data.is_file() || data.len() > MAX_FONT_FILE_BYTES) {
                continue;
            }
            if files.len() >= MAX_FONT_FILES {
                tracing::warn!(limit = MAX_FONT_FILES, "more font files than are looked at");
                return files;
            }
            files.insert(entry.into_path());
        }
    }
    files
}

fn is_font_file(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    ["ttf", "otf", "ttc", "otc"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}

/// Set of characters that some font can show, one bit per Unicode code point.
pub(crate) struct Repertoire {
    bits: Vec<u64>,
}

impl Default for Repertoire {
    fn default() -> Self {
        Self { bits: vec![0; (char::MAX as usize + 64) / 64] }
    }
}

impl Repertoire {
    /// A set made of these characters.
    #[cfg(test)]
    pub(crate) fn of(characters: impl IntoIterator<Item = char>) -> Self {
        let mut repertoire = Self::default();
        repertoire.add(characters.into_iter().map(u32::from));
        repertoire
    }

    /// Whether the character appears on paper as itself, or is meant to leave no trace there.
    pub(crate) fn can_show(&self, character: char) -> bool {
        match character {
            ' ' | '\u{00A0}' => true,
            // Joiners, soft hyphen, direction marks, variation selectors: they shape their neighbours.
            '\u{00AD}' | '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FE00}'..='\u{FE0F}' => true,
            // Direction overrides can make one name look like another; private characters mean nothing
            // agreed.
            '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}' => false,
            '\u{E000}'..='\u{F8FF}' | '\u{F0000}'.. => false,
            control if control.is_control() => false,
            other => self.contains(other),
        }
    }

    /// What stands for a character that cannot be shown.
    pub(crate) fn marker(&self) -> char {
        if self.contains(char::REPLACEMENT_CHARACTER) { char::REPLACEMENT_CHARACTER } else { '?' }
    }

    fn contains(&self, character: char) -> bool {
        let point = character as usize;
        self.bits.get(point / 64).is_some_and(|word| word & (1 << (point % 64)) != 0)
    }

    fn add(&mut self, points: impl IntoIterator<Item = u32>) {
        for point in points {
            let point = point as usize;
            if let Some(word) = self.bits.get_mut(point / 64) {
                *word |= 1 << (point % 64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_fonts_alone_cover_european_scripts_and_no_han() {
        let fonts =
            Fonts::find(&FontSources { directories: Vec::new(), text_family: None }).expect("embedded");
        let coverage = fonts.coverage();
        assert!(coverage.latin && coverage.greek && coverage.cyrillic);
        assert!(!coverage.han && !coverage.kana && !coverage.hangul && !coverage.cjk());
        assert_eq!(fonts.text_families("ja"), [EMBEDDED_TEXT_FAMILY]);
        assert!(fonts.book().contains_family(&EMBEDDED_MONO_FAMILY.to_lowercase()));
    }

    #[test]
    fn a_text_family_that_is_not_there_is_refused() {
        let sources = FontSources { directories: Vec::new(), text_family: Some("No Such Family".to_owned()) };
        assert!(matches!(Fonts::find(&sources), Err(SetupError::UnknownFontFamily { .. })));
    }

    #[test]
    fn every_slot_loads_and_a_slot_beyond_the_end_is_none() {
        let fonts =
            Fonts::find(&FontSources { directories: Vec::new(), text_family: None }).expect("embedded");
        assert!((0..fonts.slots.len()).all(|index| fonts.font(index).is_some()));
        assert!(fonts.font(fonts.slots.len()).is_none());
    }

    #[test]
    fn a_broken_font_file_is_passed_over() {
        let folder = tempfile::tempdir().expect("temporary folder");
        std::fs::write(folder.path().join("broken.ttf"), b"not a font").expect("written");
        let sources = FontSources { directories: vec![folder.path().to_owned()], text_family: None };
        let with = Fonts::find(&sources).expect("usable").slots.len();
        assert_eq!(with, typst_assets::fonts().flat_map(FontInfo::iter).count());
    }

    #[test]
    fn the_last_character_of_unicode_has_a_place_and_is_private() {
        let repertoire = Repertoire::of([char::MAX, 'a']);
        assert!(repertoire.contains(char::MAX));
        assert!(!repertoire.can_show(char::MAX));
        assert!(repertoire.can_show('a'));
        assert_eq!(repertoire.marker(), '?');
    }
}
