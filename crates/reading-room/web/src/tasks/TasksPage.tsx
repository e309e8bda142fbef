import { useState } from "react";
import type { Task } from "../api/types";
import { usePolled } from "../app/usePolled";
import { useTitle } from "../app/useTitle";
import { Away } from "../ui/Away";
import { CloseTask } from "./CloseTask";
import { TaskItem } from "./TaskItem";

const TASKS_PAUSE_MS = 4_000;

/** What only a person can put right. */
export function TasksPage() {
  useTitle("Needs attention");
  const [closed, setClosed] = useState(false);
  const [closing, setClosing] = useState<Task | null>(null);
  const { data, error, answeredAt, refresh } = usePolled<{ tasks: Task[] }>(`/tasks?closed=${closed}`, TASKS_PAUSE_MS);
  return (
    <main id="main" className="list-page">
      <div className="page-head">
        <h1>Needs attention</h1>
        <p className="summary dim">What the system could not settle by itself.</p>
        <div className="page-tools">
          <label className="toggle">
            <input type="checkbox" checked={closed} onChange={(event) => setClosed(event.target.checked)} /> Show closed
          </label>
        </div>
      </div>
      {error && <Away error={error} answeredAt={answeredAt} />}
      {data && data.tasks.length === 0 && (
        <section className="empty" data-testid="tasks-empty">
          <h2>Nothing needs attention</h2>
          <p>When work fails, images conflict or nobody can be told, it stands here until a person closes it.</p>
        </section>
      )}
      <ul className="tasks">
        {data?.tasks.map((task) => (
          <TaskItem key={task.id} task={task} onClose={() => setClosing(task)} />
        ))}
      </ul>
      {closing && <CloseTask task={closing} onDone={refresh} onClose={() => setClosing(null)} />}
    </main>
  );
}
