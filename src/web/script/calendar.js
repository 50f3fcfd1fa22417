// Tasks by day, decided from values: no DOM, no state. Days are ISO dates, which compare as text.

/** Whether this is a day that exists, as `yyyy-mm-dd`. */
const isDay = (text) => /^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(Date.parse(text)) && dayAfter(text, 0) === text;

/** Where a task is on the calendar: where it was done, or where its fixed slot is. */
const slotOfTask = ({ status, abgeschlossen_am, fixedSlot }) =>
  status === "abgeschlossen" ? abgeschlossen_am : status === "offen" ? fixedSlot : null;

/**
 * Seven days from the day `from`: `{day, slots: [{zeit, tasks}], due}` with the tasks that were done or are fixed in
 * each slot, and the other open ones with that deadline.
 */
function weekOf(tasks, from) {
  const days = Array.from({ length: 7 }, (_, index) => dayAfter(from, index));
  const dayOfTask = (task) => slotOfTask(task) && isoOf(slotOfTask(task).datum);
  const inSlot = (day, zeit) => tasks.filter((task) => dayOfTask(task) === day && slotOfTask(task).zeit === zeit);
  const isDue = (task, day) => task.status === "offen" && task.deadline && isoOf(task.deadline) === day;
  return days.map((day) => ({
    day,
    slots: Object.keys(ENDS).map((zeit) => ({ zeit, tasks: inSlot(day, zeit) })),
    due: tasks.filter((task) => isDue(task, day) && !days.includes(dayOfTask(task))),
  }));
}

/** The tasks that are done by day, the latest first: `{day, tasks}`. Those without a day are last. */
function doneByDay(tasks) {
  const days = new Map();
  const rank = ({ abgeschlossen_am: slot }) => (slot ? Object.keys(ENDS).indexOf(slot.zeit) : 0);
  for (const task of tasks) {
    const day = task.abgeschlossen_am ? isoOf(task.abgeschlossen_am.datum) : "";
    days.set(day, [...(days.get(day) ?? []), task]);
  }
  return [...days]
    .sort(([a], [b]) => (a < b ? 1 : -1))
    .map(([day, done]) => ({ day, tasks: done.sort((a, b) => rank(b) - rank(a)) }));
}
