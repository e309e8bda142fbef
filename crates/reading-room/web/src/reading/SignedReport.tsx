import { useEffect, useRef } from "react";
import type { Study, Version } from "../api/types";
import { DeliveryLine } from "../deliveries/DeliveryLine";
import { moment } from "../words/time";
import { KeyImages } from "./KeyImages";

const HASH_SHOWN = 16;

/** The versions that were signed, newest first, and whether they have reached somebody. */
export function SignedReport({ study, announce }: { study: Study; announce: boolean }) {
  const { versions, deliveries } = study;
  const banner = useRef<HTMLParagraphElement>(null);
  const latest = versions.at(-1);
  useEffect(() => {
    if (announce) banner.current?.scrollIntoView({ block: "end" });
  }, [announce, versions.length]);
  if (!latest) return null;
  return (
    <div className="signed">
      <p className="signed-banner" ref={banner} role={announce ? "alert" : undefined} data-testid="signed-banner">
        <strong>{latest.kind === "addendum" ? "Addendum signed" : "Report signed"}</strong> by {latest.signer_name},{" "}
        {moment(latest.signed_at)}
      </p>
      <section aria-label="Deliveries of this report" data-testid="study-deliveries">
        <h3>Deliveries</h3>
        {deliveries.length === 0 && <p className="dim">Nobody has been told yet.</p>}
        <ul className="delivery-lines">
          {deliveries.map((delivery) => (
            <DeliveryLine key={delivery.id} delivery={delivery} />
          ))}
        </ul>
      </section>
      {versions.toReversed().map((version) => (
        <SignedVersion key={version.number} version={version} />
      ))}
    </div>
  );
}

function SignedVersion({ version }: { version: Version }) {
  return (
    <article className="version" aria-label={`Version ${version.number}`} data-testid="version">
      <header>
        <h2>
          Version {version.number} <span className="dim">{version.kind}</span>
        </h2>
        <a className="button" href={version.pdf_url} target="_blank" rel="noopener" data-testid="pdf-link">
          PDF
        </a>
      </header>
      {version.sections
        .filter(({ text }) => text.trim() !== "")
        .map(({ kind, title, text }) => (
          <section key={kind} className={`read-section read-${kind}`}>
            <h3>{title}</h3>
            <p className="report-text">{text}</p>
          </section>
        ))}
      {version.key_images.length > 0 && <KeyImages images={version.key_images} selected={[]} onToggle={null} />}
      <footer className="signature">
        <p>
          <q>{version.meaning}</q>
        </p>
        <p>
          <strong>{version.signer_name}</strong>
          {version.credentials && `, ${version.credentials}`} · {moment(version.signed_at)}
        </p>
        <p className="dim">
          <span title={version.hash} className="hash" data-testid="version-hash">
            SHA-256 {version.hash.slice(0, HASH_SHOWN)}…
          </span>{" "}
          {version.intact ? "unchanged since signing" : <strong className="problem">CHANGED SINCE SIGNING</strong>}
        </p>
      </footer>
    </article>
  );
}
