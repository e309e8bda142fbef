import type { Draft, SectionKind, Sentence } from "../api/types";
import type { Texts } from "../report/merge";
import { moment } from "../words/time";

interface Props {
  draft: Draft | null;
  texts: Texts;
  /** The parts that can be written in now. */
  kinds: readonly SectionKind[];
  /** Null when one may only look. */
  onInsert: ((kind: SectionKind, text: string) => void) | null;
  /** Null when the whole draft cannot go into the text. */
  onInsertAll: (() => void) | null;
}

/** Every sentence of the draft with where it comes from, and whether it stands in the text. */
export function Sources({ draft, texts, kinds, onInsert, onInsertAll }: Props) {
  if (!draft) return <p className="dim pane-note">No draft has been written yet.</p>;
  return (
    <section className="sources" aria-label="Draft and sources" data-testid="draft-sources">
      <p className="dim pane-note">
        Written by {draft.author}, {moment(draft.at)}
        {draft.stale && <strong className="warn-text"> — before the latest images</strong>}
      </p>
      {onInsertAll && (
        <button
          onClick={onInsertAll}
          title="Fills only the parts that nobody has written in"
          data-testid="insert-draft"
        >
          Insert the draft
        </button>
      )}
      {draft.sections
        .filter(({ sentences }) => sentences.length > 0)
        .map(({ kind, title, sentences }) => (
          <section key={kind}>
            <h3>{title}</h3>
            <ul>
              {sentences.map((sentence, index) => (
                <Source
                  key={index}
                  sentence={sentence}
                  used={texts[kind].includes(sentence.text)}
                  onInsert={onInsert && kinds.includes(kind) ? () => onInsert(kind, sentence.text) : null}
                />
              ))}
            </ul>
          </section>
        ))}
    </section>
  );
}

function Source({ sentence, used, onInsert }: { sentence: Sentence; used: boolean; onInsert: (() => void) | null }) {
  const { text, origin } = sentence;
  return (
    <li className={used ? "source source-used" : "source"}>
      <p>{text}</p>
      <p className="origin">
        <span className="origin-label">{origin.label}</span>
        {origin.detail && <span className="dim">{origin.detail}</span>}
        {!used && onInsert && (
          <button className="quiet" onClick={onInsert}>
            Add to the text
          </button>
        )}
        {!used && !onInsert && <span className="dim">not in the text</span>}
      </p>
    </li>
  );
}
