/**
 * Which part of the body a study is about, as far as its description and Body Part Examined (0018,0015) say so. For choosing what to
 * compare with, never for a report: words that are not known here say nothing.
 */

/**
 * Beginnings of words, or whole ones with the space behind them, lower case, without accents: English, Latin, and what scanners in Europe
 * are labelled with.
 */
const WORDS: Record<string, readonly string[]> = {
  head: [
    "head", "brain", "cerebr", "crani", "skull", "schadel", "kopf", "hirn", "encephal", "tete",
    "cerveau", "neurocran", "glow", "mozg", "cabeza", "orbit", "sinus",
  ],
  neck: ["neck", "hals", "larynx", "cou ", "szyj", "cuello", "thyr", "carotid"],
  chest: ["chest", "thora", "lung", "pulmo", "klatk", "torax", "medias", "heart", "cardia", "herz", "coronar", "rib ", "ribs "],
  abdomen: ["abdom", "liver", "leber", "hepat", "renal", "kidney", "niere", "pancrea", "brzuch", "bauch", "urogra", "kub"],
  pelvis: ["pelvi", "becken", "bassin", "prostat", "uter", "bladder", "miednic"],
  "cervical spine": ["cspine", "cervic", "hws"],
  "thoracic spine": ["tspine", "bws", "dorsal"],
  "lumbar spine": ["lspine", "lumb", "lws", "sacr"],
  breast: ["breast", "mamm", "sein "],
  shoulder: ["shoulder", "schulter", "epaule", "clavic", "scapul"],
  elbow: ["elbow", "ellbog", "coude"],
  hand: ["hand", "wrist", "finger", "carp", "poignet", "thumb"],
  hip: ["hip ", "hips ", "hufte", "hanche"],
  knee: ["knee", "knie", "genou", "patell", "kolan"],
  foot: ["foot", "ankle", "fuss", "pied", "calcane", "toe ", "toes ", "sprung"],
};
const WORD = /[a-z]+/g;

/** Two parts of the spine come close to these, and are asked for in their words: "thoracic spine" is no chest. */
const SPINES: Record<string, string> = { cervical: "cervical spine", thoracic: "thoracic spine", lumbar: "lumbar spine" };
const SPINE = /\b(cervical|thoracic|lumbar)\s+spine\b/g;

export function regionsOf(description: string | null, bodyParts: readonly string[]): Set<string> {
  const plain = [description ?? "", ...bodyParts].join(" ").toLowerCase().normalize("NFD").replace(/\p{M}/gu, "");
  const regions = new Set<string>();
  const rest = plain.replace(SPINE, (_, part: string) => {
    regions.add(SPINES[part] ?? part);
    return " ";
  });
  for (const word of rest.match(WORD) ?? []) {
    for (const [region, beginnings] of Object.entries(WORDS)) {
      if (beginnings.some((beginning) => `${word} `.startsWith(beginning))) regions.add(region);
    }
  }
  return regions;
}
