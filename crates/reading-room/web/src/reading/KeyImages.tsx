import { useState } from "react";
import type { KeyImage } from "../api/types";
import { Dialog } from "../ui/Dialog";

interface Props {
  images: KeyImage[];
  selected: readonly number[];
  /** Null when one may only look. */
  onToggle: ((index: number) => void) | null;
}

/** The pictures that go into the report. */
export function KeyImages({ images, selected, onToggle }: Props) {
  const [large, setLarge] = useState<KeyImage | null>(null);
  return (
    <section className="key-images" aria-label="Key images">
      <h3>
        Key images{" "}
        <span className="dim">
          {onToggle ? `${selected.length} of ${images.length} go into the report` : `${images.length}`}
        </span>
      </h3>
      <ul>
        {images.map((image) => (
          <li key={image.index} data-selected={onToggle === null || selected.includes(image.index)}>
            <button className="thumbnail" onClick={() => setLarge(image)} aria-label={`Enlarge: ${image.caption}`}>
              <img src={image.url} alt="" width={image.width} height={image.height} loading="lazy" />
            </button>
            <label title={image.caption}>
              {onToggle && (
                <input
                  type="checkbox"
                  checked={selected.includes(image.index)}
                  onChange={() => onToggle(image.index)}
                  aria-label={`In the report: ${image.caption}`}
                />
              )}
              <span>{image.caption}</span>
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
