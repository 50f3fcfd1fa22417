// The dialog, and one task in it.

const dialog = document.querySelector("dialog");
let opener; // `data-key` of the element that had the focus before.

/** Shows `content` in the dialog; `label` is the id of its heading. */
function show(label, ...content) {
  dialog.setAttribute("aria-labelledby", label);
  fill(dialog.querySelector(".content"), content);
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

// Esc goes back, like the browser's button. On a second Esc a browser may close the dialog without a `cancel` event.
dialog.addEventListener("cancel", (event) => {
  event.preventDefault();
  back();
});
dialog.addEventListener("close", () => {
  if (dialog.open) return;
  moveMessages(document.body);
  if (currentRoute().view && !state.signedOut) back();
});

const closeButton = () => el("button", { type: "button", onclick: back, "data-key": "close" }, words.close);

function showLoading(name) {
  show(
    "loading",
    el("h2", { id: "loading" }, name),
    el("p", { role: "status" }, "…"),
    el("p", { className: "buttons" }, closeButton()),
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
    task.html ? bodyOf(task) : el("p", { className: "quiet" }, words.noText),
    el("p", { className: "buttons" }, taskButtons(stem, task), closeButton()),
  ];
}

/** The body without the heading that is the title. */
function bodyOf({ html, title }) {
  const body = rendered(html);
  const first = body.firstElementChild;
  if (/^h\d$/.test(first?.localName) && first.textContent.trim() === title) first.remove();
  return body;
}

function factsOf(task, stem) {
  const rows = [
    [words.number, task.id],
    [words.kategorieLabel, words.kategorie[task.kategorie]],
    [
      words.statusLabel,
      task.abgeschlossen_am ? words.doneAt(slotName(task.abgeschlossen_am)) : words.status[task.status],
    ],
    [words.fixed, task.fixedSlot && slotName(task.fixedSlot)],
    [words.deadline, task.deadline && deadlineOf(task)],
    [words.tags, task.tags.length > 0 && task.tags.map((tag) => el("span", { className: "tag" }, tag))],
    [words.file, stem],
  ];
  return el(
    "dl",
    { className: "rows" },
    rows.filter(([, value]) => value).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
  );
}

function deadlineOf(task) {
  const kind = kindOf(task);
  return [dayName(task.deadline), " ", kind && el("span", { className: `warn ${kind}` }, words.attention[kind])];
}

function taskButtons(stem, { title, status, etag }) {
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
      : button(words.reopen, () => setStatus(stem, title, "offen", etag)),
    el("a", { className: "button", href: routeTo("edit", stem), "data-key": "edit" }, words.edit),
    open && button(words.callOff, () => callOff(stem, title, etag)),
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
    el("p", { className: "buttons" }, closeButton()),
  ];
}
