//! HTML as text, put together so that nothing from outside can become markup: what is not a constant of ours is escaped.

/// HTML under construction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Html(String);

impl Html {
    /// Appends markup of ours. It takes constants only, so that text from outside cannot get here.
    pub(crate) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Appends text, escaped for element content and for attribute values in quotes.
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        escape_into(text, &mut self.0);
        self
    }

    /// Appends a number.
    pub(crate) fn number(&mut self, number: impl Into<u64>) -> &mut Self {
        self.0.push_str(&number.into().to_string());
        self
    }

    /// Appends what was made before.
    pub(crate) fn html(&mut self, html: &Self) -> &mut Self {
        self.0.push_str(&html.0);
        self
    }

    /// The text.
    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

/// Escapes the five characters that mean something in HTML, and drops what no page may hold: control characters but line feed
/// and tab, and the controls of writing direction, which could make a text read as another one.
fn escape_into(text: &str, into: &mut String) {
    for character in text.chars() {
        match character {
            '&' => into.push_str("&amp;"),
            '<' => into.push_str("&lt;"),
            '>' => into.push_str("&gt;"),
            '"' => into.push_str("&quot;"),
            '\'' => into.push_str("&#39;"),
            '\n' | '\t' => into.push(character),
            '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => {}
            other if other.is_control() => {}
            other => into.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_becomes_markup() {
        for (text, expected) in [
            ("plain 影像 é", "plain 影像 é"),
            ("<script>alert('x')</script>", "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"),
            ("\" onload=\"x", "&quot; onload=&quot;x"),
            ("a & b &amp; c", "a &amp; b &amp;amp; c"),
            ("a\0b\u{1b}c\u{85}d\ne\tf\r", "abcd\ne\tf"),
            ("abc\u{202E}cba\u{2066}x", "abccbax"),
        ] {
            let mut html = Html::default();
            html.text(text);
            assert_eq!(html.into_string(), expected);
        }
    }

    #[test]
    fn every_character_but_five_stays_or_goes() {
        let mut html = Html::default();
        html.text(&(0..0x3000).filter_map(char::from_u32).collect::<String>());
        let escaped = html.into_string();
        assert!(!escaped.contains(['<', '>', '"', '\'']));
        assert_eq!(escaped.matches('&').count(), 5);
    }
}
