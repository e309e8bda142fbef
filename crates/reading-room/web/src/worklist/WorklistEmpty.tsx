import { Link } from "../app/Link";

/** Says what an empty list means and what to do. */
export function WorklistEmpty({ searched, signed }: { searched: string; signed: boolean }) {
  if (searched) {
    return (
      <section className="empty">
        <h2>Nothing matches “{searched}”</h2>
        <p>
          Press <kbd>/</kbd> and <kbd>Esc</kbd> to clear the search.
          {!signed && " Signed studies are hidden: show them with the box above."}
        </p>
      </section>
    );
  }
  return (
    <section className="empty" data-testid="worklist-empty">
      <h2>Nothing is waiting to be read</h2>
      <p>New studies appear here by themselves, seconds after their images arrive.</p>
      <p>
        To send one by hand, use the <a href="/upload">upload page</a>, or send to this server over DICOM. If you expect
        a study that is not here, look under <Link to="/tasks">Needs attention</Link>.
      </p>
    </section>
  );
}
