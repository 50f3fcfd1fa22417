// The script's pure functions, without a browser: tables of their cases, and what holds for any input.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

/** The functions of parts of the script that touch no page. */
function part(names, ...functions) {
  const read = (name) => readFileSync(new URL(`../../src/web/script/${name}.js`, import.meta.url), "utf8");
  const source = names.split(" ").map(read).join("\n");
  return new Function(`${source}\nreturn { ${functions.join(", ")} };`)();
}

const { attentionOf, attentionList } = part("attention", "attentionOf", "attentionList");
const { changedByBoth, lineDiff, shortened } = part("diff", "changedByBoth", "lineDiff", "shortened");
const {
  dayAfter,
  doneByDay,
  isDay,
  weekOf: calendarOf,
} = part("slots calendar", "dayAfter", "doneByDay", "isDay", "weekOf");
const { withBox } = part("checklist", "withBox");
const { joinBody, splitBody } = part("heading", "joinBody", "splitBody");

/** Pseudorandom integers below a limit, the same in each run. */
function generator(seed) {
  let state = seed;
  return (below) => (state = (state * 48_271) % 2_147_483_647) % below;
}

const { hasPassed, slotsOf, tasksOf, placeAgain, moveOf, destinations, edgeSpeed } = part(
  "slots move",
  "hasPassed",
  "slotsOf",
  "tasksOf",
  "placeAgain",
  "moveOf",
  "destinations",
  "edgeSpeed",
);

const MORNING = { date: "2026-11-30", hour: 8 };
/** Monday to Friday and the weekend, with what the table below needs. */
const WEEK = weekOf(
  {
    "30.11.2026": "m a1 n a2 a -",
    "01.12.2026": "m a3! n a4 a p5!",
    "02.12.2026": "m - n - a -",
    "03.12.2026": "m - n - a -",
    "04.12.2026": "m - n - a -",
    "05.12.2026": "m p6 n p7 a -",
    "06.12.2026": "m p8! n p9! a -",
  },
  "a9 slot_taken a3",
);

whatNeedsAttention();
theListIsByDeadline();
whatBothChanged();
linesThatDiffer();
noLineIsLost();
longRunsAreLeftOut();
daysThatExist();
aWeekOfTasks();
whatIsDoneByDay();
aBoxIsTickedInItsLine();
theTitleIsSplitFromTheText();
noTextIsLostBySplitting();
tickingChangesOneCharacter();
whatAMoveMeans();
whereTheMenuLeads();
theRulesAreTheServices();
aMoveLosesNoTask();
howFastAnEdgeScrolls();

/** The same table holds for the printable page, by `tests/it/attention.rs`. */
function whatNeedsAttention() {
  const { rows, ...week } = JSON.parse(readFileSync(new URL("attention.json", import.meta.url), "utf8"));
  for (const { deadline, place, is } of rows) {
    assert.equal(attentionOf({ deadline, place }, week), is, JSON.stringify({ deadline, place }));
    for (const status of ["abgeschlossen", "abgebrochen"])
      assert.equal(attentionOf({ status, deadline, place }, week), null, "nothing is wrong any more");
  }
  // The week doesn't know the task: nothing is claimed but what the deadline says.
  const unknown = (deadline) => attentionOf({ status: "offen", deadline, place: null }, week);
  assert.deepEqual([undefined, "2026-11-29", "2026-12-01"].map(unknown), [null, "overdue", null]);
}

function theListIsByDeadline() {
  const week = { today: "2026-11-30", until: "2026-12-06" };
  const tasks = [
    { title: "a", deadline: "2026-12-02", place: { reason: "horizon_full" } },
    { title: "b", deadline: "2026-12-01", place: { day: "2026-12-01" } },
    { title: "c", deadline: "2026-12-01", place: { day: "2026-12-04" } },
    { title: "d", deadline: "2026-11-01", place: { day: "2026-12-04" } },
    { title: "e", deadline: "2026-12-01", place: { reason: "slot_taken" } },
  ];
  const list = attentionList(tasks, week).map(({ title, kind }) => `${title} ${kind}`);
  assert.deepEqual(list, ["d overdue", "c late", "e placeless", "a placeless"]);
}

function whatBothChanged() {
  const base = { deadline: null, tags: ["a"], body: "x" };
  for (const [mine, theirs, expected] of [
    [{}, {}, []],
    [{ deadline: "1" }, {}, []],
    [{}, { deadline: "1" }, []],
    [{ deadline: "1" }, { tags: [] }, []],
    [{ deadline: "1" }, { deadline: "1" }, []],
    [{ deadline: "1" }, { deadline: "2" }, ["deadline"]],
    [{ tags: ["a", "b"], body: "y" }, { tags: ["b"], body: "z" }, ["tags", "body"]],
    [{ tags: ["b"] }, { tags: ["b"] }, []],
  ])
    assert.deepEqual(changedByBoth(base, { ...base, ...mine }, { ...base, ...theirs }), expected);
}

/** A diff as text: `+` is mine, `-` is theirs. */
function shown(lines) {
  const signs = { both: " ", mine: "+", theirs: "-" };
  return lines.map((it) => (it.in === "skipped" ? `…${it.count}` : signs[it.in] + it.line)).join("|");
}

function linesThatDiffer() {
  for (const [mine, theirs, expected] of [
    ["", "", " "],
    ["a", "a", " a"],
    ["a", "b", "-b|+a"],
    ["a\nb\nc", "a\nc", " a|+b| c"],
    ["a\nc", "a\nb\nc", " a|-b| c"],
    ["a\nx\nc", "a\ny\nc", " a|-y|+x| c"],
    ["a\na\na", "a\na", " a| a|+a"],
    ["b\na", "a\nb", "-a| b|+a"],
    ["a\n", "a", " a|+"],
  ])
    assert.equal(shown(lineDiff(mine, theirs)), expected, JSON.stringify([mine, theirs]));
}

/** For any two texts: each can be read from the diff, and equal lines at both ends are common. */
function noLineIsLost() {
  const random = generator(7);
  const text = () => Array.from({ length: random(12) }, () => "abc"[random(3)]).join("\n");
  const of = (lines, side) => lines.filter((it) => it.in === "both" || it.in === side).map((it) => it.line);
  for (let round = 0; round < 2_000; round += 1) {
    const [mine, theirs] = [text(), text()];
    const lines = lineDiff(mine, theirs);
    assert.equal(of(lines, "mine").join("\n"), mine);
    assert.equal(of(lines, "theirs").join("\n"), theirs);
    const count = shortened(lines).reduce((sum, it) => sum + (it.count ?? 1), 0);
    assert.equal(count, lines.length);
  }
  // Too long to compare: replaced whole, but for what is equal at both ends.
  const many = (letter) => Array.from({ length: 3_000 }, (_, at) => `${letter}${at}`).join("\n");
  const lines = lineDiff(`x\n${many("m")}\ny`, `x\n${many("t")}\ny`);
  assert.deepEqual([lines.length, lines[0].in, lines.at(-1).in], [6_002, "both", "both"]);
  assert.equal(of(lines, "mine").join("\n"), `x\n${many("m")}\ny`);
}

function longRunsAreLeftOut() {
  const lines = "a b c d e f g h i j".split(" ");
  const changed = lines.map((it) => (it === "e" ? "E" : it));
  assert.equal(shown(shortened(lineDiff(changed.join("\n"), lines.join("\n")))), "…2| c| d|-e|+E| f| g|…3");
}

function daysThatExist() {
  for (const [text, is] of [
    ["2026-11-30", true],
    ["2028-02-29", true],
    ["2027-02-29", false],
    ["2026-13-01", false],
    ["30.11.2026", false],
    ["2026-1-1", false],
    ["", false],
  ])
    assert.equal(isDay(text), is, text);
  for (const [day, count, expected] of [
    ["2026-11-30", 1, "2026-12-01"],
    ["2026-12-31", 1, "2027-01-01"],
    ["2026-03-28", 2, "2026-03-30"], // Summer time begins.
    ["2026-10-26", -7, "2026-10-19"], // It has ended.
    ["2028-02-28", 1, "2028-02-29"],
  ])
    assert.equal(dayAfter(day, count), expected);
}

function aWeekOfTasks() {
  const slot = (datum, zeit = "morgens") => ({ datum, zeit });
  const tasks = [
    { title: "fixed", status: "offen", fixedSlot: slot("07.12.2026", "abends") },
    { title: "fixed and due", status: "offen", fixedSlot: slot("08.12.2026"), deadline: "09.12.2026" },
    { title: "due, fixed before", status: "offen", fixedSlot: slot("01.12.2026"), deadline: "09.12.2026" },
    { title: "due", status: "offen", deadline: "13.12.2026" },
    { title: "done", status: "abgeschlossen", fixedSlot: slot("08.12.2026"), abgeschlossen_am: slot("10.12.2026") },
    { title: "done at no time", status: "abgeschlossen", abgeschlossen_am: null, deadline: "09.12.2026" },
    { title: "called off", status: "abgebrochen", fixedSlot: slot("09.12.2026"), deadline: "09.12.2026" },
    { title: "after", status: "offen", fixedSlot: slot("14.12.2026"), deadline: "14.12.2026" },
  ];
  const week = calendarOf(tasks, "2026-12-07");
  assert.deepEqual(
    week.map(({ day }) => day),
    Array.from({ length: 7 }, (_, index) => `2026-12-${String(7 + index).padStart(2, "0")}`),
  );
  const shown = week.flatMap(({ day, slots, due }) => [
    ...slots.flatMap(({ zeit, tasks: here }) => here.map(({ title }) => `${day} ${zeit} ${title}`)),
    ...due.map(({ title }) => `${day} ! ${title}`),
  ]);
  assert.deepEqual(shown, [
    "2026-12-07 abends fixed",
    "2026-12-08 morgens fixed and due",
    "2026-12-09 ! due, fixed before",
    "2026-12-10 morgens done",
    "2026-12-13 ! due",
  ]);
}

function whatIsDoneByDay() {
  const done = (title, datum, zeit) => ({ title, abgeschlossen_am: datum ? { datum, zeit } : null });
  const days = doneByDay([
    done("a", "01.12.2025", "morgens"),
    done("b", "30.11.2026", "morgens"),
    done("c"),
    done("d", "30.11.2026", "abends"),
    done("e", "02.01.2026", "nachmittags"),
  ]);
  const shown = days.map(({ day, tasks }) => `${day}: ${tasks.map(({ title }) => title).join(" ")}`);
  assert.deepEqual(shown, ["2026-11-30: d b", "2026-01-02: e", "2025-12-01: a", ": c"]);
}

function aBoxIsTickedInItsLine() {
  for (const [body, at, count, isTicked, expected] of [
    ["- [ ] a\n- [x] b", 0, 2, true, "- [x] a\n- [x] b"],
    ["- [ ] a\n- [X] b", 1, 2, false, "- [ ] a\n- [ ] b"],
    ["* [ ] a\r\n+ [ ] b\r\n", 1, 2, true, "* [ ] a\r\n+ [x] b\r\n"],
    ["1. [ ] a\n   - [ ] b", 1, 2, true, "1. [ ] a\n   - [x] b"],
    ["> - [ ] a", 0, 1, true, "> - [x] a"],
    ["- - [ ] a", 0, 1, true, "- - [x] a"],
    ["# T\n\n- [ ] [x](y) [ ]", 0, 1, true, "# T\n\n- [x] [x](y) [ ]"],
    ["- [ ]\n  a", 0, 1, true, "- [x]\n  a"],
    // What is code has no box.
    ["```\n- [ ] code\n```\n- [ ] a", 0, 1, true, "```\n- [ ] code\n```\n- [x] a"],
    ["~~~~\n~~~\n- [ ] code\n~~~~\n- [ ] a", 0, 1, true, "~~~~\n~~~\n- [ ] code\n~~~~\n- [x] a"],
    // Which box is meant isn't known.
    ["    - [ ] code\n\n- [ ] a", 0, 1, true, null],
    ["<b>- [ ] a</b>", 0, 1, true, null],
    ["    - [ ] code\n\n- [ ]\n  a", 0, 1, true, null],
  ])
    assert.equal(withBox(body, at, count, isTicked), expected, JSON.stringify(body));
}

function theTitleIsSplitFromTheText() {
  for (const [title, whole, shown, written, joined] of [
    ["A", "# A\n\nb\n", "b\n", "c", "# A\n\nc"],
    ["A", "\n## A ##\nb", "b", "c", "\n## A ##\nc"],
    ["A", "# A\r\n\r\nb", "b", "b\nc", "# A\n\nb\nc"],
    ["A", "# A", "", "b", "# A\n\nb"],
    ["A", "# A", "", "", "# A"],
    // Another heading, or none, is the title: the text is shown whole.
    ["A", "b\n# A\n", "b\n# A\n", "c\n# A\n", "c\n# A\n"],
    ["A", "A\n===\nb", "A\n===\nb", "A\n===\nc", "A\n===\nc"],
    ["A b", "text", "text", "text\nmore", "text\nmore"],
    // A heading that is new mustn't become the title.
    ["A b", "text", "text", "## Notes\ntext", "# A b\n\n## Notes\ntext"],
    ["A b", "", "", "Notes\n---\ntext", "# A b\n\nNotes\n---\ntext"],
  ]) {
    const base = { title, body: whole };
    assert.equal(splitBody(base).body, shown, JSON.stringify(whole));
    assert.equal(joinBody(base, { title, body: written }), joined, JSON.stringify(whole));
  }
  const renamed = joinBody({ title: "A b", body: "text" }, { title: "New", body: "# Notes" });
  assert.equal(renamed, "# New\n\n# Notes");
}

function noTextIsLostBySplitting() {
  const random = generator(11);
  const pieces = ["# ", "## ", "A", "b", " #", "\n", "\n\n", "===", "---", "> ", "- ", " "];
  for (let round = 0; round < 5_000; round += 1) {
    const body = Array.from({ length: random(9) }, () => pieces[random(pieces.length)]).join("");
    const base = { title: "A", body };
    const split = splitBody(base);
    assert.equal(split.head + split.body, body);
    assert.equal(joinBody(base, { title: "A", body: split.body }), body, "what isn't changed stays");
    assert.ok(joinBody(base, { title: "A", body: `${split.body}c` }).endsWith(`${split.body}c`));
  }
}

function tickingChangesOneCharacter() {
  const random = generator(7);
  const pieces = ["- [ ] ", "- [x] ", "> ", "1. ", "a", "\n", "\n\n", "```\n", "\r\n", "  ", "[ ]", "* [X] "];
  for (let round = 0; round < 2_000; round += 1) {
    const body = Array.from({ length: 1 + random(12) }, () => pieces[random(pieces.length)]).join("");
    for (let count = 1; count < 6; count += 1) {
      const at = random(count);
      const ticked = withBox(body, at, count, true);
      if (ticked === null) continue;
      assert.equal(ticked.length, body.length);
      const changed = [...body].filter((it, index) => it !== ticked[index]);
      assert.ok(changed.length <= 1 && " xX".includes(changed[0] ?? " "), JSON.stringify(body));
      assert.equal(withBox(ticked, at, count, true), ticked);
      assert.equal(withBox(withBox(ticked, at, count, false), at, count, true), ticked);
    }
  }
}

// --- Moving ---

/**
 * A week from lines such as `Mo m a1 n a2! a -`: a day's slots, each with nothing, or a task: its category's letter and
 * number, `!` if it is fixed. `unplaced` are texts such as `a7 horizon_full` or `p8 slot_taken a2`.
 */
function weekOf(days, ...unplaced) {
  const letters = { m: "morgens", n: "nachmittags", a: "abends" };
  const known = (name) => ({
    file: fileOf(name),
    title: name,
    kategorie: name[0] === "p" ? "privat" : "arbeit",
  });
  const timeline = Object.entries(days).map(([datum, text]) => ({
    datum,
    slots: [...text.matchAll(/(\w) (-|\w\d)(!?)/g)].map(([, letter, name, mark]) => ({
      zeit: letters[letter],
      task: name === "-" ? null : { ...known(name), isFixed: mark === "!" },
    })),
  }));
  return {
    timeline,
    unplaced: unplaced.map((text) => {
      const [name, reason, by] = text.split(" ");
      return { ...known(name), reason, takenBy: by && known(by).file };
    }),
  };
}

function fileOf(name) {
  return `raw/u/tasks/000${name.slice(1)}-${name}.md`;
}

function slot(text) {
  const [datum, zeit] = text?.split(" ") ?? [];
  return datum ? { datum, zeit } : null;
}

function slotText(it) {
  return it && `${it.datum} ${it.zeit}`;
}

function placeText({ slot, reason }) {
  return slotText(slot) ?? reason;
}

function whatAMoveMeans() {
  for (const [name, to, expected, now = MORNING, week = WEEK] of [
    // A week that is valid leaves out what is over, and its clock says hour 0.
    [
      "a2",
      "30.11.2026 morgens",
      { is: "passed" },
      { date: "2026-11-30", hour: 0 },
      weekOf({ "30.11.2026": "n a2 a -", "01.12.2026": "m - n - a -" }),
    ],
    // A free slot; what comes later moves up.
    ["a1", "02.12.2026 abends", { is: "fine", place: "02.12.2026 abends", others: 2 }],
    ["a4", "02.12.2026 abends", { is: "fine", place: "02.12.2026 abends", others: 0 }],
    // One that the rules gave away: what is there gives way.
    [
      "p5",
      "30.11.2026 morgens",
      { is: "fine", place: "30.11.2026 morgens", gives: "a1 30.11.2026 nachmittags", others: 2 },
    ],
    [
      "a4",
      "30.11.2026 morgens",
      { is: "fine", place: "30.11.2026 morgens", gives: "a1 30.11.2026 nachmittags", others: 1 },
    ],
    // At the weekend only private tasks, and those find no place elsewhere.
    [
      "a4",
      "05.12.2026 morgens",
      { is: "fine", place: "05.12.2026 morgens", gives: "p6 05.12.2026 nachmittags", others: 1 },
    ],
    [
      "a4",
      "05.12.2026 nachmittags",
      { is: "fine", place: "05.12.2026 nachmittags", gives: "p7 horizon_full", others: 0 },
    ],
    [
      "p9",
      "01.12.2026 nachmittags",
      { is: "fine", place: "01.12.2026 nachmittags", gives: "a4 02.12.2026 morgens", others: 0 },
    ],
    // Its own slot, fixed; and no more than that.
    ["a1", "30.11.2026 morgens", { is: "fine", place: "30.11.2026 morgens", others: 0 }],
    ["p5", "01.12.2026 abends", { is: "same" }],
    // A fixed task has it.
    [
      "p5",
      "06.12.2026 morgens",
      {
        is: "taken",
        by: "p8",
        theirs: "01.12.2026 abends",
        place: "06.12.2026 morgens",
        gives: "p8 01.12.2026 abends",
        others: 0,
      },
    ],
    [
      "a1",
      "06.12.2026 morgens",
      {
        is: "taken",
        by: "p8",
        theirs: "30.11.2026 morgens",
        place: "06.12.2026 morgens",
        gives: "p8 30.11.2026 morgens",
        others: 0,
      },
    ],
    // For the slot of one that waits for it: the waiting one has it then.
    [
      "p8",
      "01.12.2026 morgens",
      {
        is: "taken",
        by: "a3",
        theirs: "06.12.2026 morgens",
        place: "01.12.2026 morgens",
        gives: "a3 06.12.2026 morgens",
        others: 0,
      },
      MORNING,
      weekOf({ "30.11.2026": "m - n - a -", "01.12.2026": "m a3! n - a -", "06.12.2026": "m p8! n - a -" }),
    ],
    // Without a place there is nothing to swap.
    [
      "a9",
      "06.12.2026 morgens",
      { is: "taken", by: "p8", theirs: null, place: "06.12.2026 morgens", gives: "p8 horizon_full", others: 0 },
    ],
    [
      "a9",
      "01.12.2026 morgens",
      {
        is: "taken",
        by: "a3",
        theirs: null,
        place: "01.12.2026 morgens",
        gives: "a3 01.12.2026 nachmittags",
        others: 1,
      },
    ],
    // Its slot goes.
    ["p5", null, { is: "fine", place: "05.12.2026 morgens", others: 2 }],
    ["p9", null, { is: "fine", place: "06.12.2026 nachmittags", others: 0 }],
    ["a9", null, { is: "fine", place: "02.12.2026 morgens", others: 0 }],
    ["a1", null, { is: "same" }],
    // After the week, before it, and what has just passed.
    ["a4", "07.12.2026 morgens", { is: "fine", place: "outside_horizon", others: 0 }],
    ["a4", "29.11.2026 abends", { is: "passed" }],
    ["a4", "30.11.2026 morgens", { is: "passed" }, { date: "2026-11-30", hour: 9 }],
    [
      "a1",
      "01.12.2026 morgens",
      {
        is: "taken",
        by: "a3",
        theirs: null,
        place: "01.12.2026 morgens",
        gives: "a3 01.12.2026 nachmittags",
        others: 1,
      },
      { date: "2026-11-30", hour: 9 },
    ],
    [
      "p5",
      "30.11.2026 nachmittags",
      { is: "fine", place: "30.11.2026 nachmittags", gives: "a2 02.12.2026 morgens", others: 2 },
      { date: "2026-11-30", hour: 9 },
    ],
    // Completed elsewhere.
    ["x9", "02.12.2026 abends", { is: "gone" }],
  ]) {
    const { by, theirs, place, gives, ...is } = moveOf(week, fileOf(name), slot(to), now);
    const said = {
      ...is,
      ...(by && { by: by.title, theirs: slotText(theirs) }),
      ...(place && { place: placeText(place) }),
      ...(gives && { gives: `${gives.task.title} ${placeText(gives.place)}` }),
    };
    assert.deepEqual(said, expected, `${name} to ${to}`);
  }
}

function whereTheMenuLeads() {
  const names = ["today", "tomorrow", "next", "release"];
  const evening = { date: "2026-11-30", hour: 19 };
  const rest = weekOf({ "01.12.2026": "m a1! n - a p2!", "02.12.2026": "m - n - a -" });
  const full = weekOf({ "30.11.2026": "m a1! n a2! a p3!", "01.12.2026": "m a4 n a5! a p6!" });
  // The night when the clocks go back has 25 hours, that when they go forward 23: the day after is the next date.
  const autumn = weekOf({ "25.10.2026": "m p1 n - a -", "26.10.2026": "m a2! n - a -" });
  const spring = weekOf({ "28.03.2026": "m p1 n - a -", "29.03.2026": "m p2! n - a -" });
  for (const [week, name, now, ...expected] of [
    [WEEK, "a1", MORNING, "30.11.2026 morgens", "01.12.2026 nachmittags", "02.12.2026 morgens", "none"],
    [WEEK, "a2", MORNING, "30.11.2026 nachmittags", "01.12.2026 nachmittags", "02.12.2026 morgens", "none"],
    [WEEK, "a3", MORNING, "30.11.2026 morgens", "there", "02.12.2026 morgens", null],
    [WEEK, "p5", MORNING, "30.11.2026 morgens", "there", "30.11.2026 abends", null],
    [WEEK, "a9", MORNING, "30.11.2026 morgens", "01.12.2026 nachmittags", "02.12.2026 morgens", null],
    [
      WEEK,
      "a4",
      { date: "2026-11-30", hour: 14 },
      "30.11.2026 abends",
      "01.12.2026 nachmittags",
      "02.12.2026 morgens",
      "none",
    ],
    // After the last slot of today.
    [rest, "a1", evening, "full", "there", "01.12.2026 nachmittags", null],
    [rest, "p2", evening, "full", "there", "01.12.2026 nachmittags", null],
    [full, "a4", MORNING, "full", "01.12.2026 morgens", "full", "none"],
    [full, "a1", MORNING, "there", "01.12.2026 morgens", "full", null],
    [
      autumn,
      "p1",
      { date: "2026-10-25", hour: 0 },
      "25.10.2026 morgens",
      "26.10.2026 nachmittags",
      "25.10.2026 nachmittags",
      "none",
    ],
    [
      spring,
      "p1",
      { date: "2026-03-28", hour: 0 },
      "28.03.2026 morgens",
      "29.03.2026 nachmittags",
      "28.03.2026 nachmittags",
      "none",
    ],
  ]) {
    const all = destinations(week, fileOf(name), now);
    assert.deepEqual(
      all.map((it) => it.name),
      names,
    );
    assert.deepEqual(
      all.map(({ slot, why }) => why ?? slotText(slot)),
      expected,
      name,
    );
    for (const { slot, why } of all.filter((it) => it.slot))
      assert.ok(!why && moveOf(week, fileOf(name), slot, now).is !== "passed");
  }
  assert.deepEqual(destinations(WEEK, fileOf("x9"), MORNING), []);
}

/** The service's own cases: placed again without a change, each week stays as it is. */
function theRulesAreTheServices() {
  const cases = JSON.parse(readFileSync(new URL("../it/placement/cases.json", import.meta.url), "utf8"));
  let placed = 0;
  for (const { name, now, timeZone, files, expect } of cases) {
    const known = (file) => ({ file, kategorie: /^kategorie: (\w+)/m.exec(files[file])[1] });
    const slots = (day) =>
      day.slots.map(({ zeit, file, isFixed }) => ({ zeit, task: file && { ...known(file), isFixed } }));
    const week = {
      timeline: expect.timeline.map((day) => ({ datum: day.datum, slots: slots(day) })),
      unplaced: expect.unplaced.map((it) => ({ ...known(it.file), reason: it.reason, takenBy: it.takenBy })),
    };
    const again = placeAgain(week, new Map(), localTime(now, timeZone));
    const facts = ({ timeline, unplaced }) => [
      slotsOf({ timeline }).map(({ datum, zeit, task }) => [datum, zeit, task?.file, task?.isFixed]),
      unplaced.map(({ file, reason, takenBy }) => [file, reason, takenBy]).sort(),
    ];
    assert.deepEqual(facts(again), facts(week), name);
    placed += tasksOf(week).size;
  }
  assert.ok(placed > 500, `${placed} tasks`);
}

function localTime(now, timeZone) {
  const parts = new Intl.DateTimeFormat("sv", { timeZone, dateStyle: "short", timeStyle: "short" }).format(
    new Date(now),
  );
  const [date, time] = parts.split(" ");
  return { date, hour: Number(time.slice(0, 2)) };
}

/** For any week: a move and its reverse leave all as it was, every task is somewhere, and no fixed one is displaced. */
function aMoveLosesNoTask() {
  let seed = 11;
  const random = (below) => (seed = (seed * 48_271) % 2_147_483_647) % below;
  const tasks = tasksOf(WEEK);
  const where = (week) => [...tasksOf(week).values()].map(({ file, at, reason }) => [file, at, reason ?? null]).sort();
  for (let round = 0; round < 2_000; round += 1) {
    const now = { date: "2026-11-30", hour: random(24) };
    const before = placeAgain(WEEK, new Map(), now);
    const left = slotsOf(before).filter(({ datum, zeit }) => !hasPassed(datum, zeit, now));
    const [file] = [...tasks.keys()].slice(random(tasks.size));
    const to = random(5) ? left[random(left.length)] : null;
    const it = tasksOf(before).get(file);
    const meaning = moveOf(before, file, to, now);
    if (meaning.is !== "fine") continue;
    const after = placeAgain(before, new Map([[file, to]]), now);
    assert.equal(tasksOf(after).size, tasks.size);
    for (const [other, { fixedSlot, at }] of tasksOf(before))
      if (other !== file && fixedSlot && at)
        assert.deepEqual(tasksOf(after).get(other).at, at, `${file} moves ${other}`);
    if (it.fixedSlot !== undefined)
      assert.deepEqual(where(placeAgain(after, new Map([[file, it.fixedSlot]]), now)), where(before));
  }
}

function howFastAnEdgeScrolls() {
  for (const [y, height, bottom, expected] of [
    [0, 800, 800, -18],
    [-50, 800, 800, -18],
    [32, 800, 800, -9],
    [64, 800, 800, 0],
    [400, 800, 800, 0],
    [736, 800, 800, 0],
    [768, 800, 800, 9],
    [900, 800, 800, 18],
    [700, 800, 740, 7],
    [28, 280, 280, -9],
  ])
    assert.equal(edgeSpeed(y, height, bottom), expected, `${y} of ${height}`);
}
