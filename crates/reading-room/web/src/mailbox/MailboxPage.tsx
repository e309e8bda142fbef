import type { Mailbox } from "../api/types";
import { Link } from "../app/Link";
import { usePolled } from "../app/usePolled";
import { useTitle } from "../app/useTitle";
import { Away } from "../ui/Away";
import { shortMoment } from "../words/time";
import { Message } from "./Message";

const MAILBOX_PAUSE_MS = 3_000;

/** Mail that nobody sent, because no mail server is configured. */
export function MailboxPage({ selected }: { selected: string | null }) {
  useTitle("Mailbox");
  const { data, error, answeredAt } = usePolled<Mailbox>("/mailbox", MAILBOX_PAUSE_MS);
  return (
    <main id="main" className="list-page mailbox-page">
      <div className="page-head">
        <h1>Mailbox</h1>
      </div>
      {error && <Away error={error} answeredAt={answeredAt} />}
      {data && (
        <p className={data.sending ? "dim" : "notice"} data-testid="mailbox-note">
          {data.sending
            ? "A mail server is configured: messages go out through it, and none are kept here."
            : "No mail server is configured: these messages were not sent. They lie here."}
        </p>
      )}
      {data && data.mails.length === 0 && !data.sending && (
        <section className="empty">
          <h2>No messages yet</h2>
          <p>Sign a report whose order names a physician, and the message to them appears here.</p>
        </section>
      )}
      {data && data.mails.length > 0 && (
        <div className="mailbox">
          <ul className="mail-list" aria-label="Messages">
            {data.mails.map((mail) => (
              <li key={mail.id}>
                <Link
                  to={`/mailbox/${encodeURIComponent(mail.id)}`}
                  aria-current={mail.id === selected ? "true" : undefined}
                  data-testid="mail-item"
                >
                  <span className="mail-to">
                    {mail.to} <time dateTime={mail.at}>{shortMoment(mail.at, Date.now())}</time>
                  </span>
                  <span className="mail-subject" title={mail.subject}>
                    {mail.subject}
                  </span>
                </Link>
              </li>
            ))}
          </ul>
          {selected ? <Message key={selected} id={selected} /> : <p className="dim pane-note">Choose a message.</p>}
        </div>
      )}
    </main>
  );
}
