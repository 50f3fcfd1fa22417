// The dialog, and one task in it.

const dialog = document.querySelector("dialog");
let opener; // `data-key` of the element that had the focus before.

/** Shows `content` in the dialog; `label` is the id of its heading. */
function show(label, ...content) {
  dialog.setAttribute("aria-labelledby", label);
  fill(dialog.querySelector(".content"), closeButton(), content);
  if (dialog.open) return;
  opener = document.activeElement?.dataset.key;
  dialog.showModal();
  moveMessages(dialog);
}

/** Closes the dialog without changing the URL. */
function hide() {
  if (!dialog.open) return;
  moveMessages(document.body);
  dialog.close();
  noteReflow();
  if (opener) document.querySelector(`[data-key="${CSS.escape(opener)}"]`)?.focus();
}

/** Empties the closed dialog: it may hold what the next user isn't to find, such as an address. */
const emptyDialog = () => dialog.querySelector(".content").replaceChildren();

// Esc goes back, like the browser's button. On a second Esc a browser may close the dialog without a `cancel` event.
dialog.addEventListener("cancel", (event) => {
  event.preventDefault();
  back();
});
dialog.addEventListener("close", () => {
  if (dialog.open) return;
  moveMessages(document.body);
  if (!PLACES.has(currentRoute().view) && !state.signedOut) back();
});

// A press beside the dialog closes it, too; not one that began in it, as when text is selected.
dialog.addEventListener("pointerdown", (event) => {
  if (event.target !== dialog) return;
  dialog.addEventListener("click", (click) => click.target === dialog && back(), { once: true });
});

const closeButton = () =>
  el("button", { type: "button", className: "close", "aria-label": words.close, onclick: back, "data-key": "close" });

function showLoading(name) {
  show(
    "loading",
    el("h2", { id: "loading" }, name),
    el("p", { role: "status" }, "…"),
  );
}

async function openTask(stem) {
  showLoading(stem);
  try {
    const { json: task } = await request("GET", pathOf(stem));
    if (isAt("task", stem)) show("task-title", taskView(stem, task));
  } catch (error) {
    if (isAt("task", stem)) back();
    handleError(error);
  }
}

function taskView(stem, task) {
  if (task.problem) return unreadableView(stem, task);
  return [
    el("h2", { id: "task-title" }, task.title),
    factsOf(task, stem),
    task.html ? bodyOf(stem, task) : el("p", { className: "quiet" }, words.noText),
    el("p", { className: "buttons" }, taskButtons(stem, task)),
  ];
}

/** The body without the heading that is the title, and with boxes that can be ticked. */
function bodyOf(stem, task) {
  const body = rendered(task.html);
  const first = body.firstElementChild;
  if (/^h\d$/.test(first?.localName) && first.textContent.trim() === task.title) first.remove();
  const boxes = [...body.querySelectorAll("input")];
  const isKnown = boxes.length > 0 && withBox(task.body, 0, boxes.length, false) !== null;
  for (const [at, box] of boxes.entries()) {
    // A paragraph, or the item without the items in it.
    const name = [...box.parentElement.childNodes].filter(({ localName }) => !["ul", "ol"].includes(localName));
    box.ariaLabel = name.map((it) => it.textContent).join("").trim() || box.ariaLabel;
    if (!isKnown) continue;
    box.disabled = false;
    box.addEventListener("change", () => tick(stem, task, at, boxes));
  }
  return body;
}

/** Ticks a box: an edit of its line. The other boxes wait for it. */
async function tick(stem, task, at, boxes) {
  const [box, isTicked] = [boxes[at], boxes[at].checked];
  const undo = () => (box.checked = !isTicked);
  if (!canWrite()) return undo();
  const body = withBox(task.body, at, boxes.length, isTicked);
  for (const it of boxes) it.disabled = true;
  try {
    const { json } = await patch(stem, { body }, task.etag);
    Object.assign(task, { body, etag: json.etag });
  } catch (error) {
    undo();
    handleError(error);
    // Somebody else has changed it: show what it is now.
    if (error.code === "precondition_failed" && isAt("task", stem)) return openTask(stem);
  } finally {
    for (const it of boxes) it.disabled = false;
    if (dialog.open && !dialog.querySelector(".content").contains(document.activeElement)) box.focus();
  }
  await afterChange();
}

function factsOf(task, stem) {
  const isOpen = task.status === "offen";
  const rows = [
    [words.place, isOpen && placeOf(stem, task)],
    [words.deadline, task.deadline && deadlineOf(task)],
    [
      words.statusLabel,
      !isOpen && (task.abgeschlossen_am ? words.doneAt(slotName(task.abgeschlossen_am)) : words.status[task.status]),
    ],
    [words.kategorieLabel, words.kategorie[task.kategorie]],
    [words.tags, task.tags.length > 0 && task.tags.map((tag) => el("span", { className: "tag" }, tag))],
    [words.number, task.id],
    [words.file, stem],
  ];
  return el(
    "dl",
    { className: "rows" },
    rows.filter(([, value]) => value).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
  );
}

/** Where a task is in the week, and why. */
function placeOf(stem, { fixedSlot }) {
  const place = shown().week && placesIn(shown().week).get(stem);
  const slot = place?.slot ?? fixedSlot;
  const why = fixedSlot ? words.fixed : words.nextFree;
  if (!slot) return place && words.noPlace(reasonOf(place));
  return [slotName(slot), " · ", place?.reason ? reasonOf(place) : why];
}

function deadlineOf(task) {
  const kind = kindOf(task);
  return [dayName(task.deadline), " ", kind && el("span", { className: `warn ${kind}` }, words.attention[kind])];
}

/** A task whose last change isn't known to be done yet, or can be undone, has none. */
function taskButtons(stem, task) {
  if (state.pending.has(stem)) return null;
  const { title, status } = task;
  const button = (label, act) =>
    el(
      "button",
      {
        type: "button",
        "data-key": label,
        onclick: () => {
          if (canWrite()) {
            back();
            act();
          }
        },
      },
      label,
    );
  const open = status === "offen";
  return [
    open
      ? button(words.complete, () => complete(stem, title))
      : button(words.reopen, () => setStatus(stem, title, "offen", task.etag)),
    el("a", { className: "button", href: routeTo("edit", stem), "data-key": "edit" }, words.edit),
    open && button(words.callOff, () => callOff(stem, title, task.etag)),
    button(words.remove, () => removeTask(stem, title, task.etag)),
  ];
}

function unreadableView(stem, { body, problem }) {
  return [
    el("h2", { id: "task-title" }, stem),
    el(
      "p",
      { className: "why" },
      problem.line && `${words.line(problem.line)}: `,
      words.problem[problem.code] ?? el("span", { lang: "en" }, problem.message),
    ),
    body !== null && el("pre", { tabindex: "0", "aria-label": words.file }, body),
  ];
}
