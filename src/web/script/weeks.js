// Other weeks, and what is done: lists by day from the tasks themselves, in place of the week.

const DONE_DAYS = 30; // How many days the list of what is done begins with. Each request for more doubles them.

let latestElsewhere = 0;

/** Shows the week from the day `stem`, or what is done (`view`). */
function showElsewhere(view, stem) {
  const from = isDay(stem) ? stem : null;
  if (view === "week" && !(from && state.week && isOtherWeek(from))) return replaceRoute("#/");
  leaveSearch();
  const same = state.elsewhere?.view === view && state.elsewhere.from === from;
  if (!same) {
    dropHold();
    state.elsewhere = { view, from, days: DONE_DAYS, tasks: null };
  }
  render();
  return readElsewhere();
}

const weekStart = () => isoOf(state.week.weekStart);

/** A week that has days of this one is this one: only that knows what is placed automatically. */
const isOtherWeek = (from) => from <= dayAfter(weekStart(), -7) || from >= dayAfter(weekStart(), 7);

/** Back to the week. Returns whether it wasn't shown. */
function leaveElsewhere() {
  const was = state.elsewhere;
  state.elsewhere = null;
  return was !== null;
}

/** Reads what is shown, again after a change. */
async function readElsewhere() {
  const place = state.elsewhere;
  const id = (latestElsewhere += 1);
  try {
    const read = place.view === "done" ? await readDone(place.days) : { tasks: await readWeekOf(place.from) };
    if (id !== latestElsewhere || state.elsewhere !== place) return;
    state.elsewhere = { ...place, ...read };
    render();
  } catch (error) {
    if (id === latestElsewhere && state.elsewhere === place) handleError(error);
  }
}

/** All tasks that match, page after page. */
async function allTasks(criteria) {
  const found = [];
  for (let cursor; cursor !== null; ) {
    const query = new URLSearchParams(cursor ? { ...criteria, cursor } : criteria);
    const { json } = await request("GET", `/api/tasks?${query}`);
    found.push(...json.tasks);
    cursor = json.nextCursor;
  }
  return found;
}

/** An earlier week has what was done in it, a later one what is fixed or due in it. */
function readWeekOf(from) {
  if (from >= weekStart()) return allTasks({ status: "offen" });
  return allTasks({ status: "abgeschlossen", done_from: datumOf(from), done_to: datumOf(dayAfter(from, 6)) });
}

/** What was done in the last `days` days, and whether there is more before; else all, with what has no day. */
async function readDone(days) {
  const from = dayAfter(clock().date, 1 - days);
  const before = new URLSearchParams({ status: "abgeschlossen", done_to: datumOf(dayAfter(from, -1)), limit: "1" });
  const { json } = await request("GET", `/api/tasks?${before}`);
  const hasMore = json.tasks.length > 0;
  const since = hasMore ? { done_from: datumOf(from) } : {};
  return { tasks: await allTasks({ status: "abgeschlossen", ...since }), hasMore };
}

/** How many tasks are done today, for the day's card: after the first paint, and once for each version. */
async function countDone() {
  if (!state.week) return;
  const [{ date }, { version }] = [localNow(), server];
  const { done } = state;
  if (done.version === version && done.date === date) return;
  const asked = { count: done.date === date ? done.count : 0, version, date };
  state.done = asked;
  try {
    const today = datumOf(date);
    const tasks = await allTasks({ status: "abgeschlossen", done_from: today, done_to: today });
    if (state.done !== asked || asked.count === tasks.length) return;
    asked.count = tasks.length;
    render();
  } catch {
    // The day's card just doesn't say it.
  }
}

// --- Rendering ---

function elsewhereView({ view, from, tasks, hasMore }) {
  return view === "done" ? doneView(tasks, hasMore) : otherWeekView(from, tasks);
}

const loadingView = (tasks) => tasks === null && el("p", { role: "status" }, "…");

function doneView(tasks, hasMore) {
  const more = () => {
    release();
    state.elsewhere = { ...state.elsewhere, days: state.elsewhere.days * 2 };
    readElsewhere();
  };
  return el(
    "section",
    { className: "list found", "aria-labelledby": "done" },
    el("h1", { id: "done" }, words.doneList),
    loadingView(tasks) || (tasks.length === 0 && el("p", {}, hasMore ? words.nothingDoneLately : words.nothingDone)),
    doneByDay(tasks ?? []).map(({ day, tasks: done }) => [
      el("h2", {}, day ? dayShort(datumOf(day)) : words.none),
      el(
        "ul",
        {},
        done.map((task) => el("li", {}, card(task, reopenButton(task)))),
      ),
    ]),
    el(
      "p",
      { className: "buttons" },
      hasMore && el("button", { type: "button", "data-key": "more done", onclick: more }, words.earlier),
      el("a", { className: "button", href: "#/", "data-key": "week" }, words.clearSearch),
    ),
  );
}

function reopenButton({ file, title, etag }) {
  const stem = stemOf(file);
  return el(
    "p",
    {},
    el(
      "button",
      {
        type: "button",
        "aria-label": `${words.reopen}: ${title}`,
        "aria-disabled": state.pending.has(stem) && "true",
        "data-key": `reopen ${stem} ${etag}`,
        onclick: (event) => isMeant(event) && reopen(stem, title, etag),
      },
      words.reopen,
    ),
  );
}

/** The links to the weeks before and after the one from `from`, and to this one. */
function weekNav(from) {
  const link = (days, label, sign) =>
    el(
      "a",
      {
        className: "button",
        href: `#/week/${dayAfter(from, days)}`,
        "aria-label": label,
        title: label,
        "data-key": `week ${sign}`,
      },
      sign,
    );
  return el(
    "nav",
    { className: "weeks", "aria-label": words.weeks },
    link(-7, words.earlierWeek, "‹"),
    from !== weekStart() && el("a", { className: "button", href: "#/", "data-key": "this week" }, words.thisWeek),
    link(7, words.laterWeek, "›"),
  );
}

function otherWeekView(from, tasks) {
  const isPast = from < weekStart();
  const days = weekOf(tasks ?? [], from);
  return [
    el(
      "div",
      { className: "week-head" },
      el("h1", { className: "quiet" }, words.weekFrom(dayShort(datumOf(from)))),
      weekNav(from),
    ),
    el("p", { className: "quiet" }, isPast ? words.pastWeek : words.laterWeekHint),
    loadingView(tasks) ||
      el(
        "section",
        { "aria-label": words.week, className: "week other" },
        days.map((day) => otherDayView(day, isPast)),
      ),
  ];
}

function otherDayView({ day, slots, due }, isPast) {
  const datum = datumOf(day);
  const list = (name, items, slot) =>
    el("li", { "data-slot": slot }, el("p", { className: "zeit" }, name), items);
  const shown = isPast ? slots.filter(({ tasks }) => tasks.length) : slots;
  return el(
    "section",
    { className: `day ${slots.some(({ tasks }) => tasks.length) || due.length ? "" : "bare"}`, "aria-labelledby": `day-${day}` },
    el("h2", { id: `day-${day}`, title: dayName(datum) }, dayShort(datum)),
    el(
      "ol",
      {},
      shown.map(({ zeit, tasks }) =>
        list(
          words.zeit[zeit],
          tasks.length ? tasks.map((task) => card(task)) : freeLink(datum, zeit),
          !isPast && `${datum} ${zeit}`,
        ),
      ),
      due.length > 0 && list(words.deadlines, due.map((task) => card(task))),
    ),
  );
}
