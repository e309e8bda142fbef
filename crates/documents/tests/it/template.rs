//! A hospital's own page design.

use std::path::Path;

use documents::{Conformance, FontSources, RenderError, Renderer, SetupError, TemplateSource, Warning};

use crate::samples::{signed_chest, text_of};

fn renderer(folder: &Path) -> Result<Renderer, SetupError> {
    let fonts = FontSources { directories: Vec::new(), text_family: None };
    Renderer::with_template(&fonts, &TemplateSource::Directory(folder.to_owned()))
}

fn with_main(source: &str) -> (tempfile::TempDir, Renderer) {
    let folder = tempfile::tempdir().expect("temporary folder");
    std::fs::write(folder.path().join("report.typ"), source).expect("written");
    let renderer = renderer(folder.path()).expect("usable template");
    (folder, renderer)
}

#[test]
fn a_folder_replaces_the_design_and_gets_the_same_data() {
    let (folder, _) = with_main("");
    let main = r#"#import "house.typ": sign
#let sheet = json("/sheet.json")
#sign Own design for #sheet.patient.name, image #sheet.key_images.first().width wide."#;
    std::fs::write(folder.path().join("report.typ"), main).expect("written");
    std::fs::write(folder.path().join("house.typ"), "#let sign = [House]").expect("written");
    let pdf = renderer(folder.path()).expect("usable").render(&signed_chest()).expect("rendered");
    assert_eq!(pdf.pages, 1);
    assert_eq!(pdf.conformance, Conformance::Archival, "it sets no title, which PDF/UA-1 asks for");
    if let Some(text) = text_of(&pdf) {
        assert!(text.contains("House Own design for Margaret Anne Ellsworth, image 512 wide."), "{text}");
    }
}

#[test]
fn a_template_sees_nothing_of_the_machine() {
    let (folder, _) = with_main("");
    std::fs::write(folder.path().with_extension("secret"), "secret").expect("written");
    for reach in [
        r#"#read("/etc/passwd")"#,
        r#"#read("../secret")"#,
        r#"#read("/../../../../etc/passwd")"#,
        r##"#import "@preview/example:0.1.0": add"##,
        r#"#image("/etc/logo.png")"#,
        "#datetime.today()",
    ] {
        std::fs::write(folder.path().join("report.typ"), reach).expect("written");
        let outcome = renderer(folder.path()).expect("readable").render(&signed_chest());
        let Err(RenderError::LayOut { place, .. }) = outcome else {
            panic!("{reach} was allowed: {outcome:?}")
        };
        assert_eq!(place, "report.typ:1");
    }
    std::fs::remove_file(folder.path().with_extension("secret")).expect("removed");
}

#[test]
fn a_failure_names_the_line_and_not_the_patient() {
    let (_folder, renderer) = with_main("#let sheet = json(\"/sheet.json\")\n\n#panic(sheet.patient.name)");
    let error = renderer.render(&signed_chest()).expect_err("it panics");
    assert_eq!(error.to_string(), "the template failed at report.typ:3");
    let RenderError::LayOut { detail, .. } = error else { panic!("another error") };
    assert!(detail.contains("Ellsworth"));
}

#[test]
fn check_finds_a_broken_template_and_passes_the_built_in_one() {
    let (_folder, broken) = with_main("#nonsense");
    assert!(matches!(broken.check(), Err(RenderError::LayOut { .. })));
    let built_in =
        Renderer::new(&FontSources { directories: Vec::new(), text_family: None }).expect("embedded");
    let pdf = built_in.check().expect("the built-in design works");
    assert_eq!((pdf.warnings, pdf.conformance), (Vec::new(), Conformance::Accessible));
}

#[test]
fn what_typst_complains_about_is_passed_on() {
    let (_folder, renderer) = with_main("#set text(font: \"No Such Family\")\nText");
    let pdf = renderer.render(&signed_chest()).expect("rendered in another font");
    assert!(matches!(&pdf.warnings[..], [Warning::Template { place, .. }] if place == "report.typ:1"));
}

#[test]
fn endless_work_is_cut_short() {
    let (_folder, renderer) = with_main("#while true { }");
    assert!(matches!(renderer.render(&signed_chest()), Err(RenderError::LayOut { .. })));
    let (_folder, renderer) = with_main("#for _ in range(600) { pagebreak() }");
    assert!(matches!(renderer.render(&signed_chest()), Err(RenderError::TooManyPages { .. })));
}

#[test]
fn an_unusable_file_is_refused_at_start() {
    let folder = tempfile::tempdir().expect("temporary folder");
    std::fs::write(folder.path().join("report.typ"), [0xFF, 0xFE, 0x00]).expect("written");
    assert!(
        matches!(renderer(folder.path()), Err(SetupError::TemplateFile { name }) if name == "report.typ")
    );
}
