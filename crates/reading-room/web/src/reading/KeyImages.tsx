import { useState } from "react";
import type { Picture } from "../api/types";
import { Dialog } from "../ui/Dialog";
import { plural } from "../words/names";
import { KEY_IMAGES_MAX } from "./keyImages";

interface Shown extends Picture {
  /** Who marked it in the viewer. */
  markedBy?: string | null;
}

interface Props {
  images: Shown[];
  selected: readonly string[];
  /** Marked images that no picture can be made of. */
  leftOut?: number;
  /** Null when one may only look. */
  onToggle: ((digest: string) => void) | null;
}

/** The pictures that go into the report. */
export function KeyImages({ images, selected, leftOut = 0, onToggle }: Props) {
  const [large, setLarge] = useState<Shown | null>(null);
  const full = selected.length >= KEY_IMAGES_MAX;
  return (
    <section className="key-images" aria-label="Key images">
      <h3>
        Key images{" "}
        <span className="dim">
          {onToggle ? `${selected.length} of ${images.length} go into the report` : `${images.length}`}
          {full && `; a report carries no more than ${KEY_IMAGES_MAX}`}
        </span>
      </h3>
      {leftOut > 0 && (
        <p className="dim">No picture can be made here of {plural(leftOut, "more marked image")}.</p>
      )}
      <ul>
        {images.map((image) => (
          <li
            key={image.digest}
            data-selected={onToggle === null || selected.includes(image.digest)}
            data-marked={image.markedBy != null}
          >
            <button className="thumbnail" onClick={() => setLarge(image)} aria-label={`Enlarge: ${image.caption}`}>
              <img src={image.url} alt="" width={image.width} height={image.height} loading="lazy" />
            </button>
            <label title={image.markedBy ? `${image.caption}, marked in the viewer by ${image.markedBy}` : image.caption}>
              {onToggle && (
                <input
                  type="checkbox"
                  checked={selected.includes(image.digest)}
                  disabled={full && !selected.includes(image.digest)}
                  onChange={() => onToggle(image.digest)}
                  aria-label={`In the report: ${image.caption}`}
                />
              )}
              <span>
                {image.markedBy && <b className="mark">★ {image.markedBy === "you" ? "" : `${image.markedBy}: `}</b>}
                {image.caption}
              </span>
            </label>
          </li>
        ))}
      </ul>
      {large && (
        <Dialog title={large.caption} onClose={() => setLarge(null)} className="large-image">
          <img src={large.url} alt={large.caption} width={large.width} height={large.height} />
          <div className="actions">
            <button onClick={() => setLarge(null)} data-focus>
              Close
            </button>
          </div>
        </Dialog>
      )}
    </section>
  );
}
