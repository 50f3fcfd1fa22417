// The week: what is known of it, how it stays new, and how it looks.

const state = {
  week: null, // The timeline document.
  etag: null,
  layer: null, // Which layer answered, or `offline`: none did, and this is what is known.
  trouble: null, // Why none did.
  me: null, // {login, userId, auth}
  signedOut: false,
  showsAll: false, // Also the tasks without a place that come after the first ones.
  found: null, // What a search found: {tasks, next}
  leaving: new Map(), // Tasks that were just done or called off, by stem: {status, version}; the version once it is known.
  era: 0, // Goes up when somebody leaves: answers from before aren't for whoever comes then.
};

const isOffline = () => state.layer === "offline";

// --- Staying new ---

const ACTIVE_FOR = 120_000; // Somebody who did nothing for so long (ms) isn't waiting for news.
const POLL_ACTIVE = 3_000;
const POLL_IDLE = 60_000;

let lastActive = Date.now();
let notBefore = 0; // The service asked for quiet until then.
let timer;
let underWay = null;
let onceMore = false;

/** Makes the week new. Calls at once share an answer, but one that began before a change isn't enough for it. */
function refresh({ strict = false } = {}) {
  if (underWay) {
    onceMore = true;
    return underWay;
  }
  underWay = (async () => {
    do {
      onceMore = false;
      await readWeek(strict);
    } while (onceMore);
  })().finally(() => {
    underWay = null;
    schedule();
  });
  return underWay;
}

async function readWeek(strict) {
  const { era } = state;
  const known = heard.version;
  const headers = {};
  if (strict) headers["Cache-Control"] = "no-cache";
  if (state.etag) headers["If-None-Match"] = state.etag;
  try {
    const answer = (early && (await earlyAnswer())) || (await ask("GET", "/codex", { headers }));
    if (era !== state.era) return;
    if (answer.json) takeWeek(answer.json, answer.headers.get("etag"));
    const visibly = answer.json || isOffline() || state.signedOut;
    Object.assign(state, { layer: answer.headers.get("x-codex-cache"), signedOut: false });
    if (visibly) render();
    else renderFooter();
    if (state.me?.userId !== state.week.userId) afterPaint(learnWhoAsks);
    if (state.found && heard.version > known) await searchAgain();
  } catch (refusal) {
    if (!(refusal instanceof Refusal)) throw refusal;
    if (era === state.era) await missWeek(refusal);
  }
}

function takeWeek(week, etag) {
  state.week = week;
  state.etag = etag;
  hearUser(week.userId, week.version);
  for (const [stem, { version }] of state.leaving) {
    if (version && version <= week.version) state.leaving.delete(stem);
  }
  afterPaint(() => keepWeek(week));
}

/** What is known stays on show, and says how old it is. */
async function missWeek(refusal) {
  if (refusal.status === 401) return nobody();
  if (refusal.status === 403) {
    Object.assign(state, { week: null, etag: null });
    await forgetAll();
  }
  notBefore = Date.now() + refusal.retryAfter * 1000;
  const away = refusal.code === "unreachable" || refusal.status >= 500;
  if (away && !state.week) {
    const { era } = state;
    const kept = await keptWeek();
    if (era !== state.era) return;
    state.week = kept;
  }
  if (!state.week) return showFailure(refusal);
  if (!away) return;
  const trouble = refusal.code === "unreachable" ? words.offline : refusal.message;
  const changed = state.layer !== "offline" || trouble !== state.trouble;
  Object.assign(state, { layer: "offline", trouble });
  if (changed) render();
}

/** When the next look is due: a slot passes, or the time for a look is over. Nobody looks at a hidden page. */
function schedule() {
  clearTimeout(timer);
  if (document.hidden || state.signedOut) return;
  const active = Date.now() - lastActive < ACTIVE_FOR;
  let wait = active ? POLL_ACTIVE : POLL_IDLE;
  const slotPasses = state.week ? Date.parse(state.week.validUntil) - serverNow() : Infinity;
  const passing = slotPasses > 0 && slotPasses <= wait;
  if (passing) wait = slotPasses + 100;
  wait = Math.max(wait, notBefore - Date.now());
  timer = setTimeout(() => {
    // Marked at once, also when nobody answers.
    if (passing) render();
    refresh({ strict: active && !passing });
  }, wait);
}

function active() {
  const wasIdle = Date.now() - lastActive > POLL_IDLE;
  lastActive = Date.now();
  if (wasIdle) refresh();
}

// --- Time, by the service's clock and zone ---

const ENDS = { morgens: 9, nachmittags: 14, abends: 19 }; // The hour from which a slot has passed.

/** The week's zone, or the device's where that doesn't know it. */
function zone() {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: state.week?.timeZone }).resolvedOptions().timeZone;
  } catch {
    return undefined;
  }
}

/**
 * Date as `yyyy-mm-dd` and hour in the week's zone. As long as the week is valid its first day is today and none
 * of its slots has passed, so that is enough: what knows of zones is slow to start, and the week is to be seen at once.
 */
function localNow() {
  if (serverNow() < Date.parse(state.week.validUntil)) return { date: isoOf(state.week.weekStart), hour: 0 };
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

/** The service shows no slot that has passed; a week that is kept, or late, may. */
function hasPassed(datum, zeit, now) {
  const date = isoOf(datum);
  return date < now.date || (date === now.date && now.hour >= ENDS[zeit]);
}

const isoOf = (datum) => datum.split(".").reverse().join("-");
const datumOf = (iso) => iso.split("-").reverse().join(".");
const dayName = (datum) => `${words.days[new Date(`${isoOf(datum)}T12:00:00Z`).getUTCDay()]}, ${datum}`;
const slotName = ({ datum, zeit }) => `${dayName(datum)}, ${words.zeit[zeit]}`;

/** A moment as date and time of the week's zone. */
function momentName(rfc3339) {
  return new Date(rfc3339).toLocaleString(document.documentElement.lang === "en" ? "en-GB" : "de-DE", {
    timeZone: zone(),
    day: "2-digit",
    month: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
  });
}

// --- How it looks ---

const main = document.querySelector("main");

function render() {
  document.body.dataset.layer = state.layer ?? "";
  if (state.signedOut) fill(main, signedOutView());
  else if (state.found) fill(main, offlineBanner(), foundView());
  else if (state.week) fill(main, offlineBanner(), weekView(state.week));
  main.ariaBusy = "false";
  afterPaint(renderFooter);
}

function weekView(week) {
  const now = localNow();
  return [
    el("h1", { className: "quiet" }, words.weekFrom(week.weekStart)),
    el(
      "section",
      { "aria-label": words.week, className: "week" },
      week.timeline.map((day) => dayView(day, now)),
    ),
    unplacedView(week),
    problemsView(week),
  ];
}

function dayView(day, now) {
  const isToday = isoOf(day.datum) === now.date;
  const name = dayName(day.datum);
  const current = isToday && day.slots.find((slot) => !hasPassed(day.datum, slot.zeit, now));
  const id = `day-${isoOf(day.datum)}`;
  return el(
    "section",
    { className: "day", "aria-labelledby": id, "aria-current": isToday && "date" },
    el("h2", { id }, isToday ? words.today(name) : name),
    el(
      "ol",
      {},
      day.slots.map((slot) => slotView(day, slot, slot === current, hasPassed(day.datum, slot.zeit, now))),
    ),
  );
}

function slotView(day, slot, isCurrent, isPast) {
  const word = isCurrent ? words.upNow : isPast && words.passed;
  const name = slotName({ datum: day.datum, zeit: slot.zeit });
  return el(
    "li",
    { className: isPast ? "past" : undefined, "aria-current": isCurrent && "time" },
    el("p", { className: "zeit" }, words.zeit[slot.zeit], word && el("strong", {}, word)),
    slot.task
      ? card(slot.task)
      : isPast
        ? el("p", { className: "free" }, words.free)
        : el(
            "a",
            {
              className: "free",
              href: `#/new?datum=${day.datum}&zeit=${slot.zeit}`,
              "aria-label": words.newAt(dayName(day.datum), words.zeit[slot.zeit]),
              "data-key": name,
            },
            words.free,
          ),
  );
}

/** A task as the week, the lists and a search show it. */
function card(task, ...more) {
  const stem = stemOf(task.file);
  const status = state.leaving.get(stem)?.status ?? task.status ?? "offen";
  const open = status === "offen";
  return el(
    "article",
    { className: `card ${task.kategorie} ${open ? "" : "gone"}` },
    el("button", {
      className: "check",
      type: "button",
      "aria-label": words.completeTask(task.title),
      "data-key": `check ${stem}`,
      "aria-disabled": (!open || isOffline()) && "true",
      onclick: () => open && complete(stem, task.title),
    }),
    el(
      "div",
      {},
      el("p", { className: "name" }, el("a", { href: placeOf("task", stem), "data-key": `task ${stem}` }, task.title)),
      el(
        "p",
        { className: "facts" },
        el("span", {}, task.id),
        el("span", { className: "kategorie" }, words.kategorie[task.kategorie]),
        !open && el("span", {}, words.status[status]),
        (task.isFixed || task.fixedSlot) && el("span", { className: "fixed" }, words.fixed),
        task.deadline &&
          el(
            "span",
            { className: task.deadlineMissed ? "missed" : undefined },
            words.due(task.deadline),
            task.deadlineMissed && ` · ${words.missed}`,
          ),
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
  );
}

const FIRST_UNPLACED = 60; // Thousands of cards would make a slow page; the others come when they are asked for.

function unplacedView({ unplaced }) {
  if (!unplaced.length) return null;
  const shown = state.showsAll ? unplaced : unplaced.slice(0, FIRST_UNPLACED);
  const showAll = () => {
    state.showsAll = true;
    render();
  };
  const item = (task) =>
    el(
      "li",
      {},
      card(
        task,
        el("p", { className: "why" }, words.reason[task.reason]?.(task.takenBy && stemOf(task.takenBy)) ?? task.reason),
      ),
    );
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
    ? el("a", { href: placeOf("task", stem), "data-key": `problem ${stem}` }, stem)
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
      `${state.trouble} ${words.shown(momentName(state.week.generatedAt))}`,
    )
  );
}

/** Nothing to show, and why. */
function showFailure(refusal) {
  fill(
    main,
    el(
      "div",
      { className: "empty" },
      el("h1", {}, "CodexMiroir"),
      el("p", { role: "alert" }, refusal.message),
      el("button", { type: "button", onclick: () => refresh() }, words.retry),
    ),
  );
  main.ariaBusy = "false";
}
