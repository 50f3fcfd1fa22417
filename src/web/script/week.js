// The week: state, refresh and rendering.

const state = {
  week: null, // The timeline document.
  etag: null,
  layer: null, // The cache layer that served the week, or `offline` for the cached one.
  offlineReason: null, // Why the service couldn't be reached, as a text.
  me: null, // {login, userId, auth, storage}
  signedOut: false,
  showsAll: false, // Whether all unplaced tasks are shown, not only the first ones.
  showsUrgent: false, // The same for those that need attention.
  found: null, // The search result: {tasks, next}
  elsewhere: null, // What is shown in place of the week, see weeks.js: {view, from, tasks, …}
  done: { count: 0 }, // How many tasks are done today: {count, version, date}
  moves: new Map(), // Moves that the week may not have yet, by stem: {to, version}; replaced, never changed.
  pending: new Map(), // Optimistic status changes by stem: {status, undo, version}; the version once confirmed.
  generation: 0, // Incremented on sign-out: responses to earlier requests must not be shown to the next user.
};

const isOffline = () => state.layer === "offline";

// --- Refresh ---

const ACTIVE_FOR = 120_000; // The user counts as idle after this time (ms) without input.
const POLL_ACTIVE = 3_000;
const POLL_IDLE = 60_000;
const POLL_FOLDER = 1_000; // The service watches a folder, so an editor's change is in its next read.

let lastActive = Date.now();
let lastStrict = 0;
let retryNotBefore = 0; // Earliest time of the next request, from `Retry-After`.
let timer;
let inFlight = null;
let rerun = false;

/**
 * Refreshes the week. Single flight, but a call during a read makes it run again: that read may predate a write. `anew`
 * has the service list the files again.
 */
function refresh(how = {}) {
  if (inFlight) {
    rerun = { ...rerun, ...how };
    return inFlight;
  }
  inFlight = (async () => {
    do {
      const { strict, anew } = rerun || how;
      rerun = false;
      await readWeek(strict, anew);
    } while (rerun);
  })().finally(() => {
    inFlight = null;
    schedule();
  });
  return inFlight;
}

async function readWeek(strict, anew) {
  const { generation } = state;
  const known = server.version;
  const headers = {};
  if (strict) {
    headers["Cache-Control"] = "no-cache";
    lastStrict = Date.now();
  }
  // Without a condition the answer always says of when it is.
  if (state.etag && !anew) headers["If-None-Match"] = state.etag;
  const path = anew ? "/codex?nocache=true" : "/codex";
  try {
    const response = (preload && (await takePreload())) || (await request("GET", path, { headers }));
    if (generation !== state.generation) return;
    if (response.json) applyWeek(response.json, response.headers.get("etag"));
    else noteVersion(Number(response.headers.get("x-codex-version")));
    const visibly = response.json || isOffline() || state.signedOut;
    const { headers: said } = response;
    Object.assign(state, { layer: said.get("x-codex-cache"), hints: said.has("x-codex-hints"), signedOut: false });
    if (visibly) render();
    else renderFooter();
    if (state.me?.userId !== state.week.userId) afterPaint(loadAccount);
    if (state.found && server.version > known) await searchAgain();
    if (state.elsewhere && (server.version > known || state.elsewhere.tasks === null)) await readElsewhere();
    afterPaint(countDone);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (generation === state.generation) await handleReadError(error, anew);
  }
}

function applyWeek(week, etag) {
  const isOther = server.user !== null && server.user !== week.userId;
  if (isOther) leaveUser();
  state.week = week;
  state.etag = etag;
  noteUser(week.userId, week.version);
  if (isOther) restoreLine(true);
  else readLineAgain();
  if (!held) forgetConfirmed();
  afterPaint(() => cacheWeek(week));
}

/** The week is the same in a newer version. */
function noteVersion(version) {
  if (state.week && version > state.week.version) state.week.version = version;
  if (!held) forgetConfirmed();
}

/** Forgets the optimistic changes that the week contains. */
function forgetConfirmed() {
  for (const [stem, { version }] of state.pending) {
    if (version && version <= state.week?.version) state.pending.delete(stem);
  }
  if (state.moves.size)
    changeMoves((moves) => {
      for (const [stem, { version }] of moves) if (version && version <= state.week?.version) moves.delete(stem);
    });
}

/** Who is signed in but may not enter. */
const REFUSED = new Set(["login_not_allowed", "login_reassigned"]);

/** After a failed read, the last known week stays visible, marked with its age. Who `asked` for it is told why. */
async function handleReadError(error, asked) {
  if (error.status === 401) return showSignedOut();
  if (REFUSED.has(error.code)) {
    Object.assign(state, { week: null, etag: null });
    await clearLocalData();
  }
  retryNotBefore = Date.now() + error.retryAfter * 1000;
  // A 403 without a code is the platform's, which says nothing about who may enter.
  const isPlatforms = error.status === 403 && error.code === "answered";
  const unavailable = error.code === "unreachable" || error.status >= 500 || isPlatforms;
  if (unavailable && !state.week) {
    const { generation } = state;
    const cached = await cachedWeek();
    if (generation !== state.generation) return;
    state.week = cached;
  }
  if (!state.week) return showFailure(error);
  if (!unavailable) return asked && showError(error.message);
  const offlineReason = error.code === "unreachable" ? words.offline : error.message;
  const changed = state.layer !== "offline" || offlineReason !== state.offlineReason;
  Object.assign(state, { layer: "offline", offlineReason });
  if (changed) render();
  if (asked) showError(error.message);
}

/** Schedules the next read: at the next slot boundary or poll interval. A hidden page doesn't poll. */
function schedule() {
  clearTimeout(timer);
  if (document.hidden || state.signedOut) return;
  const active = Date.now() - lastActive < ACTIVE_FOR;
  let wait = active ? POLL_ACTIVE : POLL_IDLE;
  if (state.me?.storage === "folder") wait = POLL_FOLDER;
  const slotPasses = state.week ? Date.parse(state.week.validUntil) - serverNow() : Infinity;
  const passing = slotPasses > 0 && slotPasses <= wait;
  if (passing) wait = slotPasses + 100;
  wait = Math.max(wait, retryNotBefore - Date.now());
  timer = setTimeout(() => {
    // Marks the passed slot at once, even if the read fails.
    if (passing) render();
    // Where instances tell each other of changes, a plain read has them; a message may be lost.
    const strictAfter = state.hints ? POLL_IDLE : POLL_ACTIVE;
    refresh({ strict: active && !passing && Date.now() - lastStrict >= strictAfter });
  }, wait);
}

function noteActivity() {
  const wasIdle = Date.now() - lastActive > POLL_IDLE;
  lastActive = Date.now();
  if (wasIdle) refresh();
}

// --- Time, by the service's clock and time zone ---

/** The week's time zone; the device's if the browser doesn't know that. */
function zone() {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: state.week?.timeZone }).resolvedOptions().timeZone;
  } catch {
    return undefined;
  }
}

/**
 * Date as `yyyy-mm-dd` and hour in the week's time zone. While the week is valid, its first day is today and none of
 * its slots has passed: that avoids `Intl`, whose slow initialization would delay the first paint.
 */
function localNow() {
  if (serverNow() < Date.parse(state.week.validUntil)) return { date: isoOf(state.week.weekStart), hour: 0 };
  return clock();
}

/** The same by the clock alone. */
function clock() {
  const format = {
    timeZone: zone(),
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    hourCycle: "h23",
  };
  const parts = new Intl.DateTimeFormat("en", format).formatToParts(serverNow());
  const part = (type) => parts.find((it) => it.type === type).value;
  return { date: `${part("year")}-${part("month")}-${part("day")}`, hour: Number(part("hour")) };
}

const dayName = (datum) => `${words.days[new Date(`${isoOf(datum)}T12:00:00Z`).getUTCDay()]}, ${datum}`;
/** The day as in "Mo 30. Nov", with the year if that isn't the week's. */
function dayShort(datum) {
  const date = new Date(`${isoOf(datum)}T12:00:00Z`);
  const year = datum.slice(6);
  const name = words.dayShort(words.days[date.getUTCDay()], date.getUTCDate(), words.months[date.getUTCMonth()]);
  return year === state.week?.weekStart.slice(6) ? name : `${name} ${year}`;
}
/** A deadline: the day's name alone if that says which day it is, as in "Mi". */
function dueName(datum) {
  const [day, today] = [isoOf(datum), state.week && localNow().date];
  const isNear = today && day > today && day <= dayAfter(today, 6);
  if (day === today) return words.todayShort;
  return isNear ? words.dayOnly(words.days[new Date(`${day}T12:00:00Z`).getUTCDay()]) : dayShort(datum);
}
const slotShort = ({ datum, zeit }) => `${dayShort(datum)}, ${words.zeit[zeit].toLowerCase()}`;
const slotName = ({ datum, zeit }) => `${dayName(datum)}, ${words.zeit[zeit]}`;

/** An instant as date and time in the week's time zone. */
function momentName(rfc3339) {
  return new Date(rfc3339).toLocaleString(document.documentElement.lang === "en" ? "en-GB" : "de-DE", {
    timeZone: zone(),
    day: "2-digit",
    month: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
  });
}

// --- Rendering ---

const main = document.querySelector("main");

function render() {
  // Nothing moves while a card is dragged; what that would mean may have changed.
  if (isDragging() && !state.signedOut) return preview();
  const { week, found, elsewhere } = shown();
  const before = cardPlaces();
  document.body.dataset.layer = state.layer ?? "";
  document.body.toggleAttribute("data-signed-out", state.signedOut);
  if (state.signedOut) redraw(main, signedOutView());
  else if (found) redraw(main, offlineBanner(), foundView(found));
  else if (week && elsewhere) redraw(main, offlineBanner(), elsewhereView(elsewhere));
  else if (week) redraw(main, offlineBanner(), weekView(week));
  main.ariaBusy = "false";
  settle(before);
  afterPaint(renderFooter);
}

function weekView(week) {
  const now = localNow();
  // In the evening nothing is left of today.
  const first = week.timeline.find(({ datum }) => isoOf(datum) >= now.date) ?? week.timeline[0];
  const isOver = isoOf(first.datum) > now.date;
  return [
    el(
      "div",
      { className: "week-head" },
      el("h1", { className: "quiet" }, words.weekFrom(dayShort(week.weekStart))),
      weekNav(isoOf(week.weekStart)),
    ),
    attentionView(week),
    emptyView(week),
    isOver && el("p", { className: "evening" }, words.evening, " ", progressView()),
    el(
      "section",
      { "aria-label": words.week, className: "week" },
      week.timeline.map((day) => dayView(day, now, day === first)),
    ),
    unplacedView(week),
    problemsView(week),
  ];
}

/** What a task is, and where it goes, to whom who has none. */
function emptyView({ timeline, unplaced, problems }) {
  if (unplaced.length || problems.length || timeline.some(({ slots }) => slots.some(({ task }) => task))) return null;
  const { heading, task, rules, first, sample } = words.empty;
  return el(
    "section",
    { className: "list teaching", "aria-labelledby": "teaching" },
    el("h2", { id: "teaching" }, heading),
    el("p", {}, task),
    el(
      "ol",
      {},
      rules.map((rule) => el("li", {}, rule)),
    ),
    el(
      "p",
      { className: "buttons" },
      el("button", { type: "button", className: "main", "data-key": "first", onclick: enterLine }, first),
      el("button", { type: "button", "data-key": "samples", onclick: createSamples }, sample),
    ),
  );
}

/** What is done today, as a link to it. It is always there, so that what follows isn't drawn anew when it is known. */
const progressView = () =>
  el(
    "span",
    { className: "progress" },
    state.done.count > 0 && el("a", { href: "#/done", "data-key": "done today" }, words.doneToday(state.done.count)),
  );

/** A day's card. The `first` one is what one works from. */
function dayView(day, now, isFirst) {
  const isToday = isoOf(day.datum) === now.date;
  const isTomorrow = isoOf(day.datum) === dayAfter(now.date, 1);
  const name = dayShort(day.datum);
  const isBare = !day.slots.some(({ task }) => task);
  const current = isToday && day.slots.find((slot) => !hasPassed(day.datum, slot.zeit, now));
  const next = current && day.slots.slice(day.slots.indexOf(current) + 1).find(({ task }) => task);
  const id = `day-${isoOf(day.datum)}`;
  return el(
    "section",
    {
      className: ["day", isFirst && "first", isBare && "bare"].filter(Boolean).join(" "),
      "aria-labelledby": id,
      "aria-current": isToday && "date",
    },
    el(
      "h2",
      { id, title: dayName(day.datum) },
      isToday ? words.today(name) : isTomorrow && isFirst ? words.tomorrow(name) : name,
    ),
    isToday && progressView(),
    el(
      "ol",
      {},
      day.slots.map((slot) => {
        const isPast = hasPassed(day.datum, slot.zeit, now);
        return slotView(day, slot, slot === current, isPast, slot === next && words.next);
      }),
    ),
  );
}

function slotView(day, slot, isCurrent, isPast, next) {
  const word = isCurrent ? words.upNow : isPast ? words.passed : next;
  return el(
    "li",
    {
      className: isPast ? "past" : undefined,
      "aria-current": isCurrent && "time",
      "data-slot": `${day.datum} ${slot.zeit}`,
    },
    el("p", { className: "zeit" }, words.zeit[slot.zeit], word && el("strong", {}, word)),
    slot.task
      ? card(slot.task)
      : isPast
        ? el("p", { className: "free" }, words.free)
        : freeLink(day.datum, slot.zeit),
  );
}

/** A free slot: a link to a new task there. */
const freeLink = (datum, zeit) =>
  el(
    "a",
    {
      className: "free",
      href: `#/new?datum=${datum}&zeit=${zeit}`,
      "aria-label": words.newAt(dayName(datum), words.zeit[zeit]),
      "data-key": slotName({ datum, zeit }),
    },
    words.free,
  );

/** A task's card, in the week, the lists and the search result. */
function card(task, ...more) {
  const stem = stemOf(task.file);
  const pending = state.pending.get(stem);
  const status = pending?.status ?? task.status ?? "offen";
  const open = status === "offen";
  return el(
    "article",
    { className: `card ${task.kategorie} ${open ? "" : `gone ${status}`}`, "data-stem": stem },
    el("button", {
      className: "check",
      type: "button",
      "aria-label": words.completeTask(task.title),
      "data-key": `check ${stem}`,
      "aria-disabled": (!open || isOffline()) && "true",
      onclick: (event) => open && isMeant(event) && complete(stem, task.title),
    }),
    el(
      "div",
      {},
      el(
        "p",
        { className: "name" },
        el("a", { href: routeTo("task", stem), "data-key": `task ${stem}`, draggable: "false", title: task.id }, task.title),
      ),
      el(
        "p",
        { className: "facts" },
        el("span", { className: "number" }, task.id),
        el(
          "span",
          { className: "kategorie", title: words.kategorie[task.kategorie] },
          el("span", { className: "unseen" }, words.kategorie[task.kategorie]),
        ),
        !open && !pending?.undo && el("span", {}, words.status[status] ?? words.deleted),
        (task.isFixed || task.fixedSlot) && el("span", { className: "fixed", title: words.fixed }, el("span", {}, words.fixed)),
        dueView(task),
        (task.tags ?? []).map((tag) =>
          el(
            "button",
            {
              className: "tag",
              type: "button",
              "aria-label": words.tagged(tag),
              "data-key": `tag ${stem} ${tag}`,
              onclick: () => search({ tag, status: "alle" }),
            },
            tag,
          ),
        ),
      ),
      more,
    ),
    el("button", {
      className: "more",
      type: "button",
      "aria-label": words.moveTask(task.title),
      "aria-haspopup": "menu",
      "data-key": `move ${stem}`,
      "aria-disabled": (!open || isOffline()) && "true",
      onclick: (event) => open && isMeant(event) && openMenu(stem),
    }),
    !open &&
      pending?.undo &&
      el(
        "p",
        { className: "undo" },
        el("span", {}, words.status[status] ?? words.deleted),
        el(
          "button",
          {
            type: "button",
            "aria-label": `${words.undo}: ${task.title}`,
            "data-key": `undo ${stem}`,
            onclick: () => state.pending.get(stem)?.undo?.(),
          },
          words.undo,
        ),
      ),
  );
}

const FIRST_UNPLACED = 60; // Thousands of cards would slow the page down; a button shows the others.

function unplacedView({ unplaced }) {
  if (!unplaced.length) return null;
  const shown = state.showsAll ? unplaced : unplaced.slice(0, FIRST_UNPLACED);
  const showAll = () => {
    state.showsAll = true;
    render();
  };
  const item = (task) => el("li", {}, card(task, el("p", { className: "why" }, reasonOf(task))));
  const rest =
    shown.length < unplaced.length &&
    el("button", { type: "button", "data-key": "all unplaced", onclick: showAll }, words.showAll(unplaced.length));
  return listView("unplaced", words.unplaced, unplaced.length, shown.map(item), rest);
}

const NOTICES = new Set(["ids_running_out", "merged_conflict"]);

function problemsView({ problems }) {
  const lists = [
    [words.unreadable, "unreadable", (it) => !NOTICES.has(it.code)],
    [words.notices, "notices", (it) => NOTICES.has(it.code)],
  ];
  return lists.map(([heading, id, belongs]) => {
    const items = problems.filter(belongs).map(problemView);
    return items.length > 0 && listView(id, heading, items.length, items);
  });
}

function problemView({ file, line, code, message }) {
  const stem = stemOf(file);
  const name = /^\d{4}(-|$)/.test(stem)
    ? el("a", { href: routeTo("task", stem), "data-key": `problem ${stem}` }, stem)
    : stem;
  const known = words.problem[code];
  return el(
    "li",
    { className: "problem" },
    name && el("p", { className: "name" }, name),
    el("p", { className: "why" }, line && `${words.line(line)}: `, known ?? el("span", { lang: "en" }, message)),
  );
}

function listView(id, heading, count, items, rest) {
  return el(
    "section",
    { className: "list", "aria-labelledby": id },
    el("h2", { id }, `${heading} (${count})`),
    el("ul", {}, items),
    rest && el("p", { className: "buttons" }, rest),
  );
}

function offlineBanner() {
  return (
    isOffline() &&
    state.week &&
    el(
      "p",
      { className: "banner", role: "status" },
      `${state.offlineReason} ${words.shown(momentName(state.week.generatedAt))}`,
    )
  );
}

/** Shows an error in place of the week. Who may not enter can only sign in as somebody else. */
function showFailure(error) {
  const refused = REFUSED.has(error.code);
  document.body.toggleAttribute("data-signed-out", refused);
  redraw(
    main,
    el(
      "div",
      { className: "empty" },
      el("h1", {}, "CodexMiroir"),
      el("p", { role: "alert" }, error.message),
      refused && state.me?.auth !== "dev" && signInLink(),
      el("button", { type: "button", onclick: () => refresh() }, words.retry),
    ),
  );
  main.ariaBusy = "false";
}
