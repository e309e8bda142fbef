//! What is not set on paper, and that the refusal tells no patient data.

use documents::{
    MAX_EARLIER_VERSIONS, MAX_FIELD_CHARACTERS, MAX_KEY_IMAGES, MAX_PARAGRAPH_CHARACTERS,
    MAX_PARAGRAPHS_PER_SECTION, MAX_SECTIONS, RenderError,
};

use crate::samples::{BARE_RENDERER, addendum, section, signed_chest};

#[test]
fn a_sheet_beyond_the_limits_is_refused() {
    let mut long_name = signed_chest();
    long_name.patient.name = "Ellsworth ".repeat(MAX_FIELD_CHARACTERS / 10 + 1);
    let error = BARE_RENDERER.render(&long_name).expect_err("too long a name");
    assert!(matches!(error, RenderError::TextTooLong { what: "patient name", limit: MAX_FIELD_CHARACTERS }));
    assert!(!error.to_string().contains("Ellsworth"));

    let mut long_paragraph = signed_chest();
    long_paragraph.sections[0].paragraphs = vec!["x".repeat(MAX_PARAGRAPH_CHARACTERS + 1)];
    assert!(matches!(BARE_RENDERER.render(&long_paragraph), Err(RenderError::TextTooLong { .. })));

    let mut sections = signed_chest();
    sections.sections = vec![section("A", &[]); MAX_SECTIONS + 1];
    assert!(matches!(BARE_RENDERER.render(&sections), Err(RenderError::TooMany { what: "sections", .. })));

    let mut paragraphs = signed_chest();
    paragraphs.sections[0].paragraphs = vec![String::new(); MAX_PARAGRAPHS_PER_SECTION + 1];
    assert!(matches!(BARE_RENDERER.render(&paragraphs), Err(RenderError::TooMany { .. })));

    let mut earlier = addendum();
    earlier.earlier = vec![earlier.earlier[0].clone(); MAX_EARLIER_VERSIONS + 1];
    assert!(matches!(
        BARE_RENDERER.render(&earlier),
        Err(RenderError::TooMany { what: "earlier versions", .. })
    ));

    let mut images = signed_chest();
    images.key_images = vec![images.key_images[0].clone(); MAX_KEY_IMAGES + 1];
    assert!(matches!(BARE_RENDERER.render(&images), Err(RenderError::TooMany { what: "key images", .. })));

    let mut whole = signed_chest();
    whole.sections = vec![section("A", &["lorem ipsum ".repeat(1_600).as_str()]); 20];
    assert!(matches!(BARE_RENDERER.render(&whole), Err(RenderError::SheetTooLong { .. })));
}

#[test]
fn a_picture_that_is_no_png_is_refused() {
    let mut sheet = signed_chest();
    let cut = sheet.key_images[1].png.len() / 2;
    sheet.key_images[1].png.truncate(cut);
    assert!(matches!(BARE_RENDERER.render(&sheet), Err(RenderError::DecodeKeyImage { number: 2, .. })));
    sheet.key_images[0].png = b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec();
    assert!(matches!(BARE_RENDERER.render(&sheet), Err(RenderError::DecodeKeyImage { number: 1, .. })));
}
