import { useEffect, useState } from "react";
import { mail as readMail } from "../api/calls";
import { asApiError, type ApiError } from "../api/client";
import type { Mail } from "../api/types";
import { Problem } from "../ui/Problem";
import { moment } from "../words/time";
import { withLinks } from "./links";

export function Message({ id }: { id: string }) {
  const [mail, setMail] = useState<Mail | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  useEffect(() => {
    let over = false;
    readMail(id).then(
      (found) => !over && setMail(found),
      (thrown: unknown) => !over && setError(asApiError(thrown)),
    );
    return () => {
      over = true;
    };
  }, [id]);
  if (error) return <Problem error={error} />;
  if (!mail) return <p className="dim pane-note">Loading…</p>;
  return (
    <article className="message" aria-label="Message" data-testid="mail-message">
      <h2>{mail.subject}</h2>
      <p>
        <span className="dim">To</span> {mail.to}
      </p>
      <div className="message-text">
        {withLinks(mail.text).map((part, index) =>
          part.link ? (
            <a key={index} href={part.text} target="_blank" rel="noopener noreferrer" data-testid="mail-link">
              {part.text}
            </a>
          ) : (
            part.text
          ),
        )}
      </div>
      <details>
        <summary>Headers</summary>
        <dl className="headers">
          <dt>From</dt>
          <dd>{mail.from}</dd>
          <dt>To</dt>
          <dd>{mail.to}</dd>
          <dt>Date</dt>
          <dd>{moment(mail.at)}</dd>
          <dt>Subject</dt>
          <dd>{mail.subject}</dd>
          <dt>Message-ID</dt>
          <dd>{mail.message_id}</dd>
        </dl>
      </details>
    </article>
  );
}
