/** Prompts of the draft's findings that nobody wrote anything behind: they are asked, not said, so they are not signed. */

import type { SectionText } from "../api/types";

/** A line that ends with its colon, or holds nothing else. */
const isPrompt = (line: string): boolean => /^[^:]{1,80}:\s*$/.test(line);

/** How many lines of the findings are prompts without an answer. */
export function unanswered(findings: string): number {
  return findings.split("\n").filter(isPrompt).length;
}

/** The parts as they are signed: findings without unanswered prompts. */
export function answered(sections: SectionText[]): SectionText[] {
  return sections.map((section) =>
    section.kind === "findings"
      ? { ...section, text: section.text.split("\n").filter((line) => !isPrompt(line)).join("\n").trim() }
      : section,
  );
}
