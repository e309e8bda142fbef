import { Dialog } from "../ui/Dialog";

const KEYS: { where: string; keys: [string[], string][] }[] = [
  {
    where: "Worklist",
    keys: [
      [["j", "↓"], "next study"],
      [["k", "↑"], "study before"],
      [["Enter"], "open and start reading"],
      [["v"], "open without taking the study"],
      [["e"], "evidence for completeness, flags"],
      [["/"], "search"],
      [["s"], "show or hide signed studies"],
    ],
  },
  {
    where: "Reading",
    keys: [
      [["r"], "start reading"],
      [["f"], "to the findings"],
      [["i"], "to the impression"],
      [["F2"], "between images and report"],
      [["Ctrl", "Enter"], "sign"],
      [["n"], "next study, after signing"],
      [["Esc", "Esc"], "give the study back"],
      [["Ctrl", "\\"], "fold the report panel"],
      [["k"], "in the images: mark as key image, or not"],
    ],
  },
];

export function Help({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title="Keyboard shortcuts" onClose={onClose} className="help" testId="help">
      <div className="help-columns">
        {KEYS.map(({ where, keys }) => (
          <section key={where}>
            <h3>{where}</h3>
            <dl>
              {keys.map(([names, what]) => (
                <div key={what}>
                  <dt>
                    {names.map((name, index) => (
                      <kbd key={index}>{name}</kbd>
                    ))}
                  </dt>
                  <dd>{what}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
      <p className="dim">Letters work when the cursor is not in a text.</p>
      <div className="actions">
        <button className="primary" onClick={onClose} data-focus>
          Close
        </button>
      </div>
    </Dialog>
  );
}
