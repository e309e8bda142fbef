//! Text before it meets the page: bounded, and with a visible mark for every character that no font can show.
//! Not an escaper: text reaches the template as data and needs none.

use std::collections::BTreeMap;

use crate::fonts::Repertoire;
use crate::renderer::RenderError;

/// Longest single-line text (a name, a title, a caption), in characters: several times what a form holds.
pub const MAX_FIELD_CHARACTERS: usize = 1_000;
/// Longest paragraph, in characters: about six pages.
pub const MAX_PARAGRAPH_CHARACTERS: usize = 20_000;
/// Most paragraphs in one section: each costs layout time even when empty.
pub const MAX_PARAGRAPHS_PER_SECTION: usize = 500;
/// Most sections in one version.
pub const MAX_SECTIONS: usize = 64;
/// Most characters on one sheet, earlier versions included: about a hundred pages, seconds of layout.
pub const MAX_SHEET_CHARACTERS: usize = 300_000;

/// Longest run without a break opportunity, in characters: a narrower column cannot hold more.
const LONGEST_UNBROKEN_RUN: usize = 28;
/// Longest digest that stays on one line of the signature block, in characters: SHA-256 in hexadecimal with a
/// prefix.
const LONGEST_DIGEST: usize = 80;
const ZERO_WIDTH_SPACE: char = '\u{200B}';

/// Takes in all texts of one sheet, counts them, and remembers what could not be shown.
pub(crate) struct Cleaner<'a> {
    repertoire: &'a Repertoire,
    characters: usize,
    missing: BTreeMap<char, usize>,
}

impl<'a> Cleaner<'a> {
    pub(crate) fn new(repertoire: &'a Repertoire) -> Self {
        Self { repertoire, characters: 0, missing: BTreeMap::new() }
    }

    /// A text of one line; line feeds become spaces.
    pub(crate) fn field(&mut self, what: &'static str, text: &str) -> Result<String, RenderError> {
        self.admit(what, text, MAX_FIELD_CHARACTERS)?;
        Ok(self.clean(text, false, true))
    }

    /// A digest of one line, which people copy and compare: nothing is put into it unless it would leave the
    /// page.
    pub(crate) fn digest(&mut self, what: &'static str, text: &str) -> Result<String, RenderError> {
        self.admit(what, text, MAX_FIELD_CHARACTERS)?;
        let fits = text.chars().count() <= LONGEST_DIGEST;
        Ok(self.clean(text, false, !fits))
    }

    /// A text in which a line feed starts a new line.
    pub(crate) fn paragraph(&mut self, what: &'static str, text: &str) -> Result<String, RenderError> {
        self.admit(what, text, MAX_PARAGRAPH_CHARACTERS)?;
        Ok(self.clean(text, true, true))
    }

    /// What stands on the page in place of a character without a glyph.
    pub(crate) fn marker(&self) -> char {
        self.repertoire.marker()
    }

    /// Characters that were replaced, and how often.
    pub(crate) fn missing(&self) -> &BTreeMap<char, usize> {
        &self.missing
    }

    fn admit(&mut self, what: &'static str, text: &str, limit: usize) -> Result<(), RenderError> {
        let length = text.chars().take(limit + 1).count();
        if length > limit {
            return Err(RenderError::TextTooLong { what, limit });
        }
        self.characters += length;
        if self.characters > MAX_SHEET_CHARACTERS {
            return Err(RenderError::SheetTooLong { limit: MAX_SHEET_CHARACTERS });
        }
        Ok(())
    }

    fn clean(&mut self, text: &str, keep_lines: bool, may_break: bool) -> String {
        let mut cleaned = String::with_capacity(text.len());
        let mut run = 0;
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            let shown = match character {
                '\r' if characters.peek() == Some(&'\n') => continue,
                '\n' | '\r' | '\u{2028}' | '\u{2029}' if keep_lines => '\n',
                '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => ' ',
                known if self.repertoire.can_show(known) => known,
                unknown => {
                    *self.missing.entry(unknown).or_default() += 1;
                    self.repertoire.marker()
                }
            };
            run = if breaks_itself(shown) { 0 } else { run + 1 };
            if may_break && run > LONGEST_UNBROKEN_RUN {
                cleaned.push(ZERO_WIDTH_SPACE);
                run = 1;
            }
            cleaned.push(shown);
        }
        cleaned
    }
}

/// Whether a line may end at this character anyway: white space, hyphens, and the scripts that need no
/// spaces.
fn breaks_itself(character: char) -> bool {
    character.is_whitespace()
        || matches!(character, '-' | '\u{00AD}' | '\u{200B}' | '\u{2010}' | '\u{2013}' | '\u{2014}')
        || matches!(character, '\u{2E80}'..='\u{D7FF}' | '\u{20000}'..='\u{3FFFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repertoire() -> Repertoire {
        Repertoire::of(('!'..='~').chain(['é', '\u{FFFD}', '中']))
    }

    #[test]
    fn what_cannot_be_shown_is_marked_and_counted() {
        let repertoire = repertoire();
        let mut cleaner = Cleaner::new(&repertoire);
        let cleaned = cleaner.field("name", "Aé\u{1F9B4}b\u{1F9B4}\u{202E}c").expect("fits");
        assert_eq!(cleaned, "Aé\u{FFFD}b\u{FFFD}\u{FFFD}c");
        assert_eq!(cleaner.missing(), &BTreeMap::from([('\u{1F9B4}', 2), ('\u{202E}', 1)]));
    }

    #[test]
    fn lines_are_kept_in_paragraphs_and_joined_in_fields() {
        let repertoire = repertoire();
        let mut cleaner = Cleaner::new(&repertoire);
        assert_eq!(cleaner.paragraph("text", "a\r\nb\rc\td").expect("fits"), "a\nb\nc d");
        assert_eq!(cleaner.field("name", "a\r\nb\rc").expect("fits"), "a b c");
        assert!(cleaner.missing().is_empty());
    }

    #[test]
    fn a_long_word_may_break_and_ideographs_need_no_help() {
        let repertoire = repertoire();
        let mut cleaner = Cleaner::new(&repertoire);
        let word = "x".repeat(LONGEST_UNBROKEN_RUN + 1);
        let broken = cleaner.field("name", &word).expect("fits");
        assert_eq!(broken.chars().filter(|&found| found == ZERO_WIDTH_SPACE).count(), 1);
        assert_eq!(broken.replace(ZERO_WIDTH_SPACE, ""), word);
        let digest = "0f".repeat(32);
        assert_eq!(cleaner.digest("digest", &digest).expect("fits"), digest);
        assert!(cleaner.digest("digest", &"0f".repeat(64)).expect("fits").contains(ZERO_WIDTH_SPACE));
        let ideographs = "中".repeat(200);
        assert_eq!(cleaner.field("name", &ideographs).expect("fits"), ideographs);
    }

    #[test]
    fn the_limits_hold_at_their_edge() {
        let repertoire = repertoire();
        let mut cleaner = Cleaner::new(&repertoire);
        assert!(cleaner.field("name", &"é".repeat(MAX_FIELD_CHARACTERS)).is_ok());
        let error = cleaner.field("name", &"é".repeat(MAX_FIELD_CHARACTERS + 1)).expect_err("too long");
        assert!(matches!(error, RenderError::TextTooLong { what: "name", .. }));
        let full = "a ".repeat(MAX_PARAGRAPH_CHARACTERS / 2);
        let outcome: Result<Vec<_>, _> = (0..=MAX_SHEET_CHARACTERS / MAX_PARAGRAPH_CHARACTERS)
            .map(|_| cleaner.paragraph("text", &full))
            .collect();
        assert!(matches!(outcome, Err(RenderError::SheetTooLong { .. })));
    }
}
