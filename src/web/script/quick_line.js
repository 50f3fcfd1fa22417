// The line of quick add, on top of the page; on a narrow screen `+` opens it over the page. The grammar is in
// `quick_add.js`.

const quick = document.querySelector("#quick");
const plus = document.querySelector("#plus");
const quickInput = quick.querySelector("input");
const quickError = quick.querySelector("[role=alert]");

const NOTHING = { title: "", chips: [], fields: {}, obstacle: null };

/** What was typed, the ranges of it that stay text, the new task's `Idempotency-Key`, and what the text means. */
let line = { text: "", kept: [], key: newKey(), parsed: NOTHING };
let sendingLine = false;
let lineOpener; // The element that had the focus before.
let announcing;

const lineName = () => `codex-line ${server.user}`;

function planningDay() {
  const now = clock();
  const datum = datumOf(now.date);
  const days = state.week?.timeline ?? [];
  return {
    datum,
    passed: Object.keys(ENDS).filter((zeit) => hasPassed(datum, zeit, now)),
    taken: days.flatMap((day) =>
      day.slots.filter(({ task }) => task?.isFixed).map(({ zeit }) => ({ datum: day.datum, zeit })),
    ),
  };
}

const meaningOf = ({ text, kept }) =>
  text.trim() ? parseQuickAdd(text, planningDay(), document.documentElement.lang, kept) : NOTHING;

/** The line's text is now `text`. It survives a reload. */
function setLine(text, kept, key) {
  line = { text, kept, key, parsed: meaningOf({ text, kept }) };
  if (text) tab.set(lineName(), { text, kept, key });
  else tab.forget(lineName());
  drawChips();
}

/** A new line: its task isn't the one before. */
function startLine(text = "") {
  quickInput.value = text;
  setLine(text, [], newKey());
}

/** Time has passed, or the week has changed: "heute" may be another day, a free slot may be taken. */
function readLineAgain() {
  if (JSON.stringify(meaningOf(line)) !== JSON.stringify(line.parsed)) setLine(line.text, line.kept, line.key);
}

function onLineInput() {
  const text = quickInput.value;
  if (!text.trim()) showLineError();
  setLine(text, keptAfterEdit(line.kept, line.text, text), text.trim() ? line.key : newKey());
}

// --- Chips ---

/** A chip's text: what it sets. */
function chipText({ field, datum, zeit, tag, kategorie }) {
  if (field === "tags") return `#${tag}`;
  if (field === "kategorie") return words.kategorie[kategorie];
  if (field === "deadline") return words.due(dayShort(datum));
  return [datum && dayShort(datum), zeit && words.zeit[zeit].toLowerCase()].filter(Boolean).join(", ");
}

/** What the line doesn't say, but the task will have. */
function impliedBy({ chips, fields: { fixedSlot, kategorie } }) {
  const says = (name) => chips.some((it) => it.field === "fixedSlot" && it[name]);
  return [
    fixedSlot && !says("datum") && { field: "fixedSlot", datum: fixedSlot.datum },
    fixedSlot && !says("zeit") && { field: "fixedSlot", zeit: fixedSlot.zeit },
    !chips.some((it) => it.field === "kategorie") && { field: "kategorie", kategorie },
  ].filter(Boolean);
}

const CHIP_ORDER = ["fixedSlot", "deadline", "tags", "kategorie"];

function drawChips() {
  const { parsed } = line;
  const rank = ({ field, datum }) => CHIP_ORDER.indexOf(field) * 2 - Boolean(datum);
  const isBlank = parsed === NOTHING;
  const all = isBlank ? [] : [...parsed.chips, ...impliedBy(parsed)].sort((a, b) => rank(a) - rank(b));
  const obstacle = parsed.obstacle && el("li", { className: "obstacle" }, words.obstacle[parsed.obstacle]);
  const items = all.map((chip) => el("li", {}, chip.text === undefined ? impliedView(chip) : chipView(chip)));
  const lastOfSlot = all.findLastIndex(({ field }) => field === "fixedSlot");
  items.splice(lastOfSlot + 1, 0, obstacle);
  quick.querySelector("ul").replaceChildren(...items.filter(Boolean));
  quick.querySelector("#quick-hint").hidden = !isBlank;
  const said = [...all.map(chipText), obstacle?.textContent].filter(Boolean).join(", ");
  // Not at every key: a screen reader couldn't keep up.
  clearTimeout(announcing);
  announcing = setTimeout(() => (quick.querySelector("[aria-live]").textContent = said), 700);
}

const impliedView = (chip) => el("span", { className: `chip implied ${chip.kategorie ?? ""}` }, chipText(chip));

const chipView = (chip) =>
  el(
    "button",
    {
      type: "button",
      className: `chip ${chip.kategorie ?? ""}`,
      "aria-label": words.removeChip(chipText(chip)),
      // The focus, and with it a phone's keyboard, stays in the line.
      onmousedown: (event) => event.preventDefault(),
      onclick: () => removeChip(chip),
    },
    chipText(chip),
    el("span", { "aria-hidden": "true" }, "×"),
  );

/** Makes a chip's text a part of the title again. */
function removeChip({ start, end }) {
  setLine(line.text, [...line.kept, [start, end]], line.key);
  quickInput.focus();
}

/** Backspace behind a chip's text removes the chip; only the next one removes characters. */
function onBeforeInput(event) {
  const { selectionStart, selectionEnd } = quickInput;
  if (event.inputType !== "deleteContentBackward" || selectionStart !== selectionEnd) return;
  const chip = line.parsed.chips.find(({ end }) => end === selectionStart);
  if (!chip || !event.cancelable) return;
  event.preventDefault();
  removeChip(chip);
}

// --- Creating ---

/** The task as a form's: the same code saves it. */
const formOfLine = () => ({ stem: null, line: line.text, key: line.key, fields: line.parsed.fields });

async function createFromLine(event) {
  event.preventDefault();
  if (sendingLine || !line.text.trim()) return;
  readLineAgain();
  const draft = draftOfLine();
  // What was written in the form, for another text, isn't sent unseen.
  if (draft && draft.line !== line.text) return openLineInForm();
  if (!line.parsed.title) return showLineError(words.titleMissing);
  if (isOffline()) return showLineError(words.offlineNow);
  showLineError();
  sendingLine = true;
  quick.ariaBusy = "true";
  try {
    await saveNew(draft ?? formOfLine());
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 401) return signIn();
    // Another text was created with this key. Now that this is said, the next attempt is a new task.
    if (error.code === "idempotency_key_reused") {
      setLine(line.text, line.kept, newKey());
      if (draft) tab.set(draftName(draft), { ...draft, key: line.key });
    }
    showLineError(error.message);
  } finally {
    sendingLine = false;
    quick.ariaBusy = "false";
  }
}

/** It stays until the next attempt, so that nothing moves while typing. */
function showLineError(text = "") {
  quickError.textContent = text;
}

/** The task of the line is created, or was discarded: what was typed since then is the next one. */
function finishLine(text) {
  if (line.text.startsWith(text)) startLine(line.text.slice(text.length).trimStart());
  showLineError();
  if (!line.text) leaveLine();
}

/** Opens the whole form with what the line says. The line keeps it until the form is saved or discarded. */
function openLineInForm() {
  leaveLine();
  location.hash = "#/new?line";
}

/** What was written in the form of the line, which was left. */
function draftOfLine() {
  const draft = loadDraft({ stem: null, line: true });
  return draft?.key === line.key ? draft : null;
}

/** The form of the line, as it was left, or as the line says with the text that was written there. */
function lineForm() {
  if (line.parsed === NOTHING) return loadDraft({ stem: null, line: true });
  readLineAgain();
  const [draft, of] = [draftOfLine(), formOfLine()];
  if (!draft || draft.line === line.text) return draft ?? of;
  return { ...of, restored: true, touched: true, fields: { ...of.fields, body: draft.fields.body } };
}

// --- Focus ---

function enterLine() {
  quick.classList.add("open");
  quickInput.focus();
}

/** Leaves the line with what was typed. On a wide screen it is always there, and a new task can follow at once. */
function leaveLine() {
  quick.classList.remove("open");
  if (plus.getClientRects().length > 0) plus.focus();
}

function onLineKey(event) {
  if (event.isComposing) return;
  if (event.key === "Enter" && event.shiftKey) {
    event.preventDefault();
    openLineInForm();
  } else if (event.key === "Escape") {
    event.preventDefault();
    leaveLine();
    if (document.activeElement !== plus) lineOpener?.isConnected ? lineOpener.focus() : quickInput.blur();
  }
}

quick.addEventListener("submit", createFromLine);
quick.addEventListener("keydown", onLineKey);
quickInput.addEventListener("input", onLineInput);
quickInput.addEventListener("focus", ({ relatedTarget }) => {
  if (!quick.contains(relatedTarget)) lineOpener = relatedTarget;
});
quickInput.addEventListener("beforeinput", onBeforeInput);
quick.querySelector("#quick-more").addEventListener("click", openLineInForm);
quick.querySelector(".close").addEventListener("click", leaveLine);
plus.addEventListener("click", enterLine);

/** The line that was typed before the page was left, as by a sign-in. What is typed already stands, unless `anew`. */
function restoreLine(anew) {
  const left = tab.get(lineName());
  if (!anew && (quickInput.value || !left)) return onLineInput();
  const { text, kept, key } = left ?? { text: "", kept: [], key: newKey() };
  quickInput.value = text;
  setLine(text, kept, key);
}
