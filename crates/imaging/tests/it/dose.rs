//! Dose reports of four makers.

use imaging::{
    dose::{self, DoseReport, Phantom},
    guard::GuardedHeader,
    tree,
};

use crate::support::Sample;

fn report(file: &str) -> Option<DoseReport> {
    let sample = Sample::named(file)?;
    let header = GuardedHeader::of(sample.data_set(), &sample.syntax).unwrap();
    Some(dose::read(&tree::read(&header).unwrap()).unwrap())
}

#[test]
fn totals_and_irradiations_are_read() {
    for (file, total, scans) in [
        ("CT-ESR-GE_Optima.dcm", 415.82, vec![(3.23, 155.97), (5.3, 259.85)]),
        ("CT-RDSR-Philips_BigBore4DCT.dcm", 541.1, vec![(23.7, 541.1)]),
        ("CT-RDSR-Siemens-Multi-1.dcm", 7.46, vec![]),
        ("CT-RDSR-ToshibaPixelMed.dcm", 349.70, vec![(25.40, 208.50), (24.70, 141.20)]),
    ] {
        let Some(report) = report(&format!("copyleft/rdsr/{file}")) else { return };
        assert_eq!(report.dlp_total, Some(total), "{file}");
        let found: Vec<_> = report.scans().map(|scan| (scan.ctdi_vol.unwrap(), scan.dlp.unwrap())).collect();
        assert_eq!(found, scans, "{file}: {report:?}");
        assert!(report.scans().all(|scan| scan.phantom == Some(Phantom::Body)), "{file}");
    }
}

#[test]
fn other_reports_are_none() {
    let Some(sample) = Sample::named("sr/test-SR.dcm") else { return };
    let header = GuardedHeader::of(sample.data_set(), &sample.syntax).unwrap();
    assert_eq!(dose::read(&tree::read(&header).unwrap()), None);
}
