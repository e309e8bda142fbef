/**
 * When a loaded viewer may go on with the next study. OHIF keeps in memory what it has read for as long as its page lives, by study and
 * not by who may see it or when it was asked. So it goes on only with patients it has not shown yet; everything else loads it anew.
 */

/** Most studies that one loaded viewer shows: what it keeps of each, about 40 MB of a thousand images, is never given back. */
export const OPENINGS_MAX = 12;

/** What is opened in the viewer. */
export interface Opening {
  /** The viewer's page with the study. */
  address: string;
  /** Names for what it will know afterwards: the patient, the study, its priors. */
  names: readonly string[];
  /** Goes up when the images are to be loaded again. */
  round: number;
}

/** What a loaded viewer has shown. */
export class Shown {
  private names = new Set<string>();
  private openings = 0;

  /** Whether the viewer may go on with this one. */
  takes({ names }: Opening): boolean {
    return this.openings < OPENINGS_MAX && !names.some((name) => this.names.has(name));
  }

  add({ names }: Opening): void {
    this.openings += 1;
    for (const name of names) this.names.add(name);
  }

  clear(): void {
    this.openings = 0;
    this.names.clear();
  }
}
