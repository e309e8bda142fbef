//! What part of the body was examined, from the words of descriptions, protocols and orders; and what follows from it: the headings of
//! the findings and the windows of the key images. A table, not a guesser: unknown words name no region.

use std::collections::BTreeSet;

use imaging::picture::Window;

/// A part of the body, in the order in which a report goes through them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Area {
    Head,
    Face,
    Neck,
    CervicalSpine,
    Chest,
    Heart,
    ThoracicSpine,
    Abdomen,
    Pelvis,
    LumbarSpine,
    Spine,
    UpperLimb,
    LowerLimb,
}

/// The examined parts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Region(BTreeSet<Area>);

/// A way to show grey values, by its name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct NamedWindow {
    pub(crate) name: &'static str,
    pub(crate) window: Window,
}

const fn window(name: &'static str, centre: f64, width: f64) -> NamedWindow {
    NamedWindow { name, window: Window { centre, width } }
}

const BRAIN: NamedWindow = window("Brain window", 40.0, 80.0);
const SKULL: NamedWindow = window("Bone window", 600.0, 2800.0);
const BONE: NamedWindow = window("Bone window", 400.0, 1800.0);
const SOFT: NamedWindow = window("Soft tissue window", 40.0, 400.0);
const LUNG: NamedWindow = window("Lung window", -600.0, 1500.0);

/// Words that name areas: English, and what scanners in German, French, Spanish and Italian speaking countries are set to. A word ending in
/// `*` is the beginning of one. Words stand as [`fold`] leaves them.
const WORDS: &[(&str, &[Area])] = {
    use Area::*;
    &[
        ("HEAD*", &[Head]),
        ("BRAIN*", &[Head]),
        ("SKULL*", &[Head]),
        ("CRAN*", &[Head]),
        ("NEUROCRAN*", &[Head]),
        ("CEREBR*", &[Head]),
        ("CCT", &[Head]),
        ("KOPF*", &[Head]),
        ("SCHAEDEL*", &[Head]),
        ("SCHADEL*", &[Head]),
        ("GEHIRN*", &[Head]),
        ("TETE", &[Head]),
        ("CABEZA", &[Head]),
        ("TESTA", &[Head]),
        ("ENCEFAL*", &[Head]),
        ("STROKE", &[Head]),
        ("SINUS*", &[Face]),
        ("NNH", &[Face]),
        ("FACE", &[Face]),
        ("FACIAL*", &[Face]),
        ("MAXILL*", &[Face]),
        ("MANDIB*", &[Face]),
        ("ORBIT*", &[Face]),
        ("DENTAL*", &[Face]),
        ("NECK*", &[Neck]),
        ("HALS", &[Neck]),
        ("COU", &[Neck]),
        ("CUELLO", &[Neck]),
        ("COLLO", &[Neck]),
        ("LARYN*", &[Neck]),
        ("CAROTI*", &[Neck]),
        ("CSPINE", &[CervicalSpine]),
        ("HWS", &[CervicalSpine]),
        ("CERVICAL*", &[CervicalSpine]),
        ("TSPINE", &[ThoracicSpine]),
        ("BWS", &[ThoracicSpine]),
        ("DORSAL*", &[ThoracicSpine]),
        ("LSPINE", &[LumbarSpine]),
        ("LWS", &[LumbarSpine]),
        ("LUMB*", &[LumbarSpine]),
        ("SPINE", &[Spine]),
        ("WIRBELS*", &[Spine]),
        ("RACHIS", &[Spine]),
        ("COLUMNA", &[Spine]),
        ("COLONNA", &[Spine]),
        ("CHEST*", &[Chest]),
        ("THORA*", &[Chest]),
        ("TORA*", &[Chest]),
        ("LUNG*", &[Chest]),
        ("PULMO*", &[Chest]),
        ("PULM", &[Chest]),
        ("TAP", &[Chest, Abdomen, Pelvis]),
        ("CAP", &[Chest, Abdomen, Pelvis]),
        ("HEART", &[Heart]),
        ("CARDIA*", &[Heart]),
        ("CORONAR*", &[Heart]),
        ("HERZ*", &[Heart]),
        ("ABD*", &[Abdomen]),
        ("ADDOM*", &[Abdomen]),
        ("LIVER", &[Abdomen]),
        ("HEPAT*", &[Abdomen]),
        ("LEBER", &[Abdomen]),
        ("PANCREA*", &[Abdomen]),
        ("PANKREA*", &[Abdomen]),
        ("KIDNEY*", &[Abdomen]),
        ("RENAL*", &[Abdomen]),
        ("NIERE*", &[Abdomen]),
        ("COLONOSC*", &[Abdomen, Pelvis]),
        ("COLONOGR*", &[Abdomen, Pelvis]),
        ("COLON", &[Abdomen, Pelvis]),
        ("KUB", &[Abdomen, Pelvis]),
        ("UROGRA*", &[Abdomen, Pelvis]),
        ("PELVI*", &[Pelvis]),
        ("BECKEN", &[Pelvis]),
        ("BASSIN", &[Pelvis]),
        ("BACINO", &[Pelvis]),
        ("SHOULDER*", &[UpperLimb]),
        ("SCHULTER*", &[UpperLimb]),
        ("HUMER*", &[UpperLimb]),
        ("ELBOW*", &[UpperLimb]),
        ("FOREARM*", &[UpperLimb]),
        ("WRIST*", &[UpperLimb]),
        ("HAND", &[UpperLimb]),
        ("HANDS", &[UpperLimb]),
        ("FINGER*", &[UpperLimb]),
        ("HIP", &[LowerLimb]),
        ("HIPS", &[LowerLimb]),
        ("FEMUR*", &[LowerLimb]),
        ("KNEE*", &[LowerLimb]),
        ("KNIE*", &[LowerLimb]),
        ("TIBIA*", &[LowerLimb]),
        ("ANKLE*", &[LowerLimb]),
        ("FOOT", &[LowerLimb]),
        ("FEET", &[LowerLimb]),
        ("CALCANE*", &[LowerLimb]),
        ("LEG", &[LowerLimb]),
        ("LEGS", &[LowerLimb]),
    ]
};

impl Region {
    /// The areas that a text names.
    pub(crate) fn of_text(text: &str) -> Self {
        let folded = fold(text);
        let words: Vec<&str> =
            folded.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
        let mut areas: BTreeSet<Area> = words.iter().flat_map(|word| areas_of(word)).copied().collect();
        for pair in words.windows(2) {
            areas.extend(area_of_pair(pair[0], pair[1]));
        }
        refine(&mut areas);
        Self(areas)
    }

    pub(crate) fn is_known(&self) -> bool {
        !self.0.is_empty()
    }

    fn has(&self, area: Area) -> bool {
        self.0.contains(&area)
    }

    /// The region in a sentence: `head`, `chest, abdomen and pelvis`.
    pub(crate) fn name(&self) -> String {
        let names: Vec<String> = self.0.iter().map(|area| area.name().to_owned()).collect();
        crate::words::list(&names)
    }

    /// Headings under which a radiologist writes what is seen. They say nothing themselves.
    pub(crate) fn prompts(&self) -> Vec<&'static str> {
        let mut prompts: Vec<&'static str> = Vec::new();
        for prompt in self.0.iter().flat_map(|area| area.prompts()) {
            if !prompts.contains(prompt) {
                prompts.push(prompt);
            }
        }
        if prompts.is_empty() { vec!["Findings: "] } else { prompts }
    }

    /// The windows in which the region is looked at in CT, the usual one first.
    pub(crate) fn windows(&self) -> Vec<NamedWindow> {
        if self.has(Area::Head) {
            vec![BRAIN, SKULL]
        } else if self.has(Area::Face) {
            vec![SKULL, SOFT]
        } else if self.has(Area::Chest) || self.has(Area::Heart) {
            vec![SOFT, LUNG]
        } else if self.has(Area::Abdomen) || self.has(Area::Pelvis) {
            vec![SOFT]
        } else if self.has(Area::Neck) {
            vec![SOFT, BONE]
        } else if self.is_known() {
            vec![BONE, SOFT]
        } else {
            vec![SOFT]
        }
    }
}

impl Area {
    const fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Face => "facial bones and sinuses",
            Self::Neck => "neck",
            Self::CervicalSpine => "cervical spine",
            Self::Chest => "chest",
            Self::Heart => "heart",
            Self::ThoracicSpine => "thoracic spine",
            Self::Abdomen => "abdomen",
            Self::Pelvis => "pelvis",
            Self::LumbarSpine => "lumbar spine",
            Self::Spine => "spine",
            Self::UpperLimb => "upper limb",
            Self::LowerLimb => "lower limb",
        }
    }

    const fn prompts(self) -> &'static [&'static str] {
        match self {
            Self::Head => &[
                "Brain parenchyma: ",
                "Ventricles and extra-axial spaces: ",
                "Midline and basal cisterns: ",
                "Skull and skull base: ",
                "Orbits, paranasal sinuses and mastoids: ",
            ],
            Self::Face => {
                &["Paranasal sinuses: ", "Facial bones: ", "Orbits: ", "Soft tissues of the face: "]
            }
            Self::Neck => &[
                "Pharynx and larynx: ",
                "Salivary glands and thyroid: ",
                "Cervical lymph nodes: ",
                "Vessels of the neck: ",
            ],
            Self::CervicalSpine | Self::ThoracicSpine | Self::LumbarSpine | Self::Spine => {
                &["Alignment: ", "Vertebrae: ", "Discs and spinal canal: ", "Paravertebral soft tissues: "]
            }
            Self::Chest => &[
                "Lungs and airways: ",
                "Pleura: ",
                "Heart and great vessels: ",
                "Mediastinum and hila: ",
                "Chest wall and bones: ",
            ],
            Self::Heart => &["Heart and great vessels: ", "Coronary arteries: ", "Pericardium: "],
            Self::Abdomen => &[
                "Liver, gallbladder and bile ducts: ",
                "Pancreas and spleen: ",
                "Adrenals, kidneys and ureters: ",
                "Stomach and bowel: ",
                "Peritoneum and mesentery: ",
                "Vessels and lymph nodes: ",
            ],
            Self::Pelvis => &["Bladder and pelvic organs: ", "Vessels and lymph nodes: ", "Pelvic bones: "],
            Self::UpperLimb | Self::LowerLimb => &["Bones: ", "Joints: ", "Soft tissues: "],
        }
    }
}

fn areas_of(word: &str) -> &'static [Area] {
    let names = |name: &str| match name.strip_suffix('*') {
        Some(beginning) => word.starts_with(beginning),
        None => word == name,
    };
    WORDS.iter().find(|(name, _)| names(name)).map_or(&[], |(_, areas)| areas)
}

/// Areas that take two words: `C SPINE`, `L-SPINE`.
fn area_of_pair(first: &str, second: &str) -> Option<Area> {
    match (first, second) {
        ("C" | "CERVICAL", "SPINE") => Some(Area::CervicalSpine),
        ("T" | "D" | "THORACIC" | "DORSAL", "SPINE") => Some(Area::ThoracicSpine),
        ("L" | "LUMBAR" | "LUMBOSACRAL", "SPINE") => Some(Area::LumbarSpine),
        _ => None,
    }
}

/// `THORACIC SPINE` names the chest too, by its first word, and `SPINE` says less than `C SPINE`.
fn refine(areas: &mut BTreeSet<Area>) {
    if areas.contains(&Area::ThoracicSpine) {
        areas.remove(&Area::Chest);
    }
    if [Area::CervicalSpine, Area::ThoracicSpine, Area::LumbarSpine].iter().any(|area| areas.contains(area)) {
        areas.remove(&Area::Spine);
    }
}

/// Capital letters without accents.
fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for c in text.chars().flat_map(char::to_uppercase) {
        match c {
            'Ä' => folded.push_str("AE"),
            'Ö' => folded.push_str("OE"),
            'Ü' => folded.push_str("UE"),
            'À' | 'Á' | 'Â' | 'Ã' => folded.push('A'),
            'È' | 'É' | 'Ê' | 'Ë' => folded.push('E'),
            'Ì' | 'Í' | 'Î' | 'Ï' => folded.push('I'),
            'Ò' | 'Ó' | 'Ô' | 'Õ' => folded.push('O'),
            'Ù' | 'Ú' | 'Û' => folded.push('U'),
            other => folded.push(other),
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_regions() {
        for (text, name) in [
            ("HEAD", "head"),
            ("1A TRAUMA/PLAIN HEAD DM", "head"),
            ("6.9 Colonoscopy", "abdomen and pelvis"),
            ("CT Thorax/Abdomen/Becken KM", "chest, abdomen and pelvis"),
            ("Schädel nativ", "head"),
            ("TDM crâne", "head"),
            ("CHEST_ABD_PELVIS", "chest, abdomen and pelvis"),
            ("C-SPINE", "cervical spine"),
            ("CT Thoracic Spine", "thoracic spine"),
            ("HEAD NECK", "head and neck"),
            ("NNH", "facial bones and sinuses"),
            ("TAP", "chest, abdomen and pelvis"),
            ("LOWER LEG", "lower limb"),
            ("Headache", "head"),
            ("ROUTINE", ""),
            ("", ""),
        ] {
            assert_eq!(Region::of_text(text).name(), name, "{text}");
        }
    }

    #[test]
    fn prompts_say_nothing_and_do_not_repeat() {
        let all = Region(BTreeSet::from([Area::Chest, Area::Heart, Area::Abdomen, Area::Pelvis]));
        let prompts = all.prompts();
        let mut unique = prompts.clone();
        unique.dedup();
        assert_eq!(prompts, unique);
        assert_eq!(prompts.iter().filter(|p| **p == "Vessels and lymph nodes: ").count(), 1);
        assert!(prompts.iter().all(|prompt| prompt.ends_with(": ")));
        assert_eq!(Region::default().prompts(), ["Findings: "]);
    }

    #[test]
    fn windows_fit_the_region() {
        let first = |text: &str| Region::of_text(text).windows()[0];
        assert_eq!((first("HEAD").window.centre, first("HEAD").window.width), (40.0, 80.0));
        assert_eq!(Region::of_text("CHEST").windows()[1].window, Window { centre: -600.0, width: 1500.0 });
    }
}
